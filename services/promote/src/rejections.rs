//! What this process rejected, until the transparency log has it: whoever owns Postgres could take it back before, and nobody would know.
//!
//! *Invariant:* a rejection is remembered before it is committed, and forgotten when the published log says that its epoch ended; nothing
//! in Postgres makes it forgotten. One that is gone, or kept from the log, is told and its artifact checked again, which ends its epoch;
//! and once more after [`WAITS_MAX`], for as long as the log does not have that either.
//!
//! *Invariant:* while promotion is halted, or not all that Postgres has sealed was read from the published log, nothing is late.
//!
//! *Invariant:* after some seconds, a look begins with no other one, since promotion goes on meanwhile. What it has begun ends with the
//! store's timeouts.

mod remembered;

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tokio::time::Instant;
use touchstone_domain::Purl;
use touchstone_store::{IncidentKind, NewIncident, REJECTIONS_MAX, StoreError};

use crate::{
    Promote,
    sealer::{STALLED_AFTER, SealError, blocking, published::Published},
};

pub(crate) use remembered::{Denial, Rejections};
use remembered::{Key, One};

/// How long a look goes on to the next one.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long one may wait for the log while nothing is late: twice as long as what halts promotion waits at most.
const WAITS_MAX: Duration = STALLED_AFTER.saturating_mul(2);
/// How many entries of the log are read at once.
const ENTRIES: u64 = 4096;

/// Looks whether what was rejected is sealed, or on its way there: at all of it, or at as much as there is time for. To be called before
/// anything is promoted, so that the log is read from there on.
pub(crate) async fn look(promote: &Promote, log: &Published, now: Instant) -> Result<(), SealError> {
    let began = Instant::now();
    let read = read_on(promote, log, began).await?;
    if promote.is_halted() || promote.known_seal().is_some_and(|seal| read < seal.size) {
        promote.rejections.excuse(now);
        return Ok(());
    }
    let mut left = promote.rejections.len();
    while left > 0 && began.elapsed() < LOOK_MAX {
        let some = promote.rejections.next(left.min(REJECTIONS_MAX));
        left = left.saturating_sub(some.len().max(1));
        let gone = gone(promote, &some).await;
        for (key, one) in some {
            promote.rejections.looked(key);
            if gone.contains(&key) {
                taken_back(promote, key, one, ("its rejection is gone, and was not sealed yet", now)).await?;
            } else if now.saturating_duration_since(one.since) >= WAITS_MAX {
                let problem = "its rejection is kept from the transparency log";
                taken_back(promote, key, one, (problem, now)).await?;
            }
            if began.elapsed() >= LOOK_MAX {
                break;
            }
        }
    }
    Ok(())
}

/// Reads what was published since the last time, and forgets what it has. Returns until which entry it was read.
async fn read_on(promote: &Promote, log: &Published, began: Instant) -> Result<u64, SealError> {
    let published = log.clone();
    let size = blocking(move || published.size()).await??;
    let mut from = promote.rejections.begin(size);
    while from < size && began.elapsed() < LOOK_MAX {
        let published = log.clone();
        let part = blocking(move || published.read(from, ENTRIES)).await??;
        let next = part.next;
        promote.rejections.forget_sealed(&part);
        if next == from {
            break;
        }
        from = next;
    }
    Ok(from)
}

/// Those that were committed, and are not on record any more. Where that cannot be told, it is told when they are late.
async fn gone(promote: &Promote, some: &[(Key, One)]) -> HashSet<Key> {
    let sure: Vec<Key> = some.iter().filter(|(_, one)| one.is_sure).map(|(key, _)| *key).collect();
    match promote.store.rejections_on_record(&sure).await {
        Ok(on_record) => sure.into_iter().filter(|key| !on_record.contains(key)).collect(),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "whether rejections are on record cannot be told"
            );
            HashSet::new()
        }
    }
}

/// Does what is left to do about it. An error is one that would be the same with each of the others.
async fn taken_back(
    promote: &Promote,
    key: Key,
    mut one: One,
    (problem, now): (&str, Instant),
) -> Result<(), StoreError> {
    let (artifact, epoch) = key;
    if one.done.is_some_and(|done| now.saturating_duration_since(done) < WAITS_MAX) {
        return Ok(());
    }
    if one.done.take().is_some() {
        (one.is_checked, one.is_told) = (false, false); // and the log still does not have it
    }
    // neither waits for the other: people are to know, and nobody is to be served
    let checked = if one.is_checked { Ok(true) } else { check_again(promote, key, &one).await };
    one.is_checked = matches!(checked, Ok(true));
    let told = if one.is_told { Ok(()) } else { tell(promote, key, &one, problem).await };
    one.is_told = told.is_ok();
    one.done = (one.is_checked && one.is_told).then_some(now);
    promote.rejections.keep(key, one);
    for error in [checked.err(), told.err()].into_iter().flatten() {
        if error.is_transient() {
            return Err(error);
        }
        tracing::warn!(%artifact, epoch, error = &error as &dyn std::error::Error, "what is to be done about it is not done yet");
    }
    Ok(())
}

/// Begins a new epoch. Whether the artifact is checked again now.
async fn check_again(promote: &Promote, (artifact, _): Key, one: &One) -> Result<bool, StoreError> {
    let purl = Purl { file: Some(one.id.file.clone()), ..Purl::from(&one.id) };
    let changes = promote.store.recheck(&purl, &promote.policy, true).await?;
    promote.tell(&changes).await;
    Ok(changes.iter().any(|change| change.artifact == artifact))
}

/// Tells people of a rejection that somebody took back.
async fn tell(promote: &Promote, (artifact, epoch): Key, one: &One, problem: &str) -> Result<(), StoreError> {
    let detail = json!({ "epoch": epoch, "problem": problem });
    let incident = NewIncident::about(IncidentKind::HistoryRewritten, &one.id, Some(artifact), detail);
    promote.store.record_incident(&incident).await?;
    tracing::error!(%artifact, artifact.id = %one.id, epoch, problem, "a rejection was taken back");
    Ok(())
}
