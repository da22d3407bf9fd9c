//! A checksum database that is stopped: why nothing of Go is decided, and what ends that.

use serde_json::{Value, json};
use touchstone_store::{SumdbHead, SumdbStop, SumdbStopKind};

/// Why whatever needs the database waits, in a sentence.
pub(crate) fn why_stopped(database: &str, stop: &SumdbStop) -> String {
    let SumdbStop { kind, ours, theirs, at, .. } = stop;
    let what = match kind {
        SumdbStopKind::Fork => "two signed trees contradict each other",
        SumdbStopKind::Rollback => "its latest tree is smaller than one that it signed before",
        SumdbStopKind::Freeze => "its latest tree does not grow",
    };
    format!(
        "the checksum database {database} is stopped since {at:.0} ({kind}): {what}; ours has {} records, theirs {}",
        ours.size, theirs.size
    )
}

/// What ends a stop.
pub const fn what_ends(kind: SumdbStopKind) -> &'static str {
    match kind {
        SumdbStopKind::Fork => {
            "compare both signed notes in `touchstone trust show` with what others see, then run `touchstone trust resume`"
        }
        SumdbStopKind::Rollback => {
            "it ends by itself when the latest tree reaches ours again; until then look at `upstream.go.sumdb_url`. `touchstone trust resume` ends it too, for as long as `sumdb.behind_max`"
        }
        SumdbStopKind::Freeze => {
            "it ends by itself when the latest tree grows; until then look at `upstream.go.sumdb_url`, and at `sumdb.frozen_after`, for as long as which `touchstone trust resume` ends it too"
        }
    }
}

/// A stop, with both heads.
pub(crate) fn stop_json(database: &str, stop: &SumdbStop) -> Value {
    let head = |head: &SumdbHead| {
        json!({
            "size": head.size, "root": head.root.to_base64(), "note": String::from_utf8_lossy(&head.note),
        })
    };
    json!({
        "database": database, "kind": stop.kind.as_str(), "at": stop.at, "detail": stop.detail,
        "ours": head(&stop.ours), "theirs": head(&stop.theirs), "reason": why_stopped(database, stop),
        "fix": what_ends(stop.kind),
    })
}
