//! Extended headers: GNU long names and pax records (threats.md ).

use touchstone_domain::ArchiveRule;

use crate::{
    InspectError,
    archive::{refuse, shown},
};

/// The largest pax body, in bytes. Paths and times need some hundreds; extended attributes some thousands.
pub(super) const PAX_BYTES_MAX: u64 = 64 * 1024;

/// What a pax header says that changes how the next entry is read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Parses the body of a pax header for one entry. Keys that only describe are passed over.
pub(super) fn entry(body: &[u8]) -> Result<Pax, InspectError> {
    let mut pax = Pax::default();
    for (key, value) in records(body)? {
        match key {
            b"path" => pax.path = Some(name(value)?),
            b"linkpath" => pax.target = Some(name(value)?),
            b"size" => pax.size = Some(decimal(value).ok_or_else(|| malformed("its size is no number"))?),
            b"hdrcharset" => {
                return Err(refuse(ArchiveRule::Ambiguous, "a pax header sets the character set of names"));
            }
            b"SCHILY.realsize" | b"SUN.holesdata" => {
                return Err(refuse(ArchiveRule::EntryType, "a pax header declares a sparse file"));
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(refuse(ArchiveRule::EntryType, "a pax header declares a sparse file"));
            }
            _ => {}
        }
    }
    Ok(pax)
}

/// Checks the body of a global pax header: git writes one with a comment; all else would reach into other entries.
pub(super) fn check_global(body: &[u8]) -> Result<(), InspectError> {
    for (key, _) in records(body)? {
        if key != b"comment" {
            let detail = format!("a global pax header sets {} for all entries", shown(key));
            return Err(refuse(ArchiveRule::Ambiguous, detail));
        }
    }
    Ok(())
}

/// The text of a GNU long name or link target: ended by NULs, with none inside.
pub(super) fn long_name(mut body: Vec<u8>) -> Result<Vec<u8>, InspectError> {
    let length = body.iter().position(|b| *b == 0);
    match length {
        Some(length) if length > 0 && body[length..].iter().all(|b| *b == 0) => {
            body.truncate(length);
            Ok(body)
        }
        _ => Err(refuse(ArchiveRule::Malformed, "a GNU long name does not end with its only NUL")),
    }
}

/// A key and its value.
type Record<'b> = (&'b [u8], &'b [u8]);

/// The records of a pax body: `length key=value\n`, each key once.
///
/// *Invariant:* no key and no value has a newline. Some readers go by the lengths and others split at newlines: what is
/// one comment to the first can be a path or a size to the others. Extended attributes are no exception.
fn records(body: &[u8]) -> Result<Vec<Record<'_>>, InspectError> {
    let mut records: Vec<Record<'_>> = vec![];
    let mut rest = body;
    while !rest.is_empty() {
        let (record, behind) = record(rest).ok_or_else(|| malformed("a record is not `length key=value`"))?;
        if record.0.contains(&b'\n') || record.1.contains(&b'\n') {
            let detail = format!("the pax record {} has a newline", shown(record.0));
            return Err(refuse(ArchiveRule::Ambiguous, detail));
        }
        if records.iter().any(|(key, _)| *key == record.0) {
            return Err(malformed(&format!("it sets {} twice", shown(record.0))));
        }
        if records.len() >= RECORDS_MAX {
            return Err(refuse(
                ArchiveRule::Limit,
                format!("a pax header has more than {RECORDS_MAX} records"),
            ));
        }
        records.push(record);
        rest = behind;
    }
    Ok(records)
}

/// The most records of one header.
const RECORDS_MAX: usize = 256;

/// The first record, and what follows it.
fn record(body: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let digits = body.iter().position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&body[..digits])?).ok()?;
    if length > body.len() || length < digits + 2 {
        return None;
    }
    let (record, rest) = body.split_at(length);
    let text = record[digits + 1..].strip_suffix(b"\n")?;
    let equals = text.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
    Some(((&text[..equals], &text[equals + 1..]), rest))
}

fn decimal(text: &[u8]) -> Option<u64> {
    let plain = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
    str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// A path in a pax record. An empty one means "as if there were no record" to some readers.
fn name(value: &[u8]) -> Result<Vec<u8>, InspectError> {
    if value.is_empty() {
        return Err(refuse(ArchiveRule::Ambiguous, "a pax header has an empty path"));
    }
    Ok(value.to_vec())
}

fn malformed(detail: &str) -> InspectError {
    refuse(ArchiveRule::Malformed, format!("a pax header is malformed: {detail}"))
}
