//! What messages lost, and what time brings: due gates, late denials, artifacts that have come of age, waivers that have ended; and
//! what should not be.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use tokio::time::MissedTickBehavior;
use touchstone_bus::ArtifactEvent;
use touchstone_domain::CheckKind;
use touchstone_store::{Due, NewDeadLetter};

use crate::{
    Promote,
    count::{self, Look},
    judge::CountError,
    lost, release,
};

/// Rows per query.
const BATCH: i64 = 500;
/// Queries per sweep, so that a backlog does not keep the other duties waiting.
const BATCHES_PER_SWEEP: usize = 20;

/// Failures and recalls that are looked for in every sweep; all others at the start, after trouble, and in every
/// [`FAILURES_ALL_EVERY`]th and [`GATES_ALL_EVERY`]th.
const RECENT: Duration = Duration::from_mins(10);
/// How many sweeps lie between looks at all failures: an hour's, at one a second.
const FAILURES_ALL_EVERY: u32 = 3600;
/// How many sweeps lie between looks at all servable gates, and all recalls: a minute's.
const GATES_ALL_EVERY: u32 = 60;
/// How many sweeps lie between looks at serve records that edges could not read.
const LOST_EVERY: u32 = 10;
/// How many sweeps lie between looks at what is due while artifacts wait to be counted: most of what is due is among them, and would
/// be judged twice, and asked for again for nothing, when there is no time for either.
const DUE_WHILE_BUSY_EVERY: u32 = 10;

/// Sweeps until told to stop.
pub(crate) async fn run(promote: &Promote) {
    let mut ticks = tokio::time::interval(promote.config.sweep_period);
    let mut sweeps: u32 = 0;
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while promote.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        sweeps = if once(promote, sweeps).await { sweeps.wrapping_add(1) } else { 0 };
    }
}

/// One sweep; whether all of it was done. What fails keeps nothing else from being done.
pub(crate) async fn once(promote: &Promote, sweeps: u32) -> bool {
    let mut all = is_done("recalls", recalled(promote, sweeps).await);
    if promote.is_halted() {
        return all;
    }
    if sweeps.is_multiple_of(GATES_ALL_EVERY) {
        all &= is_done("gates without a promotion", release::unpromoted(promote, BATCH).await);
        all &= is_done("answered dead letters", answered(promote).await);
    }
    if sweeps.is_multiple_of(LOST_EVERY) {
        // trouble with the blob store is no reason to go through all of Postgres again
        is_done("the blob store", lost::is_own_store(promote).await.map(drop));
        is_done("lost serve records", lost::records(promote, BATCH).await);
    }
    all &= is_done("waivers", waived(promote).await);
    all &= is_done("unsigned gates", unsigned(promote).await);
    all &= is_done("due gates", due(promote, sweeps).await);
    all &= is_done("failures", failures(promote, sweeps).await);
    all & is_done("ages", release::aged(promote, BATCH).await)
}

fn is_done(what: &'static str, done: Result<(), CountError>) -> bool {
    match done {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                what,
                error = &error as &dyn std::error::Error,
                "a part of a sweep did not finish; the next one goes on"
            );
            false
        }
    }
}

/// Holds what recalls name, where they could not.
async fn recalled(promote: &Promote, sweeps: u32) -> Result<(), CountError> {
    let newer_than = if sweeps.is_multiple_of(GATES_ALL_EVERY) { Duration::MAX } else { RECENT };
    let held = promote.store.hold_recalled(newer_than, BATCH).await?;
    if !held.is_empty() {
        tracing::info!(artifacts = held.len(), "held what was recalled");
    }
    promote.tell(&held).await;
    Ok(())
}

async fn answered(promote: &Promote) -> Result<(), CountError> {
    promote.store.settle_dead_letters().await?;
    Ok(())
}

async fn waived(promote: &Promote) -> Result<(), CountError> {
    let reopened = promote.store.reopen_waived(BATCH).await?;
    promote.tell(&reopened).await;
    Ok(())
}

async fn unsigned(promote: &Promote) -> Result<(), CountError> {
    for _ in 0..BATCHES_PER_SWEEP {
        let reopened = promote.store.reopen_unsigned(BATCH).await?;
        promote.tell(&reopened).await;
        if reopened.is_empty() {
            break;
        }
        tracing::info!(
            artifacts = reopened.len(),
            "artifacts from before decisions were signed are judged anew"
        );
    }
    Ok(())
}

async fn due(promote: &Promote, sweeps: u32) -> Result<(), CountError> {
    if promote.waiting.load(Ordering::Relaxed) > 0 && !sweeps.is_multiple_of(DUE_WHILE_BUSY_EVERY) {
        return Ok(());
    }
    for _ in 0..BATCHES_PER_SWEEP {
        let due = promote.store.due(BATCH, promote.config.attempts_max).await?;
        dispatch(promote, &due).await?;
        if due.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(())
}

async fn failures(promote: &Promote, sweeps: u32) -> Result<(), CountError> {
    let newer_than = if sweeps.is_multiple_of(FAILURES_ALL_EVERY) { Duration::MAX } else { RECENT };
    let failures = promote.store.uncounted_failures(newer_than, BATCH).await?;
    count::verdicts(promote, &failures, Look::All).await?;
    Ok(())
}

/// Counts what is there already, and asks again for the checks that are missing, and only those.
async fn dispatch(promote: &Promote, due: &[Due]) -> Result<(), CountError> {
    let artifacts: Vec<_> = due.iter().map(|row| row.artifact).collect();
    let counted = count::verdicts(promote, &artifacts, Look::All).await?;
    let mut by_check: BTreeMap<CheckKind, Vec<ArtifactEvent>> = BTreeMap::new();
    for row in due {
        // the row was read before its verdicts were counted
        let missing = counted.missing.get(&row.artifact).copied().unwrap_or(row.missing);
        for check in missing.iter() {
            let event = ArtifactEvent {
                artifact: row.artifact,
                ecosystem: row.ecosystem,
                epoch: row.epoch,
                dispatch: row.dispatch,
            };
            by_check.entry(check).or_default().push(event);
        }
        if row.dispatch == promote.config.attempts_max {
            tracing::error!(artifact = %row.artifact, missing = %row.missing, dispatches = row.dispatch, "an artifact is stuck");
            metrics::counter!("touchstone_stuck").increment(1);
            promote.store.record_dead_letter(&stuck(row)).await?;
        }
    }
    let Some(bus) = promote.bus.borrow().clone() else { return Ok(()) };
    for (check, events) in by_check {
        metrics::counter!("touchstone_redispatches", "check" => check.as_str())
            .increment(events.len() as u64);
        if let Err(error) = bus.publish_recheck(check, &events).await {
            tracing::warn!(%error, check.kind = %check, "cannot publish; the rows stay due");
        }
    }
    Ok(())
}

/// The dead letter of an artifact that was dispatched so often without an answer.
fn stuck(row: &Due) -> NewDeadLetter {
    NewDeadLetter {
        stream: "gate".to_owned(),
        consumer: "sweeper".to_owned(),
        stream_seq: row.artifact.0,
        deliveries: row.dispatch.into(),
        check: row.missing.iter().next(),
        artifact: Some(row.artifact),
        epoch: Some(row.epoch),
        detail: format!(
            "no answer from {} after {} dispatches; it is tried on, hourly",
            row.missing, row.dispatch
        ),
    }
}
