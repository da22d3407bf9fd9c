//! The only read from which bytes are served.

use touchstone_domain::{ArtifactId, ChunkList, ServeRecord};

use crate::{Store, StoreError, row::Columns};

impl Store {
    /// The record of the promotion, and the chunk list, of an artifact that is servable at this moment; `None` when it
    /// is not, whatever the reason.
    pub async fn serve_record(
        &self,
        id: &ArtifactId,
    ) -> Result<Option<(ServeRecord, ChunkList)>, StoreError> {
        const RECORD: &str = r"-- serve.record
SELECT artifact.id, artifact.ecosystem, artifact.package, artifact.version, artifact.file, artifact.sha512,
       artifact.chunks, promotion.sha256, promotion.size, promotion.chunk_root, promotion.epoch,
       promotion.policy_epoch, promotion.serial, promotion.promoted_at
FROM artifact
JOIN gate ON gate.artifact_id = artifact.id
JOIN promotion ON promotion.artifact_id = artifact.id AND promotion.epoch = gate.epoch
WHERE artifact.ecosystem = $1 AND artifact.package = $2 AND artifact.version = $3 AND artifact.file = $4
  AND gate.servable
  AND promotion.sha256 = artifact.sha256 AND promotion.chunk_root = artifact.chunk_root
  AND promotion.size = artifact.size";
        let ecosystem = id.ecosystem.as_str();
        let row = self
            .query_opt(RECORD, &[&ecosystem, &id.package.as_str(), &id.version.as_str(), &id.file.as_str()])
            .await?;
        row.as_ref().map(|row| served(Columns(row))).transpose()
    }
}

fn served(columns: Columns<'_>) -> Result<(ServeRecord, ChunkList), StoreError> {
    let record = ServeRecord {
        artifact: columns.artifact("id")?,
        id: columns.id()?,
        sha256: columns.sha256("sha256")?,
        sha512: columns.sha512("sha512")?,
        size: columns.unsigned("size")?,
        chunk_root: columns.sha256("chunk_root")?,
        epoch: columns.get("epoch")?,
        policy_epoch: columns.get("policy_epoch")?,
        serial: columns.get("serial")?,
        promoted_at: columns.get("promoted_at")?,
    };
    let chunks = ChunkList::from_bytes(record.size, columns.get("chunks")?)
        .map_err(|e| StoreError::inconsistent("chunks", &e))?;
    Ok((record, chunks))
}
