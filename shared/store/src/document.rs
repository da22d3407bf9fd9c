//! The metadata cache: which document an address last had. The bytes are in the blob store.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{Ecosystem, Sha256};

use crate::{Store, StoreError, row::Columns};

/// A document that was just fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// Their number.
    pub size: u64,
    /// Where they came from in the end, without credentials.
    pub url: String,
    /// Their media type.
    pub content_type: String,
    /// The upstream's validator, if it gave one.
    pub etag: Option<String>,
    /// The upstream's other validator.
    pub last_modified: Option<String>,
}

/// A document as it was last fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedDocument {
    /// What was fetched.
    pub document: NewDocument,
    /// When these bytes were fetched.
    pub fetched_at: Timestamp,
    /// When the upstream last said that they are current.
    pub checked_at: Timestamp,
    /// How long ago that was, by Postgres.
    pub age: Duration,
}

impl Store {
    /// The document that was last put under a key.
    pub async fn document(
        &self,
        ecosystem: Ecosystem,
        key: &str,
    ) -> Result<Option<CachedDocument>, StoreError> {
        const DOCUMENT: &str = r"-- document.find
SELECT sha256, size, url, content_type, etag, last_modified, fetched_at, checked_at,
       greatest(extract(epoch FROM clock_timestamp() - checked_at), 0)::double precision AS age_seconds
FROM document WHERE ecosystem = $1 AND key = $2";
        let row = self.query_opt(DOCUMENT, &[&ecosystem.as_str(), &key]).await?;
        row.as_ref().map(CachedDocument::try_from).transpose()
    }

    /// Puts a document under a key, in place of what is there.
    pub async fn put_document(
        &self,
        ecosystem: Ecosystem,
        key: &str,
        new: &NewDocument,
    ) -> Result<(), StoreError> {
        const PUT: &str = r"-- document.put
INSERT INTO document (ecosystem, key, sha256, size, url, content_type, etag, last_modified)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (ecosystem, key) DO UPDATE
SET sha256 = excluded.sha256, size = excluded.size, url = excluded.url, content_type = excluded.content_type,
    etag = excluded.etag, last_modified = excluded.last_modified, fetched_at = now(), checked_at = now()";
        let NewDocument { sha256, size, url, content_type, etag, last_modified } = new;
        let size = i64::try_from(*size)
            .map_err(|e| StoreError::Invalid { what: "document", problem: e.to_string() })?;
        let sha256 = sha256.0.as_slice();
        let ecosystem = ecosystem.as_str();
        self.query(PUT, &[&ecosystem, &key, &sha256, &size, url, content_type, etag, last_modified])
            .await
            .map(drop)
    }

    /// Notes that the upstream has just said that the document is current. False when other bytes are there by now.
    pub async fn touch_document(
        &self,
        ecosystem: Ecosystem,
        key: &str,
        sha256: Sha256,
    ) -> Result<bool, StoreError> {
        const TOUCH: &str = r"-- document.touch
UPDATE document SET checked_at = now() WHERE ecosystem = $1 AND key = $2 AND sha256 = $3 RETURNING true";
        let rows = self.query(TOUCH, &[&ecosystem.as_str(), &key, &sha256.0.as_slice()]).await?;
        Ok(!rows.is_empty())
    }
}

impl TryFrom<&Row> for CachedDocument {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        let age = Duration::try_from_secs_f64(columns.get("age_seconds")?);
        Ok(Self {
            document: NewDocument {
                sha256: columns.sha256("sha256")?,
                size: columns.unsigned("size")?,
                url: columns.get("url")?,
                content_type: columns.get("content_type")?,
                etag: columns.get("etag")?,
                last_modified: columns.get("last_modified")?,
            },
            fetched_at: columns.get("fetched_at")?,
            checked_at: columns.get("checked_at")?,
            age: age.map_err(|e| StoreError::inconsistent("age", &e))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    fn document(bytes: &str) -> NewDocument {
        NewDocument {
            sha256: Sha256::of(bytes),
            size: bytes.len() as u64,
            url: "https://registry.example/left-pad".into(),
            content_type: "application/json".into(),
            etag: Some("\"1\"".into()),
            last_modified: None,
        }
    }

    #[tokio::test]
    async fn a_document_is_replaced_as_a_whole_and_touched_only_if_it_is_the_same() {
        let db = TestDb::new().await;
        let (old, new) = (document("old"), NewDocument { etag: None, ..document("new") });
        let npm = Ecosystem::Npm;
        assert_eq!(db.store.document(npm, "left-pad").await.unwrap(), None);
        db.store.put_document(npm, "left-pad", &old).await.unwrap();
        assert_eq!(db.store.document(npm, "left-pad").await.unwrap().unwrap().document, old);
        assert_eq!(db.store.document(Ecosystem::Pypi, "left-pad").await.unwrap(), None);

        db.store.put_document(npm, "left-pad", &new).await.unwrap();
        assert!(!db.store.touch_document(npm, "left-pad", old.sha256).await.unwrap());
        db.execute("UPDATE document SET checked_at = now() - interval '90 seconds', fetched_at = now() - interval '1 day'")
            .await
            .unwrap();
        let stale = db.store.document(npm, "left-pad").await.unwrap().unwrap();
        assert_eq!(stale.document, new);
        assert_eq!(stale.age.as_secs(), 90);
        assert!(db.store.touch_document(npm, "left-pad", new.sha256).await.unwrap());
        let fresh = db.store.document(npm, "left-pad").await.unwrap().unwrap();
        assert!(fresh.age.as_secs() < 60 && fresh.fetched_at == stale.fetched_at);
    }
}
