//! What is remembered of rejections, and how much of the published log was read for it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use touchstone_custody::artifact_purl;
use touchstone_domain::{ArtifactDbId, ArtifactId, ArtifactState};
use touchstone_store::Change;

use crate::sealer::published::Part;

/// How many are remembered: those of many cycles in which everything is rejected.
const REMEMBERED_MAX: usize = 65_536;

/// An artifact and an epoch.
pub(super) type Key = (ArtifactDbId, i32);

/// What is about to be denied in this epoch.
#[derive(Clone, Debug)]
pub(crate) struct Denial {
    pub(crate) artifact: ArtifactDbId,
    pub(crate) id: ArtifactId,
    pub(crate) epoch: i32,
}

/// What was rejected, or is about to be.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    all: BTreeMap<Key, One>,
    /// The one that was looked at last.
    looked: Option<Key>,
    /// Until which entry the published log was read; none before the first look.
    read: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) id: ArtifactId,
    purl: String,
    /// Whether it is known to be committed.
    pub(super) is_sure: bool,
    /// Since when nothing excuses that it is not in the log.
    pub(super) since: Instant,
    /// Whether people know that it was taken back.
    pub(super) is_told: bool,
    /// Whether its artifact is checked again since.
    pub(super) is_checked: bool,
    /// When both were done.
    pub(super) done: Option<Instant>,
}

impl Rejections {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is about to be committed. Returns what was not remembered before.
    pub(crate) fn expect(&self, denials: &[Denial]) -> Vec<(ArtifactDbId, i32)> {
        denials.iter().filter_map(|denial| self.add(denial)).collect()
    }

    fn add(&self, denial: &Denial) -> Option<Key> {
        let mut remembered = self.lock();
        let key = (denial.artifact, denial.epoch);
        if remembered.all.contains_key(&key) {
            return None;
        }
        if remembered.all.len() >= REMEMBERED_MAX {
            metrics::counter!("touchstone_rejections_not_remembered").increment(1);
            tracing::warn!(
                artifact = %denial.artifact,
                "too many rejections wait for the transparency log: this one is not watched until it has it"
            );
            return None;
        }
        let one = One {
            id: denial.id.clone(),
            purl: artifact_purl(&denial.id).to_string(),
            is_sure: false,
            since: Instant::now(),
            is_told: false,
            is_checked: false,
            done: None,
        };
        remembered.all.insert(key, one);
        Some(key)
    }

    /// It is committed, with these changes. What became no rejection is forgotten, if it is new.
    pub(crate) fn committed(&self, denials: &[Denial], new: &[(ArtifactDbId, i32)], changes: &[Change]) {
        let mut remembered = self.lock();
        for key in denials.iter().map(|denial| (denial.artifact, denial.epoch)) {
            let is_rejection =
                |change: &Change| change.artifact == key.0 && change.state == ArtifactState::Rejected;
            if changes.iter().any(is_rejection) {
                if let Some(one) = remembered.all.get_mut(&key) {
                    one.is_sure = true;
                }
            } else if new.contains(&key) {
                remembered.all.remove(&key);
            }
        }
    }

    /// From where the published log, which has so many entries, is to be read on: what is committed from now on comes later.
    pub(super) fn begin(&self, size: u64) -> u64 {
        let mut remembered = self.lock();
        if remembered.all.is_empty() || remembered.read.is_none() {
            remembered.read = Some(size);
        }
        remembered.read.unwrap_or(size)
    }

    /// Forgets what the log has. What a newer version wrote of an artifact is taken for the end of its epoch.
    pub(super) fn forget_sealed(&self, part: &Part) {
        let mut ended: HashMap<&str, i32> = HashMap::new();
        for (purl, epoch) in &part.ended {
            let latest = ended.entry(purl).or_insert(*epoch);
            *latest = (*latest).max(*epoch);
        }
        ended.extend(part.unknown.iter().map(|purl| (purl.as_str(), i32::MAX)));
        let mut remembered = self.lock();
        remembered.read = Some(part.next);
        let has_ended = |purl: &str, epoch| ended.get(purl).is_some_and(|ended| *ended >= epoch);
        remembered.all.retain(|(_, epoch), one| !has_ended(&one.purl, *epoch));
    }

    /// Nothing of it is late.
    pub(super) fn excuse(&self, now: Instant) {
        for one in self.lock().all.values_mut() {
            one.since = now;
        }
    }

    /// The next ones, after the one that was looked at last; from the first again after the last.
    pub(super) fn next(&self, number: usize) -> Vec<(Key, One)> {
        let remembered = self.lock();
        let after = remembered.looked.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = remembered.all.range((after, Bound::Unbounded)).chain(&remembered.all);
        rest.take(number.min(remembered.all.len())).map(|(key, one)| (*key, one.clone())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().all.len()
    }

    pub(super) fn looked(&self, key: Key) {
        self.lock().looked = Some(key);
    }

    /// Keeps what was done about one.
    pub(super) fn keep(&self, key: Key, one: One) {
        if let Some(kept) = self.lock().all.get_mut(&key) {
            *kept = one;
        }
    }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{Ecosystem, FileName, PackageName, Version};

    use super::*;

    fn denial(n: i64) -> Denial {
        let id = ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new(format!("p{n}")).expect("a name"),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new("p.tgz").expect("a name"),
        };
        Denial { artifact: ArtifactDbId(n), id, epoch: 3 }
    }

    fn keys<const N: usize>(numbers: [i64; N]) -> Vec<Key> {
        numbers.map(|n| (ArtifactDbId(n), 3)).to_vec()
    }

    fn next(rejections: &Rejections, number: usize) -> Vec<Key> {
        rejections.next(number).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn all_are_looked_at_in_turn() {
        let rejections = Rejections::default();
        assert_eq!(rejections.expect(&[1, 2, 3, 4, 5].map(denial)), keys([1, 2, 3, 4, 5]));
        assert_eq!(next(&rejections, 2), keys([1, 2]));
        rejections.looked((ArtifactDbId(2), 3));
        assert_eq!(next(&rejections, 2), keys([3, 4]));
        rejections.looked((ArtifactDbId(4), 3));
        assert_eq!(next(&rejections, 3), keys([5, 1, 2]), "again from the first");
        assert_eq!(next(&rejections, 9), keys([5, 1, 2, 3, 4]), "each of them once");
        rejections.looked((ArtifactDbId(9), 3));
        assert_eq!(next(&rejections, 1), keys([1]));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let rejections = Rejections::default();
        let full = i64::try_from(REMEMBERED_MAX).expect("small");
        assert!((1..=full).all(|n| rejections.add(&denial(n)).is_some()));
        assert_eq!((rejections.add(&denial(full + 1)), rejections.len()), (None, REMEMBERED_MAX));
    }

    #[test]
    fn what_became_no_rejection_is_forgotten_if_it_is_new() {
        let rejections = Rejections::default();
        let change = |n, state| Change {
            artifact: ArtifactDbId(n),
            ecosystem: Ecosystem::Npm,
            was: ArtifactState::Verifying,
            state,
        };
        rejections.expect(&[denial(1)]);
        let denials = [1, 2, 3, 4].map(denial);
        let new = rejections.expect(&denials);
        assert_eq!(new, keys([2, 3, 4]));
        let changes = [change(2, ArtifactState::Rejected), change(3, ArtifactState::Servable)];
        rejections.committed(&denials, &new, &changes);
        let sure: Vec<(Key, bool)> =
            rejections.next(9).into_iter().map(|(key, one)| (key, one.is_sure)).collect();
        assert_eq!(sure, [(keys([1])[0], false), (keys([2])[0], true)]);
    }

    #[test]
    fn the_log_makes_it_forgotten_by_its_purl_and_that_epoch_or_a_later_one() {
        let rejections = Rejections::default();
        assert_eq!(rejections.begin(7), 7);
        assert_eq!(rejections.begin(9), 9, "nothing is remembered");
        rejections.expect(&[1, 2, 3, 4, 5].map(denial));
        assert_eq!(rejections.begin(20), 9, "it is to be read from there");
        let purl = |n| artifact_purl(&denial(n).id).to_string();
        let ended = vec![(purl(1), 2), (purl(2), 3), (purl(3), 9), (purl(3), 1), (purl(33), 3)];
        rejections.forget_sealed(&Part { next: 12, ended, unknown: vec![purl(4)] });
        assert_eq!(next(&rejections, 9), keys([1, 5]));
        assert_eq!(rejections.begin(20), 12);
    }
}
