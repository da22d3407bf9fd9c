//! Trust material: every root and key set that verdicts ever rested on, and the TUF files that were last verified.
//!
//! *Invariant:* the history is only ever added to, and Postgres compares each document with its digest.

mod status;

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use touchstone_domain::Sha256;

use crate::{Store, StoreError, error::within, pool::query_in, row::Columns};

pub use status::{TrustReported, TrustStatus};

/// The largest document, in bytes.
pub const TRUST_BYTES_MAX: usize = 4 << 20;
/// The most TUF files.
pub const TUF_FILES_MAX: usize = 64;
/// The most entries of the history that are read: the latest.
const HISTORY_MAX: i64 = 1_000;

/// What a document of trust is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrustKind {
    /// A sigstore `trusted_root.json`.
    SigstoreRoot,
    /// The keys of an npm registry.
    NpmKeys,
    /// A TUF `root.json`.
    TufRoot,
}

impl TrustKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::SigstoreRoot, Self::NpmKeys, Self::TufRoot];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SigstoreRoot => "sigstore_root",
            Self::NpmKeys => "npm_keys",
            Self::TufRoot => "tuf_root",
        }
    }
}

impl fmt::Display for TrustKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TrustKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|k| k.as_str() == text)
            .ok_or_else(|| format!("unknown trust material {text:?}"))
    }
}

/// A document of trust, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRecord {
    /// What it is.
    pub kind: TrustKind,
    /// The digest of the document.
    pub sha256: Sha256,
    /// Its bytes, at most [`TRUST_BYTES_MAX`].
    pub document: Vec<u8>,
    /// Where it came from, in a word: `embedded`, `file`, `tuf`, `import`.
    pub origin: String,
}

/// One entry of the history of trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustHistoryEntry {
    /// What it is.
    pub kind: TrustKind,
    /// The digest of the document.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// Where it first came from.
    pub origin: String,
    /// When it was first recorded.
    pub at: Timestamp,
}

/// The TUF files, and when they were stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TufFiles {
    /// Their contents, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// When; `None` if there are none.
    pub at: Option<StoredAt>,
}

/// When the TUF files were stored, by Postgres' clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredAt {
    /// When the latest of them was.
    pub at: Timestamp,
    /// What the clock says now. It may have been set since.
    pub now: Timestamp,
}

impl Store {
    /// Puts a document of trust on record. The same kind and digest twice is one entry: the first.
    pub async fn record_trust(&self, record: &TrustRecord) -> Result<(), StoreError> {
        const RECORD: &str = r"-- trust.record
INSERT INTO trust_material (kind, sha256, document, origin) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let TrustRecord { kind, sha256, document, origin } = record;
        within("bytes of trust material", document.len(), TRUST_BYTES_MAX)?;
        self.query(RECORD, &[&kind.as_str(), &sha256.0.as_slice(), document, origin]).await.map(drop)
    }

    /// The latest 1,000 documents of trust that were ever recorded, the latest first.
    pub async fn trust_history(&self) -> Result<Vec<TrustHistoryEntry>, StoreError> {
        const HISTORY: &str = r"-- trust.history
SELECT kind, sha256, octet_length(document)::bigint AS size, origin, at FROM trust_material ORDER BY id DESC LIMIT $1";
        let rows = self.query(HISTORY, &[&HISTORY_MAX]).await?;
        rows.iter()
            .map(|row| {
                let columns = Columns(row);
                Ok(TrustHistoryEntry {
                    kind: columns.parse("kind")?,
                    sha256: columns.sha256("sha256")?,
                    size: columns.unsigned("size")?,
                    origin: columns.get("origin")?,
                    at: columns.get("at")?,
                })
            })
            .collect()
    }

    /// Whether a document from a TUF repository was ever recorded, by a mirror or an import.
    pub async fn trust_came_from_tuf(&self) -> Result<bool, StoreError> {
        const CAME: &str = r"-- trust.from_tuf
SELECT EXISTS (SELECT FROM trust_material WHERE origin IN ('tuf', 'import')) AS came";
        let row = self.query_opt(CAME, &[]).await?;
        row.map_or(Ok(false), |row| Columns(&row).get("came"))
    }

    /// The TUF metadata and targets that were last verified; none before the first refresh.
    pub async fn tuf_files(&self) -> Result<TufFiles, StoreError> {
        const FILES: &str = r"-- tuf.files
SELECT name, content, updated_at, now() AS now FROM tuf_file";
        let rows = self.query(FILES, &[]).await?;
        let mut found = TufFiles::default();
        for row in &rows {
            let columns = Columns(row);
            let (at, now): (Timestamp, Timestamp) = (columns.get("updated_at")?, columns.get("now")?);
            found.at = found.at.max(Some(StoredAt { at, now }));
            found.files.insert(columns.get("name")?, columns.get("content")?);
        }
        Ok(found)
    }

    /// Replaces the TUF files as a whole, at most [`TUF_FILES_MAX`] of [`TRUST_BYTES_MAX`] each, if those that are there are
    /// the `expected` ones; returns when they were stored, `None` if others are there. The same again is stored again: its
    /// time is the present then.
    pub async fn put_tuf_files(
        &self,
        expected: &BTreeMap<String, Vec<u8>>,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Option<Timestamp>, StoreError> {
        const LOCK: &str = r"-- tuf.lock
SELECT pg_advisory_xact_lock(hashtextextended('touchstone.tuf', 0))";
        const EXPECTED: &str = r"-- tuf.expected
SELECT name, sha256(content) AS sha256 FROM tuf_file";
        const REMOVE: &str = r"-- tuf.remove
DELETE FROM tuf_file WHERE name <> ALL ($1)";
        const PUT: &str = r"-- tuf.put
INSERT INTO tuf_file (name, content) SELECT name, content FROM unnest($1::text[], $2::bytea[]) AS f (name, content)
ON CONFLICT (name) DO UPDATE SET content = excluded.content, updated_at = now()";
        const NOW: &str = r"-- tuf.now
SELECT now() AS at";
        within("TUF files", files.len(), TUF_FILES_MAX)?;
        for content in files.values() {
            within("bytes of a TUF file", content.len(), TRUST_BYTES_MAX)?;
        }
        let expected: BTreeMap<String, Sha256> =
            expected.iter().map(|(name, content)| (name.clone(), Sha256::of(content))).collect();
        let (names, contents): (Vec<&str>, Vec<&[u8]>) =
            files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).unzip();
        let arguments = (expected, names, contents);
        self.transaction("tuf.put", &arguments, |(expected, names, contents), transaction| {
            Box::pin(async move {
                query_in(transaction, LOCK, &[]).await?;
                let there = query_in(transaction, EXPECTED, &[]).await?;
                let there: Result<BTreeMap<String, Sha256>, StoreError> = there
                    .iter()
                    .map(|row| Ok((Columns(row).get("name")?, Columns(row).sha256("sha256")?)))
                    .collect();
                if there? != *expected {
                    return Ok(None);
                }
                query_in(transaction, REMOVE, &[names]).await?;
                query_in(transaction, PUT, &[names, contents]).await?;
                let at = query_in(transaction, NOW, &[]).await?;
                at.first().map(|row| Columns(row).get("at")).transpose()
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
