//! The transparency log in Postgres: what is to be sealed, the leaves, and the checkpoints over them.
//!
//! Two tables are its sources: `gate_log`, and `log_event`, which triggers fill. Both are read in the order of commits: a row counts
//! once no transaction that began before it can still commit.
//!
//! *Invariant:* the number of leaves and the checkpoint over them change in one transaction, by compare-and-swap.
//!
//! *Invariant:* a leaf is written once, and never read to decide what may be served: that is for those who verify the published log.

mod audit;
mod entry;
mod leader;
mod leaf;
mod recover;
mod rejection;

use std::time::Duration;

use serde_json::json;
use touchstone_custody::LogEntry;
use touchstone_domain::KeyId;

use crate::{
    Store, StoreError,
    error::within,
    row::{Columns, plain},
};

pub use audit::{AuditedLeaf, RecordInput};
pub use leader::LogLeader;
pub(crate) use leaf::number;
pub use leaf::{KnownSeal, LogLeaf, LogSeal, LogTip, NewLogLeaf};
pub use recover::Raised;
pub use rejection::REJECTIONS_MAX;

/// The most rows or leaves per call.
pub const LOG_ROWS_MAX: usize = 4096;
/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4096;
/// The source of leaves that were put back after a backup was restored.
pub const LOG_SOURCE_RESTORED: &str = "restored";

/// Where an entry is from; the words are those of `log_leaf.source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// A change of an artifact's state.
    Gate,
    /// A recall, an incident, a policy, a key, a recovery.
    Event,
}

impl LogSource {
    /// The table's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate_log",
            Self::Event => "log_event",
        }
    }
}

/// A row that is to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Its table.
    pub source: LogSource,
    /// Its number there.
    pub id: i64,
    /// What the log says of it.
    pub entry: LogEntry,
}

/// How far the sources were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCursor {
    gate: (u64, i64),
    event: (u64, i64),
}

impl Store {
    /// At most `limit` rows that are to be sealed, in the order of their commits, and the cursor for what comes after them.
    pub async fn log_rows(
        &self,
        after: LogCursor,
        limit: usize,
    ) -> Result<(Vec<LogRow>, LogCursor), StoreError> {
        // Of what became servable, whatever it was before; of what ended; and of each new epoch, which ends the one before.
        // `strange`: written by another cluster, of which this is a logical copy; numbers of transactions began anew, so that
        // the cursor would skip what is new
        const ROWS: &str = r"-- log.rows
SELECT * FROM (
    (SELECT 'gate_log' AS source, gate_log.id, gate_log.xid, gate_log.xid::text AS xid_text,
            gate_log.xid >= pg_snapshot_xmax(pg_current_snapshot()) AS strange,
            ecosystem, package, version, file, artifact.sha256, gate_log.epoch, was, state, cause, gate_log.at,
            promotion.serial, promotion.envelope, NULL::jsonb AS event
     FROM gate_log
     JOIN artifact ON artifact.id = gate_log.artifact_id
     LEFT JOIN promotion ON state = 'servable' AND promotion.artifact_id = gate_log.artifact_id
         AND promotion.epoch = gate_log.epoch AND promotion.envelope IS NOT NULL
     WHERE (gate_log.xid, gate_log.id) > ($1::text::xid8, $2::bigint)
       AND (gate_log.xid < pg_snapshot_xmin(pg_current_snapshot())
            OR gate_log.xid >= pg_snapshot_xmax(pg_current_snapshot()))
       AND (was <> state AND (was = 'servable' OR state = 'rejected')
            OR promotion.serial IS NOT NULL
            OR gate_log.epoch > 0 AND state IN ('fetched', 'verifying') AND cause <> 'verdict')
       AND NOT EXISTS (SELECT FROM log_leaf WHERE source = 'gate_log' AND source_id = gate_log.id)
     ORDER BY gate_log.xid, gate_log.id LIMIT $5)
    UNION ALL
    (SELECT 'log_event', log_event.id, log_event.xid, log_event.xid::text,
            log_event.xid >= pg_snapshot_xmax(pg_current_snapshot()),
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, log_event.at, NULL, NULL, event
     FROM log_event
     WHERE (log_event.xid, log_event.id) > ($3::text::xid8, $4::bigint)
       AND (log_event.xid < pg_snapshot_xmin(pg_current_snapshot())
            OR log_event.xid >= pg_snapshot_xmax(pg_current_snapshot()))
       AND NOT EXISTS (SELECT FROM log_leaf WHERE source = 'log_event' AND source_id = log_event.id)
     ORDER BY log_event.xid, log_event.id LIMIT $5)
) AS settled
ORDER BY xid, source, id LIMIT $5";
        within("rows of the log", limit, LOG_ROWS_MAX)?;
        let LogCursor { gate, event } = after;
        let (gate_xid, event_xid) = (gate.0.to_string(), event.0.to_string());
        let bound = i64::try_from(limit).expect("at most 4096");
        let found = self.query(ROWS, &[&gate_xid, &gate.1, &event_xid, &event.1, &bound]).await?;
        let (mut rows, mut cursor) = (Vec::with_capacity(found.len()), after);
        for row in &found {
            let columns = Columns(row);
            let id: i64 = columns.get("id")?;
            let at = (columns.parse("xid_text")?, id);
            let (source, entry) = if columns.get::<&str>("source")? == LogSource::Gate.as_str() {
                cursor.gate = at;
                (LogSource::Gate, entry::of_gate_or_unreadable(columns, id))
            } else {
                cursor.event = at;
                (LogSource::Event, entry::of_event(columns)?)
            };
            rows.push(LogRow { source, id, entry });
            if columns.get("strange")? {
                cursor = LogCursor::default();
            }
        }
        Ok((rows, cursor))
    }

    /// How long ago the oldest row was written that is to be sealed and is not; none if there is none. The rows are those of
    /// [`Store::log_rows`], and also those that a transaction still under way hides from it.
    pub async fn oldest_unsealed(&self) -> Result<Option<Duration>, StoreError> {
        // a date that no service writes makes no interval
        const OLDEST: &str = r"-- log.oldest_unsealed
SELECT extract(epoch FROM max(now() - greatest(least(oldest.at, now()), timestamptz 'epoch')))::double precision AS seconds
FROM (
    (SELECT gate_log.at
     FROM gate_log
     LEFT JOIN promotion ON state = 'servable' AND promotion.artifact_id = gate_log.artifact_id
         AND promotion.epoch = gate_log.epoch AND promotion.envelope IS NOT NULL
     WHERE (gate_log.xid, gate_log.id) > ($1::text::xid8, $2::bigint)
       AND (was <> state AND (was = 'servable' OR state = 'rejected')
            OR promotion.serial IS NOT NULL
            OR gate_log.epoch > 0 AND state IN ('fetched', 'verifying') AND cause <> 'verdict')
       AND NOT EXISTS (SELECT FROM log_leaf WHERE source = 'gate_log' AND source_id = gate_log.id)
     ORDER BY gate_log.xid, gate_log.id LIMIT 1)
    UNION ALL
    (SELECT log_event.at
     FROM log_event
     WHERE (log_event.xid, log_event.id) > ($3::text::xid8, $4::bigint)
       AND NOT EXISTS (SELECT FROM log_leaf WHERE source = 'log_event' AND source_id = log_event.id)
     ORDER BY log_event.xid, log_event.id LIMIT 1)
) AS oldest";
        let LogCursor { gate, event } = self.log_cursor().await?;
        let (gate_xid, event_xid) = (gate.0.to_string(), event.0.to_string());
        let row = self.query_opt(OLDEST, &[&gate_xid, &gate.1, &event_xid, &event.1]).await?;
        let seconds: Option<f64> = row.as_ref().map_or(Ok(None), |row| Columns(row).get("seconds"))?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }

    /// Ends the sessions of our own roles whose transactions have been open for longer than that, in any database of the server, and
    /// says how many: what comes after such a transaction is hidden from [`Store::log_rows`]. None where the owner of the tables may
    /// not see them; an error where it sees them and may not end them.
    pub async fn end_transactions(&self, older_than: Duration) -> Result<u64, StoreError> {
        const END: &str = r"-- log.end_transactions
SELECT end_transactions(make_interval(secs => $1)) AS ended";
        let rows = self.query(END, &[&older_than.as_secs_f64()]).await?;
        let row = rows.first().ok_or_else(|| StoreError::inconsistent("log.end_transactions", "no row"))?;
        Columns(row).unsigned("ended")
    }

    /// How far the leaves that are sealed had read the sources.
    pub async fn log_cursor(&self) -> Result<LogCursor, StoreError> {
        const CURSOR: &str = r"-- log.cursor
SELECT gate_log.xid::text AS gate_xid, gate_log.id AS gate_id, log_event.xid::text AS event_xid, log_event.id AS event_id
FROM (SELECT (SELECT source_id FROM log_leaf WHERE source = 'gate_log' ORDER BY index DESC LIMIT 1) AS gate,
             (SELECT source_id FROM log_leaf WHERE source = 'log_event' ORDER BY index DESC LIMIT 1) AS event) AS last
LEFT JOIN gate_log ON gate_log.id = last.gate AND gate_log.xid < pg_snapshot_xmax(pg_current_snapshot())
LEFT JOIN log_event ON log_event.id = last.event AND log_event.xid < pg_snapshot_xmax(pg_current_snapshot())";
        let found = self.query_opt(CURSOR, &[]).await?;
        let Some(row) = &found else { return Ok(LogCursor::default()) };
        let columns = Columns(row);
        let place = |xid: &str, id: &str| -> Result<(u64, i64), StoreError> {
            match columns.get::<Option<i64>>(id)? {
                Some(id) => Ok((columns.parse(xid)?, id)),
                None => Ok((0, 0)),
            }
        };
        Ok(LogCursor { gate: place("gate_xid", "gate_id")?, event: place("event_xid", "event_id")? })
    }

    /// Puts on record, for the log, what became of a key: `added`, `window` or `revoked`. What the latest such change of the key says
    /// already is not written again; returns whether it was written.
    pub async fn record_key_event(
        &self,
        key: KeyId,
        kind: &str,
        change: &str,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        const RECORD: &str = r"-- log.record_key_event
INSERT INTO log_event (event)
SELECT $1::text::jsonb
WHERE $1::text::jsonb IS DISTINCT FROM (
    SELECT event FROM log_event
    WHERE event ->> 'event' = 'key' AND event ->> 'key' = $2 AND event ->> 'change' = $3
    ORDER BY id DESC LIMIT 1)
RETURNING id";
        let reason = reason.map(|reason| plain(reason, REASON_BYTES_MAX));
        let event = json!({"event": "key", "key": key, "kind": kind, "change": change, "reason": reason});
        let rows = self.query(RECORD, &[&event.to_string(), &key.to_string(), &change]).await?;
        Ok(!rows.is_empty())
    }

    /// Puts on record, for the log, that the database was brought back to what the log says.
    pub async fn record_recovery(&self, size: u64, reason: &str) -> Result<(), StoreError> {
        const RECORD: &str = r"-- log.record_recovery
INSERT INTO log_event (event) VALUES ($1::text::jsonb)";
        let reason = plain(reason, REASON_BYTES_MAX);
        let event = json!({"event": "recovered", "size": size, "reason": reason});
        self.query(RECORD, &[&event.to_string()]).await.map(drop)
    }

    /// The number of the leaf that says that a promotion was made; none until it is sealed.
    pub async fn log_index_of(&self, serial: i64) -> Result<Option<u64>, StoreError> {
        const INDEX: &str = r"-- log.index_of
SELECT log_leaf.index
FROM promotion
JOIN gate_log ON gate_log.artifact_id = promotion.artifact_id AND gate_log.epoch = promotion.epoch AND state = 'servable'
JOIN log_leaf ON source = 'gate_log' AND source_id = gate_log.id
WHERE serial = $1
ORDER BY log_leaf.index LIMIT 1";
        let row = self.query_opt(INDEX, &[&serial]).await?;
        row.map(|row| Columns(&row).unsigned("index")).transpose()
    }
}

#[cfg(test)]
mod tests;
