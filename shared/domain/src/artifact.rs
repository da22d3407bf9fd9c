//! The coordinate of an artifact: ecosystem, package, version, file.
//!
//! The newtypes here hold what *every* ecosystem must guarantee: bounded, printable ASCII, no path tricks.
//! The grammar and the normalisation of each ecosystem are in `touchstone-ecosystems`, which is the only caller that
//! turns request text into these types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Ecosystem;

/// The longest package name, in bytes (npm's own limit; the others are shorter).
const PACKAGE_BYTES_MAX: usize = 214;
/// The most slashes in a package name; the grammar of each ecosystem but Go's allows one at most.
const PACKAGE_SLASHES_MAX: usize = 64;
/// The longest version, in bytes.
const VERSION_BYTES_MAX: usize = 256;
/// The longest file name, in bytes (what file systems and PyPI allow).
const FILE_BYTES_MAX: usize = 255;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which part of the coordinate.
        what: &'static str,
    },
    /// Over the limit.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// Which part of the coordinate.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// A character outside printable ASCII, or one that file systems, URLs or shells read specially.
    #[error("{what} contains the forbidden character {character:?}")]
    Character {
        /// Which part of the coordinate.
        what: &'static str,
        /// The first offender.
        character: char,
    },
    /// `.`, `..`, an empty segment, or a slash where none may be.
    #[error("{what} is not a plain name: {text:?}")]
    Path {
        /// Which part of the coordinate.
        what: &'static str,
        /// The text, bounded by the length limit.
        text: String,
    },
    /// Outside the grammar of the ecosystem.
    #[error("{what} {text:?} is not valid for {ecosystem}: {rule}")]
    Grammar {
        /// Which part of the coordinate.
        what: &'static str,
        /// The ecosystem whose grammar it breaks.
        ecosystem: Ecosystem,
        /// The text, bounded by the length limit.
        text: String,
        /// The rule it breaks.
        rule: &'static str,
    },
}

/// Checks what holds for every part of a coordinate; `slashes` says how many `/` may separate segments.
fn checked(what: &'static str, text: String, limit: usize, slashes: usize) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > limit {
        return Err(NameError::TooLong { what, limit });
    }
    if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic() || "\\%?#\"<>|`{}^;&$".contains(*c))
    {
        return Err(NameError::Character { what, character });
    }
    let plain = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    if text.matches('/').count() > slashes || !text.split('/').all(plain) {
        return Err(NameError::Path { what, text });
    }
    Ok(text)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr, $slashes:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the bounds that hold in every ecosystem.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                checked($what, text.into(), $limit, $slashes).map(Self)
            }

            /// The text, already normalised.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type!(
    /// A package name in the ecosystem's normal form; npm scopes are part of it (`@scope/name`), Go modules are named by their path.
    PackageName, "package name", PACKAGE_BYTES_MAX, PACKAGE_SLASHES_MAX
);
name_type!(
    /// A version in the ecosystem's normal form.
    Version, "version", VERSION_BYTES_MAX, 0
);
name_type!(
    /// A file name, exactly as the registry spells it.
    FileName, "file name", FILE_BYTES_MAX, 0
);

/// The coordinate of one artifact. One coordinate has one digest, for ever (promise 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ArtifactId {
    /// The ecosystem.
    pub ecosystem: Ecosystem,
    /// The package, normalised.
    pub package: PackageName,
    /// The version, normalised.
    pub version: Version,
    /// The file of that version.
    pub file: FileName,
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", crate::Purl::from(self))
    }
}

/// The row number of an artifact: what messages carry instead of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactDbId(pub i64);

impl fmt::Display for ArtifactDbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_the_bounds_of_every_ecosystem() {
        for good in ["left-pad", "@scope/name", "A.b_c~1", "example.com/a/b/v2"] {
            assert_eq!(PackageName::new(good).expect(good).as_str(), good);
        }
        assert_eq!(PackageName::new(""), Err(NameError::Empty { what: "package name" }));
        assert_eq!(
            PackageName::new("x".repeat(215)),
            Err(NameError::TooLong { what: "package name", limit: PACKAGE_BYTES_MAX })
        );
        for (bad, character) in
            [("a\0b", '\0'), ("a\\b", '\\'), ("a%2fb", '%'), ("a\r\n", '\r'), ("ſ", 'ſ'), ("a;rm", ';')]
        {
            assert_eq!(PackageName::new(bad), Err(NameError::Character { what: "package name", character }));
        }
        for bad in ["..", "a/..", "/a", "a/", "a//b", ".", &"a/".repeat(65)] {
            assert!(matches!(PackageName::new(bad), Err(NameError::Path { .. })), "{bad}");
        }
        assert!(matches!(Version::new("1/2"), Err(NameError::Path { .. })));
        assert!(matches!(FileName::new("a/b.whl"), Err(NameError::Path { .. })));
    }
}
