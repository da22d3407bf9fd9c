//! What signatures no longer carry: gates that rest on a revoked key, on unsigned rows, on nothing at all, or on a policy that asks
//! for less. Each begins a new epoch, in which there is nothing of the kind: reopening converges.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use touchstone_domain::{ArtifactDbId, KeyId, Policy};

use super::{judge_anew, reopen::begin};
use crate::{
    ARTIFACTS_MAX, Change, Store, StoreError,
    error::within,
    gate::Cause,
    pool::query_in,
    row::{Columns, numbers},
};

/// The gates that one statement goes through.
const WINDOW: i64 = 50_000;

/// A key whose promotions count, and for which dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepting {
    /// The key.
    pub key: KeyId,
    /// The first.
    pub from: Timestamp,
    /// The last, if there is one.
    pub until: Option<Timestamp>,
}

impl Store {
    /// Reopens every gate whose promotion is by none of these keys, or is dated outside the key's window; in transactions of at most
    /// `limit` gates. What was recalled stays. Reads every promotion in force: for when the key ring has changed.
    pub async fn reopen_unaccepted(
        &self,
        accepting: &[Accepting],
        limit: i64,
    ) -> Result<Vec<Change>, StoreError> {
        const LOCK: &str = r"-- reopen.unaccepted
SELECT gate.artifact_id, ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE gate.artifact_id > $4 AND gate.artifact_id <= $5 AND (hold & 2) = 0
  AND EXISTS (
      SELECT 1 FROM promotion
      WHERE promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch AND promotion.key IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM unnest($1::bytea[], $2::timestamptz[], $3::timestamptz[]) AS accepting (key, since, until)
            WHERE accepting.key = promotion.key AND promoted_at >= since AND (until IS NULL OR promoted_at <= until)))
ORDER BY gate.artifact_id
LIMIT $6
FOR NO KEY UPDATE OF gate";
        let keys: Vec<Vec<u8>> = accepting.iter().map(|one| one.key.0.0.to_vec()).collect();
        let from: Vec<Timestamp> = accepting.iter().map(|one| one.from).collect();
        let until: Vec<Option<Timestamp>> = accepting.iter().map(|one| one.until).collect();
        self.reopen_all("reopen.unaccepted", LOCK, &[&keys, &from, &until], limit).await
    }

    /// Reopens, window by window, the gates that a statement locks in the order of their numbers; in transactions of at most `limit`
    /// gates. After its own parameters the statement has three: after which gate, up to which one, and how many.
    async fn reopen_all(
        &self,
        name: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
        limit: i64,
    ) -> Result<Vec<Change>, StoreError> {
        const LAST: &str = r"-- reopen.last
SELECT coalesce(max(artifact_id), 0) AS last FROM gate";
        let row = self.query_opt(LAST, &[]).await?;
        let last: i64 = row.map_or(Ok(0), |row| Columns(&row).get("last"))?;
        let (mut after, mut all) = (0, vec![]);
        while after < last && limit > 0 {
            let until = after.saturating_add(WINDOW);
            let window: [&(dyn ToSql + Sync); 3] = [&after, &until, &limit];
            let parameters = [parameters, &window].concat();
            let work = self.transaction(name, &parameters, |parameters, transaction| {
                Box::pin(async move {
                    let rows = query_in(transaction, sql, parameters).await?;
                    begin(transaction, &rows, Cause::Key).await
                })
            });
            let changes = work.await?;
            // the rows come in the order of ids; fewer than the limit are all of the window
            let rest = changes.last().filter(|_| changes.len() as u64 >= limit.unsigned_abs());
            after = rest.map_or(until, |change| change.artifact.0);
            all.extend(changes);
        }
        Ok(all)
    }

    /// How many artifacts are served whose promotion rests on a key, and would be no more if it were revoked; at most `limit` are
    /// counted. Reads promotions in force, until there are so many.
    pub async fn served_by_key(&self, key: KeyId, limit: i64) -> Result<u64, StoreError> {
        const SERVED: &str = r"-- reopen.served_by_key
SELECT count(*) AS number
FROM (SELECT 1
      FROM gate JOIN promotion ON promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch
      WHERE servable AND (promotion.key = $1 OR position($1 IN rests_on) > 0)
      LIMIT $2) AS served";
        let row = self.query_opt(SERVED, &[&key.0.0.as_slice(), &limit]).await?;
        row.map_or(Ok(0), |row| Columns(&row).unsigned("number"))
    }

    /// Reopens every gate whose current epoch rests on a key, in transactions of at most `limit` gates; one call goes through all
    /// of them. A gate rests on a key if its promotion does ([`crate::NewPromotion::rests_on`], and the key that signed it), or if
    /// a verdict of its epoch is of that key and not refused. What was recalled stays. What is just being judged by somebody who
    /// does not know yet that the key was revoked is found by the next call.
    ///
    /// There is no index for it: every verdict would pay for what happens once in years, and finding nothing takes some seconds
    /// per million artifacts.
    pub async fn reopen_key(&self, key: KeyId, limit: i64) -> Result<Vec<Change>, StoreError> {
        // the two are one set, and not two conditions, which a plan could turn into reading both tables
        const LOCK: &str = r"-- reopen.key
SELECT gate.artifact_id, ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE gate.artifact_id > $2 AND gate.artifact_id <= $3 AND (hold & 2) = 0
  AND EXISTS (
      SELECT 1 FROM promotion
      WHERE promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch
        AND (promotion.key = $1 OR position($1 IN rests_on) > 0)
      UNION ALL
      SELECT 1 FROM verdict
      WHERE verdict.artifact_id = gate.artifact_id AND verdict.epoch = gate.epoch AND verdict.key = $1
        AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id))
ORDER BY gate.artifact_id
LIMIT $4
FOR NO KEY UPDATE OF gate";
        self.reopen_all("reopen.key", LOCK, &[&key.0.0.as_slice()], limit).await
    }

    /// Reopens at most `limit` gates that rest on what was recorded before verdicts were signed. Rejected and recalled ones stay:
    /// they are not served.
    pub async fn reopen_unsigned(&self, limit: i64) -> Result<Vec<Change>, StoreError> {
        const LOCK: &str = r"-- reopen.unsigned
SELECT gate.artifact_id, ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE unsigned AND (deny & veto) = 0 AND (hold & 2) = 0
  AND EXISTS (
      SELECT 1 FROM promotion
      WHERE promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch AND promotion.envelope IS NULL
      UNION ALL
      SELECT 1 FROM verdict
      WHERE verdict.artifact_id = gate.artifact_id AND verdict.epoch = gate.epoch AND verdict.envelope IS NULL
        AND (check_mask & ok) <> 0)
ORDER BY gate.artifact_id
LIMIT $1
FOR NO KEY UPDATE OF gate SKIP LOCKED";
        self.transaction("reopen.unsigned", &limit, |limit, transaction| {
            Box::pin(async move {
                let rows = query_in(transaction, LOCK, &[limit]).await?;
                begin(transaction, &rows, Cause::Unsigned).await
            })
        })
        .await
    }

    /// Reopens those of these gates that say more than signed rows do: servable without a promotion, or with approving bits of
    /// required checks that no signed verdict carries which was not refused. For artifacts that were judged and not approved, at
    /// most [`ARTIFACTS_MAX`]; the others stay as they are.
    pub async fn reopen_unapproved(&self, artifacts: &[ArtifactDbId]) -> Result<Vec<Change>, StoreError> {
        // a statement of its own, after the lock: it must see the promotion of whoever had the lock
        const UNAPPROVED: &str = r"-- reopen.unapproved
SELECT gate.artifact_id, ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE gate.artifact_id = ANY ($1) AND (hold & 2) = 0
  AND (servable AND NOT EXISTS (
           SELECT 1 FROM promotion
           WHERE promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch AND promotion.envelope IS NOT NULL
           LIMIT 1)
       OR (required & ok & ~coalesce((
           SELECT bit_or(check_mask) FROM verdict
           WHERE verdict.artifact_id = gate.artifact_id AND verdict.epoch = gate.epoch AND verdict.envelope IS NOT NULL
             AND outcome IN ('pass', 'not_offered')
             AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)), 0)) <> 0)
ORDER BY gate.artifact_id";
        within("artifacts", artifacts.len(), ARTIFACTS_MAX)?;
        let artifacts = numbers(artifacts);
        self.transaction("reopen.unapproved", &artifacts, |artifacts, transaction| {
            Box::pin(async move {
                lock(transaction, artifacts).await?;
                let rows = query_in(transaction, UNAPPROVED, &[artifacts]).await?;
                begin(transaction, &rows, Cause::Unsigned).await
            })
        })
        .await
    }

    /// Reopens those of at most [`ARTIFACTS_MAX`] gates that are of an older policy than this one, by what it asks for. Recalled
    /// ones stay.
    pub async fn reopen_policy(
        &self,
        artifacts: &[ArtifactDbId],
        policy: &Policy,
    ) -> Result<Vec<Change>, StoreError> {
        const OLDER: &str = r"-- reopen.policy
SELECT gate.artifact_id, artifact.ecosystem, artifact.package, artifact.version, artifact.file, artifact.sha256,
       artifact.chunk_root, published_at,
       coalesce((SELECT first_seen FROM sighting
                 WHERE sighting.ecosystem = artifact.ecosystem AND sighting.package = artifact.package
                   AND sighting.version = artifact.version), fetched_at) AS first_seen,
       gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE gate.artifact_id = ANY ($1) AND (hold & 2) = 0 AND gate.policy_epoch < $2
ORDER BY gate.artifact_id
FOR NO KEY UPDATE OF gate";
        within("artifacts", artifacts.len(), ARTIFACTS_MAX)?;
        let policy_epoch = self.register_policy(policy).await?;
        let arguments = (numbers(artifacts), policy, policy_epoch);
        self.transaction("reopen.policy", &arguments, |(artifacts, policy, policy_epoch), transaction| {
            Box::pin(async move {
                let rows = query_in(transaction, OLDER, &[artifacts, policy_epoch]).await?;
                judge_anew(transaction, &rows, (policy, *policy_epoch), Cause::Policy).await
            })
        })
        .await
    }
}

/// Locks gates in the order of ids.
async fn lock(transaction: &Transaction<'_>, artifacts: &Vec<i64>) -> Result<(), StoreError> {
    const LOCK: &str = r"-- reopen.lock
SELECT artifact_id FROM gate WHERE artifact_id = ANY ($1) ORDER BY artifact_id FOR NO KEY UPDATE";
    query_in(transaction, LOCK, &[artifacts]).await.map(drop)
}

#[cfg(test)]
mod tests;
