//! Serve records: what binds a promotion to bytes, and the type that serving takes.

use jiff::Timestamp;

use crate::{ArtifactDbId, ArtifactId, ChunkError, ChunkList, Sha256, Sha512};

/// The record of one promotion, as promote wrote it. It says which bytes may be served under which coordinate; a
/// signature over it comes with the chain of custody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRecord {
    /// The row of the artifact.
    pub artifact: ArtifactDbId,
    /// The coordinate that was promoted.
    pub id: ArtifactId,
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// The second digest of the bytes.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// The root of their chunk list.
    pub chunk_root: Sha256,
    /// The epoch of the gate that approved them.
    pub epoch: i32,
    /// The policy that required the checks.
    pub policy_epoch: i32,
    /// The number of the promotion.
    pub serial: i64,
    /// When it was promoted, by Postgres.
    pub promoted_at: Timestamp,
}

/// Why a record does not permit serving what was asked for. Names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordMismatch {
    /// The record is about another artifact.
    #[error("the serve record is for {found}, and {expected} was asked for")]
    Coordinate {
        /// What was asked for.
        expected: Box<ArtifactId>,
        /// What the record says.
        found: Box<ArtifactId>,
    },
    /// The chunk list has another size than the record.
    #[error("the serve record says {expected} bytes, and the chunk list {found}")]
    Size {
        /// The record's size in bytes.
        expected: u64,
        /// The list's size in bytes.
        found: u64,
    },
    /// The chunk list is not the promoted one.
    #[error(transparent)]
    Chunks(#[from] ChunkError),
}

/// An artifact that may be served: all that the serving code accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotedArtifact {
    record: ServeRecord,
    chunks: ChunkList,
}

impl PromotedArtifact {
    /// Binds a record to the coordinate that was asked for and to the chunk list that its bytes are verified with.
    pub fn bind(record: ServeRecord, asked: &ArtifactId, chunks: ChunkList) -> Result<Self, RecordMismatch> {
        if record.id != *asked {
            return Err(RecordMismatch::Coordinate {
                expected: Box::new(asked.clone()),
                found: Box::new(record.id),
            });
        }
        if record.size != chunks.size() {
            return Err(RecordMismatch::Size { expected: record.size, found: chunks.size() });
        }
        let chunks = chunks.verified(record.chunk_root)?;
        Ok(Self { record, chunks })
    }

    /// The record.
    pub const fn record(&self) -> &ServeRecord {
        &self.record
    }

    /// The digests that each chunk is verified with before it is sent.
    pub const fn chunks(&self) -> &ChunkList {
        &self.chunks
    }
}
