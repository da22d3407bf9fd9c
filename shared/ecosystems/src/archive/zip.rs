//! ZIP: the directory and the local headers say the same, and account for every byte (threats.md R-09 to R-11).
//!
//! ```text
//! byte 0: local header, body, data descriptor | local header, body, … | directory | ZIP64 record, locator | end record, comment
//! ```
//!
//! *Invariant:* there is nothing between, before or after these, and no two of them share a byte; so a reader that starts at
//! the end, one that starts at the beginning and one that streams see the same entries with the same bodies.

mod directory;
mod end;
mod extra;
mod fields;
mod local;

use std::io::{BufRead, BufReader, Read, SeekFrom};

use flate2::{Crc, Decompress};
use touchstone_domain::ArchiveRule;

pub use self::directory::Member;
use self::directory::Method;
use super::{BUFFER_BYTES, Entries, Entry, Kind, Limits, check_size, inflate::inflate, refuse, shown};
use crate::{InspectError, ReadSeek};

/// A ZIP archive. Its layout is checked when it is opened, its bodies when they are unpacked.
pub struct Zip<'a> {
    archive: &'a mut dyn ReadSeek,
    members: Vec<Member>,
    comment_bytes: u16,
    decompress: Decompress,
    output: Box<[u8]>,
    /// Which member [`Entries::next`] gave last, and whether its body still has to be read.
    cursor: Option<(usize, bool)>,
}

impl<'a> Zip<'a> {
    /// Reads the directory and every local header.
    pub fn open(archive: &'a mut dyn ReadSeek, limits: &Limits) -> Result<Self, InspectError> {
        let end = end::find(archive)?;
        let mut members = directory::read(archive, &end, limits)?;
        let allowed = limits.unpacked_bytes_allowed(archive.seek(SeekFrom::End(0))?);
        let declared = members.iter().try_fold(0_u64, |sum, member| sum.checked_add(member.size));
        if declared.is_none_or(|declared| declared > allowed) {
            return Err(refuse(ArchiveRule::Limit, format!("it unpacks to more than {allowed} bytes")));
        }
        local::check(archive, &mut members, end.directory_offset)?;
        let output = vec![0; BUFFER_BYTES].into_boxed_slice();
        let comment_bytes = end.comment_bytes;
        Ok(Self { archive, members, comment_bytes, decompress: Decompress::new(false), output, cursor: None })
    }

    /// Every entry, in the order of the file.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Refuses comments, and extra fields beyond a ZIP64 one and one modification time: bytes that are nobody's content, for
    /// where the names and contents are what is vouched for, and not the file.
    pub(crate) fn check_no_remarks(&self) -> Result<(), InspectError> {
        if self.comment_bytes != 0 {
            return Err(refuse(ArchiveRule::Ambiguous, "it has a comment, which no content accounts for"));
        }
        let Some(member) = self.members.iter().find(|member| member.remarks) else { return Ok(()) };
        let detail =
            format!("{} has a comment or extra fields, which no content accounts for", shown(&member.name));
        Err(refuse(ArchiveRule::Ambiguous, detail))
    }

    /// The whole body of one entry, if it is not larger than `bytes_max`.
    pub(crate) fn read_member(&mut self, index: usize, bytes_max: u64) -> Result<Vec<u8>, InspectError> {
        let member = &self.members[index];
        check_size(&member.name, member.size, bytes_max)?;
        let mut body = vec![];
        self.unpack_member(index, &mut |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    /// Gives the body of one entry to `sink`, in pieces, and verifies its size and CRC.
    ///
    /// *Invariant:* no more than the declared size is ever given out.
    ///
    /// # Panics
    ///
    /// If there is no member of that index.
    pub fn unpack_member(&mut self, index: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), InspectError> {
        let member = &self.members[index];
        self.archive.seek(SeekFrom::Start(member.body_offset))?;
        let capacity = usize::try_from(member.packed).unwrap_or(BUFFER_BYTES).clamp(1, BUFFER_BYTES);
        let mut input = BufReader::with_capacity(capacity, (&mut *self.archive).take(member.packed));
        let broken =
            |problem: &str| refuse(ArchiveRule::Compression, format!("{} {problem}", shown(&member.name)));
        let mut crc = Crc::new();
        let mut left = member.size;
        let mut give = |piece: &[u8]| {
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| broken("unpacks to more bytes than its header says"))?;
            crc.update(piece);
            sink(piece);
            Ok::<(), InspectError>(())
        };
        match member.method {
            Method::Stored => loop {
                let piece = input.fill_buf()?;
                if piece.is_empty() {
                    break;
                }
                give(piece)?;
                let length = piece.len();
                input.consume(length);
            },
            Method::Deflated => {
                self.decompress.reset(false);
                loop {
                    let step = inflate(&mut self.decompress, &mut input, &mut self.output)?;
                    give(&self.output[..step.written])?;
                    if step.ended {
                        break;
                    }
                }
            }
        }
        if left != 0 {
            return Err(broken("unpacks to fewer bytes than its header says"));
        }
        if crc.sum() != member.crc {
            return Err(broken("has another CRC than its header says"));
        }
        if input.fill_buf()?.is_empty() { Ok(()) } else { Err(broken("goes on after its deflate stream")) }
    }
}

impl Entries for Zip<'_> {
    fn next(&mut self) -> Result<Option<Entry>, InspectError> {
        self.unpack(&mut |_| {})?;
        let index = self.cursor.map_or(0, |(index, _)| index + 1);
        let Some(member) = self.members.get(index) else { return Ok(None) };
        let entry = Entry { name: member.name.clone(), kind: member.kind, size: member.size };
        self.cursor = Some((index, true));
        Ok(Some(entry))
    }

    fn unpack(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), InspectError> {
        match self.cursor {
            Some((index, true)) => {
                self.cursor = Some((index, false));
                self.unpack_member(index, sink)
            }
            Some((_, false)) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
