//! The vocabulary of Touchstone: what an artifact is, what outsiders claim, what we found, and the decisions over them.
//!
//! *Invariant:* pure. No I/O, no clock, no randomness, no async, no SQL, no HTTP.
//!
//! *Invariant:* nothing unverified has the type of something verified. Outsiders make [`Claim`]s; checks make
//! [`Verdict`]s; only [`decide`] makes a [`PromotionGrant`]; only a signed serve record makes a promoted artifact
//! (`touchstone-custody`).

mod artifact;
mod check;
mod chunk;
mod claim;
mod continuity;
mod custody;
mod digest;
mod ecosystem;
mod evidence;
mod gate;
mod identity;
mod outcome;
mod policy;
mod purl;
mod reason;
mod refusal;
mod verdict;

pub use artifact::{ArtifactDbId, ArtifactId, FileName, NameError, PackageName, Version};
pub use check::{CheckKind, CheckSet, UnknownCheck};
pub use chunk::{CHUNK_BYTES, ChunkError, ChunkList};
pub use claim::{Claim, ClaimField, UnknownClaimField};
pub use continuity::{
    Absence, Basis, Discontinuity, LineHistory, Observed, ReleaseLine, judge_absent, judge_attested,
};
pub use custody::{EnvelopeRef, KeyId, SignedBy};
pub use digest::{Algorithm, Digest, DigestError, Sha256, Sha512};
pub use ecosystem::{Ecosystem, UnknownEcosystem};
pub use evidence::{Evidence, EvidenceKind};
pub use gate::{
    ArtifactState, Decision, Gate, GateDelta, HoldReason, HoldSet, NotCounted, PromotionGrant, Requirement,
    count, decide,
};
pub use identity::{Difference, Identity, IdentityField, RefClass, TrustRank};
pub use outcome::{Outcome, OutcomeKind};
pub use policy::{Admission, AttestationMode, Pin, Policy, PolicyError, Sighting, Waiver};
pub use purl::{Purl, PurlError};
pub use reason::{ArchiveRule, AttestationNote, Reason, SignatureNote};
pub use refusal::{Refusal, RefusalKind};
pub use verdict::Verdict;
