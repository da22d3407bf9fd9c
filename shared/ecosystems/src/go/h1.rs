//! The `h1:` digest of a module's zip and of its `go.mod` (ecosystems.md 7.2).

use std::io::Read;

use touchstone_domain::{ArchiveRule, Sha256};

use crate::{InspectError, ReadSeek, archive::refuse};

/// The digests of a module's zip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZipH1 {
    /// Of the whole zip: what a checksum database has on the first line of a record.
    pub zip: Sha256,
    /// Of the `go.mod` inside, as if it were a `.mod` file: what a database has on the second line. `None` if there is none.
    pub go_mod: Option<Sha256>,
}

/// The digest of a module's zip, without the `h1:` and the base64. Unpacks every file.
pub fn h1_zip(_zip: &mut dyn ReadSeek) -> Result<ZipH1, InspectError> {
    Err(refuse(ArchiveRule::Malformed, "not read yet"))
}

/// The digest of a `.mod` file, without the `h1:` and the base64.
pub fn h1_mod(_file: &mut dyn Read) -> Result<Sha256, InspectError> {
    Err(refuse(ArchiveRule::Malformed, "not read yet"))
}
