//! Which promote process seals the log.
//!
//! The right is a row, which only promote may write, and not a lock that any role could take. It names the connection of whoever
//! has it, and ends with that connection.

use deadpool_postgres::{ClientWrapper, Object};

use crate::{Store, StoreError};

/// The right to seal the log: a row of `turn` that names a connection of its own, and worth nothing without it.
#[derive(Debug)]
pub struct LogLeader(ClientWrapper);

impl LogLeader {
    /// Whether the connection, and with it the right, is still there. Two that believe so at once do no harm: leaves are added by
    /// compare-and-swap.
    pub async fn is_held(&self) -> bool {
        const HELD: &str = r"-- log.leader_held
SELECT true AS is_held FROM turn, pg_stat_activity AS one
WHERE name = 'log_leader' AND one.pid = pg_backend_pid() AND turn.pid = one.pid AND turn.since = one.backend_start";
        self.0.query_opt(HELD, &[]).await.is_ok_and(|row| row.is_some())
    }
}

impl Store {
    /// Becomes the one that seals the log, unless there is another.
    pub async fn lead_log(&self) -> Result<Option<LogLeader>, StoreError> {
        // whoever logs in as somebody else is not told when a connection began: its row is worth nothing then
        const LEAD: &str = r"-- log.lead
UPDATE turn SET pid = ours.pid, since = ours.backend_start
FROM pg_stat_activity AS ours
WHERE name = 'log_leader' AND ours.pid = pg_backend_pid()
  AND NOT EXISTS (SELECT FROM pg_stat_activity AS other WHERE other.pid = turn.pid AND other.backend_start = turn.since)
RETURNING true AS leads";
        // Out of the pool: the right of a connection must not go back with it.
        let client = Object::take(self.client().await?);
        let row = client.query_opt(LEAD, &[]).await.map_err(|e| StoreError::statement(LEAD, e))?;
        Ok(row.map(|_| LogLeader(client)))
    }
}
