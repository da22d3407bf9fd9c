//! Names that differ, and that some file system takes for one: by case, by ligature, by how a letter is composed (threats.md
//!
//!
//! *Invariant:* what is one name by Unicode simple folding, as `golang.org/x/mod/zip` compares, is one name here. More is:
//! `ß` is `ss`, `ﬁ` is `fi`, and a Hangul syllable is its parts.

use std::collections::HashMap;

use touchstone_domain::ArchiveRule;
use unicode_normalization::UnicodeNormalization as _;

use super::{
    names::{Key, key},
    refuse, shown,
};
use crate::InspectError;

/// Whether two different paths could be one on a file system that ignores case.
pub(crate) fn same_when_folded(left: &str, right: &str) -> bool {
    left != right && fold(left).eq(fold(right))
}

/// The paths of one archive that allows no two names to differ only so, in any directory.
#[derive(Default)]
pub(crate) struct Folded {
    /// The path that each folded path stands for.
    seen: HashMap<Key, Key>,
}

impl Folded {
    /// Takes a path and the directories that it is in, which the archive's reader has bounded in length and number.
    pub(crate) fn add(&mut self, name: &str) -> Result<(), InspectError> {
        let ends = name.match_indices('/').map(|(at, _)| at);
        // From the whole path up: the parents of a known directory are known.
        for end in ends.chain([name.len()]).collect::<Vec<_>>().into_iter().rev() {
            let path = &name[..end];
            let own = key(path);
            match self.seen.insert(key(&folded(path)), own) {
                None => {}
                Some(known) if known == own => break,
                Some(_) => {
                    let detail = format!("another name is {} where case does not count", shown(path));
                    return Err(refuse(ArchiveRule::Duplicate, detail));
                }
            }
        }
        Ok(())
    }
}

fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    fold(&text.nfd().collect::<String>()).nfc().collect()
}

/// Each letter in the lower case of its upper case of its lower case: `ẞ` has no upper case but `ß` has.
fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::build::rule;

    fn both(left: &str, right: &str) -> Result<(), InspectError> {
        let mut names = Folded::default();
        names.add(left)?;
        names.add(right)
    }

    #[test]
    fn names_that_differ_only_by_case_or_composition_are_one() {
        for (left, right) in [
            ("a/b", "a/B"),
            ("a/b", "A/c"),
            ("a/b/c", "a/B/d"),
            ("a/B", "a/b/c"),
            ("straße", "STRASSE"),
            ("ß", "ẞ"),
            ("k", "\u{212a}"),
            ("s", "ſ"),
            ("å", "\u{212b}"),
            ("ﬁ", "fi"),
            ("ﬅ", "ﬆ"),
            ("σ", "ς"),
            ("ǆ", "ǅ"),
            ("Ꭰ", "ꭰ"),
            ("ΐ", "\u{1fd3}"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
            ("豈", "\u{f900}"),
            ("é", "E\u{301}"),
        ] {
            assert_eq!(rule(both(left, right)), ArchiveRule::Duplicate, "{left} {right}");
            assert_eq!(rule(both(right, left)), ArchiveRule::Duplicate, "{right} {left}");
        }
        for (left, right) in [("a/b", "a/c"), ("a/b", "b/B"), ("a", "a/b"), ("é", "e"), ("a-b", "a_b")] {
            assert!(both(left, right).is_ok(), "{left} {right}");
        }
    }

    #[test]
    fn folding_meets_what_file_systems_meet() {
        assert!(same_when_folded("package.json", "PACKAGE.json"));
        assert!(same_when_folded("package.json", "pac\u{212a}age.json"), "the Kelvin sign");
        assert!(same_when_folded("package.json", "package.j\u{17f}on"), "the long s");
        assert!(!same_when_folded("package.json", "package.json"));
        assert!(!same_when_folded("package.json", "package.jsom"));
    }
}
