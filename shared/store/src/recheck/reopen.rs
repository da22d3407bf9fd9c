//! What ends by itself: a waiver, and a refusal for the want of an authority that is known now. Both begin a new epoch, by the
//! policy and the requirement that the artifact has.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use touchstone_domain::{ArtifactState, Gate, Sha256};

use crate::{
    Change, Store, StoreError,
    error::within,
    gate::{Cause, Log, write},
    pool::query_in,
    row::Columns,
};

/// The most digests of trust material that are in use at once.
const TRUST_MAX: usize = 64;

impl Store {
    /// Reopens at most `limit` gates that a waiver passed which has ended by Postgres' clock. An answer from after the end, by
    /// a worker whose clock is behind, is asked for again after a minute.
    pub async fn reopen_waived(&self, limit: i64) -> Result<Vec<Change>, StoreError> {
        // the inner query has the condition of the index `verdict_waived`, and finds a gate once
        const LOCK: &str = r"-- reopen.waived
SELECT gate.artifact_id, ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM (
    SELECT DISTINCT artifact_id, epoch, check_mask FROM verdict
    WHERE reason ->> 'code' = 'waived' AND check_kind = 'attest' AND outcome = 'pass'
      AND (reason ->> 'expires')::timestamptz <= now()
      AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)
      AND (recorded_at < (reason ->> 'expires')::timestamptz OR recorded_at <= now() - interval '1 minute')
) AS ended
JOIN gate ON gate.artifact_id = ended.artifact_id AND gate.epoch = ended.epoch
JOIN artifact ON artifact.id = gate.artifact_id
WHERE (required & ok & check_mask) <> 0 AND (deny & veto) = 0 AND (hold & 2) = 0
ORDER BY gate.artifact_id
LIMIT $1
FOR NO KEY UPDATE OF gate SKIP LOCKED";
        self.transaction("reopen.waived", &limit, |limit, transaction| {
            Box::pin(async move {
                let rows = query_in(transaction, LOCK, &[limit]).await?;
                begin(transaction, &rows, Cause::Recheck).await
            })
        })
        .await
    }

    /// Reopens at most `limit` gates that are held since nobody whom we trusted then had signed, when that trust is no longer
    /// the one in use: the verdict rests on a digest that is not in `trust`, which names all that is in use. What was judged by
    /// these very documents stays, so that asking again changes nothing. Returns how many were reopened.
    pub async fn reopen_unknown_authorities(
        &self,
        trust: &[Sha256],
        limit: i64,
    ) -> Result<usize, StoreError> {
        const REOPEN: &str = r"-- reopen.unknown_authorities
SELECT reopen_unknown_authorities($1, $2) AS artifacts";
        within("trust", trust.len(), TRUST_MAX)?;
        let digests: Vec<Vec<u8>> = trust.iter().map(|digest| digest.0.to_vec()).collect();
        let row = self.query_opt(REOPEN, &[&digests, &limit]).await?;
        let artifacts = row.map_or(Ok(0), |row| Columns(&row).unsigned("artifacts"))?;
        Ok(usize::try_from(artifacts).unwrap_or(usize::MAX))
    }
}

/// Begins a new epoch of locked rows: their checks are due at once, and an age goes on counting.
pub(super) async fn begin(
    transaction: &Transaction<'_>,
    rows: &[Row],
    cause: Cause,
) -> Result<Vec<Change>, StoreError> {
    const BEGIN: &str = r"-- reopen.begin
UPDATE gate
SET epoch = epoch + 1, ok = 0, deny = 0, undecided = 0, dispatch_due = now(), dispatch_n = 0, unsigned = false
WHERE artifact_id = ANY ($1)";
    let mut artifacts = Vec::with_capacity(rows.len());
    let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
    let mut log = Log::default();
    for row in rows {
        let columns = Columns(row);
        let gate: Gate = columns.gate()?;
        let (was, state) = (gate.state(), ArtifactState::Fetched);
        artifacts.push(gate.artifact.0);
        log.push(gate.artifact, gate.epoch + 1, was, state);
        changes.push(Change { artifact: gate.artifact, ecosystem: columns.parse("ecosystem")?, was, state });
    }
    if !changes.is_empty() {
        query_in(transaction, BEGIN, &[&artifacts]).await?;
        write(transaction, &log, cause).await?;
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
