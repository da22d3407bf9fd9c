//! Promotions: numbers for serve records, and what awaits one.

use jiff::Timestamp;
use touchstone_domain::{ArtifactDbId, KeyId, SignedBy};

use crate::{DELTAS_MAX, Store, StoreError, error::within, row::Columns};

/// A signed serve record that is on disk, for [`Store::apply`] and [`Store::release_aged`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPromotion {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// The epoch of its gate that was approved.
    pub epoch: i32,
    /// Its number, from [`Store::next_serials`].
    pub serial: i64,
    /// The policy that approved.
    pub policy_epoch: i32,
    /// The keys that the record rests on: the fetch's and the verdicts', as `custody::Approval::keys` has them.
    pub rests_on: Vec<KeyId>,
    /// When, by promote's clock.
    pub promoted_at: Timestamp,
    /// The serve record.
    pub signed: SignedBy,
}

impl Store {
    /// Takes so many numbers for promotions. They grow, and none is given twice.
    pub async fn next_serials(&self, n: usize) -> Result<Vec<i64>, StoreError> {
        const SERIALS: &str = r"-- promotion.serials
SELECT nextval('promotion_serial_seq') AS serial FROM generate_series(1, $1::bigint)";
        within("serials", n, DELTAS_MAX)?;
        if n == 0 {
            return Ok(vec![]);
        }
        let n = i64::try_from(n).map_err(|e| StoreError::inconsistent("serials", &e))?;
        let rows = self.query(SERIALS, &[&n]).await?;
        rows.iter().map(|row| Columns(row).get("serial")).collect()
    }

    /// At most `limit` artifacts whose hold for age has ended, by Postgres' clock; the earliest first.
    pub async fn aged(&self, limit: i64) -> Result<Vec<ArtifactDbId>, StoreError> {
        const AGED: &str = r"-- promotion.aged
SELECT artifact_id FROM gate WHERE (hold & 1) <> 0 AND eligible_at <= now() ORDER BY eligible_at LIMIT $1";
        let rows = self.query(AGED, &[&limit]).await?;
        rows.iter().map(|row| Columns(row).artifact("artifact_id")).collect()
    }

    /// At most `limit` artifacts whose gate says servable, and that have no promotion of its epoch: whoever changed
    /// the gate was not promote. Reads every servable gate: not for every second.
    pub async fn unpromoted(&self, limit: i64) -> Result<Vec<ArtifactDbId>, StoreError> {
        const UNPROMOTED: &str = r"-- promotion.missing
SELECT artifact_id FROM gate
WHERE servable
  AND NOT EXISTS (SELECT FROM promotion WHERE promotion.artifact_id = gate.artifact_id AND promotion.epoch = gate.epoch)
ORDER BY artifact_id
LIMIT $1";
        let rows = self.query(UNPROMOTED, &[&limit]).await?;
        rows.iter().map(|row| Columns(row).artifact("artifact_id")).collect()
    }
}
