//! `touchstone migrate`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use touchstone_runtime::Config;
use touchstone_store::{DatabaseRole, Store};

/// Brings the schema up to date, and says what it did; then gives roles the passwords in a file.
pub(crate) async fn run(config: &Config, role_passwords: Option<&Path>) -> Result<()> {
    let url = super::database(config)?;
    let passwords = role_passwords.map(passwords).transpose()?;
    let report = Store::migrate(&url).await.context("cannot bring the schema up to date")?;
    if report.applied.is_empty() {
        super::say("the schema is up to date\n");
    } else {
        super::say(&format!("applied {}\n", report.applied.join(", ")));
    }
    if let Some(passwords) = passwords {
        Store::set_role_passwords(&url, &passwords).await.context("cannot set the roles' passwords")?;
        let users: Vec<&str> = passwords.iter().map(|(role, _)| role.user()).collect();
        super::say(&format!("set the passwords of {}\n", users.join(", ")));
    }
    Ok(())
}

/// Those of the roles whose password is to be set.
fn passwords(file: &Path) -> Result<Vec<(DatabaseRole, String)>> {
    let passwords = super::passwords(file)?;
    if passwords.is_empty() {
        bail!("{} has no password", file.display());
    }
    Ok(passwords)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(DatabaseRole, String)>, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, text).expect("written");
        let place = file.path().display().to_string();
        passwords(file.path()).map_err(|error| format!("{error:#}").replace(&place, "FILE"))
    }

    #[test]
    fn a_file_names_roles_and_no_error_shows_a_password() {
        let found = read("edge = \"one\"\nhash = \"two\"\n");
        let expected = vec![(DatabaseRole::Edge, "one".to_owned()), (DatabaseRole::Hash, "two".to_owned())];
        assert_eq!(found, Ok(expected));
        for (text, expected) in [
            ("", "FILE has no password"),
            ("edge = s3cret\n", "FILE is not TOML of the form: edge = \"password\""),
            ("edge = 5\n", "the password of edge in FILE is no string"),
            (
                "owner = \"s3cret\"\n",
                "FILE is refused: unknown database role \"owner\"; known are edge, hash, attest, sumdb, promote and console",
            ),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()));
        }
    }
}
