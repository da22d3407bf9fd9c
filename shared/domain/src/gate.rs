//! The gate: which verdicts count, and what follows from those that do.
//!
//! Postgres holds the gate and computes `servable` as a generated column; this module is the same rule in Rust, pure
//! and total, and the model that the property tests compare Postgres with.
//!
//! *Invariant:* masks only grow within an epoch, so the order of verdicts never matters and a denial is never forgotten.
//!
//! *Invariant:* an empty requirement is never satisfied.

use serde::{Deserialize, Serialize};

use crate::{ArtifactDbId, CheckKind, CheckSet, OutcomeKind, Sha256, Verdict};

/// What the policy asks of an artifact, resolved when it was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    required: CheckSet,
    veto: CheckSet,
    tolerated: CheckSet,
}

impl Requirement {
    /// Every required check can also veto; `None` when nothing is required, since nothing could then approve.
    pub fn new(required: CheckSet, veto: CheckSet) -> Option<Self> {
        (!required.is_empty()).then_some(Self {
            required,
            veto: veto.union(required),
            tolerated: CheckSet::EMPTY,
        })
    }

    /// The same, but these of the required checks may also answer that nothing is offered to them: absence is then the policy's
    /// decision, and never a check's. A check that only finds what it cannot approve is not excused, and at least one check
    /// must still approve: `None` otherwise.
    pub fn tolerating(self, tolerated: CheckSet) -> Option<Self> {
        let tolerated = tolerated.intersection(self.required);
        (!self.required.minus(tolerated).is_empty()).then_some(Self { tolerated, ..self })
    }

    /// The required checks that may answer that nothing is offered to them.
    pub const fn tolerated(self) -> CheckSet {
        self.tolerated
    }

    /// The checks that must pass.
    pub const fn required(self) -> CheckSet {
        self.required
    }

    /// The checks whose failure rejects.
    pub const fn veto(self) -> CheckSet {
        self.veto
    }
}

/// Why an artifact is kept back whatever its checks say; the bits are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// It is younger than the policy asks for.
    Age,
    /// An operator recalled it.
    Recalled,
}

/// A set of reasons to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HoldSet(i64);

impl HoldSet {
    /// No reason.
    pub const EMPTY: Self = Self(0);

    /// The set with one member.
    pub const fn of(reason: HoldReason) -> Self {
        match reason {
            HoldReason::Age => Self(1),
            HoldReason::Recalled => Self(2),
        }
    }

    /// The stored mask.
    pub const fn mask(self) -> i64 {
        self.0
    }

    /// Reads a stored mask; unknown bits stay set, and hold.
    pub const fn from_mask(mask: i64) -> Self {
        Self(mask)
    }

    /// Whether nothing holds.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the reason is in it.
    pub const fn contains(self, reason: HoldReason) -> bool {
        self.0 & Self::of(reason).0 != 0
    }
}

/// The state of an artifact, derived from its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactState {
    /// Stored; no check has answered.
    Fetched,
    /// Some required check has not answered.
    Verifying,
    /// Every required check approved, and nothing holds it.
    Servable,
    /// Every required check answered, and it may not be served.
    Held,
    /// A check vetoed it.
    Rejected,
    /// It was recalled.
    Revoked,
}

impl ArtifactState {
    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Verifying => "verifying",
            Self::Servable => "servable",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
        }
    }

    /// Whether it may be served.
    pub const fn is_servable(self) -> bool {
        match self {
            Self::Servable => true,
            Self::Fetched | Self::Verifying | Self::Held | Self::Rejected | Self::Revoked => false,
        }
    }

    /// Whether waiting for the checks can still change it.
    pub const fn is_pending(self) -> bool {
        match self {
            Self::Fetched | Self::Verifying => true,
            Self::Servable | Self::Held | Self::Rejected | Self::Revoked => false,
        }
    }
}

/// One artifact's gate: the facts that the decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The root of its chunk list, as computed while it was stored.
    pub chunk_root: Sha256,
    /// The fencing token: verdicts for another epoch do not count.
    pub epoch: i32,
    /// What the policy asks for.
    pub requirement: Requirement,
    /// The checks that approved.
    pub ok: CheckSet,
    /// The checks that failed it.
    pub deny: CheckSet,
    /// The checks that answered without approving or denying.
    pub undecided: CheckSet,
    /// What keeps it back regardless.
    pub hold: HoldSet,
}

impl Gate {
    /// The same expression as the generated column `gate.servable`.
    pub fn is_servable(&self) -> bool {
        let Requirement { required, veto, .. } = self.requirement;
        !required.is_empty()
            && self.ok.contains_all(required)
            && self.deny.intersection(veto).is_empty()
            && self.hold.is_empty()
    }

    /// The required checks that have not answered.
    pub fn missing(&self) -> CheckSet {
        self.requirement.required.minus(self.ok.union(self.deny).union(self.undecided))
    }

    /// The state that users see.
    pub fn state(&self) -> ArtifactState {
        if self.hold.contains(HoldReason::Recalled) {
            ArtifactState::Revoked
        } else if !self.deny.intersection(self.requirement.veto).is_empty() {
            ArtifactState::Rejected
        } else if self.is_servable() {
            ArtifactState::Servable
        } else if self.missing().is_empty() {
            ArtifactState::Held
        } else if self.ok.union(self.deny).union(self.undecided).is_empty() {
            ArtifactState::Fetched
        } else {
            ArtifactState::Verifying
        }
    }

    /// Applies a counted verdict, as the gate statement does.
    pub fn apply(&mut self, delta: &GateDelta) {
        if delta.artifact == self.artifact && delta.epoch == self.epoch {
            self.ok = self.ok.union(delta.ok);
            self.deny = self.deny.union(delta.deny);
            self.undecided = self.undecided.union(delta.undecided);
        }
    }
}

/// The bits that one counted verdict adds. Only [`count`] makes one; only the store applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateDelta {
    artifact: ArtifactDbId,
    epoch: i32,
    ok: CheckSet,
    deny: CheckSet,
    undecided: CheckSet,
}

impl GateDelta {
    /// The artifact whose gate it is for.
    pub const fn artifact(&self) -> ArtifactDbId {
        self.artifact
    }

    /// The epoch that it is for.
    pub const fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The approving bits.
    pub const fn ok(&self) -> CheckSet {
        self.ok
    }

    /// The denying bits.
    pub const fn deny(&self) -> CheckSet {
        self.deny
    }

    /// The bits that answered without deciding.
    pub const fn undecided(&self) -> CheckSet {
        self.undecided
    }
}

/// Why a verdict does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// It is about another artifact.
    #[error("the verdict is about artifact {found}, not {expected}")]
    OtherArtifact {
        /// The gate's artifact.
        expected: ArtifactDbId,
        /// The verdict's.
        found: ArtifactDbId,
    },
    /// It is about other bytes: an integrity alarm.
    #[error("the verdict is about the bytes {found}, not {expected}")]
    OtherBytes {
        /// The artifact's digest.
        expected: Sha256,
        /// The verdict's.
        found: Sha256,
    },
    /// It was given out under an older (or invented) epoch.
    #[error("the verdict is for epoch {found}, and the gate is at {expected}")]
    StaleEpoch {
        /// The gate's epoch.
        expected: i32,
        /// The verdict's.
        found: i32,
    },
    /// The hash check approved without the chunk list that was stored: an integrity alarm.
    #[error("the hash verdict has the chunk root {found:?}, and the artifact {expected}")]
    ChunkRoot {
        /// The artifact's chunk root.
        expected: Sha256,
        /// The verdict's.
        found: Option<Sha256>,
    },
}

/// Decides whether a verdict counts towards a gate, and which bits it adds.
pub fn count(verdict: &Verdict, gate: &Gate) -> Result<GateDelta, NotCounted> {
    if verdict.artifact != gate.artifact {
        return Err(NotCounted::OtherArtifact { expected: gate.artifact, found: verdict.artifact });
    }
    if verdict.sha256 != gate.sha256 {
        return Err(NotCounted::OtherBytes { expected: gate.sha256, found: verdict.sha256 });
    }
    if verdict.epoch != gate.epoch {
        return Err(NotCounted::StaleEpoch { expected: gate.epoch, found: verdict.epoch });
    }
    let approves = verdict.outcome.kind == OutcomeKind::Pass;
    if approves && verdict.check == CheckKind::Hash && verdict.chunk_root != Some(gate.chunk_root) {
        return Err(NotCounted::ChunkRoot { expected: gate.chunk_root, found: verdict.chunk_root });
    }
    let bit = CheckSet::of(verdict.check);
    let (mut ok, mut deny, mut undecided) = (CheckSet::EMPTY, CheckSet::EMPTY, CheckSet::EMPTY);
    match verdict.outcome.kind {
        OutcomeKind::Pass => ok = bit,
        OutcomeKind::Fail => deny = bit,
        OutcomeKind::NotOffered if gate.requirement.tolerated.contains(verdict.check) => ok = bit,
        OutcomeKind::NotOffered | OutcomeKind::Inconclusive => undecided = bit,
    }
    Ok(GateDelta { artifact: gate.artifact, epoch: gate.epoch, ok, deny, undecided })
}

/// What follows from a gate.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every required check approved.
    Promote(PromotionGrant),
    /// It stays back: for checks that did not answer or did not approve, or for a hold.
    Hold {
        /// The required checks that have not answered.
        missing: CheckSet,
        /// The required checks that answered without approving.
        undecided: CheckSet,
        /// What holds it regardless.
        hold: HoldSet,
    },
    /// Checks vetoed it.
    Reject {
        /// The checks that did.
        denied: CheckSet,
    },
}

/// Permission to write one promotion. Only [`decide`] makes one, and only the store consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct PromotionGrant {
    artifact: ArtifactDbId,
    sha256: Sha256,
    chunk_root: Sha256,
    epoch: i32,
}

impl PromotionGrant {
    /// The artifact.
    pub const fn artifact(&self) -> ArtifactDbId {
        self.artifact
    }

    /// The digest that was approved.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The chunk root that the hash check bound to it.
    pub const fn chunk_root(&self) -> Sha256 {
        self.chunk_root
    }

    /// The epoch that approved it.
    pub const fn epoch(&self) -> i32 {
        self.epoch
    }
}

/// Decides; pure and total.
pub fn decide(gate: &Gate) -> Decision {
    let denied = gate.deny.intersection(gate.requirement.veto);
    if !denied.is_empty() {
        Decision::Reject { denied }
    } else if gate.is_servable() {
        Decision::Promote(PromotionGrant {
            artifact: gate.artifact,
            sha256: gate.sha256,
            chunk_root: gate.chunk_root,
            epoch: gate.epoch,
        })
    } else {
        let undecided = gate.undecided.intersection(gate.requirement.required).minus(gate.ok);
        Decision::Hold { missing: gate.missing(), undecided, hold: gate.hold }
    }
}

#[cfg(test)]
mod tests;
