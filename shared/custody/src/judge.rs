//! What signatures say of an artifact, whatever rows say: which verdicts count, and whether they approve.
//!
//! A row is compared with what was signed before it counts, so that the history that people read is the one that decided. Of a
//! fetch the address is not compared: bytes that were fetched again may have come from elsewhere, and the digests say what they are.
//!
//! *Invariant:* the requirement is that of the policy that promote itself was given, and that of the gate: both must be fulfilled,
//! by verified verdicts alone, and for the policy by those that were judged by it. Ages count by promote's clock, from the signed date or from that of the row, whichever is later. A row
//! can only make less pass.
//!
//! *Invariant:* what is dated in promote's future does not count: no key signs ahead for when it will have ended.

mod row;
mod tally;

use jiff::{SignedDuration, Timestamp};
use touchstone_domain::{
    Admission, ArtifactId, CheckSet, EnvelopeRef, Gate, GateDelta, HoldReason, HoldSet, KeyId, NotCounted,
    Policy, Sha256, Sha512, Sighting, Verdict,
};

use self::tally::Tally;
use crate::{
    Approver, FetchStatement, KeyRing, Refused, Signed, VerdictStatement,
    dsse::{Opened, Statement, open_many},
};

/// How far a signer's clock may be ahead of promote's.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What Postgres has of one artifact in the epoch of its gate. UNVERIFIED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its gate.
    pub gate: Gate,
    /// The policy that the gate was opened under.
    pub policy_epoch: i32,
    /// Its coordinate.
    pub id: ArtifactId,
    /// The second digest of its bytes; the first is the gate's.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// Where they came from.
    pub upstream_url: String,
    /// When the version was first listed to us, or else when the artifact was put on record, by Postgres' clock.
    pub first_seen: Timestamp,
    /// The envelopes of its fetches, the latest first.
    pub fetches: Vec<EnvelopeRef>,
    /// The verdicts of this epoch, the earliest first.
    pub verdicts: Vec<StoredVerdict>,
}

/// A row of `verdict`. UNVERIFIED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVerdict {
    /// Its row.
    pub row: i64,
    /// What the columns say.
    pub verdict: Verdict,
    /// The envelope, and the key that the row names; rows from before verdicts were signed have none.
    pub signed: Option<touchstone_domain::SignedBy>,
}

/// Why a stored verdict or fetch does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// It has no envelope.
    #[error("it is not signed")]
    Unsigned,
    /// The envelope cannot be read from the blob store, or is not what its digest says.
    #[error("its envelope is missing or damaged")]
    Missing,
    /// Its signature does not count.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The row says something else than what was signed, or what was signed is about something else.
    #[error("its {field} is {found}, and {expected} was signed")]
    Field {
        /// The field, in the words of the statement.
        field: &'static str,
        /// What was signed.
        expected: String,
        /// What the row says.
        found: String,
    },
    /// It is dated later than now, by promote's clock and more than clocks differ.
    #[error("it is dated {0}, which is still to come")]
    Ahead(Timestamp),
    /// What was signed does not count towards this gate.
    #[error(transparent)]
    NotCounted(#[from] NotCounted),
}

impl NotSigned {
    /// The stable code: `unsigned`, `missing`, those of [`Refused::code`], `differs`, `ahead`, `other_artifact`,
    /// `other_bytes`, `stale_epoch`, `chunk_root`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Missing => "missing",
            Self::Refused(refused) => refused.code(),
            Self::Field { .. } => "differs",
            Self::Ahead(_) => "ahead",
            Self::NotCounted(NotCounted::OtherArtifact { .. }) => "other_artifact",
            Self::NotCounted(NotCounted::OtherBytes { .. }) => "other_bytes",
            Self::NotCounted(NotCounted::StaleEpoch { .. }) => "stale_epoch",
            Self::NotCounted(NotCounted::ChunkRoot { .. }) => "chunk_root",
        }
    }
}

/// All that verified verdicts and the policy say together: permission to sign a serve record. Only [`judge()`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub(crate) environment: String,
    pub(crate) gate: Gate,
    pub(crate) id: ArtifactId,
    pub(crate) sha512: Sha512,
    pub(crate) size: u64,
    pub(crate) policy_epoch: i32,
    pub(crate) policy: Sha256,
    pub(crate) rests_on: Vec<Approver>,
}

impl Approval {
    /// The artifact's gate, as it was read.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The epoch of the policy that approves: that which promote was given.
    pub const fn policy_epoch(&self) -> i32 {
        self.policy_epoch
    }

    /// The keys that it rests on.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.rests_on.iter().map(|approver| approver.key)
    }
}

/// Why nothing is approved; the first of them that applies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// Checks vetoed it: a verified failure, or a denial that the row has.
    #[error("{denied} denied it")]
    Rejected {
        /// Those checks.
        denied: CheckSet,
    },
    /// The gate requires checks that no verified verdict answers with an approval.
    #[error("no signed approval is there from {missing}")]
    Checks {
        /// Those checks.
        missing: CheckSet,
    },
    /// Something other than its age holds it.
    #[error("it is held")]
    Held(HoldSet),
    /// The policy denies it, or says that the name is internal.
    #[error("the policy does not admit it")]
    NotAdmitted,
    /// The gate's requirement is fulfilled, but that of the policy is not: it asks for more, or other documents were judged by.
    #[error("the policy asks for more: {missing}")]
    Policy {
        /// The checks that it requires besides, or that it does not excuse, whose failure it does not overlook, or that judged by
        /// another policy.
        missing: CheckSet,
    },
    /// No signed fetch of these bytes counts; this is what the latest one lacks.
    #[error("no fetch of it counts")]
    Fetch(#[source] NotSigned),
    /// It is younger than the policy asks for.
    #[error("it is too young until {0}")]
    Age(Timestamp),
}

/// The envelopes of fetches that do not count, and why.
type RefusedFetches = Vec<(Sha256, NotSigned)>;

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The bits of the verdicts that count, one entry for each.
    pub deltas: Vec<GateDelta>,
    /// The rows that do not count, and why.
    pub refused: Vec<(i64, NotSigned)>,
    /// The envelopes of fetches that do not count, and why; those that are later than one that does.
    pub refused_fetches: Vec<(Sha256, NotSigned)>,
    /// The required checks of the gate that no verified verdict answers.
    pub missing: CheckSet,
    /// The approvals that the row has, and that no verified verdict backs.
    pub unbacked: CheckSet,
    /// Permission to sign, if the verified verdicts fulfil both the gate's requirement and the policy's.
    pub approval: Result<Approval, Withheld>,
}

/// Judges. `envelopes` are the bytes of the case's fetches, then of its verdicts, in their order; `None` where there is none.
/// `policy_epoch` is that of `policy`, the one that promote was given.
pub fn judge(
    case: &Case,
    envelopes: &[Option<&[u8]>],
    ring: &KeyRing,
    policy: (&Policy, i32),
    environment: &str,
    now: Timestamp,
) -> Judged {
    let mut judged = judge_many(&[(case, envelopes)], ring, policy, environment, now);
    judged.pop().expect("one answer for one case")
}

/// Judges many cases at once, which is cheaper than one by one; answers in their order.
pub fn judge_many(
    cases: &[(&Case, &[Option<&[u8]>])],
    ring: &KeyRing,
    policy: (&Policy, i32),
    environment: &str,
    now: Timestamp,
) -> Vec<Judged> {
    let all: Vec<&[u8]> =
        cases.iter().flat_map(|(_, envelopes)| envelopes.iter().copied().flatten()).collect();
    let mut opened = open_many(&all, ring).into_iter();
    let rules = Rules { policy: policy.0, policy_epoch: policy.1, environment, now };
    cases
        .iter()
        .map(|(case, envelopes)| {
            let mut there = envelopes.iter().map(|envelope| envelope.and_then(|_| opened.next()));
            let fetches: Vec<_> = case.fetches.iter().map(|_| read(there.next().flatten(), ring)).collect();
            let verdicts = case.verdicts.iter().map(|_| read(there.next().flatten(), ring)).collect();
            there.for_each(drop);
            rules.judge(case, fetches, verdicts)
        })
        .collect()
}

/// What was signed, where there is an envelope.
fn read<T: Statement>(envelope: Option<Result<Opened<'_>, Refused>>, ring: &KeyRing) -> Read<T> {
    envelope.map(|opened| opened?.read(ring))
}

type Read<T> = Option<Result<Signed<T>, Refused>>;

/// What promote itself was given.
struct Rules<'a> {
    policy: &'a Policy,
    policy_epoch: i32,
    environment: &'a str,
    now: Timestamp,
}

impl Rules<'_> {
    fn judge(
        &self,
        case: &Case,
        fetches: Vec<Read<FetchStatement>>,
        verdicts: Vec<Read<VerdictStatement>>,
    ) -> Judged {
        let mut tally = Tally::new(case, self.policy);
        for (stored, opened) in case.verdicts.iter().zip(verdicts) {
            let counted = self.verdict(case, stored, opened).and_then(|signed| tally.count(&signed));
            if let Err(reason) = counted {
                tally.refused.push((stored.row, reason));
            }
        }
        let (fetch, refused_fetches) = self.fetch(case, fetches);
        let approval = self.approve(case, &tally, fetch);
        Judged {
            missing: tally.gate.missing(),
            unbacked: case.gate.ok.minus(tally.gate.ok),
            deltas: tally.deltas,
            refused: tally.refused,
            refused_fetches,
            approval,
        }
    }

    /// Whether a row is what was signed.
    fn verdict(
        &self,
        case: &Case,
        stored: &StoredVerdict,
        opened: Read<VerdictStatement>,
    ) -> Result<Signed<VerdictStatement>, NotSigned> {
        let by = stored.signed.as_ref().ok_or(NotSigned::Unsigned)?;
        let signed = opened.ok_or(NotSigned::Missing)??;
        if signed.envelope() != by.envelope.sha256 {
            return Err(NotSigned::Missing);
        }
        row::verdict(case, stored, by.key, &signed, self.environment)?;
        self.not_ahead(signed.statement().verdict.decided_at)?;
        Ok(signed)
    }

    fn not_ahead(&self, date: Timestamp) -> Result<(), NotSigned> {
        if date.duration_since(self.now) > AHEAD_MAX { Err(NotSigned::Ahead(date)) } else { Ok(()) }
    }

    /// The latest fetch that counts, or what the latest one lacks; and all that do not count before it.
    fn fetch(
        &self,
        case: &Case,
        fetches: Vec<Read<FetchStatement>>,
    ) -> (Result<Signed<FetchStatement>, NotSigned>, RefusedFetches) {
        let mut refused = Vec::new();
        for (envelope, opened) in case.fetches.iter().zip(fetches) {
            let counted = opened.ok_or(NotSigned::Missing).and_then(|opened| {
                let signed = opened?;
                if signed.envelope() != envelope.sha256 {
                    return Err(NotSigned::Missing);
                }
                row::fetch(case, signed.statement(), self.environment)?;
                self.not_ahead(signed.statement().fetched_at)?;
                Ok(signed)
            });
            match counted {
                Ok(signed) => return (Ok(signed), refused),
                Err(reason) => refused.push((envelope.sha256, reason)),
            }
        }
        let problem = refused.first().map_or(NotSigned::Unsigned, |(_, reason)| reason.clone());
        (Err(problem), refused)
    }

    fn approve(
        &self,
        case: &Case,
        tally: &Tally,
        fetch: Result<Signed<FetchStatement>, NotSigned>,
    ) -> Result<Approval, Withheld> {
        let (gate, own) = (&tally.gate, &tally.own);
        let denied = case.gate.deny.union(gate.deny).intersection(gate.requirement.veto());
        if !denied.is_empty() {
            return Err(Withheld::Rejected { denied });
        }
        let missing = gate.requirement.required().minus(gate.ok);
        if !missing.is_empty() {
            return Err(Withheld::Checks { missing });
        }
        let held = HoldSet::from_mask(case.gate.hold.mask() & !HoldSet::of(HoldReason::Age).mask());
        if !held.is_empty() {
            return Err(Withheld::Held(held));
        }
        match self.policy.admit(&case.id, case.gate.sha256) {
            Admission::Admitted => {}
            Admission::Denied { .. } | Admission::Internal => return Err(Withheld::NotAdmitted),
        }
        let denied = case.gate.deny.union(own.deny).intersection(own.requirement.veto());
        let missing = own.requirement.required().minus(own.ok).union(denied);
        if !missing.is_empty() {
            return Err(Withheld::Policy { missing });
        }
        let fetch = fetch.map_err(Withheld::Fetch)?;
        self.old_enough(case, fetch.statement())?;
        let mut rests_on = vec![Approver { check: None, key: fetch.key(), envelope: fetch.envelope() }];
        rests_on.extend(tally.approvers());
        Ok(Approval {
            environment: self.environment.to_owned(),
            gate: case.gate,
            id: case.id.clone(),
            sha512: case.sha512,
            size: case.size,
            policy_epoch: self.policy_epoch,
            policy: self.policy.digest(),
            rests_on,
        })
    }

    fn old_enough(&self, case: &Case, fetch: &FetchStatement) -> Result<(), Withheld> {
        let first_seen = fetch.first_seen.max(case.first_seen);
        let seen = Sighting { published_at: fetch.published_at, first_seen };
        match self.policy.eligible_at(case.id.ecosystem, &case.id.package, seen) {
            Some(until) if until > self.now => Err(Withheld::Age(until)),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
