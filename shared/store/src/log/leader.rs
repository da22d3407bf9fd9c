//! Which promote process seals the log.

use deadpool_postgres::{ClientWrapper, Object};

use crate::{Store, StoreError};

/// The right to seal the log: an advisory lock on a connection of its own, and gone with it.
#[derive(Debug)]
pub struct LogLeader(ClientWrapper);

impl LogLeader {
    /// Whether the connection, and with it the lock, is still there. Two that believe so at once do no harm: leaves are added by
    /// compare-and-swap.
    pub async fn is_held(&self) -> bool {
        const HELD: &str = r"-- log.leader_held
SELECT 1";
        self.0.simple_query(HELD).await.is_ok()
    }
}

impl Store {
    /// Becomes the one that seals the log, unless there is another.
    pub async fn lead_log(&self) -> Result<Option<LogLeader>, StoreError> {
        const LEAD: &str = r"-- log.lead
SELECT pg_try_advisory_lock(hashtextextended('touchstone.log.leader', 0)) AS leads";
        // Out of the pool: a lock of a session must not go back with its connection.
        let client = Object::take(self.client().await?);
        let failed = |e| StoreError::statement(LEAD, e);
        let row = client.query_one(LEAD, &[]).await.map_err(failed)?;
        let leads: bool = row.try_get("leads").map_err(failed)?;
        Ok(leads.then_some(LogLeader(client)))
    }
}
