//! What this process rejected, until the transparency log has it: whoever owns Postgres could take it back before, and nobody would know.
//!
//! *Invariant:* a rejection is remembered before it is committed, and forgotten when the published log says that its epoch ended; nothing
//! in Postgres makes it forgotten. One that is gone, or kept from the log, is told and its artifact checked again, which ends its epoch;
//! and once more after [`WAITS_MAX`], for as long as the log does not have that either.
//!
//! *Invariant:* only time in which it could have been sealed makes a rejection late: none while promotion is halted, or while not all that
//! Postgres has sealed was read from the published log, and little of it while this process did not run. What has waited stays waited.
//!
//! *Invariant:* the sealer waits here for the published log alone; what Postgres is asked, and what is to be done, goes on beside it.

mod remembered;

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tokio::time::Instant;
use touchstone_domain::{ArtifactDbId, Purl};
use touchstone_store::{IncidentKind, NewIncident, REJECTIONS_MAX, StoreError};

use crate::{
    Promote,
    sealer::{STALLED_AFTER, SealError, blocking, published::Published},
};

pub(crate) use remembered::{Denial, Rejections};
use remembered::{Done, Key, One};

/// How long a look goes on to the next one.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long one may wait for the log: twice as long as what halts promotion waits at most.
const WAITS_MAX: Duration = STALLED_AFTER.saturating_mul(2);
/// How long to wait before what could not be done is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// What is said of one that is in neither.
const UNSURE: &str =
    "the transparency log lacks its rejection, of which the database did not say whether it was committed";
/// How many entries of the log are read at once.
const ENTRIES: u64 = 4096;

/// How much of the published log was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// How many entries it has.
    pub(crate) size: u64,
    /// Until which of them it was read.
    until: u64,
}

/// Reads what was published since the last time, and forgets what it has. To be called before anything is promoted, so that the log is
/// read from there on.
pub(crate) async fn read(promote: &Promote, log: &Published) -> Result<Read, SealError> {
    let began = Instant::now();
    let published = log.clone();
    let size = blocking(move || published.size()).await??;
    let mut until = promote.rejections.begin(size);
    while until < size && began.elapsed() < LOOK_MAX {
        let published = log.clone();
        let part = blocking(move || published.read(until, ENTRIES)).await??;
        let next = part.next;
        promote.rejections.forget_sealed(&part);
        if next == until {
            break;
        }
        until = next;
    }
    Ok(Read { size, until })
}

/// What was not read has waited for the log since the last time, if it could have been there: promotion goes on, and all was read.
pub(crate) fn wait(promote: &Promote, read: Option<Read>, goes_on: bool, now: Instant) {
    let has_all = |read: Read| promote.known_seal().is_none_or(|seal| read.until >= seal.size);
    promote.rejections.wait(now, goes_on && read.is_some_and(has_all));
}

/// Looks whether what was rejected is on its way into the log: at all of it, or at as much as there is time for.
pub(crate) async fn look(promote: &Promote, now: Instant) -> Result<(), StoreError> {
    let began = Instant::now();
    let mut left = promote.rejections.len();
    while left > 0 && began.elapsed() < LOOK_MAX {
        let some = promote.rejections.next(left.min(REJECTIONS_MAX));
        if some.is_empty() {
            break;
        }
        left = left.saturating_sub(some.len());
        let on_record = on_record(promote, &some).await;
        for (key, one) in some {
            promote.rejections.looked(&key);
            let is_there = on_record.as_ref().map(|rows| rows.contains(&key.row()));
            match finding(&one, is_there) {
                Finding::Committed => promote.rejections.found(&key),
                // it may have been sealed meanwhile
                Finding::TakenBack(problem) if promote.rejections.has(&key) => {
                    taken_back(promote, &key, &one, problem, now).await?;
                }
                Finding::Fine | Finding::TakenBack(_) => {}
            }
            if began.elapsed() >= LOOK_MAX {
                break;
            }
        }
    }
    Ok(())
}

/// What is to be thought of a rejection that the log lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Fine,
    /// Nobody knew whether it was committed, and it was.
    Committed,
    TakenBack(&'static str),
}

/// `is_there`: whether it is on record; none where that cannot be told.
fn finding(one: &One, is_there: Option<bool>) -> Finding {
    let is_late = one.waited >= WAITS_MAX;
    match (one.is_sure, is_there) {
        (true, Some(false)) => Finding::TakenBack("its rejection is gone, and was not sealed yet"),
        (true, Some(true) | None) if is_late => {
            Finding::TakenBack("its rejection is kept from the transparency log")
        }
        (false, Some(true)) => Finding::Committed,
        (false, Some(false) | None) if is_late => Finding::TakenBack(UNSURE),
        (true | false, _) => Finding::Fine,
    }
}

/// Which of them are on record. Where that cannot be told, it is told when they are late.
async fn on_record(promote: &Promote, some: &[(Key, One)]) -> Option<HashSet<(ArtifactDbId, i32)>> {
    let rows: Vec<_> = some.iter().map(|(key, _)| key.row()).collect();
    match promote.store.rejections_on_record(&rows).await {
        Ok(on_record) => Some(on_record),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "whether rejections are on record cannot be told"
            );
            None
        }
    }
}

/// Whether something is to be done now.
fn is_due(one: &One, now: Instant) -> bool {
    let done = &one.done;
    let pause = if one.is_sure && !(done.is_told && done.is_checked) { TRY_AGAIN } else { WAITS_MAX };
    done.tried.is_none_or(|tried| now.saturating_duration_since(tried) >= pause)
}

/// Does what is left to do about it. An error is one that would be the same with each of the others.
async fn taken_back(
    promote: &Promote,
    key: &Key,
    one: &One,
    problem: &str,
    now: Instant,
) -> Result<(), StoreError> {
    if !is_due(one, now) {
        return Ok(());
    }
    let mut done = one.done;
    if done.is_told && done.is_checked {
        done = Done::default(); // and the log still does not have it
    }
    if !done.is_logged {
        metrics::counter!("touchstone_rejections_taken_back").increment(1);
        tracing::error!(
            artifact = %key.artifact, artifact.id = %one.id, epoch = key.epoch, problem, "a rejection was taken back, it seems"
        );
        done.is_logged = true;
    }
    done.tried = Some(now);
    promote.rejections.keep(key, done);
    // neither waits for the other: people are to know, and nobody is to be served
    let checked = if done.is_checked { Ok(true) } else { check_again(promote, one).await };
    done.is_checked = matches!(checked, Ok(true));
    let told = match &checked {
        _ if done.is_told => Ok(true),
        // what commits it may still be under way; whoever begins a new epoch has waited for it
        Ok(false) | Err(_) if !one.is_sure => Ok(false),
        Ok(_) | Err(_) => tell(promote, key, one, problem).await.map(|()| true),
    };
    done.is_told = matches!(told, Ok(true));
    promote.rejections.keep(key, done);
    for error in [checked.err(), told.err()].into_iter().flatten() {
        if error.is_transient() {
            return Err(error);
        }
        tracing::warn!(artifact = %key.artifact, epoch = key.epoch, error = &error as &dyn std::error::Error, "what is to be done about it is not done yet");
    }
    Ok(())
}

/// Begins a new epoch. Whether the artifact is checked again now.
async fn check_again(promote: &Promote, one: &One) -> Result<bool, StoreError> {
    let purl = Purl { file: Some(one.id.file.clone()), ..Purl::from(&one.id) };
    let changes = promote.store.recheck(&purl, &promote.policy, true).await?;
    promote.tell(&changes).await;
    Ok(!changes.is_empty())
}

/// Tells people of a rejection that somebody took back.
async fn tell(promote: &Promote, key: &Key, one: &One, problem: &str) -> Result<(), StoreError> {
    let detail = json!({ "epoch": key.epoch, "problem": problem });
    let incident = NewIncident::about(IncidentKind::HistoryRewritten, &one.id, Some(key.artifact), detail);
    promote.store.record_incident(&incident).await
}
