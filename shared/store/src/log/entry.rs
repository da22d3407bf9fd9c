//! Rows into entries of the log.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio_postgres::types::Json;
use touchstone_custody::{KeyKind, LogEntry, artifact_purl};
use touchstone_domain::{Ecosystem, FileName, KeyId, PackageName, Purl, Sha256, Version};

use crate::{StoreError, row::Columns};

/// A row of `gate_log` with its artifact, and the promotion where it became servable.
pub(super) fn of_gate(columns: Columns<'_>) -> Result<LogEntry, StoreError> {
    let purl = artifact_purl(&columns.id()?).to_string();
    let (sha256, at) = (columns.sha256("sha256")?, columns.get("at")?);
    let (epoch, state): (i32, String) = (columns.get("epoch")?, columns.get("state")?);
    if state == "servable" {
        let (serial, record) = (columns.get("serial")?, columns.sha256("envelope")?);
        return Ok(LogEntry::Promoted { purl, sha256, epoch, serial, record, at });
    }
    // What goes back to its checks is in a new epoch: the one before it ended.
    let epoch = if state == "fetched" || state == "verifying" { epoch - 1 } else { epoch };
    Ok(LogEntry::Ended { purl, sha256, epoch: epoch.max(0), state, cause: columns.get("cause")?, at })
}

/// As [`of_gate`]; a row that makes no entry that readers take was not written by us. It is sealed as an incident: it must hold up
/// nothing, and the audit finds it.
pub(super) fn of_gate_or_unreadable(columns: Columns<'_>, id: i64) -> LogEntry {
    match of_gate(columns) {
        Ok(entry) if is_proper(&entry) => return entry,
        Ok(_) => {
            tracing::error!(gate_log.id = id, "a change of state makes no entry of the transparency log");
        }
        Err(error) => tracing::error!(gate_log.id = id, %error, "a change of state cannot be read"),
    }
    let at = columns.get("at").unwrap_or(Timestamp::UNIX_EPOCH);
    incident("unreadable_row", &format!("gate_log {id}"), at)
}

/// A row of `log_event`. What this version does not understand, and what nobody can read, is sealed as an incident that has the
/// digest of its text: it must hold up nothing.
pub(super) fn of_event(columns: Columns<'_>) -> Result<LogEntry, StoreError> {
    let text = columns.get::<Json<&RawValue>>("event")?.0.get();
    let (Ok(at), Ok(event)) = (columns.get("at"), serde_json::from_str::<Value>(text)) else {
        let at = columns.get("at").unwrap_or(Timestamp::UNIX_EPOCH);
        tracing::error!("an event of the transparency log cannot be read");
        return Ok(incident("unreadable_row", text, at));
    };
    let text = event.to_string();
    let entry = Event::deserialize(event).map(|event| event.entry(at));
    Ok(entry.ok().filter(is_proper).unwrap_or_else(|| incident("unknown_event", &text, at)))
}

/// What stands for a row that makes no entry.
fn incident(kind: &str, text: &str, at: Timestamp) -> LogEntry {
    LogEntry::Incident { kind: kind.to_owned(), purl: String::new(), detail: Sha256::of(text), at }
}

/// Whether readers take it.
fn is_proper(entry: &LogEntry) -> bool {
    LogEntry::parse(&entry.to_bytes()).is_ok()
}

/// What triggers write, and [`crate::Store::record_key_event`] and [`crate::Store::record_recovery`].
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Recalled {
        ecosystem: Option<Ecosystem>,
        package: Option<PackageName>,
        version: Option<Version>,
        file: Option<FileName>,
        sha256: Option<Sha256>,
        reason: String,
        actor: String,
    },
    Incident {
        kind: String,
        ecosystem: Ecosystem,
        package: PackageName,
        version: Option<Version>,
        file: Option<FileName>,
        detail: Sha256,
    },
    Policy {
        epoch: i32,
        sha256: Sha256,
    },
    Key {
        key: KeyId,
        kind: KeyKind,
        change: String,
        reason: Option<String>,
    },
    Recovered {
        size: u64,
        reason: String,
    },
}

impl Event {
    fn entry(self, at: Timestamp) -> LogEntry {
        match self {
            Self::Recalled { ecosystem, package, version, file, sha256, reason, actor } => {
                let purl = ecosystem
                    .zip(package)
                    .map(|(ecosystem, package)| purl_text(&Purl { ecosystem, package, version, file }));
                LogEntry::Recalled { purl, sha256, reason, actor, at }
            }
            Self::Incident { kind, ecosystem, package, version, file, detail } => {
                let purl = purl_text(&Purl { ecosystem, package, version, file });
                LogEntry::Incident { kind, purl, detail, at }
            }
            Self::Policy { epoch, sha256 } => LogEntry::Policy { epoch, sha256, at },
            Self::Key { key, kind, change, reason } => LogEntry::Key { key, kind, change, reason, at },
            Self::Recovered { size, reason } => LogEntry::Recovered { size, reason, at },
        }
    }
}

/// The purl, or the package alone where it makes none, as the names of other logs may not.
fn purl_text(purl: &Purl) -> String {
    let mut text = String::new();
    match write!(text, "{purl}") {
        Ok(()) => text,
        Err(_) => purl.package.to_string(),
    }
}
