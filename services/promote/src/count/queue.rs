//! What was rung for and is still to be counted.
//!
//! Each check rings for an artifact, and says whose answers are still to come. Until all have rung, looking would find an artifact
//! that is not to be decided yet; so it is looked at when the last one has, or after [`LINGER`].
//!
//! *Invariant:* what doorbells say delays a look by [`LINGER`] at the most, and decides nothing.
//!
//! *Invariant:* an artifact is in no two batches at once. Where promote is behind, all checks have answered by then, and each of their
//! doorbells would have all signatures verified anew.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use touchstone_bus::Rung;
use touchstone_domain::{ArtifactDbId, CheckSet};

/// How long an artifact waits for the doorbells of its other checks: they may have rung at another promoter, or not at all.
pub(super) const LINGER: Duration = Duration::from_millis(25);

/// Artifacts in the order in which they became ready.
#[derive(Default)]
pub(super) struct Queue {
    order: VecDeque<ArtifactDbId>,
    /// Those in `order`.
    ready: HashSet<ArtifactDbId>,
    /// Those that checks have rung for, but not all of them; and who is missing.
    partial: HashMap<ArtifactDbId, CheckSet>,
    /// When those were first rung for, the earliest first. One that is ready, or gone, since then is passed over.
    since: VecDeque<(Instant, ArtifactDbId)>,
    /// Those that are being counted. One that is rung for meanwhile waits, since its newest row may not have been seen.
    busy: HashSet<ArtifactDbId>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.since.len()
    }

    pub(super) fn add(&mut self, rung: Vec<Rung>, now: Instant) {
        for Rung { artifact, others } in rung {
            if self.ready.contains(&artifact) {
                continue;
            }
            let known = self.partial.get(&artifact).copied();
            let missing = known.map_or(others, |missing| missing.intersection(others));
            if missing.is_empty() {
                self.partial.remove(&artifact);
                self.push(artifact);
            } else {
                self.partial.insert(artifact, missing);
                if known.is_none() {
                    self.since.push_back((now, artifact));
                }
            }
        }
    }

    fn push(&mut self, artifact: ArtifactDbId) {
        if self.ready.insert(artifact) {
            self.order.push_back(artifact);
        }
    }

    /// When the next artifact has waited long enough for other doorbells.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.front().map(|(since, _)| *since + LINGER)
    }

    /// At most `limit` artifacts, in the order of their ids; empty if there are none that can be counted now. Those that all checks
    /// have rung for come first.
    pub(super) fn take(&mut self, limit: usize, now: Instant) -> Vec<ArtifactDbId> {
        while let Some((since, artifact)) = self.since.front().copied()
            && since + LINGER <= now
        {
            self.since.pop_front();
            if self.partial.remove(&artifact).is_some() {
                self.push(artifact);
            }
        }
        let mut batch = Vec::new();
        let mut skipped = VecDeque::new();
        while batch.len() < limit
            && let Some(artifact) = self.order.pop_front()
        {
            if self.busy.contains(&artifact) {
                skipped.push_back(artifact);
            } else {
                self.ready.remove(&artifact);
                self.busy.insert(artifact);
                batch.push(artifact);
            }
        }
        skipped.append(&mut self.order);
        self.order = skipped;
        batch.sort_unstable();
        batch
    }

    /// These have been counted.
    pub(super) fn done(&mut self, batch: &[ArtifactDbId]) {
        for artifact in batch {
            self.busy.remove(artifact);
        }
    }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::CheckKind::{self, Attest, Hash, Sumdb};

    use super::*;

    fn ids(numbers: &[i64]) -> Vec<ArtifactDbId> {
        numbers.iter().map(|n| ArtifactDbId(*n)).collect()
    }

    fn rung(numbers: &[i64], others: &[CheckKind]) -> Vec<Rung> {
        let others = others.iter().copied().collect();
        ids(numbers).into_iter().map(|artifact| Rung { artifact, others }).collect()
    }

    #[test]
    fn an_artifact_waits_once_and_never_beside_itself() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(rung(&[3, 1, 3], &[]), now);
        queue.add(rung(&[1, 2], &[]), now);
        assert_eq!(queue.len(), 3);
        let first = queue.take(2, now);
        assert_eq!(first, ids(&[1, 3]), "the first that were rung for");
        queue.add(rung(&[3, 4], &[]), now);
        assert_eq!(queue.take(9, now), ids(&[2, 4]), "3 is being counted");
        assert_eq!(queue.take(9, now), ids(&[]));
        queue.done(&first);
        assert_eq!(queue.take(9, now), ids(&[3]), "it was rung for meanwhile");
        queue.done(&ids(&[2, 3, 4]));
        assert_eq!((queue.take(9, now), queue.len(), queue.due()), (ids(&[]), 0, None));
    }

    #[test]
    fn an_artifact_is_looked_at_when_the_last_of_its_checks_has_rung() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(rung(&[1, 2], &[Attest, Sumdb]), now);
        queue.add(rung(&[1], &[Hash, Sumdb]), now);
        assert_eq!(queue.take(9, now), ids(&[]), "sumdb is missing, and for 2 attest too");
        // who rings again, or claims that more are missing, changes nothing
        queue.add(rung(&[1], &[Hash, Attest, Sumdb]), now);
        queue.add(rung(&[1], &[Hash, Attest]), now);
        assert_eq!(queue.take(9, now), ids(&[1]));
        // a failure waits for nobody
        queue.add(rung(&[2], &[]), now);
        assert_eq!(queue.take(9, now), ids(&[2]));
        queue.done(&ids(&[1, 2]));
        assert_eq!(queue.take(9, now + LINGER), ids(&[]), "none of them is looked at again");
        assert_eq!((queue.len(), queue.due()), (0, None));
    }

    #[test]
    fn what_others_do_not_ring_for_is_looked_at_after_a_while_behind_what_is_ready() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let instant = Duration::from_nanos(1);
        queue.add(rung(&[1], &[Attest]), now);
        queue.add(rung(&[2], &[Attest]), now + instant);
        assert_eq!((queue.due(), queue.len()), (Some(now + LINGER), 2));
        assert_eq!(queue.take(9, now + LINGER - instant), ids(&[]));
        queue.add(rung(&[7, 8, 9], &[]), now);
        assert_eq!(queue.take(3, now + LINGER), ids(&[7, 8, 9]));
        assert_eq!(queue.due(), Some(now + instant + LINGER), "1 is ready now");
        // what is ready and cannot be counted yet is in its way no more than others
        queue.add(rung(&[7, 8, 9], &[]), now + LINGER);
        assert_eq!(queue.take(3, now + LINGER), ids(&[1]));
        // the check that was missing rings late: once more
        queue.add(rung(&[1], &[]), now + LINGER);
        queue.done(&ids(&[1, 7, 8, 9]));
        assert_eq!(queue.take(9, now + instant + LINGER), ids(&[1, 2, 7, 8, 9]));
        assert_eq!((queue.len(), queue.due()), (0, None));
    }
}
