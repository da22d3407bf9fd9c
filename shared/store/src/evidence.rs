//! Evidence that a check fetched by itself.

use touchstone_domain::{ArtifactDbId, Evidence};

use crate::{Store, StoreError, error::within, pool::query_in, row::Columns};

/// The most evidence of one artifact, and the most per call.
pub const EVIDENCE_MAX: usize = 256;

impl Store {
    /// Adds to an artifact's evidence, behind what there is. The same kind and digest twice is one row: the first. Beyond
    /// [`EVIDENCE_MAX`] pieces it is an error, and nothing is added.
    pub async fn add_evidence(
        &self,
        artifact: ArtifactDbId,
        evidence: &[Evidence],
    ) -> Result<(), StoreError> {
        const LOCK: &str = r"-- evidence.lock
SELECT pg_advisory_xact_lock(hashtextextended('touchstone.evidence ' || $1::bigint, 0))";
        const ADD: &str = r"-- evidence.add
WITH known AS MATERIALIZED (
    SELECT ordinal, kind, sha256 FROM evidence WHERE artifact_id = $1
), offered AS (
    SELECT DISTINCT ON (kind, sha256) n, kind, url, sha256, size, seen_at
    FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::timestamptz[]) WITH ORDINALITY
        AS o (kind, url, sha256, size, seen_at, n)
    WHERE NOT EXISTS (SELECT FROM known WHERE known.kind = o.kind AND known.sha256 = o.sha256)
    ORDER BY kind, sha256, n
), added AS (
    INSERT INTO evidence (artifact_id, ordinal, kind, url, sha256, size, seen_at)
    SELECT $1, (SELECT coalesce(max(ordinal), -1) FROM known) + row_number() OVER (ORDER BY n), kind, url, sha256, size,
           seen_at
    FROM offered
    RETURNING 1
)
SELECT (SELECT count(*) FROM known) + (SELECT count(*) FROM added) AS pieces";
        within("pieces of evidence", evidence.len(), EVIDENCE_MAX)?;
        let size = |e: &Evidence| {
            i64::try_from(e.size).map_err(|_| StoreError::Invalid {
                what: "evidence",
                problem: "its size is too large".into(),
            })
        };
        let columns = (
            evidence.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(),
            evidence.iter().map(|e| e.url.as_str()).collect::<Vec<_>>(),
            evidence.iter().map(|e| e.sha256.0.as_slice()).collect::<Vec<_>>(),
            evidence.iter().map(size).collect::<Result<Vec<_>, _>>()?,
            evidence.iter().map(|e| e.seen_at).collect::<Vec<_>>(),
        );
        self.transaction("evidence.add", &(artifact.0, columns), |(artifact, columns), transaction| {
            Box::pin(async move {
                let (kind, url, sha256, size, seen_at) = columns;
                // the second statement's snapshot is from after the lock was had
                query_in(transaction, LOCK, &[artifact]).await?;
                let rows = query_in(transaction, ADD, &[artifact, kind, url, sha256, size, seen_at]).await?;
                let pieces = rows.first().map_or(Ok(0), |row| Columns(row).unsigned("pieces"))?;
                within("pieces of evidence", usize::try_from(pieces).unwrap_or(usize::MAX), EVIDENCE_MAX)
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{CheckKind, EvidenceKind, Sha256};

    use super::*;
    use crate::testing::TestDb;

    fn document(content: &str) -> Evidence {
        Evidence {
            kind: EvidenceKind::Attestations,
            url: format!("https://registry.example/{content}"),
            sha256: Sha256::of(content),
            size: content.len() as u64,
            seen_at: "2026-11-22T04:08:41.123456Z".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn evidence_is_added_once_behind_what_there_is_also_by_many_at_once() {
        let db = TestDb::new().await;
        let a = db.artifact("a", &[CheckKind::Hash]).await;
        let kept = async || db.store.facts(&[a.artifact]).await.unwrap()[0].evidence.clone();
        let [one, other] = [document("one"), document("other")];
        let same_bytes = Evidence { url: "https://elsewhere.example/".into(), ..one.clone() };
        let same_digest = Evidence { kind: EvidenceKind::MetadataEntry, ..one.clone() };
        db.store.add_evidence(a.artifact, &[one.clone(), one.clone(), same_bytes]).await.unwrap();
        let before = a.new.evidence[0].clone();
        assert_eq!(kept().await, [before.clone(), one.clone()]);

        let again = [one.clone(), other.clone(), same_digest.clone()];
        futures::future::try_join_all((0..6).map(|_| db.store.add_evidence(a.artifact, &again)))
            .await
            .unwrap();
        assert_eq!(kept().await, [before, one, other, same_digest]);
        db.store.add_evidence(a.artifact, &[]).await.unwrap();
    }

    #[tokio::test]
    async fn more_evidence_than_an_artifact_may_have_is_refused() {
        let db = TestDb::new().await;
        let a = db.artifact("a", &[CheckKind::Hash]).await;
        let many: Vec<_> = (0..=EVIDENCE_MAX).map(|n| document(&n.to_string())).collect();
        let refused =
            |result| matches!(result, Err(StoreError::Limit { what: "pieces of evidence", found: 257, .. }));
        assert!(refused(db.store.add_evidence(a.artifact, &many).await));
        assert!(
            refused(db.store.add_evidence(a.artifact, &many[..EVIDENCE_MAX]).await),
            "with the one of before"
        );
        assert_eq!(db.number("SELECT count(*) FROM evidence").await, 1);
        db.store.add_evidence(a.artifact, &many[..EVIDENCE_MAX - 1]).await.unwrap();
        let unknown = db.store.add_evidence(ArtifactDbId(0), &many[..1]).await;
        assert!(matches!(unknown, Err(StoreError::Statement { statement: "evidence.add", .. })));
    }
}
