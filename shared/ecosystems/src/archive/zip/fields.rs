//! Little-endian fields.

use touchstone_domain::ArchiveRule;

use crate::{InspectError, archive::refuse};

/// Bytes, read from the front.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// `what` is named when the bytes do not suffice.
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], InspectError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| refuse(ArchiveRule::Malformed, format!("the {} is too short", self.what)))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InspectError> {
        Ok(self.bytes(N)?.try_into().expect("as many bytes as were asked for"))
    }

    pub(super) fn u16(&mut self) -> Result<u16, InspectError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, InspectError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, InspectError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes a signature, and refuses another one.
    pub(super) fn signature(&mut self, expected: [u8; 4]) -> Result<(), InspectError> {
        if self.array::<4>()? == expected {
            return Ok(());
        }
        Err(refuse(ArchiveRule::Malformed, format!("the {} does not begin with its signature", self.what)))
    }

    /// Refuses bytes that nobody took.
    pub(super) fn finish(self) -> Result<(), InspectError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(refuse(ArchiveRule::Malformed, format!("the {} is too long", self.what)))
    }
}
