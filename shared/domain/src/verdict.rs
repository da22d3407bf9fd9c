//! What one worker service says about one artifact, once and for ever.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ArtifactDbId, CheckKind, Outcome, Sha256};

/// An immutable statement of a worker. It names everything that it depends on (threats.md KD3); signatures over it
/// come with the chain of custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// The digest of the bytes that were looked at.
    pub sha256: Sha256,
    /// The root of the chunk list of the same bytes, when the check computed it; the hash check always does.
    pub chunk_root: Option<Sha256>,
    /// The fencing token of the gate that the work was given out under.
    pub epoch: i32,
    /// The kind of check.
    pub check: CheckKind,
    /// The revision of the check's rules.
    pub check_revision: i32,
    /// The policy in force when the artifact was dispatched.
    pub policy_epoch: i32,
    /// What was found.
    pub outcome: Outcome,
    /// The digests of the evidence that was used.
    pub evidence: Vec<Sha256>,
    /// The digests of the trust material that it rests on: the sigstore root, the registry's keys.
    pub trust: Vec<Sha256>,
    /// The service that looked, `hash` for instance.
    pub service: String,
    /// Its software version.
    pub software: String,
    /// When, by the worker's clock; nothing is decided by it.
    pub decided_at: Timestamp,
}
