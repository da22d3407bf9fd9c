//! The ledger of identities: who signed what, as it was accepted, per package and release line.
//!
//! Attested releases are judged one after the other: whoever settles one holds the package's advisory lock, reads the
//! history after taking it, lets the pure judge of the domain decide, and writes what it accepts in the same transaction. Of
//! many concurrent first uses exactly one finds no history.
//!
//! Each attested artifact has a row of its own, and another one only when it is accepted anew with another identity (another
//! ref of the same class is the same one) or another rank. So there is at most one row per artifact and identity.
//!
//! Rows of an artifact that is rejected or recalled are history, and count for nothing: they are nobody's baseline, and a
//! package without any other has no ledger. Since each attested artifact has its row, recalling one leaves the others as
//! the baseline. What is undecided or too young counts all the same, or two first uses at once would both be the first; and
//! what is checked again is undecided.
//!
//! What `judge_absent` asks, whether a version is older than *every* attested one of its line, is exact for the same reason.
//! Reading is bounded all the same: a line with more than [`LINE_VERSIONS_MAX`] versions lists,
//! in place of the rest, the very version that is judged, and no version is lower than itself. Beyond the bound nothing
//! counts as older: it closes, and never opens.
//!
//! What was accepted for an artifact stays its own baseline: an artifact that is judged again is compared with its own latest
//! row, and not with what its line has moved on to. Else the row of another file of its version is the baseline, and else
//! the latest of its line.
//!
//! *Invariant:* rows are only ever added. Those on a basis that does not bind ([`Basis::binds`]) are never a baseline.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, Basis, Ecosystem, FileName, Identity, LineHistory, Observed, PackageName,
    ReleaseLine, Version,
};

use crate::{
    Store, StoreError,
    pool::query_in,
    row::{Columns, plain_json},
};

/// The most versions of a line that are read.
pub const LINE_VERSIONS_MAX: usize = 4_096;
/// The most lines that are read below a release, and the most above it: the nearest.
const LINES_MAX: i64 = 64;
/// The longest identity, and the longest basis, in bytes of JSON.
const JSON_BYTES_MAX: usize = 8_192;

/// The release that an identity is about.
#[derive(Clone, Copy, Debug)]
pub struct LedgerSubject<'a> {
    /// The artifact's row.
    pub artifact: ArtifactDbId,
    /// Its coordinate.
    pub id: &'a ArtifactId,
    /// The line of its version.
    pub line: ReleaseLine,
}

/// What a judge accepts, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Who signed, and how much stands behind it.
    pub observed: Observed,
    /// Why it is accepted.
    pub basis: Basis,
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The artifact that it was accepted for.
    pub artifact: ArtifactDbId,
    /// Its version.
    pub version: Version,
    /// Its file.
    pub file: FileName,
    /// The release line.
    pub line: ReleaseLine,
    /// Who signed, and how much stands behind it.
    pub observed: Observed,
    /// Why it was accepted.
    pub basis: Basis,
    /// When, by Postgres' clock.
    pub at: Timestamp,
}

impl Store {
    /// Judges a release against what is known of its package, and puts what the judge accepts on the ledger: one transaction
    /// under a lock per package. The judge sees the nearest release lines, each with what binds; it is pure, since it is
    /// called again when the transaction has to be run again. The same release twice adds nothing.
    pub async fn settle_identity<T: Send>(
        &self,
        subject: &LedgerSubject<'_>,
        judge: impl Fn(&[LineHistory]) -> (T, Option<Accepted>) + Send + Sync,
    ) -> Result<T, StoreError> {
        self.transaction("ledger.settle", &(subject, judge), |(subject, judge), transaction| {
            Box::pin(async move {
                lock(transaction, &subject.id.ecosystem, &subject.id.package).await?;
                let known = history(transaction, subject).await?;
                let (answer, accepted) = judge(&known);
                if let Some(accepted) = accepted.filter(|accepted| adds(&known, subject, accepted)) {
                    insert(transaction, subject, &accepted).await?;
                }
                Ok(answer)
            })
        })
        .await
    }

    /// What is on the ledger of a package, the latest first, at most `limit`.
    pub async fn identities(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
        limit: i64,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        const IDENTITIES: &str = r"-- ledger.identities
SELECT artifact_id, version, file, line, identity, rank, basis, at
FROM identity WHERE ecosystem = $1 AND package = $2
ORDER BY id DESC LIMIT $3";
        let rows = self.query(IDENTITIES, &[&ecosystem.as_str(), &package.as_str(), &limit.max(0)]).await?;
        rows.iter().map(LedgerEntry::try_from).collect()
    }

    /// Whether anything that counts is on the ledger of a package.
    pub async fn has_identity(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
    ) -> Result<bool, StoreError> {
        const HAS: &str = r"-- ledger.has
SELECT FROM identity JOIN gate ON gate.artifact_id = identity.artifact_id
WHERE ecosystem = $1 AND package = $2 AND (deny & veto) = 0 AND (hold & 2) = 0
LIMIT 1";
        Ok(self.query_opt(HAS, &[&ecosystem.as_str(), &package.as_str()]).await?.is_some())
    }
}

async fn lock(
    transaction: &Transaction<'_>,
    ecosystem: &Ecosystem,
    package: &PackageName,
) -> Result<(), StoreError> {
    const LOCK: &str = r"-- ledger.lock
SELECT pg_advisory_xact_lock(hashtextextended('touchstone.identity ' || $1::text || ' ' || $2::text, 0))";
    query_in(transaction, LOCK, &[&ecosystem.as_str(), &package.as_str()]).await.map(drop)
}

/// What binds, line by line. A statement of its own, so that its snapshot is from after the lock was had.
async fn history(
    transaction: &Transaction<'_>,
    subject: &LedgerSubject<'_>,
) -> Result<Vec<LineHistory>, StoreError> {
    const HISTORY: &str = r"-- ledger.history
WITH counted AS NOT MATERIALIZED (
    SELECT identity.id, identity.artifact_id, version, line, identity, rank, basis, binding, at
    FROM identity JOIN gate ON gate.artifact_id = identity.artifact_id
    WHERE ecosystem = $1 AND package = $2 AND (deny & veto) = 0 AND (hold & 2) = 0
), near AS (
    (SELECT DISTINCT line FROM counted WHERE line <= $3 AND binding ORDER BY line DESC LIMIT $5)
    UNION ALL
    (SELECT DISTINCT line FROM counted WHERE line > $3 AND binding ORDER BY line LIMIT $5)
)
SELECT near.line, latest.version, latest.identity, latest.rank, known.versions, known.since,
       own.identity AS own_identity, own.rank AS own_rank, own.basis AS own_basis
FROM near CROSS JOIN LATERAL (
    SELECT version, identity, rank FROM counted
    WHERE counted.line = near.line AND binding
    ORDER BY (artifact_id = $4) DESC, (version = $7) DESC, id DESC LIMIT 1
) AS latest CROSS JOIN LATERAL (
    SELECT array_agg(version ORDER BY first) AS versions, min(first_at) AS since
    FROM (
        SELECT version, min(id) AS first, min(at) AS first_at FROM counted
        WHERE counted.line = near.line
        GROUP BY version ORDER BY first LIMIT $6
    ) AS each
) AS known LEFT JOIN LATERAL (
    SELECT identity, rank, basis FROM counted
    WHERE counted.line = near.line AND artifact_id = $4
    ORDER BY id DESC LIMIT 1
) AS own ON true
ORDER BY near.line";
    let id = subject.id;
    let limit = i64::try_from(LINE_VERSIONS_MAX).unwrap_or(i64::MAX).saturating_add(1);
    let rows = query_in(
        transaction,
        HISTORY,
        &[
            &id.ecosystem.as_str(),
            &id.package.as_str(),
            &subject.line.0,
            &subject.artifact.0,
            &LINES_MAX,
            &limit,
            &id.version.as_str(),
        ],
    )
    .await?;
    rows.iter().map(|row| line_history(Columns(row), subject)).collect()
}

fn line_history(columns: Columns<'_>, subject: &LedgerSubject<'_>) -> Result<LineHistory, StoreError> {
    let stored: Vec<String> = columns.get("versions")?;
    let mut versions = Vec::with_capacity(stored.len());
    for version in stored {
        versions.push(Version::new(version).map_err(|e| StoreError::inconsistent("version", &e))?);
    }
    if versions.len() > LINE_VERSIONS_MAX {
        versions.truncate(LINE_VERSIONS_MAX);
        versions.push(subject.id.version.clone());
    }
    Ok(LineHistory {
        line: ReleaseLine(columns.get("line")?),
        latest: observed(columns, ("identity", "rank"))?,
        latest_version: columns.version()?,
        versions,
        since: columns.get("since")?,
        own: match columns.get::<Option<&str>>("own_rank")? {
            Some(_) => Some((observed(columns, ("own_identity", "own_rank"))?, columns.json("own_basis")?)),
            None => None,
        },
    })
}

/// Whether a row would say something that the artifact's own latest one does not say.
fn adds(known: &[LineHistory], subject: &LedgerSubject<'_>, accepted: &Accepted) -> bool {
    let own = known.iter().find(|entry| entry.line == subject.line).and_then(|entry| entry.own.as_ref());
    !own.is_some_and(|(observed, basis)| {
        observed.is_alike(&accepted.observed) && (basis.binds() || !accepted.basis.binds())
    })
}

/// Takes the coordinate from the artifact's own row, so that no row of the ledger names another package's.
async fn insert(
    transaction: &Transaction<'_>,
    subject: &LedgerSubject<'_>,
    accepted: &Accepted,
) -> Result<(), StoreError> {
    const INSERT: &str = r"-- ledger.insert
WITH subject AS MATERIALIZED (
    SELECT id, ecosystem, package, version, file FROM artifact
    WHERE id = $1 AND ecosystem = $2 AND package = $3 AND version = $4
), added AS (
    INSERT INTO identity (artifact_id, ecosystem, package, version, file, line, identity, rank, basis)
    SELECT id, ecosystem, package, version, file, $5, $6::text::jsonb, $7, $8::text::jsonb FROM subject
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS subjects FROM subject";
    let identity = json("identity", &accepted.observed.identity)?;
    let basis = json("basis", &accepted.basis)?;
    let id = subject.id;
    let rows = query_in(
        transaction,
        INSERT,
        &[
            &subject.artifact.0,
            &id.ecosystem.as_str(),
            &id.package.as_str(),
            &id.version.as_str(),
            &subject.line.0,
            &identity,
            &accepted.observed.rank.as_str(),
            &basis,
        ],
    )
    .await?;
    match rows.first().map_or(Ok(0), |row| Columns(row).unsigned("subjects"))? {
        0 => Err(StoreError::Invalid { what: "identity", problem: format!("{id} is not on record") }),
        _ => Ok(()),
    }
}

fn json(what: &'static str, value: &impl serde::Serialize) -> Result<String, StoreError> {
    let text = plain_json(value).map_err(|e| StoreError::Invalid { what, problem: e.to_string() })?;
    crate::error::within(what, text.len(), JSON_BYTES_MAX)?;
    Ok(text)
}

/// Reads an identity and its rank from the columns of these names.
fn observed(columns: Columns<'_>, (identity, rank): (&str, &str)) -> Result<Observed, StoreError> {
    Ok(Observed { identity: columns.json::<Identity>(identity)?, rank: columns.parse(rank)? })
}

impl TryFrom<&Row> for LedgerEntry {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            artifact: columns.artifact("artifact_id")?,
            version: columns.version()?,
            file: columns.file()?,
            line: ReleaseLine(columns.get("line")?),
            observed: observed(columns, ("identity", "rank"))?,
            basis: columns.json("basis")?,
            at: columns.get("at")?,
        })
    }
}

#[cfg(test)]
mod tests;
