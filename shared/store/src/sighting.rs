//! When a version was first listed to us, by our clock, and whether with attestations.

use std::collections::HashMap;

use jiff::Timestamp;
use touchstone_domain::{Ecosystem, PackageName, Version};

use crate::{Store, StoreError, error::within, row::Columns};

/// The most versions per call.
pub const VERSIONS_MAX: usize = 100_000;

/// When and how a version was first listed to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, by Postgres' clock.
    pub first_seen: Timestamp,
    /// Whether the upstream listed all of its files with attestations then. `false` for what was seen before this was asked.
    pub listed_attested: bool,
    /// When any version of the package was first listed to us.
    pub package_first_seen: Timestamp,
}

impl Store {
    /// When each version was first seen; those that never were are seen now, listed with attestations or without as is said
    /// beside them. What is said of a version that was seen before changes nothing.
    pub async fn first_seen(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
        versions: &[(Version, bool)],
    ) -> Result<HashMap<Version, Timestamp>, StoreError> {
        // what another session inserts meanwhile is visible to neither half, and to the next run
        const FIRST_SEEN: &str = r"-- sighting.first_seen
WITH known AS MATERIALIZED (
    SELECT version, first_seen FROM sighting
    WHERE ecosystem = $1 AND package = $2 AND version = ANY ($3)
), new AS (
    INSERT INTO sighting (ecosystem, package, version, attested)
    SELECT $1, $2, version, attested FROM unnest($3::text[], $4::boolean[]) AS listed (version, attested)
    WHERE version NOT IN (SELECT version FROM known)
    ORDER BY version
    ON CONFLICT DO NOTHING
    RETURNING version, first_seen
)
SELECT version, first_seen FROM known UNION ALL SELECT version, first_seen FROM new";
        within("versions", versions.len(), VERSIONS_MAX)?;
        let (listed, attested): (Vec<&str>, Vec<bool>) =
            versions.iter().map(|(version, attested)| (version.as_str(), *attested)).unzip();
        let mut seen = HashMap::new();
        for _ in 0..3 {
            if versions.iter().all(|(version, _)| seen.contains_key(version)) {
                break;
            }
            let rows =
                self.query(FIRST_SEEN, &[&ecosystem.as_str(), &package.as_str(), &listed, &attested]).await?;
            for row in rows {
                seen.insert(Columns(&row).version()?, Columns(&row).get("first_seen")?);
            }
        }
        Ok(seen)
    }

    /// When and how a version was first seen; `None` when it never was. Changes nothing.
    pub async fn seen(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
        version: &Version,
    ) -> Result<Option<Seen>, StoreError> {
        const SEEN: &str = r"-- sighting.seen
SELECT first_seen, attested,
       (SELECT min(other.first_seen) FROM sighting AS other
        WHERE other.ecosystem = sighting.ecosystem AND other.package = sighting.package) AS package_first_seen
FROM sighting WHERE ecosystem = $1 AND package = $2 AND version = $3";
        let row = self.query_opt(SEEN, &[&ecosystem.as_str(), &package.as_str(), &version.as_str()]).await?;
        row.map(|row| {
            let columns = Columns(&row);
            Ok(Seen {
                first_seen: columns.get("first_seen")?,
                listed_attested: columns.get("attested")?,
                package_first_seen: columns.get("package_first_seen")?,
            })
        })
        .transpose()
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
        let versions: Vec<(Version, bool)> =
            (0..500).map(|n| (Version::new(format!("1.{n}.0")).unwrap(), n % 2 == 0)).collect();
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
            assert_eq!(seen[&versions[1].0], first[&versions[1].0]);
        }
        let elsewhere = db.store.first_seen(Ecosystem::Pypi, &package, &versions[..1]).await.unwrap();
        assert!(elsewhere[&versions[0].0] > first[&versions[0].0]);
    }

    #[tokio::test]
    async fn only_the_first_sight_says_whether_a_version_was_listed_with_attestations() {
        let db = TestDb::new().await;
        let package = PackageName::new("left-pad").unwrap();
        let [one, other, unknown] = ["1.0.0", "2.0.0", "3.0.0"].map(|v| Version::new(v).unwrap());
        let seen = async |version: &Version| db.store.seen(Ecosystem::Npm, &package, version).await.unwrap();
        let sight = async |listed: &[(Version, bool)]| {
            db.store.first_seen(Ecosystem::Npm, &package, listed).await.unwrap()
        };
        assert_eq!(seen(&one).await, None);
        let first = sight(&[(one.clone(), true)]).await[&one];
        sight(&[(one.clone(), false), (other.clone(), false)]).await;
        let second = sight(&[(other.clone(), true)]).await[&other];
        let expected = |first_seen, listed_attested| {
            Some(Seen { first_seen, listed_attested, package_first_seen: first })
        };
        assert_eq!(seen(&one).await, expected(first, true));
        assert_eq!(seen(&other).await, expected(second, false));
        assert_eq!(seen(&unknown).await, None);
        assert_eq!(db.store.seen(Ecosystem::Pypi, &package, &one).await.unwrap(), None);
    }
}
