//! Module paths, versions, revisions and file names: grammar and escaping (go.dev/ref/mod; ecosystems.md 7.1, 7.6).
//!
//! *Invariant:* names are kept as they are written in `go.mod`, case and all: nothing is folded or repaired.

mod escape;
mod path;
mod version;

use touchstone_domain::{Ecosystem, FileName, NameError, Version};

pub use escape::{escape_path, escape_version};
pub(super) use escape::{escaped, unescape};
pub(super) use path::package;
pub(super) use version::{is_pseudo, query, version, version_of};

use crate::index::shortened;

/// One of the two files of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Its files, as an archive.
    Zip,
    /// Its `go.mod`.
    Mod,
}

impl FileKind {
    /// As it stands in addresses, and in the names of our artifacts.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Mod => "mod",
        }
    }
}

/// The name of a file of a version.
pub(super) fn file(version: &Version, kind: FileKind) -> Result<FileName, NameError> {
    FileName::new(format!("{version}.{}", kind.extension()))
}

fn invalid(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError::Grammar { what, ecosystem: Ecosystem::Go, text: shortened(text), rule }
}
