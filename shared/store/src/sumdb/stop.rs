//! Stops of a database, and what ended them.

use super::{SUMDB_NOTE_MAX, SumdbHead, SumdbStop, SumdbStopKind, head::lock, number, stop};
use crate::{
    Store, StoreError,
    error::within,
    pool::query_in,
    row::{Columns, plain},
};

/// The most bytes of a stop's detail and of a resume's reason that are kept.
const TEXT_BYTES_MAX: usize = 4096;

/// A reason to stop a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSumdbStop {
    /// Why.
    pub kind: SumdbStopKind,
    /// The head that we have.
    pub ours: SumdbHead,
    /// What the database says against it.
    pub theirs: SumdbHead,
    /// The facts, for people; shortened if they are long.
    pub detail: String,
}

impl Store {
    /// Stops a database. While a stop of that kind is in force, it stays as it is; returns whether this one is new.
    pub async fn stop_sumdb(&self, database: &str, new: &NewSumdbStop) -> Result<bool, StoreError> {
        const STOP: &str = r"-- sumdb.stop
INSERT INTO sumdb_stop (database, kind, ours_size, ours_root, ours_note, theirs_size, theirs_root, theirs_note, detail)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
WHERE NOT EXISTS (
    SELECT FROM sumdb_stop
    WHERE database = $1 AND kind = $2
      AND NOT EXISTS (SELECT FROM sumdb_resume WHERE sumdb_resume.stop_id = sumdb_stop.id))
RETURNING 1";
        let NewSumdbStop { kind, ours, theirs, detail } = new;
        for head in [ours, theirs] {
            within("bytes of a signed note", head.note.len(), SUMDB_NOTE_MAX)?;
        }
        let sizes = (number("tree size", ours.size)?, number("tree size", theirs.size)?);
        let arguments = (database, kind.as_str(), sizes, plain(detail, TEXT_BYTES_MAX), ours, theirs);
        self.transaction(
            "sumdb.stop",
            &arguments,
            |(database, kind, sizes, detail, ours, theirs), transaction| {
                Box::pin(async move {
                    lock(transaction, database).await?;
                    let (ours_root, theirs_root) = (ours.root.0.as_slice(), theirs.root.0.as_slice());
                    let rows = query_in(
                        transaction,
                        STOP,
                        &[
                            database,
                            kind,
                            &sizes.0,
                            &ours_root,
                            &ours.note,
                            &sizes.1,
                            &theirs_root,
                            &theirs.note,
                            detail,
                        ],
                    )
                    .await?;
                    Ok(!rows.is_empty())
                })
            },
        )
        .await
    }

    /// Ends the stops of these kinds that are in force; returns whether there were any. What had lasted too long may last as
    /// long again. With `discard_head`, the head, the tiles and the polls of the database are forgotten, and the resume records
    /// that head.
    pub async fn resume_sumdb(
        &self,
        database: &str,
        kinds: &[SumdbStopKind],
        reason: &str,
        discard_head: bool,
    ) -> Result<bool, StoreError> {
        const RESUME: &str = r"-- sumdb.resume
WITH ended AS MATERIALIZED (
    SELECT id, database, kind FROM sumdb_stop
    WHERE database = $1 AND kind = ANY ($2)
      AND NOT EXISTS (SELECT FROM sumdb_resume WHERE sumdb_resume.stop_id = sumdb_stop.id)
), recorded AS (
    INSERT INTO sumdb_resume (stop_id, reason, discarded_size, discarded_root, discarded_note)
    SELECT ended.id, $3, head.size, head.root, head.note
    FROM ended LEFT JOIN sumdb_head AS head ON $4 AND head.database = ended.database
)
SELECT kind FROM ended";
        const RESTART: &str = r"-- sumdb.restart
UPDATE sumdb_poll
SET grown_at = CASE WHEN 'freeze' = ANY ($2) THEN now() ELSE grown_at END,
    behind_since = CASE WHEN 'rollback' = ANY ($2) AND behind_since IS NOT NULL THEN now() ELSE behind_since END
WHERE database = $1";
        const FORGET_HEAD: &str = r"-- sumdb.forget_head
DELETE FROM sumdb_head WHERE database = $1";
        const FORGET_TILES: &str = r"-- sumdb.forget_tiles
DELETE FROM sumdb_tile WHERE database = $1";
        const FORGET_POLLS: &str = r"-- sumdb.forget_polls
DELETE FROM sumdb_poll WHERE database = $1";
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let arguments = (database, kinds, plain(reason, TEXT_BYTES_MAX), discard_head);
        self.transaction(
            "sumdb.resume",
            &arguments,
            |(database, kinds, reason, discard_head), transaction| {
                Box::pin(async move {
                    lock(transaction, database).await?;
                    let ended =
                        query_in(transaction, RESUME, &[database, kinds, reason, discard_head]).await?;
                    let ended: Vec<String> =
                        ended.iter().map(|row| Columns(row).get("kind")).collect::<Result<_, _>>()?;
                    query_in(transaction, RESTART, &[database, &ended]).await?;
                    if *discard_head && !ended.is_empty() {
                        for forget in [FORGET_HEAD, FORGET_TILES, FORGET_POLLS] {
                            query_in(transaction, forget, &[database]).await?;
                        }
                    }
                    Ok(!ended.is_empty())
                })
            },
        )
        .await
    }

    /// Every stop in force, with the name of its database, the earliest first.
    pub async fn sumdb_stops(&self) -> Result<Vec<(String, SumdbStop)>, StoreError> {
        const STOPS: &str = r"-- sumdb.stops
SELECT database, kind, ours_size, ours_root, ours_note, theirs_size, theirs_root, theirs_note, detail, at
FROM sumdb_stop WHERE NOT EXISTS (SELECT FROM sumdb_resume WHERE sumdb_resume.stop_id = sumdb_stop.id)
ORDER BY id";
        let rows = self.query(STOPS, &[]).await?;
        rows.iter().map(|row| Ok((Columns(row).get("database")?, stop(Columns(row))?))).collect()
    }
}
