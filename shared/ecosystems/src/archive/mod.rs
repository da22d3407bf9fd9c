//! Strict archive readers: gzip, tar and ZIP, over any reader that can seek, in bounded memory, never to a disk.
//!
//! *Invariant:* what two readers could understand differently is refused, and what is accepted means the same to every
//! client (threats.md KD10, R-01 to R-13). That is why these readers are our own; only inflating is left to `flate2`.
//!
//! *Invariant:* bodies are streamed through a buffer of 64 KiB. Only manifests, a wheel's RECORD and a ZIP's directory
//! are held whole, each under a bound of [`Limits`].
//!
//! *Invariant:* every byte of the file is accounted for: nothing before, between or after what the format allows.
//!
//! What is tolerated, because real packages have it and every reader understands it alike:
//!
//! - gzip: a file name with directories in the header (sdists of Python before 3.9);
//! - tar: any padding of zeros after the two end blocks; pax keys that only describe (times, owners, extended
//!   attributes); a global pax header with only a `comment` (git archives); the two times that some writers put at
//!   the end of the ustar prefix field; set-group-id directories; control characters in names, NUL excepted;
//! - tar: a file again with the same mode and bytes; npm packages only: `.` between two segments of a path. Some tarballs have
//!   `package/./dist/index.js` beside `package/dist/index.js`, some sdists and crates a file twice under one path;
//! - ZIP: entries in another order in the directory than in the file; data descriptors; ZIP64 records that agree with
//!   what they extend; extra fields that do not change a name;
//! - both: names that differ only in case, unless one of them is the manifest. Non-ASCII names are compared exactly. Go
//!   modules have neither, nor comments nor extra fields beyond a time.
//!
//! What is refused although some reader would take it: a second gzip member or zeros behind the first, a tar that ends
//! without its two end blocks, a tar entry with both a GNU long name and a pax header, a newline in a pax record, a tar
//! header that begins with a NUL, base-256 numbers in a tar header, names that are not UTF-8.

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod fixtures;
mod folded;
mod gzip;
mod inflate;
mod limits;
mod names;
mod rooted;
mod tar;
mod zip;

use std::io::{ErrorKind, Read, SeekFrom};

use touchstone_domain::{ArchiveRule, Reason};

pub(crate) use self::{
    folded::{Folded, same_when_folded},
    rooted::{Root, read_rooted},
};
pub use self::{
    limits::Limits,
    tar::{Links, Paths, Tar},
    zip::{Member, Zip},
};
use crate::{InspectError, ReadSeek};

/// The size of the buffers that bodies are streamed through.
const BUFFER_BYTES: usize = 64 * 1024;

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path: relative, plain, without a trailing slash.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The size of its body in bytes.
    pub size: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic or hard link to something inside the archive's own directory.
    Link,
}

/// An archive, entry by entry, in the order of the file.
pub trait Entries {
    /// The next entry; what was left of the body of the one before is read and verified first. `None` once the whole
    /// file has been read and is sound.
    fn next(&mut self) -> Result<Option<Entry>, InspectError>;

    /// Gives the body of the current entry to `sink`, in pieces.
    fn unpack(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), InspectError>;
}

/// The whole of a file that is no archive, if it is not larger than `bytes_max`.
pub(crate) fn read_whole(file: &mut dyn ReadSeek, bytes_max: u64) -> Result<Vec<u8>, InspectError> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = vec![];
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    check_size("the file", bytes.len() as u64, bytes_max)?;
    Ok(bytes)
}

fn check_size(name: &str, bytes: u64, bytes_max: u64) -> Result<(), InspectError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let detail = format!("{} has more than the {bytes_max} bytes that it may have", shown(name));
    Err(refuse(ArchiveRule::Limit, detail))
}

/// A refusal because the archive is about something else; `part` says what was compared.
pub(crate) fn mismatch(part: &str, expected: &str, found: &str) -> InspectError {
    InspectError::Refused(Reason::CoordinateMismatch {
        part: part.to_owned(),
        expected: expected.to_owned(),
        found: found.chars().take(CHARACTERS_MAX).collect(),
    })
}

/// A refusal.
pub(crate) fn refuse(rule: ArchiveRule, detail: impl Into<String>) -> InspectError {
    InspectError::Refused(Reason::ArchiveRejected { rule, detail: detail.into() })
}

/// How much of a text from an archive goes into a reason.
pub(crate) const CHARACTERS_MAX: usize = 120;

/// A text from an archive, escaped and shortened for a reason.
pub(crate) fn shown(text: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(text.as_ref());
    let mut short: String = text.chars().take(CHARACTERS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// Fills `buffer` from `offset`; a file that ends before is refused.
fn read_at(archive: &mut dyn ReadSeek, offset: u64, buffer: &mut [u8]) -> Result<(), InspectError> {
    archive.seek(SeekFrom::Start(offset))?;
    archive.read_exact(buffer).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => {
            refuse(ArchiveRule::Truncated, format!("the file ends after byte {offset}"))
        }
        _ => error.into(),
    })
}
