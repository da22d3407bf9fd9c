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

use std::{io::Read as _, path::Path, str::FromStr};

use anyhow::{Context as _, Result, bail, ensure};
use touchstone_runtime::{Config, Environment, servers::recorded_url};
use touchstone_store::{Store, StoreOptions};

/// The largest file of passwords that is read, in bytes.
const PASSWORDS_BYTES_MAX: u64 = 64 * 1024;

/// Prints what was asked for.
#[expect(clippy::print_stdout, reason = "the one place where commands print their answers")]
pub(crate) fn say(text: &str) {
    print!("{text}");
}

/// The address of the database: the configured one, else that of a standalone which has run in the same data directory.
pub(crate) fn database(config: &Config) -> Result<String> {
    let configured = config.database.url.as_ref().map(|url| url.reveal().to_owned());
    let recorded = || recorded_url(&config.servers_dir().join("postgres"));
    configured
        .or_else(recorded)
        .context("no [database] url is configured, and no standalone has run in this data directory")
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
