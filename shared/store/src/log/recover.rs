//! After a backup was restored: what the published log has, and Postgres lost.

use tokio_postgres::Row;
use touchstone_custody::RecallTarget;
use touchstone_domain::{ArtifactId, ArtifactState, FileName, Gate, Version};

use super::{
    LOG_ROWS_MAX, LogSeal,
    leaf::{hold_at, number, seal},
};
use crate::{
    Change, Store, StoreError,
    error::within,
    gate::{Cause, Log, write},
    pool::query_in,
    row::Columns,
};

/// What came of raising epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    /// The gates that began a new epoch.
    pub changes: Vec<Change>,
    /// The artifacts that are not on record: theirs are to be raised when they come again.
    pub absent: Vec<(ArtifactId, i32)>,
}

impl Store {
    /// Puts back leaves that the published log has, with their numbers, if the last one on record is the one before `leaves`; with the
    /// checkpoint over all, if they are the last. Returns whether it was so.
    pub async fn restore_leaves(
        &self,
        leaves: u64,
        restored: &[(u64, Vec<u8>)],
        sealed: Option<&LogSeal>,
    ) -> Result<bool, StoreError> {
        const RESTORE: &str = r"-- log.restore_leaves
INSERT INTO log_leaf (index, source, source_id, entry)
SELECT index, 'restored', index, entry FROM unnest($1::bigint[], $2::bytea[]) AS leaf (index, entry)";
        within("leaves", restored.len(), LOG_ROWS_MAX)?;
        let indices: Vec<i64> = restored.iter().map(|(index, _)| number(*index)).collect::<Result<_, _>>()?;
        let entries: Vec<&[u8]> = restored.iter().map(|(_, entry)| entry.as_slice()).collect();
        let arguments = (number(leaves)?, indices, entries, sealed);
        self.transaction("log.restore", &arguments, |(leaves, indices, entries, sealed), transaction| {
            Box::pin(async move {
                if !hold_at(transaction, *leaves).await? {
                    return Ok(false);
                }
                query_in(transaction, RESTORE, &[indices, entries]).await?;
                if let Some(sealed) = sealed {
                    seal(transaction, sealed).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Whether a recall of exactly this is on record.
    pub async fn is_recalled(&self, target: &RecallTarget) -> Result<bool, StoreError> {
        const RECALLED: &str = r"-- log.is_recalled
SELECT EXISTS (
    SELECT FROM recall
    WHERE ROW(ecosystem, package, version, file, sha256)
        IS NOT DISTINCT FROM ROW($1::text, $2::text, $3::text, $4::text, $5::bytea)) AS is_recalled";
        let (purl, digest) = match target {
            RecallTarget::Purl(purl) => (Some(purl), None),
            RecallTarget::Digest(sha256) => (None, Some(sha256.0.as_slice())),
        };
        let ecosystem = purl.map(|purl| purl.ecosystem.as_str());
        let package = purl.map(|purl| purl.package.as_str());
        let version = purl.and_then(|purl| purl.version.as_ref()).map(Version::as_str);
        let file = purl.and_then(|purl| purl.file.as_ref()).map(FileName::as_str);
        let row = self.query_opt(RECALLED, &[&ecosystem, &package, &version, &file, &digest]).await?;
        row.map_or(Ok(false), |row| Columns(&row).get("is_recalled"))
    }

    /// Begins a new epoch for artifacts that could become servable in one that ended by the log: the first after it. Whatever the
    /// rows promise for the ended ones counts no longer.
    pub async fn raise_epochs(&self, ended: &[(ArtifactId, i32)]) -> Result<Raised, StoreError> {
        within("ended epochs", ended.len(), LOG_ROWS_MAX)?;
        self.transaction("log.raise_epochs", &ended, |ended, transaction| {
            Box::pin(async move {
                let columns = Coordinates::of(ended);
                let rows = query_in(transaction, LOCK, &columns.params()).await?;
                let mut raise = Raise::default();
                for row in &rows {
                    raise.push(row)?;
                }
                if !raise.changes.is_empty() {
                    query_in(transaction, BEGIN, &[&raise.artifacts, &raise.epochs]).await?;
                    write(transaction, &raise.log, Cause::Recheck).await?;
                }
                let rows = query_in(transaction, ABSENT, &columns.params()).await?;
                let mut absent = Vec::with_capacity(rows.len());
                for row in &rows {
                    let position = usize::try_from(Columns(row).unsigned("n")?).unwrap_or(usize::MAX);
                    let one = position.checked_sub(1).and_then(|position| ended.get(position));
                    absent.extend(one.cloned());
                }
                Ok(Raised { changes: raise.changes, absent })
            })
        })
        .await
    }

    /// Makes the next promotion's number larger than this one: the log has it already.
    pub async fn raise_serial(&self, serial: i64) -> Result<(), StoreError> {
        const RAISE: &str = r"-- log.raise_serial
SELECT setval(pg_get_serial_sequence('promotion', 'serial'), greatest($1::bigint, nextval(pg_get_serial_sequence('promotion', 'serial'))))";
        self.query(RAISE, &[&serial]).await.map(drop)
    }
}

const LOCK: &str = r"-- log.lock_ended
SELECT gate.artifact_id, artifact.ecosystem, sha256, chunk_root, gate.epoch, required, veto, tolerated, ok, deny, undecided, hold,
       ended.epoch AS ended
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[]) AS ended (ecosystem, package, version, file, epoch)
JOIN artifact ON artifact.ecosystem = ended.ecosystem AND artifact.package = ended.package
    AND artifact.version = ended.version AND artifact.file = ended.file
JOIN gate ON gate.artifact_id = artifact.id
WHERE gate.epoch < ended.epoch OR (gate.epoch = ended.epoch AND (deny & veto) = 0 AND (hold & 2) = 0)
ORDER BY gate.artifact_id
FOR NO KEY UPDATE OF gate";
const ABSENT: &str = r"-- log.absent_ended
SELECT n
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[])
    WITH ORDINALITY AS ended (ecosystem, package, version, file, epoch, n)
WHERE NOT EXISTS (
    SELECT FROM artifact
    WHERE artifact.ecosystem = ended.ecosystem AND artifact.package = ended.package
      AND artifact.version = ended.version AND artifact.file = ended.file)
ORDER BY n";
const BEGIN: &str = r"-- log.begin_after_ended
UPDATE gate
SET epoch = asked.epoch, ok = 0, deny = 0, undecided = 0, dispatch_due = now(), dispatch_n = 0
FROM unnest($1::bigint[], $2::integer[]) AS asked (artifact_id, epoch)
WHERE gate.artifact_id = asked.artifact_id";

/// The coordinates and epochs as arrays.
struct Coordinates<'a> {
    ecosystem: Vec<&'a str>,
    package: Vec<&'a str>,
    version: Vec<&'a str>,
    file: Vec<&'a str>,
    epoch: Vec<i32>,
}

impl<'a> Coordinates<'a> {
    fn of(ended: &'a [(ArtifactId, i32)]) -> Self {
        Self {
            ecosystem: ended.iter().map(|(id, _)| id.ecosystem.as_str()).collect(),
            package: ended.iter().map(|(id, _)| id.package.as_str()).collect(),
            version: ended.iter().map(|(id, _)| id.version.as_str()).collect(),
            file: ended.iter().map(|(id, _)| id.file.as_str()).collect(),
            epoch: ended.iter().map(|(_, epoch)| *epoch).collect(),
        }
    }

    fn params(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 5] {
        [&self.ecosystem, &self.package, &self.version, &self.file, &self.epoch]
    }
}

/// The gates that begin a new epoch.
#[derive(Default)]
struct Raise {
    artifacts: Vec<i64>,
    epochs: Vec<i32>,
    changes: Vec<Change>,
    log: Log,
}

impl Raise {
    fn push(&mut self, row: &Row) -> Result<(), StoreError> {
        let columns = Columns(row);
        let gate: Gate = columns.gate()?;
        let ended: i32 = columns.get("ended")?;
        let epoch =
            ended.checked_add(1).ok_or_else(|| StoreError::inconsistent("epoch", "it cannot be raised"))?;
        let (was, state) = (gate.state(), ArtifactState::Fetched);
        self.artifacts.push(gate.artifact.0);
        self.epochs.push(epoch);
        self.log.push(gate.artifact, epoch, was, state);
        self.changes.push(Change {
            artifact: gate.artifact,
            ecosystem: columns.parse("ecosystem")?,
            was,
            state,
        });
        Ok(())
    }
}
