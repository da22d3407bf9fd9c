//! Rejections that may be on their way into the log.

use std::collections::HashSet;

use touchstone_domain::ArtifactDbId;

use crate::{Store, StoreError, error::within, row::Columns};

/// The most rejections that are asked about at once.
pub const REJECTIONS_MAX: usize = 256;

impl Store {
    /// Which of at most [`REJECTIONS_MAX`] rejections are on record, by artifact and epoch.
    pub async fn rejections_on_record(
        &self,
        rejections: &[(ArtifactDbId, i32)],
    ) -> Result<HashSet<(ArtifactDbId, i32)>, StoreError> {
        const ON_RECORD: &str = r"-- log.rejections_on_record
SELECT artifact_id, epoch
FROM unnest($1::bigint[], $2::integer[]) AS asked (artifact_id, epoch)
WHERE EXISTS (
    SELECT FROM gate_log
    WHERE gate_log.artifact_id = asked.artifact_id AND gate_log.epoch = asked.epoch
      AND was <> 'rejected' AND state = 'rejected'
)";
        within("rejections", rejections.len(), REJECTIONS_MAX)?;
        let (artifacts, epochs): (Vec<i64>, Vec<i32>) =
            rejections.iter().map(|(artifact, epoch)| (artifact.0, *epoch)).unzip();
        let rows = self.query(ON_RECORD, &[&artifacts, &epochs]).await?;
        let of = |row| Ok((Columns(row).artifact("artifact_id")?, Columns(row).get("epoch")?));
        rows.iter().map(of).collect()
    }
}
