//! What this process rejected, until the transparency log has it: whoever owns Postgres could take it back before, and nobody would know.
//!
//! *Invariant:* a rejection is forgotten when the published log has it, and not before. One that is gone, or kept from the log, is told,
//! and its artifact checked again; it is forgotten once both are done, or the artifact has no row. Until then each look tries again, and
//! the others are looked at all the same.
//!
//! *Invariant:* after some seconds, a look begins with no other one, since promotion goes on meanwhile. What it has begun ends with the
//! store's timeouts.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;
use touchstone_domain::{ArtifactDbId, ArtifactState, GateDelta, Purl};
use touchstone_store::{Change, IncidentKind, NewIncident, REJECTIONS_MAX, Rejection, StoreError};
use touchstone_translog::log_name;

use crate::{
    Promote,
    sealer::{STALLED_AFTER, SealError, blocking, published::Published},
};

/// How many are remembered: those of many cycles in which everything is rejected.
const REMEMBERED_MAX: usize = 65_536;
/// How long a look goes on to the next one.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long one may wait for the log while promotion is not halted: twice as long as what halts it waits at most.
const WAITS_MAX: Duration = STALLED_AFTER.saturating_mul(2);

/// An artifact and an epoch.
type Key = (ArtifactDbId, i32);

/// What was rejected.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    all: BTreeMap<Key, One>,
    /// The one that was looked at last.
    looked: Option<Key>,
}

#[derive(Clone, Copy, Debug)]
struct One {
    since: Instant,
    /// Whether people know that it was taken back.
    is_told: bool,
    /// Whether its artifact is checked again since.
    is_checked: bool,
}

impl Rejections {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers which of these changes, of these deltas, are rejections.
    pub(crate) fn remember(&self, changes: &[Change], deltas: &[GateDelta]) {
        for change in changes.iter().filter(|change| change.state == ArtifactState::Rejected) {
            let of = deltas.iter().find(|delta| delta.artifact() == change.artifact);
            if of.is_some_and(|delta| !self.add((change.artifact, delta.epoch()))) {
                metrics::counter!("touchstone_rejections_not_remembered").increment(1);
                tracing::warn!(
                    artifact = %change.artifact,
                    "too many rejections wait for the transparency log: this one is not remembered until it has it"
                );
            }
        }
    }

    /// Whether there was room.
    fn add(&self, key: Key) -> bool {
        let mut remembered = self.lock();
        let has_room = remembered.all.len() < REMEMBERED_MAX;
        if has_room {
            remembered.all.insert(key, One { since: Instant::now(), is_told: false, is_checked: false });
        }
        has_room
    }

    /// The next ones, after the one that was looked at last; from the first again after the last.
    fn next(&self, number: usize) -> Vec<(Key, One)> {
        let remembered = self.lock();
        let after = remembered.looked.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = remembered.all.range((after, Bound::Unbounded)).chain(&remembered.all);
        rest.take(number.min(remembered.all.len())).map(|(key, one)| (*key, *one)).collect()
    }

    fn len(&self) -> usize {
        self.lock().all.len()
    }

    fn looked(&self, key: Key) {
        self.lock().looked = Some(key);
    }

    fn keep(&self, key: Key, one: One) {
        self.lock().all.insert(key, one);
    }

    fn forget(&self, key: Key) {
        self.lock().all.remove(&key);
    }
}

/// Looks whether what was rejected is sealed, or on its way there: at all of it, or at as much as there is time for.
pub(crate) async fn look(promote: &Promote, log: &Published, now: Instant) -> Result<(), SealError> {
    let began = Instant::now();
    let mut left = promote.rejections.len();
    while left > 0 && began.elapsed() < LOOK_MAX {
        let some = promote.rejections.next(left.min(REJECTIONS_MAX));
        left = left.saturating_sub(some.len().max(1));
        let keys: Vec<Key> = some.iter().map(|(key, _)| *key).collect();
        let found = promote.store.rejections(&keys).await?;
        let (log, leaves) = (log.clone(), found.iter().flat_map(|found| found.leaves.clone()).collect());
        let has = blocking(move || log.has(leaves)).await??;
        for ((key, one), found) in some.into_iter().zip(found) {
            promote.rejections.looked(key);
            if found.leaves.iter().any(|(index, _)| has.leaves.contains(index)) {
                promote.rejections.forget(key);
            } else if found.leaves.iter().any(|(index, _)| *index >= has.size) {
                // sealed, and not published yet, however long that takes
            } else if let Some(problem) = problem(promote, one, &found, now) {
                taken_back(promote, key, one, &found, problem).await?;
            }
            if began.elapsed() >= LOOK_MAX {
                break;
            }
        }
    }
    Ok(())
}

/// What is wrong with a rejection that the log does not have; none if it may be on its way.
fn problem(promote: &Promote, one: One, found: &Rejection, now: Instant) -> Option<&'static str> {
    let is_early = promote.is_halted() || now.saturating_duration_since(one.since) < WAITS_MAX;
    match found.is_on_record {
        true if is_early => None,
        true => Some("its rejection is kept from the transparency log"),
        false => Some("its rejection is gone, and was not sealed yet"),
    }
}

/// Does what is left to do about it. An error is one that would be the same with each of the others.
async fn taken_back(
    promote: &Promote,
    key: Key,
    mut one: One,
    found: &Rejection,
    problem: &str,
) -> Result<(), StoreError> {
    let (artifact, epoch) = key;
    // neither waits for the other: people are to know, and nobody is to be served
    let checked = if one.is_checked { Ok(true) } else { check_again(promote, artifact, found).await };
    one.is_checked = matches!(checked, Ok(true));
    let told = if one.is_told { Ok(()) } else { tell(promote, key, found, problem).await };
    one.is_told = told.is_ok();
    if one.is_checked && one.is_told {
        promote.rejections.forget(key);
    } else {
        promote.rejections.keep(key, one);
    }
    for error in [checked.err(), told.err()].into_iter().flatten() {
        if error.is_transient() {
            return Err(error);
        }
        tracing::warn!(%artifact, epoch, error = &error as &dyn std::error::Error, "what is to be done about it is not done yet");
    }
    Ok(())
}

/// Begins a new epoch. Whether the artifact is checked again now, or has no row.
async fn check_again(
    promote: &Promote,
    artifact: ArtifactDbId,
    found: &Rejection,
) -> Result<bool, StoreError> {
    let Some(id) = &found.id else { return Ok(!found.has_artifact) };
    let purl = Purl { file: Some(id.file.clone()), ..Purl::from(id) };
    let changes = promote.store.recheck(&purl, &promote.policy, true).await?;
    promote.tell(&changes).await;
    Ok(changes.iter().any(|change| change.artifact == artifact))
}

/// Tells people of a rejection that somebody took back.
async fn tell(
    promote: &Promote,
    (artifact, epoch): Key,
    found: &Rejection,
    problem: &str,
) -> Result<(), StoreError> {
    let kind = IncidentKind::HistoryRewritten;
    let incident = if let Some(id) = &found.id {
        NewIncident::about(kind, id, Some(artifact), json!({ "epoch": epoch, "problem": problem }))
    } else {
        let row = if found.has_artifact { "its row cannot be read" } else { "so is its row" };
        let detail = json!({ "artifact": artifact, "epoch": epoch, "problem": format!("{problem}; {row}") });
        NewIncident::about_log(kind, &log_name(&promote.signing.environment), detail)
    };
    promote.store.record_incident(&incident).await?;
    tracing::error!(%artifact, epoch, problem, "a rejection was taken back");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_looked_at_in_turn() {
        let rejections = Rejections::default();
        let key = |n: i64| (ArtifactDbId(n), 0);
        assert!((1..=5).all(|n| rejections.add(key(n))));
        let next = |number| rejections.next(number).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(next(2), [key(1), key(2)]);
        rejections.looked(key(2));
        assert_eq!(next(2), [key(3), key(4)]);
        rejections.looked(key(4));
        assert_eq!(next(3), [key(5), key(1), key(2)], "again from the first");
        assert_eq!(next(9), [5, 1, 2, 3, 4].map(key), "each of them once");
        rejections.forget(key(4));
        assert_eq!(next(9), [5, 1, 2, 3].map(key), "after one that is forgotten");
        rejections.looked(key(9));
        assert_eq!(next(1), [key(1)]);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let rejections = Rejections::default();
        let full = i64::try_from(REMEMBERED_MAX).expect("small");
        assert!((1..=full).all(|n| rejections.add((ArtifactDbId(n), 0))));
        assert!(!rejections.add((ArtifactDbId(full + 1), 0)));
        rejections.forget((ArtifactDbId(7), 0));
        assert!(rejections.add((ArtifactDbId(full + 1), 0)));
        assert_eq!(rejections.len(), REMEMBERED_MAX);
    }
}
