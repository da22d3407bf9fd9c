//! What the transparency log records, and what follows from it for serving.
//!
//! *Invariant:* [`Revocations`] only grows. Nothing in the log gives back a permission that it took: a recall is for ever, and what
//! ended in one epoch may only be promoted again in a later one.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::{ArtifactId, Ecosystem, KeyId, PackageName, Purl, Sha256};

use crate::{KeyKind, ServeRecord, StatementError};

/// The longest entry, in bytes.
pub const LOG_ENTRY_BYTES_MAX: usize = 16 * 1024;
/// The most characters of a reason that makes an entry too long; JSON needs at most six bytes for each.
const REASON_CHARS_MAX: usize = 512;

/// The events that are known, by the word in [`LogEntry`]'s JSON.
const EVENTS: [&str; 7] = ["promoted", "ended", "recalled", "incident", "key", "policy", "recovered"];

/// The only thing that is asked of an entry of a newer version.
#[derive(Deserialize)]
struct Named {
    event: String,
}

/// What a recall names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecallTarget {
    /// All that the purl names.
    Purl(Purl),
    /// These bytes.
    Digest(Sha256),
}

/// One leaf of the log: a line of JSON, at most [`LOG_ENTRY_BYTES_MAX`]. Artifacts are named by their purl with the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum LogEntry {
    /// An artifact became servable.
    Promoted {
        /// The artifact, by [`artifact_purl`].
        purl: String,
        /// The digest of its bytes.
        sha256: Sha256,
        /// The epoch of the gate that approved them.
        epoch: i32,
        /// The number of the promotion.
        serial: i64,
        /// The digest of the serve record's envelope.
        record: Sha256,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
    /// An artifact was rejected, held, or sent back to its checks: no record of this epoch or an earlier one permits serving.
    Ended {
        /// The artifact, by [`artifact_purl`].
        purl: String,
        /// The digest of its bytes.
        sha256: Sha256,
        /// The last epoch that ended.
        epoch: i32,
        /// The state that it is in now.
        state: String,
        /// What changed it.
        cause: String,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
    /// An operator recalled artifacts, for ever; exactly one of `purl` and `sha256`.
    Recalled {
        /// All that it names; without a version or a file, all of them.
        purl: Option<String>,
        /// These bytes, whatever their coordinate.
        sha256: Option<Sha256>,
        /// Why.
        reason: String,
        /// Who said so.
        actor: String,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
    /// Something that should not have happened.
    Incident {
        /// What kind.
        kind: String,
        /// What it is about, as far as it is known.
        purl: String,
        /// The digest of the details, which are for people.
        detail: Sha256,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
    /// A key was added, its window changed, or it was revoked.
    Key {
        /// The key.
        key: KeyId,
        /// What it signs.
        kind: KeyKind,
        /// What became of it.
        change: String,
        /// Why, if somebody said so.
        reason: Option<String>,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
    /// A policy came into force.
    Policy {
        /// Its epoch.
        epoch: i32,
        /// Its digest.
        sha256: Sha256,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
    /// The database was brought back to what the log says, after a backup was restored.
    Recovered {
        /// The size of the log that it was brought back to.
        size: u64,
        /// Why, in the operator's words.
        reason: String,
        /// When, by Postgres' clock.
        at: Timestamp,
    },
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
    by_digest: HashMap<Sha256, String>,
    by_package: HashMap<Ecosystem, HashMap<PackageName, Vec<(Purl, String)>>>,
    ended: HashMap<ArtifactId, (i32, String)>,
}

/// The purl of one artifact, always with the file's name.
pub fn artifact_purl(id: &ArtifactId) -> Purl {
    Purl { file: Some(id.file.clone()), ..Purl::from(id) }
}

impl LogEntry {
    /// The leaf's bytes. A reason that makes it too long is cut.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = serde_json::to_vec(self).expect("an entry has nothing that JSON does not");
        if bytes.len() <= LOG_ENTRY_BYTES_MAX {
            return bytes;
        }
        let mut cut = self.clone();
        if let Some(reason) = cut.reason() {
            *reason = reason.chars().take(REASON_CHARS_MAX).collect();
        }
        serde_json::to_vec(&cut).expect("an entry has nothing that JSON does not")
    }

    /// Parses a leaf; strict: every entry has one form, that of [`LogEntry::to_bytes`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let refused = |problem: String| StatementError { field: "entry", problem };
        if bytes.len() > LOG_ENTRY_BYTES_MAX {
            return Err(refused(format!("it has {} bytes", bytes.len())));
        }
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))?;
        if entry.to_bytes() != bytes {
            return Err(refused("it is spelled in another way than entries are".to_owned()));
        }
        match &entry {
            Self::Promoted { purl, epoch, serial, .. } => {
                full_purl(purl)?;
                not_negative("epoch", (*epoch).into())?;
                not_negative("serial", *serial)?;
            }
            Self::Ended { purl, epoch, .. } => {
                full_purl(purl)?;
                not_negative("epoch", (*epoch).into())?;
            }
            Self::Recalled { purl, sha256, .. } => {
                recalled(purl.as_deref(), *sha256)?;
            }
            Self::Incident { .. } | Self::Key { .. } | Self::Policy { .. } | Self::Recovered { .. } => {}
        }
        Ok(entry)
    }

    /// As [`LogEntry::parse`], for whoever only follows the log: `None` is an event that a newer version wrote.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, StatementError> {
        let refused = match Self::parse(bytes) {
            Ok(entry) => return Ok(Some(entry)),
            Err(refused) => refused,
        };
        if bytes.len() > LOG_ENTRY_BYTES_MAX || !bytes.starts_with(b"{") {
            return Err(refused);
        }
        match serde_json::from_slice::<Named>(bytes) {
            Ok(Named { event }) if !EVENTS.contains(&event.as_str()) => Ok(None),
            Ok(_) | Err(_) => Err(refused),
        }
    }

    /// What it recalls, if it is a recall and names one thing.
    pub fn recalled(&self) -> Option<RecallTarget> {
        match self {
            Self::Recalled { purl, sha256, .. } => recalled(purl.as_deref(), *sha256).ok(),
            Self::Promoted { .. }
            | Self::Ended { .. }
            | Self::Incident { .. }
            | Self::Key { .. }
            | Self::Policy { .. }
            | Self::Recovered { .. } => None,
        }
    }

    /// The artifact whose promotion ended, and the last epoch that did.
    pub fn ended(&self) -> Option<(ArtifactId, i32)> {
        match self {
            Self::Ended { purl, epoch, .. } => Some((full_purl(purl).ok()?, *epoch)),
            Self::Promoted { .. }
            | Self::Recalled { .. }
            | Self::Incident { .. }
            | Self::Key { .. }
            | Self::Policy { .. }
            | Self::Recovered { .. } => None,
        }
    }

    fn reason(&mut self) -> Option<&mut String> {
        match self {
            Self::Recalled { reason, .. } | Self::Recovered { reason, .. } => Some(reason),
            Self::Key { reason, .. } => reason.as_mut(),
            Self::Promoted { .. } | Self::Ended { .. } | Self::Incident { .. } | Self::Policy { .. } => None,
        }
    }
}

impl Revocations {
    /// Takes in one entry. Those that [`LogEntry::parse`] would refuse say nothing.
    pub fn add(&mut self, entry: &LogEntry) {
        if let LogEntry::Recalled { reason, .. } = entry {
            match entry.recalled() {
                Some(RecallTarget::Digest(sha256)) => {
                    self.by_digest.entry(sha256).or_insert_with(|| reason.clone());
                }
                Some(RecallTarget::Purl(purl)) => {
                    let packages = self.by_package.entry(purl.ecosystem).or_default();
                    let recalls = packages.entry(purl.package.clone()).or_default();
                    if recalls.iter().all(|(recalled, _)| *recalled != purl) {
                        recalls.push((purl, reason.clone()));
                    }
                }
                None => {}
            }
        }
        if let (LogEntry::Ended { state, .. }, Some((id, epoch))) = (entry, entry.ended()) {
            let last = self.ended.entry(id).or_insert((epoch, state.clone()));
            if epoch > last.0 {
                *last = (epoch, state.clone());
            }
        }
    }

    /// Whether the log says that this record no longer permits serving.
    pub fn check(&self, record: &ServeRecord) -> Result<(), Revocation> {
        self.check_epoch(record.id(), record.sha256(), record.epoch())
    }

    /// Whether the log says that nothing of this epoch of an artifact may be served.
    pub fn check_epoch(&self, id: &ArtifactId, sha256: Sha256, epoch: i32) -> Result<(), Revocation> {
        let purls = self.by_package.get(&id.ecosystem).and_then(|packages| packages.get(&id.package));
        let names = |purl: &Purl| {
            purl.version.as_ref().is_none_or(|version| *version == id.version)
                && purl.file.as_ref().is_none_or(|file| *file == id.file)
        };
        let by_purl = purls.into_iter().flatten().find(|(purl, _)| names(purl)).map(|(_, reason)| reason);
        if let Some(reason) = self.by_digest.get(&sha256).or(by_purl) {
            return Err(Revocation::Recalled { reason: reason.clone() });
        }
        match self.ended.get(id) {
            Some((ended, state)) if epoch <= *ended => {
                Err(Revocation::Ended { epoch: *ended, state: state.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn recalled(purl: Option<&str>, sha256: Option<Sha256>) -> Result<RecallTarget, StatementError> {
    match (purl, sha256) {
        (Some(text), None) => {
            let refused = |problem| StatementError { field: "purl", problem };
            let purl: Purl =
                text.parse().map_err(|error: touchstone_domain::PurlError| refused(error.to_string()))?;
            if purl.to_string() != text {
                return Err(refused(format!("it is spelled {purl}")));
            }
            Ok(RecallTarget::Purl(purl))
        }
        (None, Some(sha256)) => Ok(RecallTarget::Digest(sha256)),
        (Some(_), Some(_)) | (None, None) => {
            let problem = "a recall names either a purl or a digest".to_owned();
            Err(StatementError { field: "purl", problem })
        }
    }
}

/// Reads what [`artifact_purl`] writes.
fn full_purl(text: &str) -> Result<ArtifactId, StatementError> {
    let refused = |problem| StatementError { field: "purl", problem };
    let purl: Purl =
        text.parse().map_err(|error: touchstone_domain::PurlError| refused(error.to_string()))?;
    let Purl { ecosystem, package, version: Some(version), file: Some(file) } = purl else {
        return Err(refused("it names no file of a version".to_owned()));
    };
    let id = ArtifactId { ecosystem, package, version, file };
    let expected = artifact_purl(&id);
    if expected.to_string() == text { Ok(id) } else { Err(refused(format!("it is spelled {expected}"))) }
}

fn not_negative(field: &'static str, number: i64) -> Result<(), StatementError> {
    if number >= 0 { Ok(()) } else { Err(StatementError { field, problem: format!("{number} is negative") }) }
}
