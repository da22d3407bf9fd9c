//! The only read from which bytes are served.

use touchstone_domain::{ArtifactDbId, ArtifactId, ChunkList, Sha256, Sha512, SignedBy};

use crate::{Store, StoreError};

/// What the rows say of a promotion in force. UNVERIFIED: the serve record must say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedRow {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Their second digest.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// The root of their chunk list.
    pub chunk_root: Sha256,
    /// The epoch of the gate.
    pub epoch: i32,
    /// The number of the promotion.
    pub serial: i64,
    /// The digests of the chunks.
    pub chunks: ChunkList,
    /// The serve record.
    pub signed: SignedBy,
    /// How many entries of the transparency log Postgres has sealed; smaller than what an edge has seen, it was restored from
    /// a backup.
    pub sealed: u64,
}

impl Store {
    /// The promotion of an artifact that is servable at this moment; `None` when it is not, whatever the reason.
    pub async fn serve_record(&self, _id: &ArtifactId) -> Result<Option<ServedRow>, StoreError> {
        todo!()
    }
}
