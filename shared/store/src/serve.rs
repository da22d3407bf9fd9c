//! The only read from which bytes are served.

use touchstone_domain::{ArtifactDbId, ArtifactId, ChunkList, Sha256, Sha512, SignedBy};

use crate::{Store, StoreError, row::Columns};

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
    /// The promotion of an artifact that is servable at this moment, as rows say; `None` when it is not, whatever the reason.
    pub async fn serve_record(&self, id: &ArtifactId) -> Result<Option<ServedRow>, StoreError> {
        // the artifact's own columns: it is the signed record that says whether they are those of what was promoted
        const RECORD: &str = r"-- serve.record
SELECT artifact.id, artifact.sha256, artifact.sha512, artifact.size, artifact.chunk_root, artifact.chunks, promotion.epoch,
       promotion.serial, promotion.key, promotion.envelope, promotion.pack, promotion.pack_offset, promotion.pack_size,
       (SELECT coalesce(max(log_seal.size), 0) FROM log_seal) AS sealed
FROM artifact
JOIN gate ON gate.artifact_id = artifact.id
JOIN promotion ON promotion.artifact_id = artifact.id AND promotion.epoch = gate.epoch
WHERE artifact.ecosystem = $1 AND artifact.package = $2 AND artifact.version = $3 AND artifact.file = $4
  AND gate.servable AND promotion.envelope IS NOT NULL";
        let ecosystem = id.ecosystem.as_str();
        let row = self
            .query_opt(RECORD, &[&ecosystem, &id.package.as_str(), &id.version.as_str(), &id.file.as_str()])
            .await?;
        row.as_ref().map(|row| served(Columns(row))).transpose()
    }
}

fn served(columns: Columns<'_>) -> Result<ServedRow, StoreError> {
    let size = columns.unsigned("size")?;
    Ok(ServedRow {
        artifact: columns.artifact("id")?,
        sha256: columns.sha256("sha256")?,
        sha512: columns.sha512("sha512")?,
        size,
        chunk_root: columns.sha256("chunk_root")?,
        epoch: columns.get("epoch")?,
        serial: columns.get("serial")?,
        chunks: ChunkList::from_bytes(size, columns.get("chunks")?)
            .map_err(|e| StoreError::inconsistent("chunks", &e))?,
        signed: columns.signed()?,
        sealed: columns.unsigned("sealed")?,
    })
}
