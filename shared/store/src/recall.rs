//! Recalls: an operator's word that artifacts must not be served, now or when they come.
//!
//! A recall holds the gates that exist. Those that come later are held by the first verdict that is applied to them,
//! since [`crate::Store::apply`] looks recalls up. An advisory lock lies between the two, so that none slips through:
//! whoever applies holds it shared and looks after taking it; whoever recalls holds it alone.

use deadpool_postgres::Transaction;
pub use touchstone_custody::RecallTarget;

use crate::{
    Change, Store, StoreError,
    gate::{Cause, Promotions, settle},
    pool::query_in,
};

/// Keeps recalls away until the transaction ends.
pub(crate) async fn hold_still(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    const SHARE: &str = r"-- recall.share
SELECT pg_advisory_xact_lock_shared(hashtextextended('touchstone.recall', 0))";
    query_in(transaction, SHARE, &[]).await.map(drop)
}

impl Store {
    /// Puts the recall on record and revokes what it names. Returns the changes of state; none is not an error, since
    /// the artifacts may come later.
    pub async fn recall(
        &self,
        target: &RecallTarget,
        reason: &str,
        actor: &str,
    ) -> Result<Vec<Change>, StoreError> {
        const LOCK: &str = r"-- recall.lock
SELECT pg_advisory_xact_lock(hashtextextended('touchstone.recall', 0))";
        const INSERT: &str = r"-- recall.insert
INSERT INTO recall (ecosystem, package, version, file, sha256, reason, actor) VALUES ($1, $2, $3, $4, $5, $6, $7)";
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
        let (purl, digest) = match target {
            RecallTarget::Purl(purl) => (Some(purl), None),
            RecallTarget::Digest(sha256) => (None, Some(sha256.0.as_slice())),
        };
        let ecosystem = purl.map(|p| p.ecosystem.as_str());
        let package = purl.map(|p| p.package.as_str());
        let version = purl.and_then(|p| p.version.as_ref()).map(touchstone_domain::Version::as_str);
        let file = purl.and_then(|p| p.file.as_ref()).map(touchstone_domain::FileName::as_str);
        let named = (ecosystem, package, version, file);
        let arguments = (named, digest, reason, actor);
        self.transaction(
            "recall",
            &arguments,
            |((ecosystem, package, version, file), digest, reason, actor), transaction| {
                Box::pin(async move {
                    query_in(transaction, LOCK, &[]).await?;
                    query_in(
                        transaction,
                        INSERT,
                        &[ecosystem, package, version, file, digest, reason, actor],
                    )
                    .await?;
                    let rows = match digest {
                        None => {
                            query_in(transaction, HOLD_PURL, &[ecosystem, package, version, file]).await?
                        }
                        Some(_) => query_in(transaction, HOLD_DIGEST, &[digest]).await?,
                    };
                    settle(transaction, &rows, Cause::Recall, &Promotions::default()).await
                })
            },
        )
        .await
    }
}

#[cfg(test)]
mod tests;
