//! What signatures say of an artifact, whatever rows say: which verdicts count, and whether they approve.
//!
//! *Invariant:* the requirement is that of the policy that promote itself was given, and ages count by promote's clock from signed
//! dates. A row can only make less pass.

use jiff::Timestamp;
use touchstone_domain::{
    ArtifactId, EnvelopeRef, Gate, GateDelta, KeyId, NotCounted, Policy, Sha256, Sha512, Verdict,
};

use crate::{Approver, KeyRing, Refused};

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
    /// What was signed does not count towards this gate.
    #[error(transparent)]
    NotCounted(#[from] NotCounted),
}

/// All that verified verdicts and the policy say together: permission to sign a serve record. Only [`judge`] makes one.
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

    /// The keys that it rests on.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.rests_on.iter().map(|approver| approver.key)
    }
}

/// What came of a case.
#[derive(Debug)]
pub struct Judged {
    /// The bits of the verdicts that count.
    pub deltas: Vec<GateDelta>,
    /// The rows that do not count, and why.
    pub refused: Vec<(i64, NotSigned)>,
    /// Why no fetch counts, if there is one that does not and none that does.
    pub fetch: Result<(), NotSigned>,
    /// Permission to sign, if the verified verdicts fulfil both the gate's requirement and the policy's.
    pub approval: Option<Approval>,
    /// Whether the verified verdicts fulfil the gate's requirement, but not that of the policy: it asks for more.
    pub policy_asks_more: bool,
}

/// Judges. `envelopes` are the bytes of the case's fetches, then of its verdicts, in their order; `None` where there is none.
/// `policy_epoch` is that of `policy`, the one that promote was given.
pub fn judge(
    _case: &Case,
    _envelopes: &[Option<&[u8]>],
    _ring: &KeyRing,
    _policy: (&Policy, i32),
    _environment: &str,
    _now: Timestamp,
) -> Judged {
    todo!("promote helper")
}
