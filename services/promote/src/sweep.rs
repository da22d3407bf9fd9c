//! What messages lost, and what time brings: due gates, late denials, artifacts that have come of age, waivers that have ended.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::MissedTickBehavior;
use touchstone_bus::ArtifactEvent;
use touchstone_domain::CheckKind;
use touchstone_store::{Due, NewDeadLetter, StoreError};

use crate::{Promote, count};

/// Rows per query.
const BATCH: i64 = 500;
/// Queries per sweep, so that a backlog does not keep the other duties waiting.
const BATCHES_PER_SWEEP: usize = 20;

/// Failures that are looked for in every sweep; all others at the start, after trouble, and in every [`FAILURES_ALL_EVERY`]th.
const FAILURES_RECENT: Duration = Duration::from_mins(10);
/// How many sweeps lie between looks at all failures: an hour's, at one a second.
const FAILURES_ALL_EVERY: u32 = 3600;

/// Sweeps until told to stop.
pub(crate) async fn run(promote: &Promote) {
    let mut ticks = tokio::time::interval(promote.config.sweep_period);
    let mut sweeps: u32 = 0;
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while promote.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let newer_than =
            if sweeps.is_multiple_of(FAILURES_ALL_EVERY) { Duration::MAX } else { FAILURES_RECENT };
        match once(promote, newer_than).await {
            Ok(()) => sweeps = sweeps.wrapping_add(1),
            Err(error) => {
                sweeps = 0;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a sweep did not finish; the next one goes on"
                );
            }
        }
    }
}

async fn once(promote: &Promote, failures_newer_than: Duration) -> Result<(), StoreError> {
    let reopened = promote.store.reopen_waived(BATCH).await?;
    promote.tell(&reopened).await;
    for _ in 0..BATCHES_PER_SWEEP {
        let due = promote.store.due(BATCH, promote.config.attempts_max).await?;
        dispatch(promote, &due).await?;
        if due.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            break;
        }
    }
    let failures = promote.store.uncounted_failures(failures_newer_than, BATCH).await?;
    count::verdicts(promote, &failures).await?;
    let aged = promote.store.release_aged(BATCH).await?;
    promote.tell(&aged).await;
    Ok(())
}

/// Counts what is there already, and asks again for the checks that are missing, and only those.
async fn dispatch(promote: &Promote, due: &[Due]) -> Result<(), StoreError> {
    let artifacts: Vec<_> = due.iter().map(|row| row.artifact).collect();
    count::verdicts(promote, &artifacts).await?;
    let mut by_check: BTreeMap<CheckKind, Vec<ArtifactEvent>> = BTreeMap::new();
    for row in due {
        for check in row.missing.iter() {
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
