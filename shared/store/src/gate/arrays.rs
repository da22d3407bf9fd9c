//! What is given for gates as arrays, one entry per artifact: each locked row must appear once.

use std::collections::BTreeMap;

use touchstone_domain::{ArtifactDbId, CheckSet, GateDelta};

use crate::NewPromotion;

/// Deltas and promotions. Of several epochs the highest is the gate's, since epochs only grow.
#[derive(Default)]
pub(super) struct Bits {
    pub(super) artifact: Vec<i64>,
    pub(super) epoch: Vec<i32>,
    pub(super) ok: Vec<i64>,
    pub(super) deny: Vec<i64>,
    pub(super) undecided: Vec<i64>,
    pub(super) approved: Vec<bool>,
}

/// The bits of one artifact.
#[derive(Default)]
struct Entry {
    epoch: i32,
    ok: CheckSet,
    deny: CheckSet,
    undecided: CheckSet,
    approved: bool,
}

impl Entry {
    /// Whether something for `epoch` belongs in here; forgets what is for an older one.
    fn admits(&mut self, epoch: i32) -> bool {
        if epoch > self.epoch {
            *self = Self { epoch, ..Self::default() };
        }
        epoch == self.epoch
    }
}

impl Bits {
    pub(super) fn of(deltas: &[GateDelta], promotions: &[NewPromotion]) -> Self {
        let mut merged: BTreeMap<ArtifactDbId, Entry> = BTreeMap::new();
        for delta in deltas {
            let entry = merged.entry(delta.artifact()).or_default();
            if entry.admits(delta.epoch()) {
                entry.ok = entry.ok.union(delta.ok());
                entry.deny = entry.deny.union(delta.deny());
                entry.undecided = entry.undecided.union(delta.undecided());
            }
        }
        for promotion in promotions {
            let entry = merged.entry(promotion.artifact).or_default();
            entry.approved |= entry.admits(promotion.epoch);
        }
        let mut bits = Self::default();
        for (artifact, Entry { epoch, ok, deny, undecided, approved }) in merged {
            bits.artifact.push(artifact.0);
            bits.epoch.push(epoch);
            bits.ok.push(ok.mask());
            bits.deny.push(deny.mask());
            bits.undecided.push(undecided.mask());
            bits.approved.push(approved);
        }
        bits
    }
}

/// Artifacts that may be released, and for which epoch they have a promotion.
#[derive(Default)]
pub(super) struct Releases {
    pub(super) artifact: Vec<i64>,
    pub(super) promoted_epoch: Vec<Option<i32>>,
}

impl Releases {
    pub(super) fn of(artifacts: &[ArtifactDbId], promotions: &[NewPromotion]) -> Self {
        let mut merged: BTreeMap<ArtifactDbId, Option<i32>> =
            artifacts.iter().map(|artifact| (*artifact, None)).collect();
        for promotion in promotions {
            let epoch = merged.entry(promotion.artifact).or_default();
            *epoch = (*epoch).max(Some(promotion.epoch));
        }
        let (artifact, promoted_epoch) =
            merged.into_iter().map(|(artifact, epoch)| (artifact.0, epoch)).unzip();
        Self { artifact, promoted_epoch }
    }
}
