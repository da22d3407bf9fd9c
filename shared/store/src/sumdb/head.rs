//! The accepted head of a database, and the polls of its latest tree.

use deadpool_postgres::Transaction;

use super::{SUMDB_NAME_MAX, SUMDB_NOTE_MAX, SumdbHead, SumdbPoll, number};
use crate::{Store, StoreError, error::within, pool::query_in, row::Columns};

/// What became of a new head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// It is the head now.
    Advanced,
    /// Another head was there than the expected one; look again.
    Raced,
    /// A fork of the database is on record and not resumed; nothing was changed.
    Stopped,
}

impl Store {
    /// Replaces the head of a database if the one that is there has the size and root of the `expected` one. It is not looked at
    /// whether one tree extends the other. A smaller head, and one of the same size with another root, is an error.
    pub async fn advance_sumdb_head(
        &self,
        database: &str,
        expected: Option<&SumdbHead>,
        new: &SumdbHead,
    ) -> Result<Advanced, StoreError> {
        const FORKED: &str = r"-- sumdb.forked
SELECT 1 FROM sumdb_stop
WHERE database = $1 AND kind = 'fork' AND NOT EXISTS (SELECT FROM sumdb_resume WHERE sumdb_resume.stop_id = sumdb_stop.id)";
        const FIRST: &str = r"-- sumdb.first_head
INSERT INTO sumdb_head (database, size, root, note) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING 1";
        const ADVANCE: &str = r"-- sumdb.advance
UPDATE sumdb_head SET size = $2, root = $3, note = $4, advanced_at = now()
WHERE database = $1 AND size = $5 AND root = $6
RETURNING 1";
        within("bytes of a signed note", new.note.len(), SUMDB_NOTE_MAX)?;
        let before = match expected {
            Some(head) => Some((number("tree size", head.size)?, head.root.0.as_slice())),
            None => None,
        };
        let arguments = (database, number("tree size", new.size)?, new.root.0.as_slice(), &new.note, before);
        self.transaction("sumdb.advance", &arguments, |(database, size, root, note, before), transaction| {
            Box::pin(async move {
                lock(transaction, database).await?;
                if !query_in(transaction, FORKED, &[database]).await?.is_empty() {
                    return Ok(Advanced::Stopped);
                }
                let done = match before {
                    None => query_in(transaction, FIRST, &[database, size, root, note]).await?,
                    Some((was, at)) => {
                        query_in(transaction, ADVANCE, &[database, size, root, note, was, at]).await?
                    }
                };
                Ok(if done.is_empty() { Advanced::Raced } else { Advanced::Advanced })
            })
        })
        .await
    }

    /// Records that the latest tree of a database has so many records, where the head that it was compared with, the one before
    /// the database was asked, has `head_size` (0 if there was none); says what the polls tell together.
    ///
    /// A tree that is behind and reaches the size of the head that it was first behind of is behind only since now: it follows.
    pub async fn record_sumdb_poll(
        &self,
        database: &str,
        latest_size: u64,
        head_size: u64,
    ) -> Result<SumdbPoll, StoreError> {
        const POLL: &str = r"-- sumdb.poll
INSERT INTO sumdb_poll AS poll (database, latest_size, largest_size, behind_size, behind_since)
SELECT $1, $2, $2, CASE WHEN behind THEN $3::bigint END, CASE WHEN behind THEN now() END
FROM (SELECT $2::bigint < $3::bigint AS behind) AS compared
ON CONFLICT (database) DO UPDATE
SET latest_size = excluded.latest_size, polled_at = now(),
    largest_size = greatest(poll.largest_size, excluded.latest_size),
    grown_at = CASE WHEN excluded.latest_size > poll.largest_size THEN now() ELSE poll.grown_at END,
    (behind_size, behind_since) = (
        SELECT size, since
        FROM (VALUES (1, poll.behind_size, poll.behind_since), (2, excluded.behind_size, excluded.behind_since))
            AS lag (n, size, since)
        WHERE excluded.behind_size IS NOT NULL AND size > excluded.latest_size
        ORDER BY n LIMIT 1
    )
RETURNING latest_size, polled_at, grown_at, behind_since, now() AS now";
        within("bytes of a checksum database's name", database.len(), SUMDB_NAME_MAX)?;
        let (latest, head) = (number("tree size", latest_size)?, number("tree size", head_size)?);
        let row = self.query_opt(POLL, &[&database, &latest, &head]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("sumdb.poll", "no row"))?;
        poll(Columns(&row))
    }
}

/// Reads the columns of a poll, and the present as `now`.
pub(super) fn poll(columns: Columns<'_>) -> Result<SumdbPoll, StoreError> {
    Ok(SumdbPoll {
        latest_size: columns.unsigned("latest_size")?,
        polled_at: columns.get("polled_at")?,
        grown_at: columns.get("grown_at")?,
        behind_since: columns.get("behind_since")?,
        now: columns.get("now")?,
    })
}

/// Waits for whoever moves or stops the same database. The statements after it see what they did.
pub(super) async fn lock(transaction: &Transaction<'_>, database: &str) -> Result<(), StoreError> {
    const LOCK: &str = r"-- sumdb.lock
SELECT pg_advisory_xact_lock(hashtextextended('touchstone.sumdb ' || $1::text, 0))";
    within("bytes of a checksum database's name", database.len(), SUMDB_NAME_MAX)?;
    query_in(transaction, LOCK, &[&database]).await.map(drop)
}
