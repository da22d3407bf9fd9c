//! What the transparency log records, and what follows from it for serving.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::{KeyId, Purl, Sha256};

use crate::{KeyKind, ServeRecord, StatementError};

/// What a recall names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecallTarget {
    /// All that the purl names.
    Purl(Purl),
    /// These bytes.
    Digest(Sha256),
}

/// One leaf of the log: a line of JSON, at most 16 KiB. Artifacts are named by their purl with the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum LogEntry {
    /// An artifact became servable.
    Promoted { purl: String, sha256: Sha256, epoch: i32, serial: i64, record: Sha256, at: Timestamp },
    /// An artifact was rejected, held, or sent back to its checks: no record of this epoch or an earlier one permits serving.
    Ended { purl: String, sha256: Sha256, epoch: i32, state: String, cause: String, at: Timestamp },
    /// An operator recalled artifacts, for ever; exactly one of `purl` and `sha256`.
    Recalled { purl: Option<String>, sha256: Option<Sha256>, reason: String, actor: String, at: Timestamp },
    /// Something that should not have happened.
    Incident { kind: String, purl: String, detail: Sha256, at: Timestamp },
    /// A key was added, its window changed, or it was revoked.
    Key { key: KeyId, kind: KeyKind, change: String, reason: Option<String>, at: Timestamp },
    /// A policy came into force.
    Policy { epoch: i32, sha256: Sha256, at: Timestamp },
    /// The database was brought back to what the log says, after a backup was restored.
    Recovered { size: u64, reason: String, at: Timestamp },
}

/// Why a record no longer permits serving, by the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Revocation {
    /// It was recalled.
    #[error("the transparency log has a recall: {reason}")]
    Recalled {
        /// The operator's words.
        reason: String,
    },
    /// Its epoch ended.
    #[error("the transparency log says that epoch {epoch} ended ({state})")]
    Ended {
        /// The last epoch that ended.
        epoch: i32,
        /// What became of it.
        state: String,
    },
}

/// What the log says must not be served: small, in memory, and only ever added to.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    recalls: Vec<(RecallTarget, String)>,
    ended: HashMap<String, (i32, String)>,
}

impl LogEntry {
    /// The leaf's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!("log helper")
    }

    /// Parses a leaf; strict.
    pub fn parse(_bytes: &[u8]) -> Result<Self, StatementError> {
        todo!("log helper")
    }
}

impl Revocations {
    /// Takes in one entry.
    pub fn add(&mut self, _entry: &LogEntry) {
        todo!("log helper")
    }

    /// Whether the log says that this record no longer permits serving.
    pub fn check(&self, _record: &ServeRecord) -> Result<(), Revocation> {
        todo!("log helper")
    }
}
