//! The Go checksum database: the signed tree head that was accepted, why a database is stopped, and its tiles.
//!
//! A database is named by the id of its key, at most [`SUMDB_NAME_MAX`] bytes.
//!
//! *Invariant:* a head only moves forward, by compare-and-swap; Postgres refuses a smaller one, and the same size with another
//! root. Only a resume that records it forgets a head.
//!
//! *Invariant:* stops and what ended them are only ever added to.

mod head;
mod stop;
mod tile;

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use touchstone_domain::Sha256;

use crate::{Store, StoreError, error::within, row::Columns};

pub use head::Advanced;
pub use stop::NewSumdbStop;
pub use tile::{SUMDB_TILES_MAX, SumdbTile, SumdbTree, TilesKept};

/// The longest name of a database, in bytes.
pub const SUMDB_NAME_MAX: usize = 512;
/// The longest signed note, in bytes.
pub const SUMDB_NOTE_MAX: usize = 2 << 20;

/// A signed tree head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumdbHead {
    /// How many records the tree has.
    pub size: u64,
    /// Its root.
    pub root: Sha256,
    /// The whole note that says so, as it was signed.
    pub note: Vec<u8>,
}

/// Why a database is stopped; the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SumdbStopKind {
    /// Two signed heads contradict each other.
    Fork,
    /// The latest tree has been smaller than a head that we had, for long.
    Rollback,
    /// The latest tree has not grown for long.
    Freeze,
}

impl SumdbStopKind {
    /// Every kind, the gravest first.
    pub const ALL: [Self; 3] = [Self::Fork, Self::Rollback, Self::Freeze];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::Freeze => "freeze",
        }
    }
}

impl fmt::Display for SumdbStopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SumdbStopKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown kind of stop {text:?}"))
    }
}

/// A stop in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumdbStop {
    /// Why.
    pub kind: SumdbStopKind,
    /// The head that we had.
    pub ours: SumdbHead,
    /// What the database said against it.
    pub theirs: SumdbHead,
    /// The facts, for people.
    pub detail: String,
    /// Since when, by Postgres' clock.
    pub at: Timestamp,
}

/// What the polls of a database's latest tree have said, by Postgres' clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumdbPoll {
    /// How many records the latest tree had, at the last poll.
    pub latest_size: u64,
    /// When that was.
    pub polled_at: Timestamp,
    /// When the latest tree was last larger than ever before; the first poll counts.
    pub grown_at: Timestamp,
    /// Since when it is smaller than the head that was ours then; `None` when it is not smaller than the one that it was compared
    /// with last.
    pub behind_since: Option<Timestamp>,
    /// What the clock says now.
    pub now: Timestamp,
}

/// How a database stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumdbState {
    /// The largest head that was accepted.
    pub head: Option<SumdbHead>,
    /// The gravest stop in force.
    pub stop: Option<SumdbStop>,
    /// What the polls have said.
    pub poll: Option<SumdbPoll>,
    /// Which tree it is: another number once a head was forgotten, from then on.
    pub lineage: u64,
}

impl Store {
    /// How one database stands; nothing is known of one that was never asked.
    pub async fn sumdb_state(&self, database: &str) -> Result<SumdbState, StoreError> {
        let mut states = self.sumdb_states(&[database]).await?;
        Ok(states.pop().map(|(_, state)| state).unwrap_or_default())
    }

    /// How every database stands that was ever asked, by name.
    pub async fn sumdb_status(&self) -> Result<Vec<(String, SumdbState)>, StoreError> {
        const DATABASES: &str = r"-- sumdb.databases
SELECT database FROM sumdb_head UNION SELECT database FROM sumdb_poll UNION SELECT database FROM sumdb_stop ORDER BY 1";
        let rows = self.query(DATABASES, &[]).await?;
        let databases: Vec<&str> =
            rows.iter().map(|row| Columns(row).get("database")).collect::<Result<_, _>>()?;
        self.sumdb_states(&databases).await
    }

    async fn sumdb_states(&self, databases: &[&str]) -> Result<Vec<(String, SumdbState)>, StoreError> {
        const STATES: &str = r"-- sumdb.states
SELECT asked.database, head.size AS head_size, head.root AS head_root, head.note AS head_note,
       latest_size, polled_at, grown_at, behind_since, now() AS now,
       (SELECT count(*) FROM sumdb_stop JOIN sumdb_resume ON sumdb_resume.stop_id = sumdb_stop.id
        WHERE sumdb_stop.database = asked.database AND discarded_size IS NOT NULL) AS lineage,
       kind, ours_size, ours_root, ours_note, theirs_size, theirs_root, theirs_note, detail, at
FROM unnest($1::text[]) WITH ORDINALITY AS asked (database, n)
LEFT JOIN sumdb_head AS head ON head.database = asked.database
LEFT JOIN sumdb_poll AS poll ON poll.database = asked.database
LEFT JOIN LATERAL (
    SELECT * FROM sumdb_stop
    WHERE sumdb_stop.database = asked.database
      AND NOT EXISTS (SELECT FROM sumdb_resume WHERE sumdb_resume.stop_id = sumdb_stop.id)
    ORDER BY CASE kind WHEN 'fork' THEN 0 WHEN 'rollback' THEN 1 ELSE 2 END, id LIMIT 1
) AS stop ON true
ORDER BY n";
        for database in databases {
            within("bytes of a checksum database's name", database.len(), SUMDB_NAME_MAX)?;
        }
        self.query(STATES, &[&databases]).await?.iter().map(|row| state(Columns(row))).collect()
    }
}

fn state(columns: Columns<'_>) -> Result<(String, SumdbState), StoreError> {
    let has = |column| columns.get::<Option<Timestamp>>(column).map(|at| at.is_some());
    let state = SumdbState {
        head: match columns.get::<Option<i64>>("head_size")? {
            Some(_) => Some(signed(columns, "head_size", "head_root", "head_note")?),
            None => None,
        },
        stop: if has("at")? { Some(stop(columns)?) } else { None },
        poll: if has("polled_at")? { Some(head::poll(columns)?) } else { None },
        lineage: columns.unsigned("lineage")?,
    };
    Ok((columns.get("database")?, state))
}

fn signed(columns: Columns<'_>, size: &str, root: &str, note: &str) -> Result<SumdbHead, StoreError> {
    Ok(SumdbHead { size: columns.unsigned(size)?, root: columns.sha256(root)?, note: columns.get(note)? })
}

fn stop(columns: Columns<'_>) -> Result<SumdbStop, StoreError> {
    Ok(SumdbStop {
        kind: columns.parse("kind")?,
        ours: signed(columns, "ours_size", "ours_root", "ours_note")?,
        theirs: signed(columns, "theirs_size", "theirs_root", "theirs_note")?,
        detail: columns.get("detail")?,
        at: columns.get("at")?,
    })
}

/// The number of records or of a tile, as Postgres takes it.
fn number(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Invalid { what, problem: format!("{value} is too large") })
}

#[cfg(test)]
mod tests;
