//! Leaves, and the checkpoints over them.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::Sha256;

use super::LOG_ROWS_MAX;
use crate::{Store, StoreError, error::within, pool::query_in, row::Columns};

/// A leaf to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLogLeaf {
    /// The table that it is of, [`super::LogSource::as_str`].
    pub source: &'static str,
    /// The row there.
    pub source_id: i64,
    /// Its bytes.
    pub entry: Vec<u8>,
}

/// A leaf on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLeaf {
    /// Its number, from zero.
    pub index: u64,
    /// The table that it is of.
    pub source: String,
    /// The row there.
    pub source_id: i64,
    /// Its bytes.
    pub entry: Vec<u8>,
}

/// A signed checkpoint on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSeal {
    /// The number of leaves.
    pub size: u64,
    /// The root over them.
    pub root: Sha256,
    /// The signed note that says so.
    pub note: Vec<u8>,
}

/// A checkpoint that was compared with what is published: the database that it was read from has it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSeal {
    /// The number of leaves.
    pub size: u64,
    /// The root over them.
    pub root: Sha256,
}

/// How far the log goes, by Postgres' word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTip {
    /// The number of leaves: one more than the last one has. The same as the checkpoint's, unless rows were tampered with.
    pub leaves: u64,
    /// The latest checkpoint, and when it was made.
    pub seal: Option<(LogSeal, Timestamp)>,
}

impl LogTip {
    /// The size of the latest checkpoint.
    pub fn size(&self) -> u64 {
        self.seal.as_ref().map_or(0, |(seal, _)| seal.size)
    }
}

/// Keeps other writers of the log away until the transaction ends, and tells whether there are so many leaves.
pub(super) async fn hold_at(transaction: &Transaction<'_>, size: i64) -> Result<bool, StoreError> {
    const LOCK: &str = r"-- log.lock
SELECT name FROM turn WHERE name = 'log' FOR UPDATE";
    const SIZE: &str = r"-- log.size
SELECT coalesce(max(index) + 1, 0) = $1::bigint AS is_size FROM log_leaf";
    query_in(transaction, LOCK, &[]).await?;
    let rows = query_in(transaction, SIZE, &[&size]).await?;
    rows.first().map_or(Ok(false), |row| Columns(row).get("is_size"))
}

/// Adds leaves from this number on.
pub(super) async fn add(
    transaction: &Transaction<'_>,
    first: i64,
    leaves: &[NewLogLeaf],
) -> Result<(), StoreError> {
    const ADD: &str = r"-- log.add_leaves
INSERT INTO log_leaf (index, source, source_id, entry)
SELECT $1 + n - 1, source, source_id, entry
FROM unnest($2::text[], $3::bigint[], $4::bytea[]) WITH ORDINALITY AS leaf (source, source_id, entry, n)";
    let sources: Vec<&str> = leaves.iter().map(|leaf| leaf.source).collect();
    let ids: Vec<i64> = leaves.iter().map(|leaf| leaf.source_id).collect();
    let entries: Vec<&[u8]> = leaves.iter().map(|leaf| leaf.entry.as_slice()).collect();
    query_in(transaction, ADD, &[&first, &sources, &ids, &entries]).await.map(drop)
}

/// Puts a checkpoint on record.
pub(super) async fn seal(transaction: &Transaction<'_>, seal: &LogSeal) -> Result<(), StoreError> {
    const SEAL: &str = r"-- log.seal
INSERT INTO log_seal (size, root, note) VALUES ($1, $2, $3)";
    let size = number(seal.size)?;
    query_in(transaction, SEAL, &[&size, &seal.root.0.as_slice(), &seal.note]).await.map(drop)
}

/// A number of leaves, as Postgres takes it.
pub(crate) fn number(size: u64) -> Result<i64, StoreError> {
    i64::try_from(size).map_err(|e| StoreError::Invalid { what: "size of the log", problem: e.to_string() })
}

impl Store {
    /// Adds leaves, and the checkpoint over all of them, if there are `expected` leaves; all or nothing. Returns whether it was so.
    pub async fn append_leaves(
        &self,
        expected: u64,
        leaves: &[NewLogLeaf],
        sealed: &LogSeal,
    ) -> Result<bool, StoreError> {
        within("leaves", leaves.len(), LOG_ROWS_MAX)?;
        let arguments = (number(expected)?, leaves, sealed);
        self.transaction("log.append", &arguments, |(expected, leaves, sealed), transaction| {
            Box::pin(async move {
                if !hold_at(transaction, *expected).await? {
                    return Ok(false);
                }
                add(transaction, *expected, leaves).await?;
                seal(transaction, sealed).await?;
                Ok(true)
            })
        })
        .await
    }

    /// How far the log goes.
    pub async fn log_tip(&self) -> Result<LogTip, StoreError> {
        const TIP: &str = r"-- log.tip
SELECT (SELECT coalesce(max(index) + 1, 0) FROM log_leaf) AS leaves, size, root, note, at
FROM (VALUES (1)) AS one LEFT JOIN (SELECT * FROM log_seal ORDER BY size DESC LIMIT 1) AS last ON true";
        let Some(row) = self.query_opt(TIP, &[]).await? else { return Ok(LogTip::default()) };
        let columns = Columns(&row);
        let seal = match columns.get::<Option<i64>>("size")? {
            Some(_) => Some((sealed(columns)?, columns.get("at")?)),
            None => None,
        };
        Ok(LogTip { leaves: columns.unsigned("leaves")?, seal })
    }

    /// The checkpoint that was made at this size.
    pub async fn log_seal(&self, size: u64) -> Result<Option<LogSeal>, StoreError> {
        const AT: &str = r"-- log.seal_at
SELECT size, root, note FROM log_seal WHERE size = $1";
        let row = self.query_opt(AT, &[&number(size)?]).await?;
        row.map(|row| sealed(Columns(&row))).transpose()
    }

    /// At most `limit` leaves from this number on, in their order. One that was deleted is missing.
    pub async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<LogLeaf>, StoreError> {
        const LEAVES: &str = r"-- log.leaves
SELECT index, source, source_id, entry FROM log_leaf WHERE index >= $1 ORDER BY index LIMIT $2";
        within("leaves", limit, LOG_ROWS_MAX)?;
        let bound = i64::try_from(limit).expect("at most 4096");
        self.query(LEAVES, &[&number(from)?, &bound]).await?.iter().map(LogLeaf::try_from).collect()
    }

    /// At most `limit` leaves that were put back after a backup was restored, from this number on.
    pub async fn restored_leaves(&self, from: u64, limit: usize) -> Result<Vec<LogLeaf>, StoreError> {
        const RESTORED: &str = r"-- log.restored_leaves
SELECT index, source, source_id, entry FROM log_leaf WHERE source = 'restored' AND source_id >= $1
ORDER BY source_id LIMIT $2";
        within("leaves", limit, LOG_ROWS_MAX)?;
        let bound = i64::try_from(limit).expect("at most 4096");
        self.query(RESTORED, &[&number(from)?, &bound]).await?.iter().map(LogLeaf::try_from).collect()
    }
}

fn sealed(columns: Columns<'_>) -> Result<LogSeal, StoreError> {
    Ok(LogSeal { size: columns.unsigned("size")?, root: columns.sha256("root")?, note: columns.get("note")? })
}

impl TryFrom<&Row> for LogLeaf {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            index: columns.unsigned("index")?,
            source: columns.get("source")?,
            source_id: columns.get("source_id")?,
            entry: columns.get("entry")?,
        })
    }
}
