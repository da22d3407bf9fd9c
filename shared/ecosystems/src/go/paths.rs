//! What a file in a module's zip may be called (`golang.org/x/mod/module`, `CheckFilePath`).

use touchstone_domain::ArchiveRule;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::{
    InspectError,
    archive::{refuse, shown},
};

/// The punctuation that the shells and file systems of all platforms leave alone, and the blank.
const PUNCTUATION: &str = "!#$%&()+,-.=@[]^_{}~ ";
/// What Windows takes for a device, whatever its extension. The fourth letter of a serial or parallel port is 1 to 9.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const PORTS: [&str; 2] = ["com", "lpt"];

/// Refuses a path that the go command does not extract on every platform.
pub(super) fn check(path: &str) -> Result<(), InspectError> {
    path.split('/').try_for_each(|element| {
        problem(element).map_or(Ok(()), |problem| {
            Err(refuse(ArchiveRule::Path, format!("{} in {} {problem}", shown(element), shown(path))))
        })
    })
}

fn problem(element: &str) -> Option<&'static str> {
    if element.is_empty() {
        Some("is no name")
    } else if element.ends_with('.') {
        Some("ends with a dot")
    } else if !element.chars().all(is_allowed) {
        Some("has a character that a module's file names may not have")
    } else if is_reserved(element) {
        Some("is a device on Windows")
    } else {
        None
    }
}

fn is_allowed(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || PUNCTUATION.contains(c);
    }
    c.general_category_group() == GeneralCategoryGroup::Letter
}

fn is_reserved(element: &str) -> bool {
    let stem = element.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let port = |name: &str| stem.strip_prefix(name).is_some_and(|n| matches!(n.as_bytes(), [b'1'..=b'9']));
    DEVICES.contains(&stem.as_str()) || PORTS.into_iter().any(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::build::rule;

    #[test]
    fn names_are_those_of_every_platform() {
        for good in [
            "a.go",
            ".github/x.yml",
            "a b/-c",
            "!#$%&()+,-.=@[]^_{}~ ",
            "é/日本.go",
            "con1",
            "com0",
            "com10",
            "xcon.go",
            "a.con",
            "..a",
            "a~1",
            "lpt",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a//b",
            "/a",
            "a/",
            ".",
            "a/..",
            "...",
            "a.",
            "a./b",
            "a\nb",
            "a\rb",
            "a\tb",
            "a\u{7f}",
            "a\0",
            "a\"b",
            "a'b",
            "a*b",
            "a<b",
            "a>b",
            "a?b",
            "a`b",
            "a|b",
            "a:b",
            "a\\b",
            "a;b",
            "\u{a0}",
            "a\u{301}",
            "a\u{200d}",
            "١",
            "Ⅷ",
            "☃",
            "\u{feff}a",
            "con",
            "CON.go",
            "a/Aux.txt/b",
            "nul.tar.gz",
            "PRN",
            "com1",
            "LPT9.x",
        ] {
            assert_eq!(rule(check(bad)), ArchiveRule::Path, "{bad:?}");
        }
    }
}
