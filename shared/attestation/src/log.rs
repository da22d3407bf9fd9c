//! What a transparency log says about a signature.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How strongly the log's entries are evidenced. The bundle's media type is unsigned, so an old bundle form may hide a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceLevel {
    /// Some entry has only the log's signed promise (bundles v0.1).
    Promise,
    /// Every entry has an inclusion proof up to a checkpoint that its log signed.
    Proof,
}

/// The authenticated facts of one log entry; what a bundle says without proof is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The log's id in the trust root: standard base64.
    pub log_id: String,
    /// Its address in the trust root.
    pub log_url: String,
    /// The entry's kind and version, such as `dsse/0.0.1`.
    pub kind: String,
    /// The position in the whole log: by the promise (Rekor v1) or the proof (Rekor v2).
    pub log_index: Option<u64>,
    /// The position in the tree of the checkpoint, by the proof.
    pub leaf_index: Option<u64>,
    /// The number of leaves of that tree.
    pub tree_size: Option<u64>,
    /// When the log took it, by the promise; absent for Rekor v2.
    pub integrated_time: Option<Timestamp>,
}
