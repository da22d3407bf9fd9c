//! What was rung for and is still to be counted.
//!
//! *Invariant:* an artifact is in no two batches at once. Each of its checks rings for it; where promote is behind, all of them have
//! answered by then, and each of its doorbells would have all signatures verified anew.

use std::collections::{HashSet, VecDeque};

use touchstone_domain::ArtifactDbId;

/// Artifacts in the order of their first doorbell.
#[derive(Default)]
pub(super) struct Queue {
    order: VecDeque<ArtifactDbId>,
    /// Those in `order`.
    waiting: HashSet<ArtifactDbId>,
    /// Those that are being counted. One that is rung for meanwhile waits, since its newest row may not have been seen.
    busy: HashSet<ArtifactDbId>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn add(&mut self, artifacts: Vec<ArtifactDbId>) {
        for artifact in artifacts {
            if self.waiting.insert(artifact) {
                self.order.push_back(artifact);
            }
        }
    }

    /// At most `limit` artifacts, in the order of their ids; empty if there are none that can be counted now.
    pub(super) fn take(&mut self, limit: usize) -> Vec<ArtifactDbId> {
        let mut batch = Vec::new();
        let mut skipped = VecDeque::new();
        while batch.len() < limit
            && let Some(artifact) = self.order.pop_front()
        {
            if self.busy.contains(&artifact) {
                skipped.push_back(artifact);
            } else {
                self.waiting.remove(&artifact);
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
    use super::*;

    fn ids(numbers: &[i64]) -> Vec<ArtifactDbId> {
        numbers.iter().map(|n| ArtifactDbId(*n)).collect()
    }

    #[test]
    fn an_artifact_waits_once_and_never_beside_itself() {
        let mut queue = Queue::default();
        queue.add(ids(&[3, 1, 3]));
        queue.add(ids(&[1, 2]));
        assert_eq!(queue.len(), 3);
        let first = queue.take(2);
        assert_eq!(first, ids(&[1, 3]), "the first that were rung for");
        queue.add(ids(&[3, 4]));
        assert_eq!(queue.take(9), ids(&[2, 4]), "3 is being counted");
        assert_eq!(queue.take(9), ids(&[]));
        queue.done(&first);
        assert_eq!(queue.take(9), ids(&[3]), "it was rung for meanwhile");
        queue.done(&ids(&[2, 3, 4]));
        assert_eq!((queue.take(9), queue.len()), (ids(&[]), 0));
    }
}
