//! Recalls: an operator's word that artifacts must not be served, now or when they come.
//!
//! A recall is on record, and committed, before the gates that exist are held: whatever keeps a gate locked delays the hold alone,
//! and the sweeper holds what is left ([`Store::hold_recalled`]). Gates that come later are held by the first verdict that is
//! applied to them, since [`crate::Store::apply`] looks recalls up.
//!
//! *Invariant:* no gate slips through, and no lock is needed for it. A gate that the hold sees, it locks: whoever applies to it comes
//! before, and is overruled, or waits and finds it held. A gate that the hold does not see is committed later than the recall, so
//! whoever applies to it sees the recall.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
pub use touchstone_custody::RecallTarget;
use touchstone_domain::{ArtifactDbId, FileName, Version};

use crate::{
    Change, Store, StoreError,
    gate::{Cause, Promotions, settle},
    pool::query_in,
    row::Columns,
};

/// A recall that is on record, for [`Store::log_index_of_recall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedRecall {
    /// Its row.
    id: i64,
    /// The transaction that put it there.
    xid: u64,
}

/// An artifact that is held since it was recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// Whether it was served until then.
    pub was_served: bool,
}

impl Store {
    /// Puts the recall on record, and revokes what it names. Returns the changes of state; none is not an error, since the artifacts
    /// may come later. After an error the recall may be on record; the sweeper holds its gates then.
    pub async fn recall(
        &self,
        target: &RecallTarget,
        reason: &str,
        actor: &str,
    ) -> Result<Vec<Change>, StoreError> {
        self.record_recall(target, reason, actor).await?;
        self.hold(target).await
    }

    /// Puts the recall on record: committed when this returns, whoever holds what.
    pub async fn record_recall(
        &self,
        target: &RecallTarget,
        reason: &str,
        actor: &str,
    ) -> Result<RecordedRecall, StoreError> {
        // `log_event` gets its row for the transparency log in the same transaction
        const INSERT: &str = r"-- recall.insert
INSERT INTO recall (ecosystem, package, version, file, sha256, reason, actor) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, pg_current_xact_id()::text AS xid";
        let Named { ecosystem, package, version, file, sha256 } = Named::of(target);
        let row = self
            .query_opt(INSERT, &[&ecosystem, &package, &version, &file, &sha256, &reason, &actor])
            .await?;
        let row = row.ok_or_else(|| StoreError::Invalid {
            what: "recall",
            problem: "the database swallowed it; somebody changed its triggers or rules".to_owned(),
        })?;
        let columns = Columns(&row);
        Ok(RecordedRecall { id: columns.get("id")?, xid: columns.parse("xid")? })
    }

    /// When all that a recall names was first recalled by an earlier one; none if that has not been so.
    pub async fn recalled_before(
        &self,
        target: &RecallTarget,
        recall: RecordedRecall,
    ) -> Result<Option<Timestamp>, StoreError> {
        const BEFORE: &str = r"-- recall.before
SELECT min(at) AS at FROM recall
WHERE id < $6
  AND (sha256 = $5
       OR ecosystem = $1 AND package = $2 AND (version IS NULL OR version = $3) AND (file IS NULL OR file = $4))";
        let Named { ecosystem, package, version, file, sha256 } = Named::of(target);
        let row =
            self.query_opt(BEFORE, &[&ecosystem, &package, &version, &file, &sha256, &recall.id]).await?;
        Ok(row.map(|row| Columns(&row).get("at")).transpose()?.flatten())
    }

    /// The number of the leaf that says so in the transparency log; none until it is sealed.
    pub async fn log_index_of_recall(&self, recall: RecordedRecall) -> Result<Option<u64>, StoreError> {
        const INDEX: &str = r"-- recall.log_index
SELECT index
FROM log_event JOIN log_leaf ON source = 'log_event' AND source_id = log_event.id
WHERE xid = $1::text::xid8 AND event ->> 'event' = 'recalled'
ORDER BY index DESC LIMIT 1";
        let row = self.query_opt(INDEX, &[&recall.xid.to_string()]).await?;
        row.map(|row| Columns(&row).unsigned("index")).transpose()
    }

    /// Holds the gates that a recall on record names.
    pub async fn hold(&self, target: &RecallTarget) -> Result<Vec<Change>, StoreError> {
        self.transaction("recall", &Named::of(target), |named, transaction| {
            Box::pin(async move {
                let Named { ecosystem, package, version, file, sha256 } = named;
                let rows = if sha256.is_none() {
                    query_in(transaction, HOLD_PURL, &[ecosystem, package, version, file]).await?
                } else {
                    query_in(transaction, HOLD_DIGEST, &[sha256]).await?
                };
                held(transaction, &rows).await
            })
        })
        .await
    }

    /// The artifacts that a recall names and that are held now, whoever holds them, and since when.
    pub async fn held(&self, target: &RecallTarget) -> Result<Vec<Held>, StoreError> {
        const HELD: &str = r"-- recall.held
SELECT gate.artifact_id, coalesce((
           SELECT was = 'servable' FROM gate_log
           WHERE gate_log.artifact_id = gate.artifact_id AND cause = 'recall' AND state = 'revoked'
           ORDER BY gate_log.id DESC LIMIT 1), false) AS was_served
FROM artifact JOIN gate ON gate.artifact_id = artifact.id
WHERE (hold & 2) <> 0
  AND ($5::bytea IS NOT NULL AND artifact.sha256 = $5
       OR artifact.ecosystem = $1 AND artifact.package = $2
          AND ($3::text IS NULL OR artifact.version = $3) AND ($4::text IS NULL OR artifact.file = $4))
ORDER BY gate.artifact_id";
        let Named { ecosystem, package, version, file, sha256 } = Named::of(target);
        let rows = self.query(HELD, &[&ecosystem, &package, &version, &file, &sha256]).await?;
        let held = |row| {
            let columns = Columns(row);
            Ok(Held { artifact: columns.artifact("artifact_id")?, was_served: columns.get("was_served")? })
        };
        rows.iter().map(held).collect()
    }

    /// Holds at most `limit` gates that recalls name and that are not held: those whose hold did not come about, and those that came
    /// later. With `newer_than` only recalls since then are looked at. A gate that somebody has locked is left to the next call.
    pub async fn hold_recalled(
        &self,
        newer_than: std::time::Duration,
        limit: i64,
    ) -> Result<Vec<Change>, StoreError> {
        let seconds = newer_than.min(RECALLS_AGE_MAX).as_secs_f64();
        self.transaction("recall.sweep", &(seconds, limit), |(seconds, limit), transaction| {
            Box::pin(async move {
                let rows = query_in(transaction, HOLD_LEFT, &[seconds, limit]).await?;
                held(transaction, &rows).await
            })
        })
        .await
    }
}

/// Longer ago than any recall, and within what Postgres can subtract.
const RECALLS_AGE_MAX: std::time::Duration = std::time::Duration::from_hours(24 * 366 * 100);

const HOLD_PURL: &str = r"-- recall.hold_purl
WITH locked AS MATERIALIZED (
    SELECT artifact_id, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold, ecosystem, sha256, chunk_root
    FROM artifact JOIN gate ON gate.artifact_id = artifact.id
    WHERE artifact.ecosystem = $1 AND artifact.package = $2
      AND ($3::text IS NULL OR artifact.version = $3) AND ($4::text IS NULL OR artifact.file = $4)
    ORDER BY gate.artifact_id
    FOR NO KEY UPDATE OF gate
), held AS (
    UPDATE gate SET hold = gate.hold | 2 FROM locked WHERE gate.artifact_id = locked.artifact_id
)
SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold,
       ok AS ok_now, deny AS deny_now, undecided AS undecided_now, hold | 2 AS hold_now
FROM locked";
const HOLD_DIGEST: &str = r"-- recall.hold_digest
WITH locked AS MATERIALIZED (
    SELECT artifact_id, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold, ecosystem, sha256, chunk_root
    FROM artifact JOIN gate ON gate.artifact_id = artifact.id
    WHERE artifact.sha256 = $1
    ORDER BY gate.artifact_id
    FOR NO KEY UPDATE OF gate
), held AS (
    UPDATE gate SET hold = gate.hold | 2 FROM locked WHERE gate.artifact_id = locked.artifact_id
)
SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold,
       ok AS ok_now, deny AS deny_now, undecided AS undecided_now, hold | 2 AS hold_now
FROM locked";
// each recall finds its artifacts by an index of its own
const HOLD_LEFT: &str = r"-- recall.hold_left
WITH named AS MATERIALIZED (
    SELECT artifact.id FROM recall JOIN artifact ON artifact.sha256 = recall.sha256
    WHERE recall.at > now() - make_interval(secs => $1)
    UNION
    SELECT artifact.id
    FROM recall JOIN artifact ON artifact.ecosystem = recall.ecosystem AND artifact.package = recall.package
        AND (recall.version IS NULL OR artifact.version = recall.version)
        AND (recall.file IS NULL OR artifact.file = recall.file)
    WHERE recall.at > now() - make_interval(secs => $1)
), locked AS MATERIALIZED (
    SELECT artifact_id, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold, ecosystem, sha256, chunk_root
    FROM named JOIN gate ON gate.artifact_id = named.id JOIN artifact ON artifact.id = named.id
    WHERE (hold & 2) = 0
    ORDER BY gate.artifact_id
    LIMIT $2
    FOR NO KEY UPDATE OF gate SKIP LOCKED
), held AS (
    UPDATE gate SET hold = gate.hold | 2 FROM locked WHERE gate.artifact_id = locked.artifact_id
)
SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold,
       ok AS ok_now, deny AS deny_now, undecided AS undecided_now, hold | 2 AS hold_now
FROM locked";

/// What follows from gates that were held.
async fn held(transaction: &Transaction<'_>, rows: &[Row]) -> Result<Vec<Change>, StoreError> {
    settle(transaction, rows, Cause::Recall, &Promotions::default()).await
}

/// What a recall names, as the columns of `recall`.
struct Named<'t> {
    ecosystem: Option<&'t str>,
    package: Option<&'t str>,
    version: Option<&'t str>,
    file: Option<&'t str>,
    sha256: Option<&'t [u8]>,
}

impl<'t> Named<'t> {
    fn of(target: &'t RecallTarget) -> Self {
        let (purl, sha256) = match target {
            RecallTarget::Purl(purl) => (Some(purl), None),
            RecallTarget::Digest(sha256) => (None, Some(sha256.0.as_slice())),
        };
        Self {
            ecosystem: purl.map(|purl| purl.ecosystem.as_str()),
            package: purl.map(|purl| purl.package.as_str()),
            version: purl.and_then(|purl| purl.version.as_ref()).map(Version::as_str),
            file: purl.and_then(|purl| purl.file.as_ref()).map(FileName::as_str),
            sha256,
        }
    }
}

#[cfg(test)]
mod tests;
