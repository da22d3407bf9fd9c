//! Rejections on their way into the log.

use touchstone_domain::{ArtifactDbId, ArtifactId};

use super::LOG_ROWS_MAX;
use crate::{Store, StoreError, error::within, row::Columns};

/// What became of a rejection that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is on record, and to be sealed.
    Waits,
    /// The log has it.
    Sealed,
    /// It is not on record any more; of this artifact, if that is and can be read.
    Gone(Option<ArtifactId>),
}

impl Store {
    /// What became of rejections that were committed, by artifact and epoch; in the same order.
    pub async fn rejections(&self, rejections: &[(ArtifactDbId, i32)]) -> Result<Vec<Rejection>, StoreError> {
        const FOUND: &str = r"-- log.rejections
SELECT ecosystem, package, version, file, said.is_there, said.is_sealed
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS asked (artifact_id, epoch, n)
LEFT JOIN artifact ON artifact.id = asked.artifact_id
CROSS JOIN LATERAL (
    SELECT count(*) > 0 AS is_there, count(log_leaf.index) > 0 AS is_sealed
    FROM gate_log LEFT JOIN log_leaf ON source = 'gate_log' AND source_id = gate_log.id
    WHERE gate_log.artifact_id = asked.artifact_id AND gate_log.epoch = asked.epoch
      AND was <> 'rejected' AND state = 'rejected'
) AS said
ORDER BY n";
        within("rejections", rejections.len(), LOG_ROWS_MAX)?;
        let (artifacts, epochs): (Vec<i64>, Vec<i32>) =
            rejections.iter().map(|(artifact, epoch)| (artifact.0, *epoch)).unzip();
        let found = |row| {
            let columns = Columns(row);
            Ok(if columns.get("is_sealed")? {
                Rejection::Sealed
            } else if columns.get("is_there")? {
                Rejection::Waits
            } else {
                Rejection::Gone(columns.id().ok())
            })
        };
        self.query(FOUND, &[&artifacts, &epochs]).await?.iter().map(found).collect()
    }
}
