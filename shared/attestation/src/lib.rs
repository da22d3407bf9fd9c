//! Sigstore bundles, PEP 740 attestations and npm registry signatures: bytes in, a verified statement out.
//!
//! The cryptography and the log proofs are `sigstore-verify`'s; around them stand the checks that it leaves to its callers
//! (bounds, strict JSON, an authenticated time, the choice of key, the subject). Bundle format: the sigstore bundle protobuf
//! messages as JSON, v0.1 to v0.3. Statements: in-toto v0.1 and v1.
//!
//! *Invariant:* pure and offline. No I/O, no async; the one clock is the library's, which refuses integrated times in the future.
//!
//! *Invariant:* only [`TrustRoot::verify`] makes a [`Verified`], and only [`Verified::into_statement`] makes a
//! [`VerifiedStatement`]. A verified statement is not an authorised one: who may sign what is the caller's question.
//!
//! *Invariant:* everything is bounded before it is parsed, and everything that is not understood is refused.

mod certificate;
mod library;
mod log;
mod pep740;
mod refused;
mod registry_keys;
mod statement;
mod strict_json;
mod trust_root;
mod verify;
mod wire;

pub use certificate::{Certificate, SanKind};
pub use log::{EvidenceLevel, LogEntry};
pub use pep740::bundle_from_pep740;
pub use refused::{Problem, Refused};
pub use registry_keys::{KeyUsage, RegistryKey, RegistryKeys, RegistryKeysError, SignatureProblem};
pub use statement::{SubjectDigest, SubjectRule, VerifiedStatement};
pub use strict_json::{JsonLimits, strict_json};
pub use trust_root::{Authority, AuthorityKind, TrustRoot, TrustRootError, TrustRootSummary};
pub use verify::{ArtifactDigests, Signer, Verified};
