//! Layouts: what a chain of records must have, signed by promote. See `touchstone_custody::Layout`.

use jiff::Timestamp;
use touchstone_domain::{EnvelopeRef, KeyId, Requirement, Sha256, SignedBy};

use crate::{Store, StoreError, error::within, row::Columns};

/// The most layouts that are recorded at once.
pub const LAYOUTS_MAX: usize = 256;

/// A signed layout that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLayout {
    /// What it is the layout of; only what is required, and tolerated, matters.
    pub requirement: Requirement,
    /// The key ring that it was made from.
    pub ring: Sha256,
    /// The envelope.
    pub signed: SignedBy,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A layout on record. UNVERIFIED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLayout {
    /// The key ring that it was made from.
    pub ring: Sha256,
    /// The envelope.
    pub signed: SignedBy,
    /// When it ends, by the row.
    pub expires_at: Timestamp,
    /// Whether that has passed, by Postgres' clock.
    pub has_ended: bool,
}

impl Store {
    /// Adds at most [`LAYOUTS_MAX`] layouts.
    pub async fn record_layouts(&self, layouts: &[NewLayout]) -> Result<(), StoreError> {
        const RECORD: &str = r"-- layout.record
INSERT INTO layout (required, tolerated, ring, key, envelope, pack, pack_offset, pack_size, expires_at)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::integer[],
                     $8::integer[], $9::timestamptz[])";
        within("layouts", layouts.len(), LAYOUTS_MAX)?;
        let each = |value: fn(&NewLayout) -> i64| layouts.iter().map(value).collect::<Vec<i64>>();
        let required = each(|layout| layout.requirement.required().mask());
        let tolerated = each(|layout| layout.requirement.tolerated().mask());
        let digest = |value: fn(&NewLayout) -> &Sha256| {
            layouts.iter().map(|layout| value(layout).0.as_slice()).collect::<Vec<&[u8]>>()
        };
        let ring = digest(|layout| &layout.ring);
        let key = digest(|layout| &layout.signed.key.0);
        let envelope = digest(|layout| &layout.signed.envelope.sha256);
        let pack = digest(|layout| &layout.signed.envelope.pack);
        let place = |value: fn(&EnvelopeRef) -> u32| {
            let number = |layout: &NewLayout| i32::try_from(value(&layout.signed.envelope));
            layouts.iter().map(number).collect::<Result<Vec<i32>, _>>()
        };
        let large =
            |e: std::num::TryFromIntError| StoreError::Invalid { what: "envelope", problem: e.to_string() };
        let offsets = place(|envelope| envelope.offset).map_err(large)?;
        let sizes = place(|envelope| envelope.size).map_err(large)?;
        let ends: Vec<Timestamp> = layouts.iter().map(|layout| layout.expires_at).collect();
        self.query(RECORD, &[&required, &tolerated, &ring, &key, &envelope, &pack, &offsets, &sizes, &ends])
            .await
            .map(drop)
    }

    /// The latest layout of a requirement.
    pub async fn layout(&self, requirement: Requirement) -> Result<Option<StoredLayout>, StoreError> {
        const LATEST: &str = r"-- layout.latest
SELECT ring, key, envelope, pack, pack_offset, pack_size, expires_at, expires_at <= now() AS has_ended
FROM layout WHERE required = $1 AND tolerated = $2 ORDER BY id DESC LIMIT 1";
        let (required, tolerated) = (requirement.required().mask(), requirement.tolerated().mask());
        let row = self.query_opt(LATEST, &[&required, &tolerated]).await?;
        row.as_ref().map(|row| stored(Columns(row))).transpose()
    }
}

fn stored(columns: Columns<'_>) -> Result<StoredLayout, StoreError> {
    let number = |column: &'static str| {
        u32::try_from(columns.get::<i32>(column)?).map_err(|e| StoreError::inconsistent(column, &e))
    };
    let envelope = EnvelopeRef {
        sha256: columns.sha256("envelope")?,
        pack: columns.sha256("pack")?,
        offset: number("pack_offset")?,
        size: number("pack_size")?,
    };
    Ok(StoredLayout {
        ring: columns.sha256("ring")?,
        signed: SignedBy { key: KeyId(columns.sha256("key")?), envelope },
        expires_at: columns.get("expires_at")?,
        has_ended: columns.get("has_ended")?,
    })
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{CheckKind, CheckSet};

    use super::*;
    use crate::testing::TestDb;

    fn layout(requirement: Requirement, text: &str) -> NewLayout {
        let envelope = EnvelopeRef { sha256: Sha256::of(text), pack: Sha256::of("pack"), offset: 7, size: 9 };
        NewLayout {
            requirement,
            ring: Sha256::of("ring"),
            signed: SignedBy { key: KeyId(Sha256::of("key")), envelope },
            expires_at: "9999-02-20T12:00:01Z".parse().expect("a date"),
        }
    }

    #[tokio::test]
    async fn the_latest_layout_of_a_requirement_is_told_and_none_is_changed() {
        let db = TestDb::new().await;
        let both = CheckSet::of(CheckKind::Hash).union(CheckSet::of(CheckKind::Attest));
        let strict = Requirement::new(both, CheckSet::EMPTY).expect("checks");
        let lenient = strict.tolerating(CheckSet::of(CheckKind::Attest)).expect("a check");
        assert_eq!(db.store.layout(strict).await.unwrap(), None);

        db.store.record_layouts(&[layout(strict, "a"), layout(lenient, "b")]).await.unwrap();
        let newer = layout(strict, "c");
        db.store.record_layouts(&[newer]).await.unwrap();
        let NewLayout { ring, signed, expires_at, .. } = newer;
        let stored = StoredLayout { ring, signed, expires_at, has_ended: false };
        assert_eq!(db.store.layout(strict).await.unwrap(), Some(stored));
        let ended = NewLayout { expires_at: Timestamp::UNIX_EPOCH, ..newer };
        db.store.record_layouts(&[ended]).await.unwrap();
        assert!(db.store.layout(strict).await.unwrap().expect("told").has_ended);
        let told = db.store.layout(lenient).await.unwrap().expect("told");
        assert_eq!(told.signed, layout(lenient, "b").signed);

        for change in ["UPDATE layout SET ring = ring", "DELETE FROM layout", "TRUNCATE layout"] {
            assert!(db.execute(change).await.is_err(), "{change}");
        }
        let excused = "INSERT INTO layout (required, tolerated, ring, key, envelope, pack, pack_offset, pack_size, expires_at)
                       SELECT required, 4, ring, key, envelope, pack, pack_offset, pack_size, expires_at FROM layout";
        assert!(db.execute(excused).await.is_err());
    }
}
