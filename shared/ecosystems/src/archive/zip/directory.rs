//! The central directory, entry by entry.

use touchstone_domain::ArchiveRule;

use super::{
    end::{END, End},
    extra,
    fields::Fields,
};
use crate::{
    InspectError, ReadSeek,
    archive::{
        Kind, Limits,
        names::{self, Names},
        read_at, refuse, shown,
    },
};

const ENTRY: [u8; 4] = *b"PK\x01\x02";
/// The size of an entry without its name, extra field and comment.
const ENTRY_BYTES: u64 = 46;

/// The sizes and CRC follow the body.
pub(super) const DESCRIPTOR_FLAG: u16 = 1 << 3;
const UTF8_FLAG: u16 = 1 << 11;
/// How hard the writer compressed; no reader needs it.
const EFFORT_FLAGS: u16 = 0b110;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

impl Method {
    /// As headers say it.
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}

/// One entry of a ZIP archive, its local header found equal to its directory entry.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path: relative, plain, without a trailing slash.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The size of its body in bytes.
    pub size: u64,
    pub(super) packed: u64,
    pub(super) method: Method,
    pub(super) flags: u16,
    pub(super) crc: u32,
    /// Whether either of its headers has a comment, or extra fields that say something.
    pub(super) remarks: bool,
    pub(super) header_offset: u64,
    /// Where the packed body begins; set when the local header is read.
    pub(super) body_offset: u64,
}

/// Reads the directory. The members are in the order of the file.
pub(super) fn read(
    archive: &mut dyn ReadSeek,
    end: &End,
    limits: &Limits,
) -> Result<Vec<Member>, InspectError> {
    let limit = |detail: String| refuse(ArchiveRule::Limit, detail);
    if end.directory_bytes > limits.list_bytes_max {
        return Err(limit(format!("the ZIP directory has {} bytes", end.directory_bytes)));
    }
    let entries = usize::try_from(end.entries).unwrap_or(usize::MAX);
    if entries > limits.entries_max {
        return Err(limit(format!("it has more than {} entries", limits.entries_max)));
    }
    if end.entries * ENTRY_BYTES > end.directory_bytes {
        return Err(refuse(
            ArchiveRule::Ambiguous,
            "the ZIP directory has fewer entries than its end record says",
        ));
    }
    let length =
        usize::try_from(end.directory_bytes).map_err(|_| limit("the ZIP directory is too large".into()))?;
    let mut bytes = vec![0; length];
    read_at(archive, end.directory_offset, &mut bytes)?;
    let mut fields = Fields::new("ZIP directory", &bytes);
    let mut names = Names::new(limits);
    let mut members = Vec::with_capacity(entries);
    for _ in 0..entries {
        let member = member(&mut fields, limits)?;
        names.add(&member.name, member.kind)?;
        members.push(member);
    }
    if !fields.is_empty() {
        return Err(refuse(
            ArchiveRule::Ambiguous,
            "the ZIP directory has more entries than its end record says",
        ));
    }
    members.sort_by_key(|member| member.header_offset);
    Ok(members)
}

fn member(fields: &mut Fields<'_>, limits: &Limits) -> Result<Member, InspectError> {
    fields.signature(ENTRY)?;
    let _versions = fields.u32()?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    let _modified = fields.u32()?;
    let crc = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let lengths = [fields.u16()?, fields.u16()?, fields.u16()?];
    let disk = fields.u16()?;
    let _internal_attributes = fields.u16()?;
    let (attributes, offset) = (fields.u32()?, fields.u32()?);
    let [raw, extra, comment] = [
        fields.bytes(lengths[0].into())?,
        fields.bytes(lengths[1].into())?,
        fields.bytes(lengths[2].into())?,
    ];
    if [raw, extra, comment].iter().any(|part| part.windows(END.len()).any(|window| window == END)) {
        return Err(refuse(ArchiveRule::Ambiguous, "the ZIP directory contains a second end record"));
    }
    if disk != 0 {
        return Err(refuse(ArchiveRule::Malformed, "it is part of a ZIP archive of several disks"));
    }
    let extra = extra::read(extra)?;
    let [size, packed, header_offset] = extra::widen([size, packed, offset], extra.zip64)?;
    let method = packing(raw, method, flags)?;
    let (name, kind) = name_and_kind(raw, flags, attributes, limits)?;
    if kind == Kind::Directory && size != 0 {
        return Err(refuse(ArchiveRule::Ambiguous, format!("{} is a directory and has a body", shown(name))));
    }
    if method == Method::Stored && size != packed {
        return Err(refuse(ArchiveRule::Ambiguous, format!("{} is stored and has two sizes", shown(name))));
    }
    let (name, remarks) = (name.to_owned(), extra.remarks || !comment.is_empty());
    Ok(Member { name, kind, size, packed, method, flags, crc, remarks, header_offset, body_offset: 0 })
}

fn packing(name: &[u8], method: u16, flags: u16) -> Result<Method, InspectError> {
    if flags & !(DESCRIPTOR_FLAG | UTF8_FLAG | EFFORT_FLAGS) != 0 {
        let detail =
            format!("{} is encrypted or has flags that readers do not know ({flags:#06x})", shown(name));
        return Err(refuse(ArchiveRule::Compression, detail));
    }
    let known = [Method::Stored, Method::Deflated].into_iter().find(|known| known.number() == method);
    known.ok_or_else(|| {
        refuse(ArchiveRule::Compression, format!("{} is packed by method {method}", shown(name)))
    })
}

fn name_and_kind<'n>(
    raw: &'n [u8],
    flags: u16,
    attributes: u32,
    limits: &Limits,
) -> Result<(&'n str, Kind), InspectError> {
    let (bare, kind) = match raw.strip_suffix(b"/") {
        Some(bare) => (bare, Kind::Directory),
        None => (raw, Kind::File),
    };
    let name = names::plain(bare, limits)?;
    if flags & UTF8_FLAG == 0 && !name.is_ascii() {
        let detail = format!("{} does not say in which character set it is", shown(name));
        return Err(refuse(ArchiveRule::Ambiguous, detail));
    }
    // Unix modes are in the upper half; writers without modes leave it empty.
    let mode = attributes >> 16;
    let of_kind = match (mode & 0o170_000, kind) {
        (0, _) | (0o040_000, Kind::Directory) => true,
        (0o100_000, Kind::File) => mode & 0o6000 == 0,
        _ => false,
    };
    if of_kind {
        return Ok((name, kind));
    }
    let detail =
        format!("{} has the mode {mode:o}, which is not that of a plain file or directory", shown(name));
    Err(refuse(ArchiveRule::EntryType, detail))
}
