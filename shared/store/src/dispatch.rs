//! Which checks to ask again: the pending gates are the outbox.

use tokio_postgres::Row;
use touchstone_domain::{ArtifactDbId, CheckSet, Ecosystem};

use crate::{
    Store, StoreError,
    row::{Columns, unreadable},
};

/// A pending artifact whose checks are due to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The artifact.
    pub artifact: ArtifactDbId,
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// The epoch to answer for.
    pub epoch: i32,
    /// The number of this dispatch, counting from 1; it stops counting at 32,767.
    pub dispatch: i16,
    /// The required checks that have not answered.
    pub missing: CheckSet,
    /// Whether it has been dispatched so often that somebody should look.
    pub stuck: bool,
}

impl Store {
    /// Takes at most `limit` due artifacts and sets when each is due next: 5 s, doubled with each dispatch up to an hour,
    /// give or take a fifth. Two sweepers never take the same. Those dispatched `attempts_max` times or more are stuck,
    /// and are still taken every hour.
    pub async fn due(&self, limit: i64, attempts_max: i16) -> Result<Vec<Due>, StoreError> {
        const DUE: &str = r"-- gate.due
WITH picked AS MATERIALIZED (
    SELECT artifact_id FROM gate
    WHERE pending AND dispatch_due <= now()
    ORDER BY dispatch_due
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE gate
    SET dispatch_n = least(dispatch_n + 1, 32767),
        dispatch_due = now()
            + least(interval '5 seconds' * power(2, least(dispatch_n + 1, 10)), interval '1 hour') * (0.8 + 0.4 * random())
    FROM picked
    WHERE gate.artifact_id = picked.artifact_id
    RETURNING gate.artifact_id, epoch, dispatch_n, required & ~(ok | deny | undecided) AS missing
)
SELECT artifact_id, ecosystem, epoch, dispatch_n, missing, dispatch_n >= $2 AS stuck
FROM taken JOIN artifact ON artifact.id = taken.artifact_id
ORDER BY artifact_id";
        let rows = self.query(DUE, &[&limit, &attempts_max]).await?;
        Ok(rows
            .iter()
            .filter_map(|row| Due::try_from(row).inspect_err(|e| unreadable(row, e)).ok())
            .collect())
    }
}

impl TryFrom<&Row> for Due {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            artifact: columns.artifact("artifact_id")?,
            ecosystem: columns.parse("ecosystem")?,
            epoch: columns.get("epoch")?,
            dispatch: columns.get("dispatch_n")?,
            missing: columns.get("missing").map(CheckSet::from_mask)?,
            stuck: columns.get("stuck")?,
        })
    }
}

#[cfg(test)]
mod tests;
