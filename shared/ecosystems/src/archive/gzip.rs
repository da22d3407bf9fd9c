//! Gzip: one member, sound to its last byte, and nothing after it (RFC 1952; threats.md ).

use std::{
    io::{BufRead, BufReader, SeekFrom},
    ops::Range,
};

use flate2::{Crc, Decompress};
use touchstone_domain::ArchiveRule;

use super::{BUFFER_BYTES, Limits, inflate::inflate, refuse};
use crate::{InspectError, ReadSeek};

/// The longest extra field, file name or comment in the header, in bytes. Nobody needs one.
const HEADER_FIELD_BYTES_MAX: usize = 1024;

const HAS_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
/// `FTEXT`, and the fields above. The other bits are reserved and must be zero.
const KNOWN_FLAGS: u8 = 1 | HAS_CRC | HAS_EXTRA | HAS_NAME | HAS_COMMENT;

/// A gzip file, unpacked piece by piece.
pub(super) struct Gzip<'a> {
    source: BufReader<&'a mut dyn ReadSeek>,
    decompress: Decompress,
    crc: Crc,
    output: Box<[u8]>,
    ready: Range<usize>,
    unpacked: u64,
    allowed: u64,
    ended: bool,
}

impl<'a> Gzip<'a> {
    /// Reads the header.
    pub(super) fn open(archive: &'a mut dyn ReadSeek, limits: &Limits) -> Result<Self, InspectError> {
        let allowed = limits.unpacked_bytes_allowed(archive.seek(SeekFrom::End(0))?);
        archive.seek(SeekFrom::Start(0))?;
        let mut source = BufReader::with_capacity(BUFFER_BYTES, archive);
        Header::default().read(&mut source)?;
        Ok(Self {
            source,
            decompress: Decompress::new(false),
            crc: Crc::new(),
            output: vec![0; BUFFER_BYTES].into_boxed_slice(),
            ready: 0..0,
            unpacked: 0,
            allowed,
            ended: false,
        })
    }

    /// The next unpacked bytes, at most `bytes_max` of them; empty once the file has ended and is sound.
    pub(super) fn next(&mut self, bytes_max: u64) -> Result<&[u8], InspectError> {
        if self.ready.is_empty() && !self.ended {
            self.refill()?;
        }
        let length = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(self.ready.len());
        let start = self.ready.start;
        self.ready.start += length;
        Ok(&self.output[start..start + length])
    }

    fn refill(&mut self) -> Result<(), InspectError> {
        let step = inflate(&mut self.decompress, &mut self.source, &mut self.output)?;
        self.ready = 0..step.written;
        self.crc.update(&self.output[..step.written]);
        self.unpacked += step.written as u64;
        if self.unpacked > self.allowed {
            let detail = format!("it unpacks to more than {} bytes", self.allowed);
            return Err(refuse(ArchiveRule::Limit, detail));
        }
        if step.ended {
            self.ended = true;
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), InspectError> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = take(&mut self.source)?;
        }
        let broken = |detail: &str| Err(refuse(ArchiveRule::Compression, detail));
        if trailer[..4] != self.crc.sum().to_le_bytes() {
            return broken("the CRC of the gzip member is wrong");
        }
        if trailer[4..] != self.unpacked.to_le_bytes()[..4] {
            return broken("the unpacked size in the gzip trailer is wrong");
        }
        if self.source.fill_buf()?.is_empty() {
            return Ok(());
        }
        broken("bytes follow the gzip member")
    }
}

fn take(source: &mut dyn BufRead) -> Result<u8, InspectError> {
    let byte = *source
        .fill_buf()?
        .first()
        .ok_or_else(|| refuse(ArchiveRule::Truncated, "the file ends inside the gzip header or trailer"))?;
    source.consume(1);
    Ok(byte)
}

/// The header's bytes, for its checksum.
#[derive(Default)]
struct Header {
    crc: Crc,
}

impl Header {
    fn read(mut self, source: &mut dyn BufRead) -> Result<(), InspectError> {
        let broken = |detail: &str| Err(refuse(ArchiveRule::Compression, detail));
        let mut fixed = [0; 10];
        for byte in &mut fixed {
            *byte = self.byte(source)?;
        }
        let [magic_0, magic_1, method, flags, ..] = fixed;
        if [magic_0, magic_1] != [0x1f, 0x8b] || method != 8 {
            return broken("it is no gzip file");
        }
        if flags & !KNOWN_FLAGS != 0 {
            return broken("a reserved flag of the gzip header is set");
        }
        if flags & HAS_EXTRA != 0 {
            let length = usize::from(u16::from_le_bytes([self.byte(source)?, self.byte(source)?]));
            bounded(length)?;
            for _ in 0..length {
                self.byte(source)?;
            }
        }
        for text in [HAS_NAME, HAS_COMMENT] {
            if flags & text != 0 {
                self.text(source)?;
            }
        }
        if flags & HAS_CRC != 0 {
            let computed = self.crc.sum().to_le_bytes();
            if [take(source)?, take(source)?] != computed[..2] {
                return broken("the CRC of the gzip header is wrong");
            }
        }
        Ok(())
    }

    fn text(&mut self, source: &mut dyn BufRead) -> Result<(), InspectError> {
        let mut length = 0;
        while self.byte(source)? != 0 {
            length += 1;
            bounded(length)?;
        }
        Ok(())
    }

    fn byte(&mut self, source: &mut dyn BufRead) -> Result<u8, InspectError> {
        let byte = take(source)?;
        self.crc.update(&[byte]);
        Ok(byte)
    }
}

fn bounded(length: usize) -> Result<(), InspectError> {
    if length <= HEADER_FIELD_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("a field of the gzip header has more than {HEADER_FIELD_BYTES_MAX} bytes");
    Err(refuse(ArchiveRule::Limit, detail))
}

#[cfg(test)]
mod tests;
