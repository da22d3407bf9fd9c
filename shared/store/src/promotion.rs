//! Promotions: numbers for serve records, and what awaits one.

use jiff::Timestamp;
use touchstone_domain::{ArtifactDbId, KeyId, SignedBy};

use crate::{Store, StoreError};

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
    pub async fn next_serials(&self, _n: usize) -> Result<Vec<i64>, StoreError> {
        todo!()
    }

    /// At most `limit` artifacts whose hold for age has ended, by Postgres' clock; the earliest first.
    pub async fn aged(&self, _limit: i64) -> Result<Vec<ArtifactDbId>, StoreError> {
        todo!()
    }

    /// At most `limit` artifacts whose gate says servable, and that have no promotion of its epoch.
    pub async fn unpromoted(&self, _limit: i64) -> Result<Vec<ArtifactDbId>, StoreError> {
        todo!()
    }
}
