//! The end of a ZIP file: the one end record, and the ZIP64 record that may extend it (threats.md R-10).

use std::io::SeekFrom;

use touchstone_domain::ArchiveRule;

use super::fields::Fields;
use crate::{
    InspectError, ReadSeek,
    archive::{read_at, refuse},
};

/// The signature of the end record. It may not be in anything that comes after the first directory entry.
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const END_BYTES: usize = 22;
const END64_BYTES: usize = 56;
const LOCATOR64_BYTES: usize = 20;

/// Where the directory is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) directory_offset: u64,
    pub(super) directory_bytes: u64,
    pub(super) entries: u64,
    /// Of the comment behind the end record.
    pub(super) comment_bytes: u16,
}

/// Finds the directory. It must end where the end records begin, and they where the file ends.
pub(super) fn find(archive: &mut dyn ReadSeek) -> Result<End, InspectError> {
    let file_bytes = archive.seek(SeekFrom::End(0))?;
    let (position, plain) = end_record(archive, file_bytes)?;
    let (end, directory_end) = match locator(archive, position)? {
        Some(at) => (extended(archive, &plain, at)?, at),
        None if plain.is_saturated() => {
            return Err(refuse(ArchiveRule::Malformed, "the ZIP64 end record is missing"));
        }
        None => (plain.end(), position),
    };
    if end.directory_offset.checked_add(end.directory_bytes) != Some(directory_end) {
        return Err(refuse(
            ArchiveRule::Ambiguous,
            "the ZIP directory does not end where its end record begins",
        ));
    }
    Ok(end)
}

/// The fields of the plain end record.
struct Plain {
    entries: u16,
    directory_bytes: u32,
    directory_offset: u32,
    comment_bytes: u16,
}

impl Plain {
    fn is_saturated(&self) -> bool {
        self.entries == u16::MAX || self.directory_bytes == u32::MAX || self.directory_offset == u32::MAX
    }

    fn end(&self) -> End {
        End {
            directory_offset: self.directory_offset.into(),
            directory_bytes: self.directory_bytes.into(),
            entries: self.entries.into(),
            comment_bytes: self.comment_bytes,
        }
    }

    /// Whether every field either says "see ZIP64" or the same as ZIP64.
    fn agrees(&self, end: &End) -> bool {
        (self.entries == u16::MAX || u64::from(self.entries) == end.entries)
            && (self.directory_bytes == u32::MAX || u64::from(self.directory_bytes) == end.directory_bytes)
            && (self.directory_offset == u32::MAX || u64::from(self.directory_offset) == end.directory_offset)
    }
}

/// The last end record in the file; its comment must reach exactly to the file's end.
fn end_record(archive: &mut dyn ReadSeek, file_bytes: u64) -> Result<(u64, Plain), InspectError> {
    let length = file_bytes.min((END_BYTES + usize::from(u16::MAX)) as u64);
    let start = file_bytes - length;
    let mut tail = vec![0; usize::try_from(length).expect("bounded by the longest comment")];
    read_at(archive, start, &mut tail)?;
    let at = tail
        .windows(END.len())
        .rposition(|window| window == END)
        .ok_or_else(|| refuse(ArchiveRule::Truncated, "it has no ZIP end record"))?;
    if tail.len() - at < END_BYTES {
        return Err(refuse(ArchiveRule::Truncated, "the file ends inside its ZIP end record"));
    }
    let mut fields = Fields::new("ZIP end record", &tail[at..]);
    fields.signature(END)?;
    let disks = [fields.u16()?, fields.u16()?];
    let entries_here = fields.u16()?;
    let plain = Plain {
        entries: fields.u16()?,
        directory_bytes: fields.u32()?,
        directory_offset: fields.u32()?,
        comment_bytes: fields.u16()?,
    };
    if at + END_BYTES + usize::from(plain.comment_bytes) != tail.len() {
        return Err(refuse(ArchiveRule::Truncated, "the file does not end where its ZIP end record says"));
    }
    if disks != [0, 0] || entries_here != plain.entries {
        return Err(refuse(ArchiveRule::Malformed, "it is part of a ZIP archive of several disks"));
    }
    Ok((start + at as u64, plain))
}

/// Where the ZIP64 end record is, if a locator stands before the end record: exactly before the locator.
fn locator(archive: &mut dyn ReadSeek, end: u64) -> Result<Option<u64>, InspectError> {
    let Some(at) = end.checked_sub((END64_BYTES + LOCATOR64_BYTES) as u64) else { return Ok(None) };
    let mut bytes = [0; LOCATOR64_BYTES];
    read_at(archive, at + END64_BYTES as u64, &mut bytes)?;
    if bytes[..4] != LOCATOR64 {
        return Ok(None);
    }
    let mut fields = Fields::new("ZIP64 locator", &bytes[4..]);
    let (disk, offset, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
    if offset != at || disk != 0 || disks != 1 {
        return Err(refuse(
            ArchiveRule::Ambiguous,
            "the ZIP64 locator does not point to the record before it",
        ));
    }
    Ok(Some(at))
}

fn extended(archive: &mut dyn ReadSeek, plain: &Plain, at: u64) -> Result<End, InspectError> {
    let mut bytes = [0; END64_BYTES];
    read_at(archive, at, &mut bytes)?;
    let mut fields = Fields::new("ZIP64 end record", &bytes);
    fields.signature(END64)?;
    let length = fields.u64()?;
    let _versions = fields.u32()?;
    let disks = [fields.u32()?, fields.u32()?];
    let entries_here = fields.u64()?;
    let entries = fields.u64()?;
    let (directory_bytes, directory_offset) = (fields.u64()?, fields.u64()?);
    let end = End { directory_offset, directory_bytes, entries, comment_bytes: plain.comment_bytes };
    if length != END64_BYTES as u64 - 12 || disks != [0, 0] || entries_here != entries {
        return Err(refuse(ArchiveRule::Malformed, "the ZIP64 end record is not a plain one"));
    }
    if !plain.agrees(&end) {
        return Err(refuse(ArchiveRule::Ambiguous, "the ZIP64 end record contradicts the end record"));
    }
    Ok(end)
}
