//! Serve records of promotions in force that nobody can read any more: edges say so, promote looks, and what is lost is promoted anew.

use touchstone_domain::{ArtifactDbId, EnvelopeRef};

use super::reopen::begin;
use crate::{
    ARTIFACTS_MAX, Change, Store, StoreError, error::within, gate::Cause, pool::query_in, row::Columns,
};

/// The promotion that an artifact is served by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordInForce {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// The epoch of its gate, and of the promotion.
    pub epoch: i32,
    /// The serve record.
    pub record: EnvelopeRef,
}

impl Store {
    /// The records of at most `limit` promotions in force that an edge could not read, by an open incident from after the promotion.
    /// Which ones, is chance: whoever reports many, or says when, must not keep others from being looked at. A report that is dated ahead
    /// is from when it was first made.
    pub async fn reported_missing(&self, limit: i64) -> Result<Vec<RecordInForce>, StoreError> {
        // both times are of this server's clock
        const REPORTED: &str = r"-- reopen.reported_missing
SELECT gate.artifact_id, gate.epoch, key, envelope, pack, pack_offset, pack_size
FROM (SELECT artifact_id, max(CASE WHEN last_at > now() THEN at ELSE last_at END) AS last_at FROM incident
      WHERE resolved_at IS NULL AND kind = 'record_missing' AND artifact_id IS NOT NULL
      GROUP BY artifact_id) AS reported
JOIN gate ON gate.artifact_id = reported.artifact_id
JOIN promotion ON promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch
WHERE servable AND envelope IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM gate_log
      WHERE gate_log.artifact_id = gate.artifact_id AND gate_log.epoch = gate.epoch AND state = 'servable'
        AND gate_log.at >= reported.last_at)
ORDER BY random()
LIMIT $1";
        let rows = self.query(REPORTED, &[&limit]).await?;
        let record = |row| {
            let columns = Columns(row);
            let (artifact, epoch) = (columns.artifact("artifact_id")?, columns.get("epoch")?);
            Ok(RecordInForce { artifact, epoch, record: columns.signed()?.envelope })
        };
        rows.iter().map(record).collect()
    }

    /// Reopens the gates that at most [`ARTIFACTS_MAX`] of these promotions are still in force for.
    pub async fn reopen_lost(&self, lost: &[RecordInForce]) -> Result<Vec<Change>, StoreError> {
        const LOCK: &str = r"-- reopen.lost
SELECT gate.artifact_id, ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE gate.artifact_id = ANY ($1) AND servable
  AND EXISTS (
      SELECT FROM unnest($1::bigint[], $2::integer[], $3::bytea[]) AS lost (artifact_id, epoch, envelope)
      JOIN promotion ON promotion.artifact_id = lost.artifact_id AND promotion.epoch = lost.epoch
          AND promotion.envelope = lost.envelope
      WHERE lost.artifact_id = gate.artifact_id AND lost.epoch = gate.epoch)
ORDER BY gate.artifact_id
FOR NO KEY UPDATE OF gate";
        within("lost records", lost.len(), ARTIFACTS_MAX)?;
        let artifacts: Vec<i64> = lost.iter().map(|one| one.artifact.0).collect();
        let epochs: Vec<i32> = lost.iter().map(|one| one.epoch).collect();
        let envelopes: Vec<&[u8]> = lost.iter().map(|one| one.record.sha256.0.as_slice()).collect();
        let arguments = (artifacts, epochs, envelopes);
        self.transaction("reopen.lost", &arguments, |(artifacts, epochs, envelopes), transaction| {
            Box::pin(async move {
                let rows = query_in(transaction, LOCK, &[artifacts, epochs, envelopes]).await?;
                begin(transaction, &rows, Cause::Unsigned).await
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
