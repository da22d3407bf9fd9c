//! When a version was first listed to us, by our clock.

use std::collections::HashMap;

use jiff::Timestamp;
use touchstone_domain::{Ecosystem, PackageName, Version};

use crate::{Store, StoreError, error::within, row::Columns};

/// The most versions per call.
pub const VERSIONS_MAX: usize = 100_000;

impl Store {
    /// When each version was first seen; those that never were are seen now.
    pub async fn first_seen(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
        versions: &[Version],
    ) -> Result<HashMap<Version, Timestamp>, StoreError> {
        // what another session inserts meanwhile is visible to neither half, and to the next run
        const FIRST_SEEN: &str = r"-- sighting.first_seen
WITH known AS MATERIALIZED (
    SELECT version, first_seen FROM sighting
    WHERE ecosystem = $1 AND package = $2 AND version = ANY ($3)
), new AS (
    INSERT INTO sighting (ecosystem, package, version)
    SELECT $1, $2, version FROM unnest($3::text[]) AS listed (version)
    WHERE version NOT IN (SELECT version FROM known)
    ORDER BY version
    ON CONFLICT DO NOTHING
    RETURNING version, first_seen
)
SELECT version, first_seen FROM known UNION ALL SELECT version, first_seen FROM new";
        within("versions", versions.len(), VERSIONS_MAX)?;
        let listed: Vec<&str> = versions.iter().map(Version::as_str).collect();
        let mut seen = HashMap::new();
        for _ in 0..3 {
            if versions.iter().all(|version| seen.contains_key(version)) {
                break;
            }
            for row in self.query(FIRST_SEEN, &[&ecosystem.as_str(), &package.as_str(), &listed]).await? {
                seen.insert(Columns(&row).version()?, Columns(&row).get("first_seen")?);
            }
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn a_version_is_first_seen_once_also_by_many_at_once() {
        let db = TestDb::new().await;
        let package = PackageName::new("left-pad").unwrap();
        let versions: Vec<Version> = (0..500).map(|n| Version::new(format!("1.{n}.0")).unwrap()).collect();
        let first = db.store.first_seen(Ecosystem::Npm, &package, &versions[..3]).await.unwrap();
        assert_eq!(first.len(), 3);

        let all = futures::future::try_join_all(
            (0..4).map(|_| db.store.first_seen(Ecosystem::Npm, &package, &versions)),
        )
        .await
        .unwrap();
        for seen in &all {
            assert_eq!(seen, &all[0]);
            assert_eq!(seen.len(), versions.len());
            assert_eq!(seen[&versions[1]], first[&versions[1]]);
        }
        let elsewhere = db.store.first_seen(Ecosystem::Pypi, &package, &versions[..1]).await.unwrap();
        assert!(elsewhere[&versions[0]] > first[&versions[0]]);
    }
}
