//! The transparency log, first version (promise, proof and checkpoint) or second (proof and checkpoint only).

use std::sync::{Mutex, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use touchstone_domain::Sha256;

use super::key::{KeyKind, KeyPair};

/// Entries of other people that each log starts with, so that no proof is trivial.
const OTHERS: u8 = 5;

/// The two generations of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogVersion {
    /// P-256, promises, integrated times.
    V1,
    /// Ed25519, neither.
    V2,
}

/// A log with its whole tree in memory.
pub struct Log {
    /// The generation.
    pub version: LogVersion,
    /// The log's key.
    pub key: KeyPair,
    /// The host of the log, which is also the name that its notes are signed under.
    pub host: String,
    /// The first line of its checkpoints.
    pub origin: String,
    /// The global index of the tree's first entry.
    first_index: u64,
    leaves: Mutex<Vec<[u8; 32]>>,
}

impl Log {
    /// A log with a new key and a few entries.
    pub fn new(version: LogVersion) -> Self {
        let (kind, host, tree, first_index) = match version {
            LogVersion::V1 => (KeyKind::P256, "rekor.testkit.example", " - 1193050959916656506", 4_163_431),
            LogVersion::V2 => (KeyKind::Ed25519, "log2.rekor.testkit.example", "", 0),
        };
        Self {
            version,
            key: KeyPair::generate(kind),
            host: host.to_owned(),
            origin: format!("{host}{tree}"),
            first_index,
            leaves: Mutex::new((0..OTHERS).map(|n| leaf_hash(&[n])).collect()),
        }
    }

    /// The log's id: the SHA-256 of its key, or the note key id of the second version.
    pub fn id(&self) -> [u8; 32] {
        match self.version {
            LogVersion::V1 => self.key.id(),
            LogVersion::V2 => {
                let mut named = format!("{}\n\u{1}", self.host).into_bytes();
                named.extend(self.key.raw_public());
                Sha256::of(&named).0
            }
        }
    }

    /// Adds an entry and returns it as bundles carry it, with all the evidence that this version of the log gives.
    pub fn append(&self, kind: (&str, &str), body: &[u8], at: Timestamp) -> Value {
        let (index, size, root, path) = {
            let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
            leaves.push(leaf_hash(body));
            // Others follow at once, so that the entry is never the last leaf.
            let index = leaves.len() - 1;
            leaves.push(leaf_hash(&index.to_be_bytes()));
            (index, leaves.len(), tree_hash(&leaves), inclusion_path(index, &leaves))
        };
        let global = self.first_index + u64::try_from(index).expect("few entries");
        let mut entry = json!({
            "logIndex": global.to_string(),
            "logId": { "keyId": STANDARD.encode(self.id()) },
            "kindVersion": { "kind": kind.0, "version": kind.1 },
            "inclusionProof": {
                "logIndex": index.to_string(),
                "rootHash": STANDARD.encode(root),
                "treeSize": size.to_string(),
                "hashes": path.iter().map(|hash| STANDARD.encode(hash)).collect::<Vec<_>>(),
                "checkpoint": { "envelope": self.sign_note(&self.checkpoint(size, &root)) },
            },
            "canonicalizedBody": STANDARD.encode(body),
        });
        match self.version {
            LogVersion::V1 => {
                entry["integratedTime"] = Value::from(at.as_second().to_string());
                entry["inclusionPromise"] = self.promise(&entry);
            }
            LogVersion::V2 => {}
        }
        entry
    }

    /// The text of a checkpoint over a tree, unsigned.
    pub fn checkpoint(&self, size: usize, root: &[u8; 32]) -> String {
        format!("{}\n{size}\n{}\n", self.origin, STANDARD.encode(root))
    }

    /// A signed note over `text`, with one signature, the log's.
    pub fn sign_note(&self, text: &str) -> String {
        format!("{text}\n{}", self.note_signature(text))
    }

    /// One signature line of a note over `text`.
    pub fn note_signature(&self, text: &str) -> String {
        let mut signature = self.id()[..4].to_vec();
        signature.extend(self.key.sign(text.as_bytes()));
        format!("\u{2014} {} {}\n", self.host, STANDARD.encode(signature))
    }

    /// The promise (signed entry timestamp) over an entry as it stands.
    pub fn promise(&self, entry: &Value) -> Value {
        let id =
            STANDARD.decode(entry["logId"]["keyId"].as_str().expect("an entry has a log")).expect("base64");
        let signed = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            entry["canonicalizedBody"].as_str().expect("an entry has a body"),
            entry["integratedTime"].as_str().unwrap_or("0"),
            hex::encode(id),
            entry["logIndex"].as_str().expect("an entry has an index"),
        );
        json!({ "signedEntryTimestamp": STANDARD.encode(self.key.sign(signed.as_bytes())) })
    }

    /// The log as trusted roots describe it.
    pub(super) fn described(&self, from: Timestamp) -> Value {
        json!({
            "baseUrl": format!("https://{}", self.host),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(self.key.spki()),
                "keyDetails": self.key.details(),
                "validFor": { "start": from.to_string() },
            },
            "logId": { "keyId": STANDARD.encode(self.id()) },
        })
    }
}

/// The hash of a leaf (RFC 6962 2.1).
fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    Sha256::of([&[0], entry].concat()).0
}

/// The hash of a tree over leaf hashes.
fn tree_hash(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::of([]).0,
        [leaf] => *leaf,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            Sha256::of([&[1][..], &tree_hash(left), &tree_hash(right)].concat()).0
        }
    }
}

/// The audit path of one leaf, from the leaf up.
fn inclusion_path(index: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) = if index < at {
        (inclusion_path(index, left), tree_hash(right))
    } else {
        (inclusion_path(index - at, right), tree_hash(left))
    };
    path.push(sibling);
    path
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}
