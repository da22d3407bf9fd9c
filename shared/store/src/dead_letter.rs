//! What could not be done: attempts of checks that failed, and messages that were given up on. Neither is a verdict.

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{ArtifactDbId, CheckKind};

use crate::{
    Store, StoreError,
    row::{Columns, plain},
};

/// The most bytes of detail that are kept.
const DETAIL_BYTES_MAX: usize = 2048;

/// An attempt of a check that could not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// The epoch that was asked for.
    pub epoch: i32,
    /// The check.
    pub check: CheckKind,
    /// How often the message had been delivered.
    pub delivery: i64,
    /// Whether it is tried again.
    pub class: AttemptClass,
    /// What went wrong, with its causes; shortened.
    pub detail: String,
    /// The service that tried.
    pub service: String,
}

/// Whether a failed attempt is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptClass {
    /// It is.
    Retry,
    /// It would fail again; the message is given up on.
    Poison,
}

impl AttemptClass {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Poison => "poison",
        }
    }
}

impl std::str::FromStr for AttemptClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Retry, Self::Poison]
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| format!("unknown class {text:?}"))
    }
}

/// A message that was given up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeadLetter {
    /// The stream that the message is in, or what stands for one.
    pub stream: String,
    /// The consumer that gave it up.
    pub consumer: String,
    /// Its number in the stream.
    pub stream_seq: i64,
    /// How often it was delivered.
    pub deliveries: i64,
    /// The check, if it is known.
    pub check: Option<CheckKind>,
    /// The artifact, if the message could be read.
    pub artifact: Option<ArtifactDbId>,
    /// The epoch, if the message could be read.
    pub epoch: Option<i32>,
    /// Why; shortened.
    pub detail: String,
}

/// A dead letter on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// What was given up on.
    pub letter: NewDeadLetter,
    /// When.
    pub at: Timestamp,
    /// When somebody settled it.
    pub resolved_at: Option<Timestamp>,
}

impl Store {
    /// Puts a failed attempt on record.
    pub async fn record_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        const RECORD: &str = r"-- attempt.record
INSERT INTO attempt (artifact_id, epoch, check_kind, delivery, class, detail, service)
VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let Attempt { artifact, epoch, check, delivery, class, detail, service } = attempt;
        let detail = plain(detail, DETAIL_BYTES_MAX);
        let (check, class) = (check.as_str(), class.as_str());
        self.query(RECORD, &[&artifact.0, epoch, &check, delivery, &class, &detail, service]).await.map(drop)
    }

    /// Puts a dead letter on record. False when it is there already: advisories may come twice. One about an artifact
    /// that is decided needs nobody, and is settled from the start; others are settled when their artifact is decided, or by
    /// [`Store::settle_dead_letters`] if that happens at this moment.
    pub async fn record_dead_letter(&self, new: &NewDeadLetter) -> Result<bool, StoreError> {
        const RECORD: &str = r"-- dead_letter.record
INSERT INTO dead_letter (stream, consumer, stream_seq, deliveries, check_kind, artifact_id, epoch, detail, resolved_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN NOT (SELECT pending FROM gate WHERE gate.artifact_id = $6) THEN now() END
ON CONFLICT DO NOTHING
RETURNING true";
        let NewDeadLetter { stream, consumer, stream_seq, deliveries, check, artifact, epoch, detail } = new;
        let check = check.map(CheckKind::as_str);
        let artifact = artifact.map(|artifact| artifact.0);
        let detail = plain(detail, DETAIL_BYTES_MAX);
        let rows = self
            .query(RECORD, &[stream, consumer, stream_seq, deliveries, &check, &artifact, epoch, &detail])
            .await?;
        Ok(!rows.is_empty())
    }

    /// Settles the open dead letters about artifacts that are decided. Returns how many.
    pub async fn settle_dead_letters(&self) -> Result<usize, StoreError> {
        const SETTLE: &str = r"-- dead_letter.settle
UPDATE dead_letter SET resolved_at = now()
FROM gate
WHERE resolved_at IS NULL AND gate.artifact_id = dead_letter.artifact_id AND NOT pending
RETURNING id";
        self.query(SETTLE, &[]).await.map(|rows| rows.len())
    }

    /// The latest dead letters that nobody has settled, the newest first.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
        const OPEN: &str = r"-- dead_letter.open
SELECT id, stream, consumer, stream_seq, deliveries, check_kind, artifact_id, epoch, detail, at, resolved_at
FROM dead_letter WHERE resolved_at IS NULL ORDER BY id DESC LIMIT $1";
        self.query(OPEN, &[&limit]).await?.iter().map(DeadLetter::try_from).collect()
    }

    /// Settles the open dead letter with that number, or all. Returns how many were open.
    pub async fn resolve_dead_letters(&self, id: Option<i64>) -> Result<usize, StoreError> {
        const RESOLVE: &str = r"-- dead_letter.resolve
UPDATE dead_letter SET resolved_at = now() WHERE resolved_at IS NULL AND ($1::bigint IS NULL OR id = $1) RETURNING id";
        self.query(RESOLVE, &[&id]).await.map(|rows| rows.len())
    }
}

impl TryFrom<&Row> for DeadLetter {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        let check: Option<&str> = columns.get("check_kind")?;
        Ok(Self {
            id: columns.get("id")?,
            letter: NewDeadLetter {
                stream: columns.get("stream")?,
                consumer: columns.get("consumer")?,
                stream_seq: columns.get("stream_seq")?,
                deliveries: columns.get("deliveries")?,
                check: check
                    .map(str::parse)
                    .transpose()
                    .map_err(|e| StoreError::inconsistent("check_kind", &e))?,
                artifact: columns.get::<Option<i64>>("artifact_id")?.map(ArtifactDbId),
                epoch: columns.get("epoch")?,
                detail: columns.get("detail")?,
            },
            at: columns.get("at")?,
            resolved_at: columns.get("resolved_at")?,
        })
    }
}

impl TryFrom<&Row> for Attempt {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            artifact: columns.artifact("artifact_id")?,
            epoch: columns.get("epoch")?,
            check: columns.parse("check_kind")?,
            delivery: columns.get("delivery")?,
            class: columns.parse("class")?,
            detail: columns.get("detail")?,
            service: columns.get("service")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn a_dead_letter_is_recorded_once() {
        let db = TestDb::new().await;
        let letter = NewDeadLetter {
            stream: "LIVE".into(),
            consumer: "hash".into(),
            stream_seq: 7,
            deliveries: 8,
            check: Some(CheckKind::Hash),
            artifact: Some(ArtifactDbId(1)),
            epoch: Some(0),
            detail: "max deliveries".into(),
        };
        let unreadable = NewDeadLetter { artifact: None, epoch: None, ..letter.clone() };
        for (new, first) in [(&letter, true), (&letter, false), (&unreadable, true), (&unreadable, false)] {
            assert_eq!(db.store.record_dead_letter(new).await.unwrap(), first);
        }
        let found: Vec<_> =
            db.store.dead_letters(10).await.unwrap().into_iter().map(|found| found.letter).collect();
        assert_eq!(found, [unreadable, letter]);
    }

    #[tokio::test]
    async fn a_dead_letter_is_open_until_its_artifact_is_decided() {
        let db = TestDb::new().await;
        let hash = [CheckKind::Hash];
        let [a, b] = [db.artifact("a", &hash).await, db.artifact("b", &hash).await];
        let letter = |stream_seq, artifact| NewDeadLetter {
            stream: "LIVE".into(),
            consumer: "hash".into(),
            stream_seq,
            deliveries: 8,
            check: Some(CheckKind::Hash),
            artifact,
            epoch: Some(0),
            detail: "max deliveries".into(),
        };
        let open = async || -> Vec<i64> {
            db.store.dead_letters(10).await.unwrap().iter().map(|found| found.letter.stream_seq).collect()
        };
        for new in [letter(1, Some(a.artifact)), letter(2, Some(b.artifact)), letter(3, None)] {
            db.store.record_dead_letter(&new).await.unwrap();
        }
        db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
        assert_eq!(open().await, [3, 2]);
        db.store.record_dead_letter(&letter(4, Some(a.artifact))).await.unwrap();
        db.store.record_dead_letter(&letter(5, Some(b.artifact))).await.unwrap();
        assert_eq!(open().await, [5, 3, 2], "one that comes late is settled at once");
        assert_eq!(db.store.counts(8).await.unwrap().dead_letters, 3);
        db.judge(&[b.verdict(CheckKind::Hash, touchstone_domain::OutcomeKind::NotOffered)]).await.unwrap();
        assert_eq!(open().await, [3]);
        db.execute("UPDATE dead_letter SET resolved_at = NULL").await.unwrap();
        assert_eq!(db.store.settle_dead_letters().await.unwrap(), 4);
        assert_eq!(open().await, [3], "nobody knows whether it is answered");
        let number = db.store.dead_letters(1).await.unwrap()[0].id;
        assert_eq!(db.store.resolve_dead_letters(Some(number)).await.unwrap(), 1);
        assert_eq!(db.store.resolve_dead_letters(None).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn details_of_attempts_are_bounded_and_without_nul() {
        let db = TestDb::new().await;
        let attempt = Attempt {
            artifact: ArtifactDbId(1),
            epoch: 0,
            check: CheckKind::Hash,
            delivery: 3,
            class: AttemptClass::Retry,
            detail: format!("\0{}", "é".repeat(5000)),
            service: "hash".into(),
        };
        db.store.record_attempt(&attempt).await.unwrap();
        let rows = db
            .query("SELECT artifact_id, epoch, check_kind, delivery, class, detail, service FROM attempt")
            .await;
        let found = Attempt::try_from(&rows[0]).unwrap();
        assert_eq!(found.detail, format!("\u{fffd}{}", "é".repeat(1022)));
        assert_eq!(Attempt { detail: attempt.detail.clone(), ..found }, attempt);
    }
}
