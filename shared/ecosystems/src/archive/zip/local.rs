//! Local headers against the directory (threats.md R-09): equal in everything, back to back from the first byte of the file
//! to the directory.

use touchstone_domain::ArchiveRule;

use super::{
    directory::{DESCRIPTOR_FLAG, Member, Method},
    extra,
    fields::Fields,
};
use crate::{
    InspectError, ReadSeek,
    archive::{read_at, refuse, shown},
};

const HEADER: [u8; 4] = *b"PK\x03\x04";
const HEADER_BYTES: usize = 30;
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

/// Reads every local header, sets where the bodies begin, and accounts for every byte before `directory_offset`.
pub(super) fn check(
    archive: &mut dyn ReadSeek,
    members: &mut [Member],
    directory_offset: u64,
) -> Result<(), InspectError> {
    let mut position = 0;
    for member in members.iter_mut() {
        if member.header_offset != position {
            let detail = format!("bytes before {} belong to no entry, or to two", shown(&member.name));
            return Err(refuse(ArchiveRule::Ambiguous, detail));
        }
        position = check_one(archive, member)?;
    }
    if position == directory_offset {
        return Ok(());
    }
    Err(refuse(ArchiveRule::Ambiguous, "bytes before the ZIP directory belong to no entry"))
}

/// Checks one local header and data descriptor; returns where the next header must be.
fn check_one(archive: &mut dyn ReadSeek, member: &mut Member) -> Result<u64, InspectError> {
    let mut fixed = [0; HEADER_BYTES];
    read_at(archive, member.header_offset, &mut fixed)?;
    let mut fields = Fields::new("ZIP local header", &fixed);
    fields.signature(HEADER)?;
    let _version = fields.u16()?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    let _modified = fields.u32()?;
    let crc = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let (name_bytes, extra_bytes) = (usize::from(fields.u16()?), usize::from(fields.u16()?));
    let mut text = vec![0; name_bytes + extra_bytes];
    read_at(archive, member.header_offset + HEADER_BYTES as u64, &mut text)?;
    let (name, extra) = text.split_at(name_bytes);
    let extra = extra::read(extra)?;
    let [size, packed] = extra::widen([size, packed], extra.zip64)?;

    let described = flags & DESCRIPTOR_FLAG != 0;
    let expected = if described { (0, 0, 0) } else { (member.crc, member.packed, member.size) };
    let differs = if !names_equal(name, member) {
        Some("name")
    } else if flags != member.flags {
        Some("flags")
    } else if method != member.method.number() {
        Some("method")
    } else if (crc, packed, size) != expected {
        Some("CRC or sizes")
    } else {
        None
    };
    if let Some(field) = differs {
        let detail =
            format!("the {field} of {} in its local header and in the directory differ", shown(&member.name));
        return Err(refuse(ArchiveRule::Ambiguous, detail));
    }
    member.remarks |= extra.remarks;
    member.body_offset = member.header_offset + HEADER_BYTES as u64 + text.len() as u64;
    let end = member
        .body_offset
        .checked_add(member.packed)
        .ok_or_else(|| refuse(ArchiveRule::Malformed, "a ZIP entry ends beyond every file"))?;
    if described { check_descriptor(archive, member, end, extra.zip64.is_some()) } else { Ok(end) }
}

fn names_equal(local: &[u8], member: &Member) -> bool {
    match local.strip_suffix(b"/") {
        Some(bare) => member.kind == super::Kind::Directory && bare == member.name.as_bytes(),
        None => member.kind != super::Kind::Directory && local == member.name.as_bytes(),
    }
}

/// Reads the data descriptor at `at`: with its signature, and with wide sizes only if the local header had a ZIP64 field.
fn check_descriptor(
    archive: &mut dyn ReadSeek,
    member: &Member,
    at: u64,
    wide: bool,
) -> Result<u64, InspectError> {
    if member.method == Method::Stored && member.packed != 0 {
        let detail =
            format!("{} is stored, and only its data descriptor says where it ends", shown(&member.name));
        return Err(refuse(ArchiveRule::Ambiguous, detail));
    }
    let mut bytes = [0; 24];
    let bytes = if wide { &mut bytes[..] } else { &mut bytes[..16] };
    read_at(archive, at, bytes)?;
    let mut fields = Fields::new("ZIP data descriptor", bytes);
    fields.signature(DESCRIPTOR)?;
    let crc = fields.u32()?;
    let (packed, size) =
        if wide { (fields.u64()?, fields.u64()?) } else { (fields.u32()?.into(), fields.u32()?.into()) };
    if (crc, packed, size) == (member.crc, member.packed, member.size) {
        return Ok(at + bytes.len() as u64);
    }
    let detail = format!("the data descriptor of {} and the directory differ", shown(&member.name));
    Err(refuse(ArchiveRule::Ambiguous, detail))
}
