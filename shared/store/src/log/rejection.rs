//! Rejections on their way into the log.

use touchstone_custody::{LogEntry, artifact_purl};
use touchstone_domain::{ArtifactDbId, ArtifactId, ArtifactState};

use crate::{Store, StoreError, error::within, row::Columns};

/// The most rejections that are asked about at once.
pub const REJECTIONS_MAX: usize = 256;

/// What became of a rejection that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// How far it is.
    pub stage: RejectionStage,
    /// Whether the row of its artifact is there.
    pub has_artifact: bool,
    /// Which artifact that is, if the row can be read.
    pub id: Option<ArtifactId>,
}

/// How far a rejection is on its way into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionStage {
    /// It is on record, and to be sealed.
    Waits,
    /// The log has it.
    Sealed,
    /// It is not on record any more.
    Gone,
}

impl Store {
    /// What became of at most [`REJECTIONS_MAX`] rejections that were committed, by artifact and epoch; in the same order. A leaf counts
    /// for what it says, and not for the row that it is said to be of.
    pub async fn rejections(&self, rejections: &[(ArtifactDbId, i32)]) -> Result<Vec<Rejection>, StoreError> {
        const FOUND: &str = r"-- log.rejections
SELECT artifact.id IS NOT NULL AS has_artifact, ecosystem, package, version, file, said.is_there, said.sealed
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS asked (artifact_id, epoch, n)
LEFT JOIN artifact ON artifact.id = asked.artifact_id
CROSS JOIN LATERAL (
    SELECT count(*) > 0 AS is_there, array_remove(array_agg(entry), NULL) AS sealed
    FROM (
        SELECT entry
        FROM gate_log LEFT JOIN log_leaf ON source = 'gate_log' AND source_id = gate_log.id
        WHERE gate_log.artifact_id = asked.artifact_id AND gate_log.epoch = asked.epoch
          AND was <> 'rejected' AND state = 'rejected'
        ORDER BY gate_log.id
        LIMIT 4
    ) AS rejected
) AS said
ORDER BY n";
        within("rejections", rejections.len(), REJECTIONS_MAX)?;
        let (artifacts, epochs): (Vec<i64>, Vec<i32>) =
            rejections.iter().map(|(artifact, epoch)| (artifact.0, *epoch)).unzip();
        let rows = self.query(FOUND, &[&artifacts, &epochs]).await?;
        rows.iter().zip(&epochs).map(|(row, epoch)| found(Columns(row), *epoch)).collect()
    }
}

fn found(columns: Columns<'_>, epoch: i32) -> Result<Rejection, StoreError> {
    let id = columns.id().ok();
    let sealed: Option<Vec<Vec<u8>>> = columns.get("sealed")?;
    let stage = if sealed.unwrap_or_default().iter().any(|entry| says(entry, id.as_ref(), epoch)) {
        RejectionStage::Sealed
    } else if columns.get("is_there")? {
        RejectionStage::Waits
    } else {
        RejectionStage::Gone
    };
    Ok(Rejection { stage, has_artifact: columns.get("has_artifact")?, id })
}

/// Whether an entry says that this artifact was rejected in this epoch: of one that cannot be read, that there was something.
fn says(entry: &[u8], id: Option<&ArtifactId>, rejected: i32) -> bool {
    match LogEntry::read(entry) {
        Ok(Some(LogEntry::Ended { purl, epoch, state, .. })) => {
            epoch == rejected
                && state == ArtifactState::Rejected.as_str()
                && id.is_none_or(|id| purl == artifact_purl(id).to_string())
        }
        Ok(Some(LogEntry::Incident { .. })) => id.is_none(),
        Ok(sealed) => sealed.is_none(), // by a newer version, which writes more of it
        Err(_) => false,
    }
}
