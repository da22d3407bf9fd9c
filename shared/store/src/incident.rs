//! Incidents: what should not have happened, kept for people.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Row;
use touchstone_custody::{KeyKind, KeyProblem, Signing};
use touchstone_domain::{ArtifactDbId, ArtifactId, Ecosystem, FileName, PackageName, Purl, Version};

use crate::{
    Store, StoreError,
    row::{Columns, DETAIL_SHORT_BYTES, plain, plain_json},
};

/// The most bytes of detail that are kept whole.
const DETAIL_BYTES_MAX: usize = 8192;

/// What kind of incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// The upstream offers other bytes for a coordinate that is on record. [`Store::ingest`] writes these.
    SecondDigest,
    /// The upstream's bytes contradict its own metadata.
    UpstreamMismatch,
    /// Stored bytes are no longer what they were.
    BlobDamaged,
    /// Damaged or missing bytes were fetched again, and are the same.
    BlobHealed,
    /// The upstream's metadata or a redirect led to a place that is not configured; nothing was dialled.
    EgressRefused,
    /// A worker gave a verdict about other bytes than those on record, or with another chunk list.
    VerdictRefused,
    /// Nothing that was signed says what an artifact's bytes are and where they came from: its fetch does not count.
    FetchRefused,
    /// A gate claims what no signature backs: answers of checks, or that it is servable without a serve record.
    GateWithoutRecord,
    /// A release was not signed by whoever signed the releases before it.
    ContinuityBroken,
    /// An attestation or a registry's signature does not verify, or is not about what it stands beside, or a stranger's doing
    /// started the build.
    AttestationRefused,
    /// Two signed heads of a checksum database contradict each other.
    SumdbFork,
    /// The latest tree of a checksum database is smaller than the one that was accepted.
    SumdbRollback,
    /// The latest tree of a checksum database has not grown for long.
    SumdbFreeze,
    /// An answer of a checksum database does not prove what it says.
    SumdbRefused,
    /// A checksum database has another digest on record than the bytes.
    SumdbMismatch,
    /// A serve record does not permit what the rows say: its signature does not count, or it names something else.
    ServeRecordRefused,
    /// A signed envelope that a row names cannot be read.
    RecordMissing,
    /// The published transparency log is not the one that was seen before: rolled back, forked, or signed by nobody known.
    LogRollback,
    /// The published transparency log does not follow what Postgres sealed, or is withheld from whoever follows it.
    LogFrozen,
    /// The database is older than the transparency log: a backup was restored, or rows were deleted.
    DatabaseRollback,
    /// A row says something else than what was sealed in the transparency log, or is gone.
    HistoryRewritten,
    /// The own key of promote, or of a worker, does not count, so it signs nothing. [`Store::settle_signing`] ends it.
    SigningBlocked,
}

impl IncidentKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondDigest => "second_digest",
            Self::UpstreamMismatch => "upstream_mismatch",
            Self::BlobDamaged => "blob_damaged",
            Self::BlobHealed => "blob_healed",
            Self::EgressRefused => "egress_refused",
            Self::VerdictRefused => "verdict_refused",
            Self::FetchRefused => "fetch_refused",
            Self::GateWithoutRecord => "gate_without_record",
            Self::ContinuityBroken => "continuity_broken",
            Self::AttestationRefused => "attestation_refused",
            Self::SumdbFork => "sumdb_fork",
            Self::SumdbRollback => "sumdb_rollback",
            Self::SumdbFreeze => "sumdb_freeze",
            Self::SumdbRefused => "sumdb_refused",
            Self::SumdbMismatch => "sumdb_mismatch",
            Self::ServeRecordRefused => "serve_record_refused",
            Self::RecordMissing => "record_missing",
            Self::LogRollback => "log_rollback",
            Self::LogFrozen => "log_frozen",
            Self::DatabaseRollback => "database_rollback",
            Self::HistoryRewritten => "history_rewritten",
            Self::SigningBlocked => "signing_blocked",
        }
    }
}

/// An incident to put on record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIncident {
    /// What kind.
    pub kind: IncidentKind,
    /// The ecosystem that it is about.
    pub ecosystem: Ecosystem,
    /// The package.
    pub package: PackageName,
    /// The version, if it is about one.
    pub version: Option<Version>,
    /// The file, if it is about one.
    pub file: Option<FileName>,
    /// The artifact's row, if there is one.
    pub artifact: Option<ArtifactDbId>,
    /// The facts, for people; shortened if they are long.
    pub detail: Value,
}

impl NewIncident {
    /// An incident about one artifact that need not be on record.
    pub fn about(kind: IncidentKind, id: &ArtifactId, artifact: Option<ArtifactDbId>, detail: Value) -> Self {
        Self {
            kind,
            ecosystem: id.ecosystem,
            package: id.package.clone(),
            version: Some(id.version.clone()),
            file: Some(id.file.clone()),
            artifact,
            detail,
        }
    }

    /// An incident about a checksum database as a whole; the id of its key stands where the package would.
    pub fn about_sumdb(kind: IncidentKind, database: &str, detail: Value) -> Self {
        Self::about_whole(kind, database, "sumdb", detail)
    }

    /// An incident about the transparency log as a whole, the database beside it, or promote; the log's origin stands where the
    /// package would. A row has to name an ecosystem: it is that of the other log.
    pub fn about_log(kind: IncidentKind, origin: &str, detail: Value) -> Self {
        Self::about_whole(kind, origin, "transparency-log", detail)
    }

    /// That the key which this process signs with does not count, and what to do. The log's origin stands where the package would.
    pub fn about_signing(signing: &Signing, problem: &KeyProblem, next: &str) -> Self {
        let (key, kind) = (signing.signer.key_id(), signing.signer.kind().as_str());
        let detail = json!({ "key": key, "kind": kind, "problem": problem.lasting(), "next": next });
        let origin = format!("touchstone/{}", signing.environment);
        Self::about_log(IncidentKind::SigningBlocked, &origin, detail)
    }

    fn about_whole(kind: IncidentKind, name: &str, otherwise: &str, detail: Value) -> Self {
        let package = PackageName::new(name).or_else(|_| PackageName::new(otherwise));
        Self {
            kind,
            ecosystem: Ecosystem::Go,
            package: package.expect("the second is a name"),
            version: None,
            file: None,
            artifact: None,
            detail,
        }
    }
}

/// An incident on record.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its number.
    pub id: i64,
    /// The kind's word, [`IncidentKind::as_str`]; a newer version may write others.
    pub kind: String,
    /// The ecosystem that it is about.
    pub ecosystem: Ecosystem,
    /// The package.
    pub package: PackageName,
    /// The version, if it is about one.
    pub version: Option<Version>,
    /// The file, if it is about one.
    pub file: Option<FileName>,
    /// The artifact's row, if there is one.
    pub artifact: Option<ArtifactDbId>,
    /// The facts.
    pub detail: Value,
    /// How often it happened within its hour.
    pub count: i64,
    /// When it first happened.
    pub at: Timestamp,
    /// When it last happened.
    pub last_at: Timestamp,
    /// When somebody settled it.
    pub resolved_at: Option<Timestamp>,
}

impl Store {
    /// Puts an incident on record; the same one within an hour of the clock counts up instead, and is open again. Bytes
    /// that were healed need nobody: that incident is settled from the start, and settles the damage of its coordinate.
    pub async fn record_incident(&self, new: &NewIncident) -> Result<(), StoreError> {
        const RECORD: &str = r"-- incident.record
WITH settled AS (
    UPDATE incident SET resolved_at = now()
    WHERE $8 AND kind = 'blob_damaged' AND ecosystem = $2 AND package = $3 AND version = $4 AND file = $5
      AND resolved_at IS NULL
)
INSERT INTO incident (kind, ecosystem, package, version, file, artifact_id, detail, resolved_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, CASE WHEN $8 THEN now() END)
ON CONFLICT (kind, ecosystem, package, version, file, hour, hashtextextended(detail::text, 0))
    DO UPDATE SET count = incident.count + 1, last_at = now(), resolved_at = excluded.resolved_at";
        let invalid = |e: serde_json::Error| StoreError::Invalid { what: "incident", problem: e.to_string() };
        let mut detail = plain_json(&new.detail).map_err(invalid)?;
        if detail.len() > DETAIL_BYTES_MAX {
            detail =
                plain_json(&json!({ "shortened": plain(&detail, DETAIL_SHORT_BYTES) })).map_err(invalid)?;
        }
        let (kind, ecosystem) = (new.kind.as_str(), new.ecosystem.as_str());
        let version = new.version.as_ref().map(Version::as_str);
        let file = new.file.as_ref().map(FileName::as_str);
        let artifact = new.artifact.map(|artifact| artifact.0);
        let package = new.package.as_str();
        let healed = new.kind == IncidentKind::BlobHealed;
        self.query(RECORD, &[&kind, &ecosystem, &package, &version, &file, &artifact, &detail, &healed])
            .await
            .map(drop)
    }

    /// Settles the open incident with that number, or all. Returns how many were open.
    pub async fn resolve_incidents(&self, id: Option<i64>) -> Result<usize, StoreError> {
        const RESOLVE: &str = r"-- incident.resolve
UPDATE incident SET resolved_at = now() WHERE resolved_at IS NULL AND ($1::bigint IS NULL OR id = $1) RETURNING id";
        self.query(RESOLVE, &[&id]).await.map(|rows| rows.len())
    }

    /// Settles that keys of a kind did not count: one does. Returns how many were open.
    pub async fn settle_signing(&self, kind: KeyKind) -> Result<usize, StoreError> {
        // the version before wrote no kind, and of promote only
        const SETTLE: &str = r"-- incident.settle_signing
UPDATE incident SET resolved_at = now()
WHERE resolved_at IS NULL AND kind = 'signing_blocked' AND coalesce(detail ->> 'kind', 'promote') = $1
RETURNING id";
        self.query(SETTLE, &[&kind.as_str()]).await.map(|rows| rows.len())
    }

    /// Of which kinds a key that is signed with does not count at present, of those that this version knows.
    pub async fn signing_blocked(&self) -> Result<Vec<KeyKind>, StoreError> {
        // the version before wrote no kind, and of promote only
        const BLOCKED: &str = r"-- incident.signing_blocked
SELECT DISTINCT coalesce(detail ->> 'kind', 'promote') AS key_kind
FROM incident WHERE resolved_at IS NULL AND kind = 'signing_blocked' ORDER BY key_kind";
        let rows = self.query(BLOCKED, &[]).await?;
        Ok(rows.iter().filter_map(|row| Columns(row).parse("key_kind").ok()).collect())
    }

    /// The latest incidents that nobody has settled, the newest first.
    pub async fn incidents(&self, limit: i64) -> Result<Vec<Incident>, StoreError> {
        const OPEN: &str = r"-- incident.open
SELECT id, kind, ecosystem, package, version, file, artifact_id, detail, count, at, last_at, resolved_at
FROM incident WHERE resolved_at IS NULL ORDER BY id DESC LIMIT $1";
        self.query(OPEN, &[&limit]).await?.iter().map(Incident::try_from).collect()
    }

    /// The latest incidents, settled or not, the newest first.
    pub async fn latest_incidents(&self, limit: i64) -> Result<Vec<Incident>, StoreError> {
        const LATEST: &str = r"-- incident.latest
SELECT id, kind, ecosystem, package, version, file, artifact_id, detail, count, at, last_at, resolved_at
FROM incident ORDER BY id DESC LIMIT $1";
        self.query(LATEST, &[&limit]).await?.iter().map(Incident::try_from).collect()
    }

    /// The latest incidents about what a purl names, the newest first, also where no artifact is on record.
    pub async fn incidents_about(&self, purl: &Purl, limit: i64) -> Result<Vec<Incident>, StoreError> {
        const ABOUT: &str = r"-- incident.about
SELECT id, kind, ecosystem, package, version, file, artifact_id, detail, count, at, last_at, resolved_at
FROM incident
WHERE ecosystem = $1 AND package = $2 AND ($3::text IS NULL OR version = $3) AND ($4::text IS NULL OR file = $4)
ORDER BY id DESC LIMIT $5";
        let version = purl.version.as_ref().map(Version::as_str);
        let file = purl.file.as_ref().map(FileName::as_str);
        let ecosystem = purl.ecosystem.as_str();
        let rows = self.query(ABOUT, &[&ecosystem, &purl.package.as_str(), &version, &file, &limit]).await?;
        rows.iter().map(Incident::try_from).collect()
    }
}

impl Incident {
    /// Whether it is about no package but the installation: made with [`NewIncident::about_log`], whose row has to name one.
    pub fn is_of_installation(&self) -> bool {
        const WHOLE: [IncidentKind; 5] = [
            IncidentKind::LogRollback,
            IncidentKind::LogFrozen,
            IncidentKind::DatabaseRollback,
            IncidentKind::HistoryRewritten,
            IncidentKind::SigningBlocked,
        ];
        self.version.is_none() && WHOLE.iter().any(|kind| kind.as_str() == self.kind)
    }
}

impl TryFrom<&Row> for Incident {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        let version: Option<String> = columns.get("version")?;
        let file: Option<String> = columns.get("file")?;
        Ok(Self {
            id: columns.get("id")?,
            kind: columns.get("kind")?,
            ecosystem: columns.parse("ecosystem")?,
            package: columns.package()?,
            version: version
                .map(Version::new)
                .transpose()
                .map_err(|e| StoreError::inconsistent("version", &e))?,
            file: file.map(FileName::new).transpose().map_err(|e| StoreError::inconsistent("file", &e))?,
            artifact: columns.get::<Option<i64>>("artifact_id")?.map(ArtifactDbId),
            detail: columns.detail("detail")?,
            count: columns.get("count")?,
            at: columns.get("at")?,
            last_at: columns.get("last_at")?,
            resolved_at: columns.get("resolved_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestDb, id};

    #[tokio::test]
    async fn the_same_incident_counts_up_and_another_is_a_row() {
        let db = TestDb::new().await;
        let about = id("left-pad", "1.3.0");
        let damaged = NewIncident::about(IncidentKind::BlobDamaged, &about, None, json!({"offset": 1}));
        let other = NewIncident { detail: json!({"offset": 2}), ..damaged.clone() };
        let package = NewIncident { version: None, file: None, ..damaged.clone() };
        for new in [&damaged, &damaged, &other, &package, &package, &damaged] {
            db.store.record_incident(new).await.unwrap();
        }
        let found = db.store.incidents(10).await.unwrap();
        let counts: Vec<_> =
            found.iter().map(|i| (i.version.is_some(), i.detail["offset"].clone(), i.count)).collect();
        assert_eq!(counts, [(false, json!(1), 2), (true, json!(2), 1), (true, json!(1), 3)]);
        assert_eq!(
            db.store.incidents_about(&"pkg:npm/left-pad".parse().unwrap(), 10).await.unwrap().len(),
            3
        );
        assert_eq!(
            db.store.incidents_about(&"pkg:npm/left-pad@1.3.0".parse().unwrap(), 10).await.unwrap().len(),
            2
        );
        assert_eq!(
            db.store.incidents_about(&"pkg:npm/left-pad@1.3.1".parse().unwrap(), 10).await.unwrap(),
            []
        );

        db.execute("UPDATE incident SET hour = hour - interval '1 hour'").await.unwrap();
        db.store.record_incident(&damaged).await.unwrap();
        assert_eq!(db.store.incidents(10).await.unwrap().len(), 4, "an hour later it is a new one");
    }

    #[tokio::test]
    async fn healed_bytes_settle_the_damage_of_their_coordinate_until_there_is_more() {
        let db = TestDb::new().await;
        let record = async |kind, version: &str| {
            let new = NewIncident::about(kind, &id("left-pad", version), None, json!({}));
            db.store.record_incident(&new).await.unwrap();
        };
        let open = async || {
            let found = db.store.incidents(10).await.unwrap();
            found.into_iter().map(|i| (i.kind, i.version.unwrap().to_string())).collect::<Vec<_>>()
        };
        let damaged = |version: &str| ("blob_damaged".to_owned(), version.to_owned());
        for version in ["1.3.0", "1.4.0"] {
            record(IncidentKind::BlobDamaged, version).await;
        }
        record(IncidentKind::BlobHealed, "1.3.0").await;
        assert_eq!(open().await, [damaged("1.4.0")]);
        record(IncidentKind::BlobDamaged, "1.3.0").await;
        assert_eq!(open().await, [damaged("1.4.0"), damaged("1.3.0")], "the same damage again is open again");
        record(IncidentKind::BlobHealed, "1.3.0").await;
        assert_eq!(open().await, [damaged("1.4.0")]);
        assert_eq!(db.store.counts(8).await.unwrap().incidents, 1);

        let last = db.store.incidents(1).await.unwrap()[0].id;
        assert_eq!(db.store.resolve_incidents(Some(last + 100)).await.unwrap(), 0);
        assert_eq!(db.store.resolve_incidents(Some(last)).await.unwrap(), 1);
        assert_eq!(db.store.resolve_incidents(Some(last)).await.unwrap(), 0, "it is settled already");
        record(IncidentKind::SecondDigest, "1.3.0").await;
        assert_eq!(db.store.resolve_incidents(None).await.unwrap(), 1);
        assert_eq!(open().await, []);
        assert_eq!(db.store.latest_incidents(10).await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn an_incident_of_a_checksum_database_is_found_by_the_name_of_its_key() {
        let db = TestDb::new().await;
        let about = |database: &str, size: u64| {
            NewIncident::about_sumdb(IncidentKind::SumdbRollback, database, json!({ "theirs": size }))
        };
        for new in [about("sum.example+00000001", 8), about("sum.example+00000001", 8), about("#", 8)] {
            db.store.record_incident(&new).await.unwrap();
        }
        let found = db.store.incidents(9).await.unwrap();
        let told: Vec<_> = found.iter().map(|i| (i.kind.as_str(), i.package.as_str(), i.count)).collect();
        let kind = "sumdb_rollback";
        assert_eq!(told, [(kind, "sumdb", 1), (kind, "sum.example+00000001", 2)]);
        assert!(found.iter().all(|i| i.ecosystem == Ecosystem::Go && i.version.is_none()));
    }

    #[tokio::test]
    async fn hostile_detail_is_stored_bounded_and_inert() {
        let db = TestDb::new().await;
        let about = id("left-pad", "1.3.0");
        let hostile = json!({ "a\0b": ["'; DROP TABLE incident; --\0"], "long": "x".repeat(1 << 20) });
        db.store
            .record_incident(&NewIncident::about(IncidentKind::UpstreamMismatch, &about, None, hostile))
            .await
            .unwrap();
        let found = db.store.incidents(1).await.unwrap();
        let kept = found[0].detail["shortened"].as_str().unwrap();
        assert!(kept.len() <= 2048 && kept.contains("DROP TABLE incident; --\u{fffd}"), "{kept}");
    }
}
