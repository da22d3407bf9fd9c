//! The commands of operators.

pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod incidents;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod migrate;
pub(crate) mod nats_config;
pub(crate) mod policy;
pub(crate) mod recall;
pub(crate) mod recheck;
pub(crate) mod records;
pub(crate) mod trust;
pub(crate) mod why;

use std::{
    io::{ErrorKind, Read as _, Write},
    path::Path,
    str::FromStr,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail, ensure};
use touchstone_runtime::{Config, Environment, servers::recorded_url};
use touchstone_store::{Store, StoreOptions};

/// The largest file of passwords that is read, in bytes.
const PASSWORDS_BYTES_MAX: u64 = 64 * 1024;

/// Why an answer could not be written; the first time.
static UNSAID: OnceLock<std::io::Error> = OnceLock::new();

/// Prints what was asked for. Whoever has read enough, as `head` has, is told nothing more, and the command goes on to its end: what it
/// does is not left half done. Any other error is told by [`unsaid`].
pub(crate) fn say(text: &str) {
    if let Err(error) = say_to(std::io::stdout().lock(), text) {
        let _an_earlier_one = UNSAID.set(error);
    }
}

/// Why not all that was asked for could be printed.
pub(crate) fn unsaid() -> Option<&'static std::io::Error> {
    UNSAID.get()
}

fn say_to(mut out: impl Write, text: &str) -> std::io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The address of the database: the configured one, else that of a standalone which runs on the same data directory.
pub(crate) fn database(config: &Config) -> Result<String> {
    let configured = config.database.url.as_ref().map(|url| url.reveal().to_owned());
    let recorded = || recorded_url(&config.servers_dir().join("postgres"));
    configured.or_else(recorded).with_context(|| no_database(config))
}

/// That there is no database to ask, by which configuration, and what to do.
fn no_database(config: &Config) -> String {
    let data_dir = config.data_dir.display();
    let (by, next) = match &config.file {
        Some(file) => (format!("the configuration is {}", file.display()), "name another one"),
        None => {
            ("no touchstone.toml was found in the current directory".to_owned(), "name the configuration")
        }
    };
    format!(
        "no [database] url is configured, and no standalone is running on {data_dir} ({by}); start `touchstone standalone`, or {next} with \
         --config"
    )
}

/// A small pool for one command.
pub(crate) async fn store(config: &Config) -> Result<Store> {
    let url = database(config)?;
    let options = StoreOptions { url, pool_size: 2, application_name: "touchstone-command".to_owned() };
    match Store::connect(options).await {
        Err(error) if error.is_transient() => {
            Err(error).context("the database cannot be reached; is `touchstone standalone` running?")
        }
        connected => connected.context("the database is refused"),
    }
}

/// The passwords in a TOML file: `edge = "…"`, and so on. No error shows what the file holds.
pub(crate) fn passwords<Who: FromStr>(file: &Path) -> Result<Vec<(Who, String)>>
where
    Who::Err: std::error::Error + Send + Sync + 'static,
{
    let failed = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(failed)?;
    opened.take(PASSWORDS_BYTES_MAX + 1).read_to_string(&mut text).with_context(failed)?;
    ensure!(text.len() as u64 <= PASSWORDS_BYTES_MAX, "{} is too large", file.display());
    let Ok(table) = text.parse::<toml::Table>() else {
        bail!("{} is not TOML of the form: edge = \"password\"", file.display());
    };
    let mut passwords = vec![];
    for (name, value) in table {
        let who = name.parse::<Who>().with_context(|| format!("{} is refused", file.display()))?;
        let Some(password) = value.as_str() else {
            bail!("the password of {name} in {} is no string", file.display());
        };
        passwords.push((who, password.to_owned()));
    }
    Ok(passwords)
}

/// Who gives a command, for the record.
pub(crate) fn operator() -> String {
    let environment = Environment::of_process();
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| environment.get(name))
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Refuses whatever is written.
    struct Refuses(ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_has_read_enough_is_no_error_and_a_full_disk_is_one() {
        let mut said = vec![];
        say_to(&mut said, "a line\n").expect("written");
        assert_eq!(said, b"a line\n");
        say_to(Refuses(ErrorKind::BrokenPipe), "a line\n").expect("nobody listens any more");
        let full = say_to(Refuses(ErrorKind::StorageFull), "a line\n").expect_err("it is lost");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}
