//! `touchstone nats-config`: the part of a nats-server configuration that says who may log in, and do what.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use touchstone_bus::{BusUser, Passwords};
use touchstone_runtime::durable;

/// The configuration in the directory of generated passwords.
const CONFIGURATION: &str = "nats.conf";

/// Prints the users of a file of passwords with what each may do.
pub(crate) fn print(file: &Path) -> Result<()> {
    super::say(&passwords(file)?.configuration());
    Ok(())
}

/// Makes a random password for each user, and writes into a directory the configuration, and for each user the address that its
/// role is configured with. What is there already is kept, all of it.
pub(crate) fn generate(directory: &Path, server: &str) -> Result<()> {
    ensure!(server.contains("://"), "the server's address must be like nats://host:4222");
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let configuration = directory.join(CONFIGURATION);
    if configuration.exists() {
        super::say(&format!("{} is there already, and is kept\n", configuration.display()));
        return Ok(());
    }
    let passwords = Passwords::generate();
    for user in BusUser::ALL {
        write(&directory.join(format!("{user}.url")), &format!("{}\n", passwords.url(server, user)))?;
    }
    // The last: if it is there, all are.
    write(&configuration, &passwords.configuration())?;
    super::say(&format!("wrote {} and an address for each role\n", configuration.display()));
    Ok(())
}

/// Only its owner may read it.
fn write(file: &Path, text: &str) -> Result<()> {
    durable::replace(file, text.as_bytes(), 0o600).with_context(|| format!("cannot write {}", file.display()))
}

/// Those of every user.
fn passwords(file: &Path) -> Result<Passwords> {
    Passwords::new(super::passwords(file)?).with_context(|| format!("{} is refused", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_generated_is_readable_by_its_owner_alone_and_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("nats");
        generate(&place, "nats://nats.example:4222").expect("written");
        let read = |name: &str| std::fs::read_to_string(place.join(name)).expect("a file");
        let (configuration, edge) = (read(CONFIGURATION), read("edge.url"));
        let password =
            edge.strip_prefix("nats://edge:").and_then(|rest| rest.split_once('@')).expect("an address");
        assert_eq!(password.1, "nats.example:4222\n");
        assert!(configuration.contains(&format!("user: \"edge\", password: \"{}\"", password.0)));
        for user in
            BusUser::ALL.map(|user| format!("{user}.url")).iter().map(String::as_str).chain([CONFIGURATION])
        {
            let mode = std::fs::metadata(place.join(user)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{user}");
        }
        generate(&place, "nats://other.example:4222").expect("kept");
        assert_eq!((read(CONFIGURATION), read("edge.url")), (configuration, edge));
    }

    #[test]
    fn a_file_of_passwords_names_every_user() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let password = |user: &str| format!("{user} = \"0123456789abcdef-{user}\"\n");
        let all: String = BusUser::ALL.map(|user| password(user.as_str())).concat();
        std::fs::write(&file, &all).expect("written");
        assert_eq!(passwords(file.path()).expect("good").of(BusUser::Edge), "0123456789abcdef-edge");
        for (bad, expected) in [
            (all.replace(&password("hash"), ""), "there is no password for hash"),
            (format!("{all}{}", password("admin")), "unknown NATS user \"admin\""),
            (all.replace("0123456789abcdef-edge", "short"), "the password of edge must have 16 to 128"),
            (all.replace("\"0123456789abcdef-edge\"", "5"), "is no string"),
        ] {
            std::fs::write(&file, bad).expect("written");
            let refused = format!("{:#}", passwords(file.path()).expect_err("refused"));
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
