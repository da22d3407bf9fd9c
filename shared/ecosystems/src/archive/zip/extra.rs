//! Extra fields: the ZIP64 one is read; one that would change a name is refused; the rest only describe, and are told apart
//! from those that Go writes.

use touchstone_domain::ArchiveRule;

use super::fields::Fields;
use crate::{InspectError, archive::refuse};

const ZIP64: u16 = 0x0001;
/// Info-ZIP's other spelling of the name: readers that know it see another file.
const UNICODE_PATH: u16 = 0x7075;

/// A time, as Go writes it: the one flag of a modification time, and its four bytes.
const TIMESTAMP: u16 = 0x5455;
const TIMESTAMP_FLAG: u8 = 1;
const TIMESTAMP_BYTES: usize = 5;

/// What the extra fields of one header hold.
pub(super) struct Extra<'a> {
    /// The body of the ZIP64 field, if there is one.
    pub(super) zip64: Option<&'a [u8]>,
    /// Whether there is anything else than that and one modification time.
    pub(super) remarks: bool,
}

/// Reads the extra fields of one header.
pub(super) fn read(extra: &[u8]) -> Result<Extra<'_>, InspectError> {
    let mut fields = Fields::new("ZIP extra field", extra);
    let (mut zip64, mut timestamps, mut remarks) = (None, 0, false);
    while !fields.is_empty() {
        let (id, length) = (fields.u16()?, fields.u16()?);
        let body = fields.bytes(length.into())?;
        if id == UNICODE_PATH {
            return Err(refuse(ArchiveRule::Ambiguous, "a ZIP entry has a second name in an extra field"));
        }
        if id == ZIP64 && zip64.replace(body).is_some() {
            return Err(refuse(ArchiveRule::Ambiguous, "a ZIP entry has two ZIP64 fields"));
        }
        let plain_time =
            id == TIMESTAMP && body.len() == TIMESTAMP_BYTES && body.first() == Some(&TIMESTAMP_FLAG);
        timestamps += u32::from(plain_time);
        remarks |= (id != ZIP64 && !plain_time) || timestamps > 1;
    }
    Ok(Extra { zip64, remarks })
}

/// Replaces each value that says "see ZIP64" by the next one of the field, which must hold exactly those.
pub(super) fn widen<const N: usize>(
    values: [u32; N],
    zip64: Option<&[u8]>,
) -> Result<[u64; N], InspectError> {
    let mut fields = Fields::new("ZIP64 extra field", zip64.unwrap_or_default());
    let mut wide = [0; N];
    for (value, wide) in values.into_iter().zip(&mut wide) {
        *wide = if value == u32::MAX { fields.u64()? } else { value.into() };
    }
    fields.finish()?;
    Ok(wide)
}
