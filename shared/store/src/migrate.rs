//! Bringing the schema up to date.

use std::time::Duration;

use deadpool_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::{Store, StoreError, pool};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The longest that a migration may take, or wait for another starter.
const MIGRATION_TIME_MAX: Duration = Duration::from_mins(10);

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The migrations that were applied now, in order; none when the schema was up to date.
    pub applied: Vec<String>,
}

impl Store {
    /// Applies what is missing. Of several starters one works and the others wait for it. A migration that was changed
    /// after it was applied, or that this version does not know, is an error.
    pub async fn migrate(url: &str) -> Result<MigrationReport, StoreError> {
        const LOCK: &str = r"-- migrate.lock
SELECT pg_advisory_lock(hashtextextended('touchstone.migrate', 0))";
        const UNLOCK: &str = r"-- migrate.unlock
SELECT pg_advisory_unlock_all()";
        let pool = pool::pool(url, 1, "touchstone-migrate", MIGRATION_TIME_MAX)?;
        let mut client = pool.get().await.map_err(|e| StoreError::Unavailable(Box::new(e)))?;
        pool::check_version(&client).await?;
        client.execute(LOCK, &[]).await.map_err(|e| StoreError::statement(LOCK, e))?;
        let done = embedded::migrations::runner().run_async(&mut **client).await;
        client.execute(UNLOCK, &[]).await.map_err(|e| StoreError::statement(UNLOCK, e))?;
        let report = done.map_err(|e| StoreError::Migration(Box::new(e)))?;
        let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
        Ok(MigrationReport { applied })
    }
}

/// Refuses a database without the migrations of this version; with newer ones it is fit, since they only add.
pub(crate) async fn check_schema(client: &Client) -> Result<(), StoreError> {
    const LATEST: &str = r"-- migrate.latest
SELECT max(version)::bigint AS version FROM refinery_schema_history";
    let needed = embedded::migrations::runner().get_migrations().iter().map(|m| i64::from(m.version())).max();
    match client.query_one(LATEST, &[]).await {
        Ok(row) => {
            let found: Option<i64> =
                row.try_get("version").map_err(|e| StoreError::inconsistent("schema version", &e))?;
            if found >= needed { Ok(()) } else { Err(StoreError::SchemaMissing) }
        }
        Err(e) if e.code() == Some(&SqlState::UNDEFINED_TABLE) => Err(StoreError::SchemaMissing),
        Err(e) => Err(StoreError::statement(LATEST, e)),
    }
}

#[cfg(test)]
mod tests;
