//! Rechecks: an operator's word that what was held or rejected is to be judged anew, by the policy in force; and what is judged
//! anew by itself.
//!
//! *Invariant:* a recheck begins a new epoch, so no verdict and no promotion from before it counts any more.

mod custody;
mod lost;
mod reopen;

pub use custody::Accepting;
use deadpool_postgres::Transaction;
use jiff::Timestamp;
pub use lost::RecordInForce;
use tokio_postgres::Row;
use touchstone_domain::{ArtifactState, FileName, Gate, Policy, Purl, Sighting, Version};

use crate::{
    Change, Store, StoreError,
    gate::{Cause, Log, write},
    pool::query_in,
    row::{Columns, unreadable},
};

/// The most artifacts that one call rechecks: the first.
const RECHECK_MAX: i64 = 20_000;

impl Store {
    /// Begins a new epoch for what a purl names and is held or rejected, with `all` also for what is served or pending:
    /// what was found is history, requirement and age are taken from the policy, and the checks are due at once. What was
    /// recalled stays as it is. Returns the changes; what is pending already may change from a state to the same.
    pub async fn recheck(&self, purl: &Purl, policy: &Policy, all: bool) -> Result<Vec<Change>, StoreError> {
        let policy_epoch = self.register_policy(policy).await?;
        let arguments = (purl, policy, policy_epoch, all);
        self.transaction("recheck", &arguments, |(purl, policy, policy_epoch, all), transaction| {
            Box::pin(async move {
                let rows = lock(transaction, purl, *all).await?;
                judge_anew(transaction, &rows, (policy, *policy_epoch), Cause::Recheck).await
            })
        })
        .await
    }
}

/// Begins a new epoch of locked rows, by a policy and its number.
async fn judge_anew(
    transaction: &Transaction<'_>,
    rows: &[Row],
    (policy, policy_epoch): (&Policy, i32),
    cause: Cause,
) -> Result<Vec<Change>, StoreError> {
    let mut asked = Asked::default();
    let mut changes = Vec::with_capacity(rows.len());
    let mut log = Log::default();
    for row in rows {
        let change = match asked.push(row, policy) {
            Ok(change) => change,
            Err(error) => {
                unreadable(row, &error);
                continue;
            }
        };
        log.push(change.artifact, Columns(row).get::<i32>("epoch")? + 1, change.was, change.state);
        changes.push(change);
    }
    if !changes.is_empty() {
        asked.begin(transaction, policy_epoch).await?;
        write(transaction, &log, cause).await?;
    }
    Ok(changes)
}

async fn lock(transaction: &Transaction<'_>, purl: &Purl, all: bool) -> Result<Vec<Row>, StoreError> {
    const LOCK: &str = r"-- recheck.lock
SELECT gate.artifact_id, artifact.ecosystem, artifact.package, artifact.version, artifact.file, artifact.sha256,
       artifact.chunk_root, published_at,
       coalesce((SELECT first_seen FROM sighting
                 WHERE sighting.ecosystem = artifact.ecosystem AND sighting.package = artifact.package
                   AND sighting.version = artifact.version), fetched_at) AS first_seen,
       gate.epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM artifact JOIN gate ON gate.artifact_id = artifact.id
WHERE artifact.ecosystem = $1 AND artifact.package = $2
  AND ($3::text IS NULL OR artifact.version = $3) AND ($4::text IS NULL OR artifact.file = $4)
  AND (hold & 2) = 0 AND ($5 OR NOT (servable OR pending))
ORDER BY gate.artifact_id
LIMIT $6
FOR NO KEY UPDATE OF gate";
    let version = purl.version.as_ref().map(Version::as_str);
    let file = purl.file.as_ref().map(FileName::as_str);
    let (ecosystem, package) = (purl.ecosystem.as_str(), purl.package.as_str());
    query_in(transaction, LOCK, &[&ecosystem, &package, &version, &file, &all, &RECHECK_MAX]).await
}

/// What the policy asks for, an array per column of `gate`.
#[derive(Default)]
struct Asked {
    artifact: Vec<i64>,
    required: Vec<i64>,
    veto: Vec<i64>,
    tolerated: Vec<i64>,
    eligible_at: Vec<Option<Timestamp>>,
}

impl Asked {
    /// Asks the policy about a locked row.
    fn push(&mut self, row: &Row, policy: &Policy) -> Result<Change, StoreError> {
        let columns = Columns(row);
        let (id, gate): (_, Gate) = (columns.id()?, columns.gate()?);
        let seen =
            Sighting { published_at: columns.get("published_at")?, first_seen: columns.get("first_seen")? };
        let requirement = policy.requirement(id.ecosystem, &id.package);
        self.artifact.push(gate.artifact.0);
        self.required.push(requirement.required().mask());
        self.veto.push(requirement.veto().mask());
        self.tolerated.push(requirement.tolerated().mask());
        self.eligible_at.push(policy.eligible_at(id.ecosystem, &id.package, seen));
        let state = ArtifactState::Fetched;
        Ok(Change { artifact: gate.artifact, ecosystem: id.ecosystem, was: gate.state(), state })
    }

    /// Begins the new epoch of the locked rows.
    async fn begin(&self, transaction: &Transaction<'_>, policy_epoch: i32) -> Result<(), StoreError> {
        const BEGIN: &str = r"-- recheck.begin
UPDATE gate
SET epoch = gate.epoch + 1, policy_epoch = $1, required = asked.required, veto = asked.veto,
    tolerated = asked.tolerated, ok = 0, deny = 0, undecided = 0,
    hold = (hold & ~1::bigint) | CASE WHEN asked.eligible_at > now() THEN 1 ELSE 0 END,
    eligible_at = asked.eligible_at, dispatch_due = now(), dispatch_n = 0, unsigned = false
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
    AS asked (artifact_id, required, veto, tolerated, eligible_at)
WHERE gate.artifact_id = asked.artifact_id";
        query_in(
            transaction,
            BEGIN,
            &[&policy_epoch, &self.artifact, &self.required, &self.veto, &self.tolerated, &self.eligible_at],
        )
        .await
        .map(drop)
    }
}

#[cfg(test)]
mod tests;
