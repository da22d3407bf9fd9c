//! Rejections on their way into the log.

use touchstone_custody::{LogEntry, artifact_purl};
use touchstone_domain::{ArtifactDbId, ArtifactId, ArtifactState};

use crate::{Store, StoreError, error::within, row::Columns};

/// The most rejections that are asked about at once.
pub const REJECTIONS_MAX: usize = 256;

/// What became of a rejection that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Whether it is on record.
    pub is_on_record: bool,
    /// The leaves of it that say so, by their numbers. Whether the published log has them is not known here.
    pub leaves: Vec<(u64, Vec<u8>)>,
    /// Whether the row of its artifact is there.
    pub has_artifact: bool,
    /// Which artifact that is, if the row can be read.
    pub id: Option<ArtifactId>,
}

impl Store {
    /// What became of at most [`REJECTIONS_MAX`] rejections that were committed, by artifact and epoch; in the same order. A leaf counts
    /// for what it says, and not for the row that it is said to be of.
    pub async fn rejections(&self, rejections: &[(ArtifactDbId, i32)]) -> Result<Vec<Rejection>, StoreError> {
        const FOUND: &str = r"-- log.rejections
SELECT artifact.id IS NOT NULL AS has_artifact, ecosystem, package, version, file, said.is_on_record, said.indexes, said.entries
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS asked (artifact_id, epoch, n)
LEFT JOIN artifact ON artifact.id = asked.artifact_id
CROSS JOIN LATERAL (
    SELECT count(*) > 0 AS is_on_record, array_agg(index) FILTER (WHERE index IS NOT NULL) AS indexes,
           array_agg(entry) FILTER (WHERE index IS NOT NULL) AS entries
    FROM (
        SELECT index, entry
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
    let (indexes, entries): (Option<Vec<i64>>, Option<Vec<Vec<u8>>>) =
        (columns.get("indexes")?, columns.get("entries")?);
    let leaves = indexes.into_iter().flatten().zip(entries.into_iter().flatten());
    let leaves = leaves.filter(|(_, entry)| id.as_ref().is_some_and(|id| says(entry, id, epoch)));
    let leaves = leaves.filter_map(|(index, entry)| Some((u64::try_from(index).ok()?, entry)));
    Ok(Rejection {
        is_on_record: columns.get("is_on_record")?,
        leaves: leaves.collect(),
        has_artifact: columns.get("has_artifact")?,
        id,
    })
}

/// Whether an entry says that this artifact was rejected in this epoch. Of one that a newer version wrote, that it names the artifact.
fn says(entry: &[u8], id: &ArtifactId, rejected: i32) -> bool {
    let artifact = artifact_purl(id).to_string();
    match LogEntry::read(entry) {
        Ok(Some(LogEntry::Ended { purl, epoch, state, .. })) => {
            purl == artifact && epoch == rejected && state == ArtifactState::Rejected.as_str()
        }
        Ok(Some(_)) | Err(_) => false,
        Ok(None) => String::from_utf8_lossy(entry).contains(&format!("\"{artifact}\"")),
    }
}
