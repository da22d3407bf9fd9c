//! The one spelling of a name in addresses, which servers and file systems that ignore case cannot confuse: each upper-case
//! letter as `!` and the lower-case one.

use touchstone_domain::{NameError, PackageName, Version};

use super::invalid;

/// A module path as it stands in addresses.
pub fn escape_path(package: &PackageName) -> String {
    escaped(package.as_str())
}

/// A version as it stands in addresses.
pub fn escape_version(version: &Version) -> String {
    escaped(version.as_str())
}

/// A name as it stands in addresses.
pub(in crate::go) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// The name that an address means. Nothing but what [`escaped`] writes is taken; the grammar is looked at elsewhere.
pub(in crate::go) fn unescape(what: &'static str, text: &str) -> Result<String, NameError> {
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            'A'..='Z' => {
                return Err(invalid(
                    what,
                    text,
                    "an upper-case letter is written as ! and the lower-case one",
                ));
            }
            '!' => match chars.next() {
                Some(letter @ 'a'..='z') => name.push(letter.to_ascii_uppercase()),
                _ => return Err(invalid(what, text, "an ! stands before a lower-case letter only")),
            },
            other => name.push(other),
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go::name;

    #[test]
    fn a_name_has_one_spelling_in_addresses() {
        for (name, address) in [
            ("example.com/AzureSDK/v2", "example.com/!azure!s!d!k/v2"),
            ("v1.0.0-RC1", "v1.0.0-!r!c1"),
            ("example.com/a~b_c.d-e", "example.com/a~b_c.d-e"),
            ("", ""),
        ] {
            assert_eq!(escaped(name), address);
            assert_eq!(unescape("version", address).as_deref(), Ok(name));
        }
        let upper = "an upper-case letter is written as ! and the lower-case one";
        let mark = "an ! stands before a lower-case letter only";
        for (address, rule) in [
            ("example.com/Azure", upper),
            ("example.com/!Azure", mark),
            ("example.com/!!azure", mark),
            ("example.com/azure!", mark),
            ("example.com/!1", mark),
            ("example.com/!/a", mark),
            ("example.com/!-a", mark),
            ("example.com/!\u{e9}", mark),
        ] {
            let expected = invalid("package name", address, rule);
            assert_eq!(unescape("package name", address), Err(expected), "{address}");
        }
    }

    #[test]
    fn an_error_carries_no_more_than_the_start_of_a_long_text() {
        let long = format!("{}A", "a".repeat(4000));
        let rule = "an upper-case letter is written as ! and the lower-case one";
        let text = "a".repeat(100);
        let expected =
            NameError::Grammar { what: "version", ecosystem: touchstone_domain::Ecosystem::Go, text, rule };
        assert_eq!(unescape("version", &long), Err(expected));
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "[!-~&&[^!]]{0,40}") {
            let address = escaped(&name);
            prop_assert!(!address.contains(|c: char| c.is_ascii_uppercase()));
            prop_assert_eq!(unescape("version", &address), Ok(name));
        }

        #[test]
        fn every_address_that_is_taken_is_the_one_that_is_written(address in "[!a-zA-Z0-9./~-]{0,40}") {
            if let Ok(name) = unescape("version", &address) {
                prop_assert_eq!(escaped(&name), address);
            }
        }

        #[test]
        fn paths_and_versions_come_back(
            path in "[a-z][a-z0-9-]{0,5}\\.example(/[A-Za-z][A-Za-z0-9_]{0,6}){0,3}",
            at in "v[01]\\.(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})(-[a-zA-Z][A-Za-z0-9-]{0,6}(\\.[1-9])?)?",
        ) {
            prop_assume!(name::package(&path).is_ok());
            let (package, version) = (name::package(&path)?, name::version(&at)?);
            prop_assert_eq!(unescape("package name", &escape_path(&package)), Ok(path));
            prop_assert_eq!(unescape("version", &escape_version(&version)), Ok(at));
        }
    }
}
