//! What is signed, and how it is verified: the chain of custody from the fetch to the permission to serve.
//!
//! ```text
//! edge    fetch ─▶ FetchStatement ──┐
//! workers check ─▶ VerdictStatement ┼─ DSSE (Ed25519) ─▶ judge(Case, KeyRing, Policy) ─▶ Approval ─▶ ServeRecord (VSA) ─▶ edge
//!                                   └─ in-toto links that stock tools verify
//! ```
//!
//! *Invariant:* nothing that a database row says counts. [`judge()`] takes envelopes, and what comes out rests on signatures of keys
//! in the ring alone; the edge serves by a [`ServeRecord`], which only [`ServeRecord::verify`] makes.
//!
//! *Invariant:* a key signs for one kind of step. A key of another kind, outside its window, or revoked is no key.
//!
//! *Invariant:* pure. No I/O, no clock, no async; whatever comes from outside is bounded before it is parsed. What is random is new
//! keys, and the coefficients that signatures are verified together with.

mod batch;
mod dsse;
mod judge;
mod key;
mod layout;
mod link;
mod log;
mod ring;
mod serve;
mod signer;
#[cfg(test)]
mod testing;

pub use dsse::{ENVELOPE_BYTES_MAX, Envelope, EnvelopeError, PAYLOAD_TYPE, Refused, Signed, sign};
pub use judge::{Approval, Case, Judged, NotSigned, StoredVerdict, Withheld, judge, judge_many};
pub use key::{KeyKind, PublicKey, PublicKeyError, UnknownKeyKind};
pub use layout::{ABSENT_DIR, COPY_INSPECTION, FETCH_STEP, LAYOUT_LIFE, Layout, requirements};
pub use link::{FetchStatement, StatementError, VerdictStatement, link_file_name};
pub use log::{LOG_ENTRY_BYTES_MAX, LogEntry, RecallTarget, Revocation, Revocations, artifact_purl};
pub use ring::{KeyEntry, KeyProblem, KeyRing, Revoked, RingError};
pub use serve::{Approver, Expected, PromotedArtifact, RecordMismatch, ServeRecord, VSA_TYPE};
pub use signer::{LocalSigner, SignError, Signer, Signing};
