//! The gate in Postgres: bits in, states out, promotions written.
//!
//! *Invariant:* whatever changes a gate first locks its row, and decides on the locked row alone. Rows are locked in the
//! order of ids, or skipped when somebody else has them.
//!
//! *Invariant:* a promotion is written only from a grant, in the transaction that made the gate servable.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactState, CheckSet, Decision, Ecosystem, Gate, GateDelta, HoldSet, PromotionGrant,
    decide,
};

use crate::{
    NewPromotion, Store, StoreError,
    error::within,
    pool::{Params, query_in},
    recall,
    row::Columns,
};

/// The most deltas per call of [`Store::apply`].
pub const DELTAS_MAX: usize = 4096;

/// A change of an artifact's state, committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// The state before.
    pub was: ArtifactState,
    /// The state now.
    pub state: ArtifactState,
}

/// What came of a call of [`Store::apply`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The changes of state.
    pub changes: Vec<Change>,
    /// Artifacts whose approving bits were not added, since they would be servable and no promotion was given: they are to be
    /// judged anew, as a whole.
    pub unapproved: Vec<ArtifactDbId>,
}

impl Store {
    /// Adds the bits of counted verdicts to their gates, and writes the promotions that follow: one transaction. Deltas
    /// for another epoch than the gate's change nothing. Returns the changes of state.
    pub async fn apply(
        &self,
        deltas: &[GateDelta],
        promotions: &[NewPromotion],
    ) -> Result<Applied, StoreError> {
        todo!()
    }

    /// Ends the holds for age of these artifacts, where their time has come. What would be servable is released only with a
    /// promotion; without one it is not looked at again for a minute.
    pub async fn release_aged(
        &self,
        artifacts: &[ArtifactDbId],
        promotions: &[NewPromotion],
    ) -> Result<Vec<Change>, StoreError> {
        todo!()
    }
}

/// What changed a gate; the words are those of `gate_log.cause`.
#[derive(Clone, Copy)]
pub(crate) enum Cause {
    Verdict,
    Age,
    Recall,
    Recheck,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Age => "age",
            Self::Recall => "recall",
            Self::Recheck => "recheck",
        }
    }
}

/// The deltas as arrays, one entry per artifact: each locked row must appear once. Of several epochs the highest is the
/// gate's, since epochs only grow.
#[derive(Default)]
struct Bits {
    artifact: Vec<i64>,
    epoch: Vec<i32>,
    ok: Vec<i64>,
    deny: Vec<i64>,
    undecided: Vec<i64>,
}

impl Bits {
    fn of(deltas: &[GateDelta]) -> Self {
        let mut merged: BTreeMap<ArtifactDbId, (i32, [CheckSet; 3])> = BTreeMap::new();
        for delta in deltas {
            let entry = merged.entry(delta.artifact()).or_insert((delta.epoch(), [CheckSet::EMPTY; 3]));
            if delta.epoch() > entry.0 {
                *entry = (delta.epoch(), [CheckSet::EMPTY; 3]);
            }
            if delta.epoch() == entry.0 {
                let [ok, deny, undecided] = entry.1;
                entry.1 =
                    [ok.union(delta.ok()), deny.union(delta.deny()), undecided.union(delta.undecided())];
            }
        }
        let mut bits = Self::default();
        for (artifact, (epoch, [ok, deny, undecided])) in merged {
            bits.artifact.push(artifact.0);
            bits.epoch.push(epoch);
            bits.ok.push(ok.mask());
            bits.deny.push(deny.mask());
            bits.undecided.push(undecided.mask());
        }
        bits
    }
}

/// Decides on gates that this transaction has locked and changed: writes promotions for what became servable, and the
/// log of what changed its state.
pub(crate) async fn settle(
    transaction: &Transaction<'_>,
    rows: &[Row],
    cause: Cause,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let mut log = Log::default();
    let mut grants = Vec::new();
    for row in rows {
        let Transition { ecosystem, was, now } = row.try_into()?;
        let (before, state) = (was.state(), now.state());
        if before == state {
            continue;
        }
        changes.push(Change { artifact: now.artifact, ecosystem, was: before, state });
        log.push(now.artifact, now.epoch, before, state);
        match decide(&now) {
            Decision::Promote(grant) => grants.push(grant),
            Decision::Hold { .. } | Decision::Reject { .. } => {}
        }
    }
    if !changes.is_empty() {
        write(transaction, &log, grants, cause).await?;
    }
    Ok(changes)
}

/// Consumes the grants. Postgres refuses those whose gate it does not itself find servable. Dead letters about what is
/// decided now are settled.
pub(crate) async fn write(
    transaction: &Transaction<'_>,
    log: &Log,
    grants: Vec<PromotionGrant>,
    cause: Cause,
) -> Result<(), StoreError> {
    const SETTLE: &str = r"-- gate.settle
WITH granted AS MATERIALIZED (
    SELECT artifact_id, epoch, sha256, chunk_root
    FROM unnest($1::bigint[], $2::integer[], $3::bytea[], $4::bytea[]) AS g (artifact_id, epoch, sha256, chunk_root)
), fit AS MATERIALIZED (
    SELECT granted.artifact_id, granted.epoch, gate.policy_epoch, granted.sha256, artifact.size, granted.chunk_root
    FROM granted
    JOIN gate ON gate.artifact_id = granted.artifact_id
    JOIN artifact ON artifact.id = granted.artifact_id
    WHERE gate.servable AND gate.epoch = granted.epoch
      AND artifact.sha256 = granted.sha256 AND artifact.chunk_root = granted.chunk_root
), promoted AS (
    INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root)
    SELECT artifact_id, epoch, policy_epoch, sha256, size, chunk_root FROM fit ORDER BY artifact_id
    ON CONFLICT DO NOTHING
), logged AS (
    INSERT INTO gate_log (artifact_id, epoch, was, state, cause)
    SELECT artifact_id, epoch, was, state, $9
    FROM unnest($5::bigint[], $6::integer[], $7::text[], $8::text[]) AS l (artifact_id, epoch, was, state)
), answered AS (
    UPDATE dead_letter SET resolved_at = now()
    FROM unnest($5::bigint[]) AS l (artifact_id)
    JOIN gate ON gate.artifact_id = l.artifact_id
    WHERE dead_letter.artifact_id = l.artifact_id AND NOT gate.pending AND dead_letter.resolved_at IS NULL
)
SELECT count(*) AS fit FROM fit";
    let mut artifact = Vec::with_capacity(grants.len());
    let mut epoch = Vec::with_capacity(grants.len());
    let mut sha256 = Vec::with_capacity(grants.len());
    let mut chunk_root = Vec::with_capacity(grants.len());
    for grant in &grants {
        artifact.push(grant.artifact().0);
        epoch.push(grant.epoch());
        sha256.push(grant.sha256().0.to_vec());
        chunk_root.push(grant.chunk_root().0.to_vec());
    }
    let cause = cause.as_str();
    let rows = query_in(
        transaction,
        SETTLE,
        &[&artifact, &epoch, &sha256, &chunk_root, &log.artifact, &log.epoch, &log.was, &log.state, &cause],
    )
    .await?;
    let fit = rows.first().map_or(Ok(0), |row| Columns(row).unsigned("fit"))?;
    if fit == grants.len() as u64 {
        Ok(())
    } else {
        let problem = format!("{} promotions were granted, and Postgres finds {fit} servable", grants.len());
        Err(StoreError::inconsistent("gate", &problem))
    }
}

/// The columns of `gate_log`.
#[derive(Default)]
pub(crate) struct Log {
    artifact: Vec<i64>,
    epoch: Vec<i32>,
    was: Vec<&'static str>,
    state: Vec<&'static str>,
}

impl Log {
    pub(crate) fn push(
        &mut self,
        artifact: ArtifactDbId,
        epoch: i32,
        was: ArtifactState,
        state: ArtifactState,
    ) {
        self.artifact.push(artifact.0);
        self.epoch.push(epoch);
        self.was.push(was.as_str());
        self.state.push(state.as_str());
    }
}

/// A gate before and after the statement that returned it.
struct Transition {
    ecosystem: Ecosystem,
    was: Gate,
    now: Gate,
}

impl TryFrom<&Row> for Transition {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        let was = columns.gate()?;
        let now = Gate {
            ok: columns.get("ok_now").map(CheckSet::from_mask)?,
            deny: columns.get("deny_now").map(CheckSet::from_mask)?,
            undecided: columns.get("undecided_now").map(CheckSet::from_mask)?,
            hold: columns.get("hold_now").map(HoldSet::from_mask)?,
            ..was
        };
        Ok(Self { ecosystem: columns.parse("ecosystem")?, was, now })
    }
}

#[cfg(test)]
mod tests;
