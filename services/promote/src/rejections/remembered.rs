//! What is remembered of rejections, and how much of the published log was read for it.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use touchstone_custody::artifact_purl;
use touchstone_domain::{ArtifactDbId, ArtifactId, ArtifactState, Sha256};
use touchstone_store::Change;

use crate::sealer::published::Part;

/// How many are remembered: those of many cycles in which everything is rejected.
const REMEMBERED_MAX: usize = 65_536;
/// What counts of the time between two looks: a process that was stopped meanwhile sealed nothing, either.
const STEP_MAX: Duration = Duration::from_secs(10);

/// A rejection: an epoch of an artifact. The purl is in it because numbers are given again in a database that was restored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(super) artifact: ArtifactDbId,
    pub(super) epoch: i32,
    purl: String,
}

impl Key {
    /// What Postgres calls it.
    pub(super) const fn row(&self) -> (ArtifactDbId, i32) {
        (self.artifact, self.epoch)
    }
}

/// What is about to be denied in this epoch.
#[derive(Clone, Debug)]
pub(crate) struct Denial {
    pub(crate) artifact: ArtifactDbId,
    pub(crate) id: ArtifactId,
    pub(crate) sha256: Sha256,
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
    /// When it was read last.
    read_at: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) id: ArtifactId,
    sha256: Sha256,
    /// Whether it is known to be committed.
    pub(super) is_sure: bool,
    /// How many transactions may commit it yet, or may have.
    expecting: u32,
    /// For how long it could have been in the log.
    pub(super) waited: Duration,
    /// What was done about it.
    pub(super) done: Done,
}

/// What was done about a rejection that was taken back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Whether the operator's log has it.
    pub(super) is_logged: bool,
    /// Whether people know.
    pub(super) is_told: bool,
    /// Whether its artifact is checked again since.
    pub(super) is_checked: bool,
    /// When it was tried last.
    pub(super) tried: Option<Instant>,
}

impl Rejections {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is about to be committed. Each of those returned is to be settled or withdrawn, unless nobody knows whether it was
    /// committed: then it stays, and is watched.
    pub(crate) fn expect(&self, denials: &[Denial]) -> Vec<Key> {
        denials.iter().filter_map(|denial| self.add(denial)).collect()
    }

    fn add(&self, denial: &Denial) -> Option<Key> {
        let purl = artifact_purl(&denial.id).to_string();
        let key = Key { artifact: denial.artifact, epoch: denial.epoch, purl };
        let mut remembered = self.lock();
        if let Some(one) = remembered.all.get_mut(&key) {
            one.expecting = one.expecting.saturating_add(1);
            return Some(key);
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
            sha256: denial.sha256,
            is_sure: false,
            expecting: 1,
            waited: Duration::ZERO,
            done: Done::default(),
        };
        remembered.all.insert(key.clone(), one);
        Some(key)
    }

    /// What was expected is committed, with these changes. What is no rejection by any transaction is forgotten.
    pub(crate) fn settle(&self, expected: &[Key], changes: &[Change]) {
        let mut remembered = self.lock();
        for key in expected {
            let Some(one) = remembered.all.get_mut(key) else { continue };
            one.expecting = one.expecting.saturating_sub(1);
            one.is_sure |= changes
                .iter()
                .any(|change| change.artifact == key.artifact && change.state == ArtifactState::Rejected);
            if one.expecting == 0 && !one.is_sure {
                remembered.all.remove(key);
            }
        }
    }

    /// What was expected is certainly not committed.
    pub(crate) fn withdraw(&self, expected: &[Key]) {
        self.settle(expected, &[]);
    }

    /// From where the published log, which has so many entries, is to be read on: what is committed from now on comes later.
    pub(super) fn begin(&self, size: u64) -> u64 {
        let mut remembered = self.lock();
        if remembered.all.is_empty() || remembered.read.is_none() {
            remembered.read = Some(size);
        }
        remembered.read.unwrap_or(size)
    }

    /// Forgets what the log has: what edges that follow it do not serve. What a newer version wrote of an artifact is taken for that.
    pub(super) fn forget_sealed(&self, part: &Part) {
        let has_ended = |key: &Key, one: &One| {
            part.unknown.contains(&key.purl)
                || part.revocations.check_epoch(&one.id, one.sha256, key.epoch).is_err()
        };
        let mut remembered = self.lock();
        remembered.read = Some(part.next);
        remembered.all.retain(|key, one| !has_ended(key, one));
    }

    /// Whether the published log was read before.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().read.is_some()
    }

    /// The log was read at this time, all that is sealed if `is_whole`: what is still remembered has waited for it since the last time.
    pub(super) fn wait(&self, now: Instant, is_whole: bool) {
        let mut remembered = self.lock();
        let before = remembered.read_at.replace(now);
        let Some(before) = before.filter(|_| is_whole) else { return };
        let step = now.saturating_duration_since(before).min(STEP_MAX);
        for one in remembered.all.values_mut() {
            one.waited = one.waited.saturating_add(step);
        }
    }

    /// The next ones, after the one that was looked at last; from the first again after the last.
    pub(super) fn next(&self, number: usize) -> Vec<(Key, One)> {
        let remembered = self.lock();
        let after = remembered.looked.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = remembered.all.range((after, Bound::Unbounded)).chain(&remembered.all);
        rest.take(number.min(remembered.all.len())).map(|(key, one)| (key.clone(), one.clone())).collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.lock().all.len()
    }

    pub(super) fn looked(&self, key: &Key) {
        self.lock().looked = Some(key.clone());
    }

    /// It is on record after all: from now on, it can be in the log.
    pub(super) fn found(&self, key: &Key) {
        if let Some(one) = self.lock().all.get_mut(key) {
            one.is_sure = true;
            one.waited = Duration::ZERO;
        }
    }

    /// Whether it is still not in the log.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.lock().all.contains_key(key)
    }

    /// Keeps what was done about one.
    pub(super) fn keep(&self, key: &Key, done: Done) {
        if let Some(one) = self.lock().all.get_mut(key) {
            one.done = done;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jiff::Timestamp;
    use touchstone_custody::LogEntry;
    use touchstone_domain::{Ecosystem, FileName, PackageName, Version};

    use super::*;

    fn denial(n: i64) -> Denial {
        let id = ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new(format!("p{n}")).expect("a name"),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new("p.tgz").expect("a name"),
        };
        Denial { artifact: ArtifactDbId(n), sha256: Sha256::of(n.to_string()), id, epoch: 3 }
    }

    fn key(n: i64) -> Key {
        let Denial { artifact, id, epoch, .. } = denial(n);
        Key { artifact, epoch, purl: artifact_purl(&id).to_string() }
    }

    fn keys<const N: usize>(numbers: [i64; N]) -> Vec<Key> {
        numbers.map(key).to_vec()
    }

    fn ended(n: i64, epoch: i32) -> LogEntry {
        LogEntry::Ended {
            purl: key(n).purl,
            sha256: denial(n).sha256,
            epoch,
            state: ArtifactState::Rejected.as_str().to_owned(),
            cause: "verdict".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn change(n: i64, state: ArtifactState) -> Change {
        Change { artifact: ArtifactDbId(n), ecosystem: Ecosystem::Npm, was: ArtifactState::Verifying, state }
    }

    fn next(rejections: &Rejections, number: usize) -> Vec<Key> {
        rejections.next(number).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn all_are_looked_at_in_turn() {
        let rejections = Rejections::default();
        assert_eq!(rejections.expect(&[1, 2, 3, 4, 5].map(denial)), keys([1, 2, 3, 4, 5]));
        assert_eq!(next(&rejections, 2), keys([1, 2]));
        rejections.looked(&key(2));
        assert_eq!(next(&rejections, 2), keys([3, 4]));
        rejections.looked(&key(4));
        assert_eq!(next(&rejections, 3), keys([5, 1, 2]), "again from the first");
        assert_eq!(next(&rejections, 9), keys([5, 1, 2, 3, 4]), "each of them once");
        rejections.looked(&key(9));
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
    fn what_no_transaction_rejected_is_forgotten_and_nothing_else() {
        let rejected = [change(1, ArtifactState::Rejected)];
        let other = [change(1, ArtifactState::Servable), change(2, ArtifactState::Rejected)];
        for (outcomes, kept) in [
            (vec![Some(&rejected[..])], Some(true)),
            (vec![Some(&other[..])], None),
            (vec![None], Some(false)),
            // two transactions at once, in both orders
            (vec![Some(&rejected[..]), Some(&[])], Some(true)),
            (vec![Some(&[]), Some(&rejected[..])], Some(true)),
            (vec![Some(&[]), Some(&other[..])], None),
            (vec![Some(&[]), None], Some(false)),
            (vec![None, Some(&[])], Some(false)),
        ] {
            let rejections = Rejections::default();
            let expected: Vec<_> = outcomes.iter().map(|_| rejections.expect(&[denial(1)])).collect();
            for (outcome, expected) in outcomes.iter().zip(expected) {
                // none: nobody knows
                if let Some(changes) = outcome {
                    rejections.settle(&expected, changes);
                }
            }
            let found: Vec<bool> = rejections.next(9).into_iter().map(|(_, one)| one.is_sure).collect();
            assert_eq!(found.first().copied(), kept, "{outcomes:?}");
        }
    }

    #[test]
    fn a_number_that_is_given_again_is_of_another_artifact() {
        let rejections = Rejections::default();
        let again = Denial { artifact: ArtifactDbId(1), ..denial(2) };
        rejections.expect(&[denial(1)]);
        assert_eq!((rejections.expect(&[again]).len(), rejections.len()), (1, 2));
    }

    #[test]
    fn what_is_told_does_not_undo_that_it_was_committed() {
        let rejections = Rejections::default();
        let expected = rejections.expect(&[denial(1)]);
        let (key, one) = rejections.next(1).remove(0);
        rejections.settle(&expected, &[change(1, ArtifactState::Rejected)]);
        rejections.keep(&key, Done { is_told: true, ..one.done });
        let (_, one) = rejections.next(1).remove(0);
        assert!(one.is_sure && one.done.is_told);
    }

    #[test]
    fn only_time_in_which_all_was_read_counts_and_no_more_than_a_step_at_once() {
        let rejections = Rejections::default();
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let waited = |rejections: &Rejections| rejections.next(1)[0].1.waited;
        rejections.expect(&[denial(1)]);
        for (at, is_whole, expected) in
            [(0, true, 0), (3, true, 3), (5, false, 3), (6, true, 4), (4, true, 4), (1000, true, 14)]
        {
            rejections.wait(begun + second * at, is_whole);
            assert_eq!(waited(&rejections), second * expected, "at {at}");
        }
    }

    #[test]
    fn the_log_makes_it_forgotten_by_its_purl_and_that_epoch_or_a_later_one() {
        let rejections = Rejections::default();
        assert!(!rejections.has_begun());
        assert_eq!(rejections.begin(7), 7);
        assert_eq!(rejections.begin(9), 9, "nothing is remembered");
        assert!(rejections.has_begun());
        rejections.expect(&[1, 2, 3, 4, 5].map(denial));
        assert_eq!(rejections.begin(20), 9, "it is to be read from there");
        let mut part = Part { next: 12, unknown: HashSet::from([key(4).purl]), ..Part::default() };
        for (n, epoch) in [(1, 2), (2, 3), (3, 9), (3, 1), (33, 3)] {
            part.revocations.add(&ended(n, epoch));
        }
        rejections.forget_sealed(&part);
        assert_eq!(next(&rejections, 9), keys([1, 5]));
        assert_eq!(rejections.begin(20), 12);
    }

    #[test]
    fn what_the_log_recalls_is_served_by_nobody_and_forgotten() {
        let rejections = Rejections::default();
        rejections.expect(&[1, 2, 3].map(denial));
        let mut part = Part::default();
        for (purl, sha256) in [(Some("pkg:npm/p1".to_owned()), None), (None, Some(denial(2).sha256))] {
            let (reason, actor, at) = ("malware".to_owned(), "ada".to_owned(), Timestamp::UNIX_EPOCH);
            part.revocations.add(&LogEntry::Recalled { purl, sha256, reason, actor, at });
        }
        rejections.forget_sealed(&part);
        assert_eq!(next(&rejections, 9), keys([3]));
    }
}
