//! Crate names, versions and file names.
//!
//! The index files names in lower case, and no two crates differ by case only; so a package's normal form is lower case, and
//! the spelling of its owner is kept where it counts, in the file name.

use touchstone_domain::{Ecosystem, FileName, NameError, PackageName, Version};

/// The registry's own limit, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A crate name, in any case.
pub(super) fn package(text: &str) -> Result<PackageName, NameError> {
    crate_name(text)?;
    PackageName::new(text.to_ascii_lowercase())
}

/// A version: semantic versioning as written.
pub(super) fn version(text: &str) -> Result<Version, NameError> {
    let version = Version::new(text)?;
    match semver::Version::parse(text) {
        Ok(_) => Ok(version),
        Err(_) => Err(invalid("version", text, "it is not a semantic version")),
    }
}

/// The file of a crate, whose name is in its owner's spelling.
pub(super) fn file(spelling: &str, version: &Version) -> Result<FileName, NameError> {
    crate_name(spelling)?;
    FileName::new(format!("{spelling}-{version}.crate"))
}

/// The owner's spelling of the name, from the file that [`file()`] made.
pub(super) fn spelling<'a>(file: &'a FileName, version: &Version) -> Option<&'a str> {
    file.as_str().strip_suffix(".crate")?.strip_suffix(version.as_str())?.strip_suffix('-')
}

/// The folders of the index that a name is in; `name` decides the case.
pub(super) fn prefix(name: &str) -> String {
    match (name.len(), name.get(..1), name.get(..2), name.get(2..4)) {
        (1 | 2, ..) => name.len().to_string(),
        (3, Some(first), ..) => format!("3/{first}"),
        (_, _, Some(first), Some(second)) => format!("{first}/{second}"),
        _ => String::new(),
    }
}

fn crate_name(text: &str) -> Result<(), NameError> {
    PackageName::new(text)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { what: "package name", limit: NAME_BYTES_MAX });
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(invalid("package name", text, "it starts with a letter"));
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(invalid("package name", text, "letters, digits, - and _ only"));
    }
    Ok(())
}

fn invalid(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError::Grammar { what, ecosystem: Ecosystem::Cargo, text: text.to_owned(), rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_to_lower_case_and_to_nothing_else() {
        for (text, name) in [("serde", "serde"), ("Inflector", "inflector"), ("a_b-C", "a_b-c"), ("a", "a")] {
            assert_eq!(package(text).expect(text).as_str(), name);
        }
        let rule = |text, rule| invalid("package name", text, rule);
        for (bad, expected) in [
            ("1a", rule("1a", "it starts with a letter")),
            ("-a", rule("-a", "it starts with a letter")),
            ("_a", rule("_a", "it starts with a letter")),
            ("a.b", rule("a.b", "letters, digits, - and _ only")),
            ("a/b", rule("a/b", "letters, digits, - and _ only")),
            ("\u{212a}", NameError::Character { what: "package name", character: '\u{212a}' }),
            ("", NameError::Empty { what: "package name" }),
        ] {
            assert_eq!(package(bad), Err(expected), "{bad}");
        }
        assert!(package(&"a".repeat(64)).is_ok());
        let limit = NameError::TooLong { what: "package name", limit: 64 };
        assert_eq!(package(&"a".repeat(65)), Err(limit));
    }

    #[test]
    fn the_folders_follow_the_length_of_the_name() {
        let cases = [
            ("a", "1"),
            ("ab", "2"),
            ("abc", "3/a"),
            ("abcd", "ab/cd"),
            ("abcde", "ab/cd"),
            ("AbCd", "Ab/Cd"),
        ];
        for (name, folders) in cases {
            assert_eq!(prefix(name), folders);
        }
    }

    #[test]
    fn a_file_name_keeps_the_owners_spelling() {
        let at = version("1.0.0-rc.1+b").expect("version");
        let file = file("In_fl-1", &at).expect("file");
        assert_eq!(file.as_str(), "In_fl-1-1.0.0-rc.1+b.crate");
        assert_eq!(spelling(&file, &at), Some("In_fl-1"));
        assert_eq!(spelling(&file, &version("1.0.0").expect("version")), None);
        for bad in ["v1.0.0", "1.0", "1.0.0 ", "latest", ""] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
