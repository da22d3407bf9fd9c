//! Columns of signed envelopes: `key`, `envelope`, `pack`, `pack_offset` and `pack_size`, all or none. Where there are many in one
//! row, statements write each of them as `key || envelope || pack || int4send(pack_offset) || int4send(pack_size)`.

use touchstone_domain::{EnvelopeRef, KeyId, Sha256, SignedBy};

use crate::{StoreError, row::Columns};

/// The length of an envelope's columns, one after the other.
const PACKED_BYTES: usize = 3 * 32 + 2 * 4;

impl Columns<'_> {
    /// The envelope of a row.
    pub(crate) fn signed(self) -> Result<SignedBy, StoreError> {
        self.signed_opt()?.ok_or_else(|| StoreError::inconsistent("envelope", "absent"))
    }

    /// The envelope of a row that may be from before rows were signed.
    pub(crate) fn signed_opt(self) -> Result<Option<SignedBy>, StoreError> {
        let Some(key) = self.sha256_opt("key")? else { return Ok(None) };
        let offset: i32 = self.get("pack_offset")?;
        let size: i32 = self.get("pack_size")?;
        let envelope = EnvelopeRef {
            sha256: self.sha256("envelope")?,
            pack: self.sha256("pack")?,
            offset: u32::try_from(offset).map_err(|e| StoreError::inconsistent("pack_offset", &e))?,
            size: u32::try_from(size).map_err(|e| StoreError::inconsistent("pack_size", &e))?,
        };
        Ok(Some(SignedBy { key: KeyId(key), envelope }))
    }

    /// Envelopes in one column; null if there are none.
    pub(crate) fn signed_list(self, column: &str) -> Result<Vec<SignedBy>, StoreError> {
        let packed: Option<&[u8]> = self.get(column)?;
        let (envelopes, rest) = packed.unwrap_or_default().as_chunks::<PACKED_BYTES>();
        if !rest.is_empty() {
            return Err(StoreError::inconsistent(column, "not a whole number of envelopes"));
        }
        Ok(envelopes.iter().map(unpacked).collect())
    }
}

fn unpacked(bytes: &[u8; PACKED_BYTES]) -> SignedBy {
    let (digests, numbers) = bytes.split_at(96);
    let digest = |n: usize| Sha256(*digests.as_chunks::<32>().0.get(n).expect("three of them"));
    let number = |n: usize| u32::from_be_bytes(*numbers.as_chunks::<4>().0.get(n).expect("two of them"));
    let envelope = EnvelopeRef { sha256: digest(1), pack: digest(2), offset: number(0), size: number(1) };
    SignedBy { key: KeyId(digest(0)), envelope }
}

/// Envelopes as columns, an array each.
#[derive(Default)]
pub(crate) struct SignedColumns<'a> {
    pub(crate) key: Vec<&'a [u8]>,
    pub(crate) envelope: Vec<&'a [u8]>,
    pub(crate) pack: Vec<&'a [u8]>,
    pub(crate) offset: Vec<i32>,
    pub(crate) size: Vec<i32>,
}

impl<'a> SignedColumns<'a> {
    pub(crate) fn push(&mut self, signed: &'a SignedBy) -> Result<(), StoreError> {
        let number = |n: u32| {
            i32::try_from(n)
                .map_err(|e| StoreError::Invalid { what: "envelope", problem: format!("{n}: {e}") })
        };
        let SignedBy { key, envelope: EnvelopeRef { sha256, pack, offset, size } } = signed;
        let (offset, size) = (number(*offset)?, number(*size)?);
        self.key.push(&key.0.0);
        self.envelope.push(&sha256.0);
        self.pack.push(&pack.0);
        self.offset.push(offset);
        self.size.push(size);
        Ok(())
    }
}
