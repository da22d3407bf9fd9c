//! Serve records: the signed permission to serve bytes under a coordinate, as a SLSA Verification Summary Attestation v1, and the
//! type that serving takes.

use std::{fmt::Display, sync::Arc};

use jiff::Timestamp;
use touchstone_domain::{ArtifactId, CheckKind, ChunkError, ChunkList, KeyId, Sha256, Sha512};

use crate::{KeyKind, KeyRing, Refused, Revocation, Revocations, SignError, Signer, artifact_purl, dsse};

use vsa::Vsa;

mod vsa;

/// The predicate type of a serve record.
pub const VSA_TYPE: &str = "https://slsa.dev/verification_summary/v1";

/// A step that a serve record rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The check; absent for the fetch.
    pub check: Option<CheckKind>,
    /// The key that signed it.
    pub key: KeyId,
    /// The digest of its envelope.
    pub envelope: Sha256,
}

/// The record of one promotion. Outside of promote, only [`ServeRecord::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRecord {
    pub(crate) environment: String,
    pub(crate) id: ArtifactId,
    pub(crate) sha256: Sha256,
    pub(crate) sha512: Sha512,
    pub(crate) size: u64,
    pub(crate) chunk_root: Sha256,
    /// The epoch of the gate that approved the bytes.
    pub(crate) epoch: i32,
    pub(crate) policy_epoch: i32,
    pub(crate) policy: Sha256,
    pub(crate) serial: i64,
    pub(crate) promoted_at: Timestamp,
    /// The fetch first, then the checks.
    pub(crate) rests_on: Vec<Approver>,
    /// The key that signed this record.
    pub(crate) key: KeyId,
}

/// What Postgres says of a promotion: the record must say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// This installation.
    pub environment: &'a str,
    /// What was asked for.
    pub id: &'a ArtifactId,
    /// The digest on record.
    pub sha256: Sha256,
    /// The second digest on record.
    pub sha512: Sha512,
    /// The size on record.
    pub size: u64,
    /// The chunk root on record.
    pub chunk_root: Sha256,
    /// The epoch of the gate.
    pub epoch: i32,
    /// The serial of the promotion.
    pub serial: i64,
}

/// Why a verified record does not permit serving what was asked for. Names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordMismatch {
    /// A field says something else than what is expected: transplanted, replayed, foreign, or of an older epoch.
    #[error("the serve record says {field} {found}, and {expected} is expected")]
    Field {
        /// `environment`, `purl`, `sha256`, `sha512`, `size`, `chunk_root`, `epoch` or `serial`.
        field: &'static str,
        /// What is expected.
        expected: String,
        /// What it says.
        found: String,
    },
    /// A key that it rests on, or its own, was revoked or is not in the ring.
    #[error("the serve record rests on the key {key}, which does not count any more: {reason}")]
    Key {
        /// The key.
        key: KeyId,
        /// Why.
        reason: String,
    },
    /// The transparency log says that this permission ended.
    #[error(transparent)]
    Revoked(#[from] Revocation),
    /// The chunk list is not the promoted one.
    #[error(transparent)]
    Chunks(#[from] ChunkError),
}

impl ServeRecord {
    /// Verifies an envelope: signature, key, shape. What it permits is [`PromotedArtifact::bind`]'s to say.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Self, Refused> {
        let opened = dsse::open(envelope, ring)?;
        let record = Vsa::read(&opened.payload, opened.key)?;
        ring.accept(opened.key, KeyKind::Promote, record.promoted_at)?;
        Ok(record)
    }

    /// Signs what was approved; only promote has the key, and only [`crate::judge()`] makes an approval.
    pub fn sign(
        approval: &crate::Approval,
        serial: i64,
        promoted_at: Timestamp,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, SignError> {
        let record = Self {
            environment: approval.environment.clone(),
            id: approval.id.clone(),
            sha256: approval.gate.sha256,
            sha512: approval.sha512,
            size: approval.size,
            chunk_root: approval.gate.chunk_root,
            epoch: approval.gate.epoch,
            policy_epoch: approval.policy_epoch,
            policy: approval.policy,
            serial,
            promoted_at,
            rests_on: approval.rests_on.clone(),
            key: signer.key_id(),
        };
        dsse::sign(signer, &Vsa::of(&record).to_payload())
    }

    fn check_fields(&self, expected: &Expected<'_>) -> Result<(), RecordMismatch> {
        same("environment", expected.environment, self.environment.as_str())?;
        if self.id != *expected.id {
            same("purl", &artifact_purl(expected.id), &artifact_purl(&self.id))?;
        }
        same("sha256", &expected.sha256, &self.sha256)?;
        same("sha512", &expected.sha512, &self.sha512)?;
        same("size", &expected.size, &self.size)?;
        same("chunk_root", &expected.chunk_root, &self.chunk_root)?;
        same("epoch", &expected.epoch, &self.epoch)?;
        same("serial", &expected.serial, &self.serial)
    }

    fn check_keys(&self, ring: &KeyRing) -> Result<(), RecordMismatch> {
        let steps = self.rests_on.iter().map(|approver| approver.key);
        for key in std::iter::once(self.key).chain(steps) {
            let reason = match ring.entry(key).map(|entry| &entry.revoked) {
                Some(None) => continue,
                Some(Some(revoked)) => revoked.reason.clone(),
                None => "it is not in the key ring".to_owned(),
            };
            return Err(RecordMismatch::Key { key, reason });
        }
        Ok(())
    }

    /// The installation that it is of.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The coordinate.
    pub const fn id(&self) -> &ArtifactId {
        &self.id
    }

    /// The digest of the bytes.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Their number.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The epoch of the gate that approved them.
    pub const fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The number of the promotion.
    pub const fn serial(&self) -> i64 {
        self.serial
    }

    /// When it was promoted, by promote's clock.
    pub const fn promoted_at(&self) -> Timestamp {
        self.promoted_at
    }

    /// The policy that approved: its epoch and its digest.
    pub const fn policy(&self) -> (i32, Sha256) {
        (self.policy_epoch, self.policy)
    }

    /// What it rests on.
    pub fn rests_on(&self) -> &[Approver] {
        &self.rests_on
    }

    /// The key that signed it.
    pub const fn key(&self) -> KeyId {
        self.key
    }
}

fn same<T>(field: &'static str, expected: &T, found: &T) -> Result<(), RecordMismatch>
where
    T: PartialEq + Display + ?Sized,
{
    if expected == found {
        return Ok(());
    }
    Err(RecordMismatch::Field { field, expected: expected.to_string(), found: found.to_string() })
}

/// An artifact that may be served: all that the serving code accepts.
#[derive(Clone, Debug)]
pub struct PromotedArtifact {
    record: Arc<ServeRecord>,
    chunks: ChunkList,
}

impl PromotedArtifact {
    /// Binds a verified record to what was asked for, to what is on record, to the keys and revocations known now, and to the
    /// chunk list that its bytes are verified with.
    pub fn bind(
        record: Arc<ServeRecord>,
        expected: &Expected<'_>,
        ring: &KeyRing,
        revocations: &Revocations,
        chunks: ChunkList,
    ) -> Result<Self, RecordMismatch> {
        record.check_fields(expected)?;
        record.check_keys(ring)?;
        revocations.check(&record)?;
        let chunks = chunks.verified(record.chunk_root)?;
        Ok(Self { record, chunks })
    }

    /// The record.
    pub fn record(&self) -> &ServeRecord {
        &self.record
    }

    /// The digests that each chunk is verified with before it is sent.
    pub const fn chunks(&self) -> &ChunkList {
        &self.chunks
    }
}

#[cfg(test)]
mod tests;
