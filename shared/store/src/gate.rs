//! The gate in Postgres: bits in, states out, promotions written.
//!
//! *Invariant:* whatever changes a gate first locks its row, and decides on the locked row alone. Rows are locked in the
//! order of ids, or skipped when somebody else has them.
//!
//! *Invariant:* a gate becomes servable only in a transaction that was given a signed promotion for that very epoch, and that
//! writes it from a grant, in the database whose log that promote has compared. Whoever brings the last bit without one does not add it: other bits came meanwhile, and the verdicts
//! are to be judged as a whole.

mod arrays;
mod settle;

use touchstone_domain::{ArtifactDbId, ArtifactState, Ecosystem, GateDelta};

use self::arrays::{Bits, Releases};
pub(crate) use self::settle::{Cause, Log, Promotions, settle, write};
use crate::{
    ARTIFACTS_MAX, KnownSeal, NewPromotion, Store, StoreError,
    error::within,
    pool::{Params, query_in},
    row::Columns,
};

/// The most deltas, and the most promotions, per call of [`Store::apply`].
pub const DELTAS_MAX: usize = 4096;

/// A change of an artifact's state, committed. A servable gate that was given the promotion that it lacked changes from servable
/// to servable.
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
    /// Adds the bits of counted verdicts to their gates, and writes the promotions of those that are servable then: one
    /// transaction. Deltas and promotions for another epoch than the gate's change nothing. A gate that would become servable
    /// without a promotion is given no approving bit. With promotions all of it is refused ([`StoreError::OtherLog`]) where the log is not
    /// the one that is `known`; `None` where there is none yet.
    pub async fn apply(
        &self,
        deltas: &[GateDelta],
        promotions: &[NewPromotion],
        known: Option<KnownSeal>,
    ) -> Result<Applied, StoreError> {
        // `locked` shows the newest version of each row, also if it had to wait for it; for recalls that this statement does not see
        // yet, see `crate::recall`
        const APPLY: &str = r"-- gate.apply
WITH locked AS MATERIALIZED (
    SELECT gate.artifact_id, gate.epoch, required, veto, tolerated, gate.ok, gate.deny, gate.undecided, gate.hold,
           gate.servable, approved AND gate.epoch = delta.epoch AS approved,
           CASE WHEN gate.epoch = delta.epoch THEN delta.ok ELSE 0 END AS ok_added,
           CASE WHEN gate.epoch = delta.epoch THEN delta.deny ELSE 0 END AS deny_added,
           CASE WHEN gate.epoch = delta.epoch THEN delta.undecided ELSE 0 END AS undecided_added
    FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
        AS delta (artifact_id, epoch, ok, deny, undecided, approved)
    JOIN gate ON gate.artifact_id = delta.artifact_id
    ORDER BY gate.artifact_id
    FOR NO KEY UPDATE OF gate
), asked AS MATERIALIZED (
    SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold, servable,
           approved, ok | ok_added AS ok_asked, deny | deny_added AS deny_now, undecided | undecided_added AS undecided_now,
           hold | CASE WHEN EXISTS (SELECT FROM recall WHERE recall.sha256 = artifact.sha256)
                         OR EXISTS (
                             SELECT FROM recall
                             WHERE recall.ecosystem = artifact.ecosystem AND recall.package = artifact.package
                               AND (recall.version IS NULL OR recall.version = artifact.version)
                               AND (recall.file IS NULL OR recall.file = artifact.file))
                       THEN 2 ELSE 0 END AS hold_now
    FROM locked JOIN artifact ON artifact.id = locked.artifact_id
), target AS MATERIALIZED (
    SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold, withheld,
           CASE WHEN withheld THEN ok ELSE ok_asked END AS ok_now, deny_now, undecided_now, hold_now
    FROM asked, LATERAL (
        SELECT NOT servable AND NOT approved
               AND (ok_asked & required) = required AND (deny_now & veto) = 0 AND hold_now = 0 AS withheld
    ) AS judged
), changed AS (
    UPDATE gate
    SET ok = target.ok_now, deny = target.deny_now, undecided = target.undecided_now, hold = target.hold_now
    FROM target
    WHERE gate.artifact_id = target.artifact_id
      AND (target.ok, target.deny, target.undecided, target.hold)
          <> (target.ok_now, target.deny_now, target.undecided_now, target.hold_now)
)
SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold, withheld,
       ok_now, deny_now, undecided_now, hold_now
FROM target";
        within("deltas", deltas.len(), DELTAS_MAX)?;
        within("promotions", promotions.len(), DELTAS_MAX)?;
        if deltas.is_empty() && promotions.is_empty() {
            return Ok(Applied::default());
        }
        let arguments = (Bits::of(deltas, promotions), Promotions::of(promotions, known));
        self.transaction("gate.apply", &arguments, |(bits, promotions), transaction| {
            Box::pin(async move {
                let params: Params<'_> =
                    &[&bits.artifact, &bits.epoch, &bits.ok, &bits.deny, &bits.undecided, &bits.approved];
                let rows = query_in(transaction, APPLY, params).await?;
                let changes = settle(transaction, &rows, Cause::Verdict, promotions).await?;
                let mut unapproved = vec![];
                for row in &rows {
                    if Columns(row).get("withheld")? {
                        unapproved.push(Columns(row).artifact("artifact_id")?);
                    }
                }
                Ok(Applied { changes, unapproved })
            })
        })
        .await
    }

    /// Ends the holds for age of these artifacts, where their time has come. What would be servable is released only with a
    /// promotion; without one it is not looked at again for a minute, so that it holds up no other. `known` as in [`Store::apply`].
    pub async fn release_aged(
        &self,
        artifacts: &[ArtifactDbId],
        promotions: &[NewPromotion],
        known: Option<KnownSeal>,
    ) -> Result<Vec<Change>, StoreError> {
        const RELEASE: &str = r"-- gate.release_aged
WITH locked AS MATERIALIZED (
    SELECT gate.artifact_id, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold, promoted_epoch
    FROM unnest($1::bigint[], $2::integer[]) AS asked (artifact_id, promoted_epoch)
    JOIN gate ON gate.artifact_id = asked.artifact_id
    WHERE (hold & 1) <> 0 AND eligible_at <= now()
    ORDER BY gate.artifact_id
    FOR NO KEY UPDATE OF gate
), target AS MATERIALIZED (
    SELECT artifact_id, epoch, required, veto, tolerated, ok, deny, undecided, hold, withheld,
           CASE WHEN withheld THEN hold ELSE hold & ~1::bigint END AS hold_now
    FROM locked, LATERAL (
        SELECT promoted_epoch IS DISTINCT FROM epoch
               AND (ok & required) = required AND (deny & veto) = 0 AND hold = 1 AS withheld
    ) AS judged
), released AS (
    UPDATE gate
    SET hold = target.hold_now,
        eligible_at = CASE WHEN withheld THEN now() + interval '1 minute' ELSE gate.eligible_at END
    FROM target
    WHERE gate.artifact_id = target.artifact_id
)
SELECT artifact_id, ecosystem, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold,
       ok AS ok_now, deny AS deny_now, undecided AS undecided_now, hold_now
FROM target JOIN artifact ON artifact.id = target.artifact_id";
        within("artifacts", artifacts.len(), ARTIFACTS_MAX)?;
        within("promotions", promotions.len(), ARTIFACTS_MAX)?;
        let arguments = (Releases::of(artifacts, promotions), Promotions::of(promotions, known));
        self.transaction("gate.release_aged", &arguments, |(releases, promotions), transaction| {
            Box::pin(async move {
                let params: Params<'_> = &[&releases.artifact, &releases.promoted_epoch];
                let rows = query_in(transaction, RELEASE, params).await?;
                settle(transaction, &rows, Cause::Age, promotions).await
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
