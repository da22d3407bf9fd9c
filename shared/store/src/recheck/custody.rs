//! What signatures no longer carry: gates that rest on a revoked key, on unsigned rows, or on a policy that asks for less.

use touchstone_domain::{ArtifactDbId, KeyId, Policy};

use crate::{Change, Store, StoreError};

impl Store {
    /// Reopens every gate whose current epoch rests on a key, in transactions of at most `limit` gates; one call goes through
    /// all of them. A gate rests on a key if its promotion does, or a verdict of its epoch that is not refused.
    pub async fn reopen_key(&self, _key: KeyId, _limit: i64) -> Result<Vec<Change>, StoreError> {
        todo!()
    }

    /// Reopens at most `limit` gates that were approved before verdicts were signed.
    pub async fn reopen_unsigned(&self, _limit: i64) -> Result<Vec<Change>, StoreError> {
        todo!()
    }

    /// Reopens those of these gates that say more than signed rows do: servable without a promotion, or with approving bits that
    /// no signed verdict carries. For artifacts that were judged and not approved.
    pub async fn reopen_unapproved(&self, _artifacts: &[ArtifactDbId]) -> Result<Vec<Change>, StoreError> {
        todo!()
    }

    /// Reopens those of these gates that are of an older policy than this one, by what it asks for. Recalled ones stay.
    pub async fn reopen_policy(
        &self,
        _artifacts: &[ArtifactDbId],
        _policy: &Policy,
    ) -> Result<Vec<Change>, StoreError> {
        todo!()
    }
}
