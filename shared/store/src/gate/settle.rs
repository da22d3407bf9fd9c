//! What follows from gates that a transaction has locked and changed: promotions, and the log.
//!
//! *Invariant:* no change of state without its row in `gate_log`, which the transparency log is made from.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactState, CheckSet, Decision, Ecosystem, Gate, HoldSet, PromotionGrant, decide,
};

use super::Change;
use crate::{
    KnownSeal, NewPromotion, StoreError,
    log::number,
    pool::{Params, query_in},
    row::Columns,
    signed::SignedColumns,
};

/// What changed a gate; the words are those of `gate_log.cause`.
#[derive(Clone, Copy)]
pub(crate) enum Cause {
    Verdict,
    Age,
    Recall,
    Recheck,
    Key,
    Policy,
    Unsigned,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Age => "age",
            Self::Recall => "recall",
            Self::Recheck => "recheck",
            Self::Key => "key",
            Self::Policy => "policy",
            Self::Unsigned => "unsigned",
        }
    }
}

/// The promotions that a call was given, by artifact and epoch, and the log that they are for.
#[derive(Default)]
pub(crate) struct Promotions<'p> {
    given: HashMap<(ArtifactDbId, i32), &'p NewPromotion>,
    known: Option<KnownSeal>,
}

impl<'p> Promotions<'p> {
    pub(super) fn of(given: &'p [NewPromotion], known: Option<KnownSeal>) -> Self {
        let given = given.iter().map(|promotion| ((promotion.artifact, promotion.epoch), promotion));
        Self { given: given.collect(), known }
    }

    fn find(&self, gate: &Gate) -> Option<&'p NewPromotion> {
        self.given.get(&(gate.artifact, gate.epoch)).copied()
    }
}

/// Decides on gates that this transaction has locked and changed: writes the given promotions for what is servable, and the log of
/// what changed its state.
pub(crate) async fn settle(
    transaction: &Transaction<'_>,
    rows: &[Row],
    cause: Cause,
    promotions: &Promotions<'_>,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let mut log = Log::default();
    let mut grants = Vec::new();
    for row in rows {
        let Transition { ecosystem, was, now } = row.try_into()?;
        let (before, state) = (was.state(), now.state());
        let grant = match decide(&now) {
            Decision::Promote(grant) => promotions.find(&now).map(|promotion| (grant, promotion)),
            Decision::Hold { .. } | Decision::Reject { .. } => None,
        };
        if before == state && grant.is_none() {
            continue;
        }
        if state.is_servable() && grant.is_none() {
            return Err(StoreError::inconsistent("gate", "it became servable without a promotion"));
        }
        changes.push(Change { artifact: now.artifact, ecosystem, was: before, state });
        log.push(now.artifact, now.epoch, before, state);
        grants.extend(grant);
    }
    if changes.is_empty() {
        return Ok(changes);
    }
    let promoted = if grants.is_empty() {
        write(transaction, &log, cause).await?;
        HashSet::new()
    } else {
        promote(transaction, &log, &grants, cause, promotions.known).await?
    };
    changes.retain(|change| change.was != change.state || promoted.contains(&change.artifact));
    Ok(changes)
}

const SETTLE: &str = r"-- gate.settle
WITH granted AS MATERIALIZED (
    SELECT artifact_id, epoch, sha256, chunk_root, serial, policy_epoch, promoted_at, rests_on, key, envelope, pack,
           pack_offset, pack_size
    FROM unnest($1::bigint[], $2::integer[], $3::bytea[], $4::bytea[], $5::bigint[], $6::integer[], $7::timestamptz[],
                $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::integer[], $13::integer[])
        AS g (artifact_id, epoch, sha256, chunk_root, serial, policy_epoch, promoted_at, rests_on, key, envelope, pack,
              pack_offset, pack_size)
), log AS MATERIALIZED (
    SELECT $19::bigint IS NULL OR EXISTS (
        SELECT FROM log_seal WHERE log_seal.size = $19::bigint AND log_seal.root = $20::bytea) AS is_known
), fit AS MATERIALIZED (
    SELECT serial, granted.artifact_id, granted.epoch, granted.policy_epoch, granted.sha256, artifact.size,
           granted.chunk_root, promoted_at, rests_on, key, envelope, pack, pack_offset, pack_size
    FROM granted
    JOIN gate ON gate.artifact_id = granted.artifact_id
    JOIN artifact ON artifact.id = granted.artifact_id
    JOIN log ON is_known
    WHERE gate.servable AND gate.epoch = granted.epoch
      AND artifact.sha256 = granted.sha256 AND artifact.chunk_root = granted.chunk_root
), promoted AS (
    INSERT INTO promotion (serial, artifact_id, epoch, policy_epoch, sha256, size, chunk_root, promoted_at, rests_on, key,
                           envelope, pack, pack_offset, pack_size)
    OVERRIDING SYSTEM VALUE
    SELECT serial, artifact_id, epoch, policy_epoch, sha256, size, chunk_root, promoted_at, rests_on, key, envelope, pack,
           pack_offset, pack_size
    FROM fit
    ORDER BY artifact_id
    ON CONFLICT (artifact_id, epoch) DO NOTHING
    RETURNING artifact_id
), due AS MATERIALIZED (
    SELECT artifact_id, epoch, was, state
    FROM unnest($14::bigint[], $15::integer[], $16::text[], $17::text[]) AS l (artifact_id, epoch, was, state)
    WHERE NOT (was = 'servable' AND state = 'servable') OR artifact_id IN (SELECT artifact_id FROM promoted)
), logged AS (
    INSERT INTO gate_log (artifact_id, epoch, was, state, cause) SELECT artifact_id, epoch, was, state, $18 FROM due
    RETURNING 1
), answered AS (
    UPDATE dead_letter SET resolved_at = now()
    FROM unnest($14::bigint[]) AS l (artifact_id)
    JOIN gate ON gate.artifact_id = l.artifact_id
    WHERE dead_letter.artifact_id = l.artifact_id AND NOT gate.pending AND dead_letter.resolved_at IS NULL
)
SELECT (SELECT is_known FROM log) AS is_known, (SELECT count(*) FROM fit) AS fit, ARRAY(SELECT artifact_id FROM promoted) AS promoted,
       (SELECT count(*) FROM due) AS due, (SELECT count(*) FROM logged) AS logged";

/// Without grants: the only one of the two that others than promote may run, who alone may write promotions.
const LOG: &str = r"-- gate.log
WITH due AS MATERIALIZED (
    SELECT artifact_id, epoch, was, state
    FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[]) AS l (artifact_id, epoch, was, state)
    WHERE NOT (was = 'servable' AND state = 'servable')
), logged AS (
    INSERT INTO gate_log (artifact_id, epoch, was, state, cause) SELECT artifact_id, epoch, was, state, $5 FROM due
    RETURNING 1
), answered AS (
    UPDATE dead_letter SET resolved_at = now()
    FROM unnest($1::bigint[]) AS l (artifact_id)
    JOIN gate ON gate.artifact_id = l.artifact_id
    WHERE dead_letter.artifact_id = l.artifact_id AND NOT gate.pending AND dead_letter.resolved_at IS NULL
)
SELECT (SELECT count(*) FROM due) AS due, (SELECT count(*) FROM logged) AS logged";

/// Writes the log of what changed without being promoted. Dead letters about what is decided now are settled.
pub(crate) async fn write(transaction: &Transaction<'_>, log: &Log, cause: Cause) -> Result<(), StoreError> {
    let params: Params<'_> = &[&log.artifact, &log.epoch, &log.was, &log.state, &cause.as_str()];
    let rows = query_in(transaction, LOG, params).await?;
    all_logged(rows.first().ok_or_else(|| StoreError::inconsistent("gate.log", "no row"))?)
}

/// Refuses a change that `gate_log` did not take: without its row, the transparency log would never tell of it.
fn all_logged(row: &Row) -> Result<(), StoreError> {
    let (due, logged) = (Columns(row).unsigned("due")?, Columns(row).unsigned("logged")?);
    if logged == due {
        Ok(())
    } else {
        let problem = format!(
            "{due} changes are to be logged, and {logged} were; somebody changed its triggers or rules"
        );
        Err(StoreError::inconsistent("gate_log", &problem))
    }
}

/// As [`write()`], and consumes the grants; returns who had no promotion before. Postgres refuses grants whose gate it does not itself find
/// servable, and all of them if it has another log than the one that is known.
async fn promote(
    transaction: &Transaction<'_>,
    log: &Log,
    grants: &[(PromotionGrant, &NewPromotion)],
    cause: Cause,
    known: Option<KnownSeal>,
) -> Result<HashSet<ArtifactDbId>, StoreError> {
    let g = Granted::of(grants)?;
    let size = known.map(|seal| number(seal.size)).transpose()?;
    let root = known.map(|seal| seal.root.0.to_vec());
    let rows = query_in(
        transaction,
        SETTLE,
        &[
            &g.artifact,
            &g.epoch,
            &g.sha256,
            &g.chunk_root,
            &g.serial,
            &g.policy_epoch,
            &g.promoted_at,
            &g.rests_on,
            &g.signed.key,
            &g.signed.envelope,
            &g.signed.pack,
            &g.signed.offset,
            &g.signed.size,
            &log.artifact,
            &log.epoch,
            &log.was,
            &log.state,
            &cause.as_str(),
            &size,
            &root,
        ],
    )
    .await?;
    let row = rows.first().ok_or_else(|| StoreError::inconsistent("gate.settle", "no row"))?;
    if let Some(seal) = known
        && !Columns(row).get::<bool>("is_known")?
    {
        return Err(StoreError::OtherLog { size: seal.size });
    }
    let fit = Columns(row).unsigned("fit")?;
    if fit == grants.len() as u64 {
        all_logged(row)?;
        Ok(Columns(row).get::<Vec<i64>>("promoted")?.into_iter().map(ArtifactDbId).collect())
    } else {
        let problem = format!("{} promotions were granted, and Postgres finds {fit} servable", grants.len());
        Err(StoreError::inconsistent("gate", &problem))
    }
}

/// The columns of `promotion`.
#[derive(Default)]
struct Granted<'g> {
    artifact: Vec<i64>,
    epoch: Vec<i32>,
    sha256: Vec<Vec<u8>>,
    chunk_root: Vec<Vec<u8>>,
    serial: Vec<i64>,
    policy_epoch: Vec<i32>,
    promoted_at: Vec<Timestamp>,
    rests_on: Vec<Vec<u8>>,
    signed: SignedColumns<'g>,
}

impl<'g> Granted<'g> {
    fn of(grants: &[(PromotionGrant, &'g NewPromotion)]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (grant, promotion) in grants {
            all.artifact.push(grant.artifact().0);
            all.epoch.push(grant.epoch());
            all.sha256.push(grant.sha256().0.to_vec());
            all.chunk_root.push(grant.chunk_root().0.to_vec());
            all.serial.push(promotion.serial);
            all.policy_epoch.push(promotion.policy_epoch);
            all.promoted_at.push(promotion.promoted_at);
            all.rests_on.push(promotion.rests_on.iter().flat_map(|key| key.0.0).collect());
            all.signed.push(&promotion.signed)?;
        }
        Ok(all)
    }
}

/// The columns of `gate_log`. That a servable gate stays servable is logged only when it is given its promotion.
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
