//! Bringing the schema up to date.

use std::time::Duration;

use deadpool_postgres::Client;
use postgres_protocol::password::scram_sha_256;
use tokio_postgres::error::SqlState;

use crate::{DatabaseRole, Store, StoreError, pool, row::Columns};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The longest that a migration may take, or wait for another starter.
const MIGRATION_TIME_MAX: Duration = Duration::from_mins(10);

/// The shortest password of a role, in bytes.
const PASSWORD_BYTES_MIN: usize = 12;

/// Whom a connection is logged in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub name: String,
    /// Whether it owns the tables, or is a superuser: it may then do anything, and no service needs to.
    pub is_owner: bool,
}

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

    /// Gives roles their passwords. The server, its log included, is told SCRAM verifiers, from which no password follows.
    pub async fn set_role_passwords(
        url: &str,
        passwords: &[(DatabaseRole, String)],
    ) -> Result<(), StoreError> {
        for (role, password) in passwords {
            if password.len() < PASSWORD_BYTES_MIN {
                let problem = format!("that of {role} has fewer than {PASSWORD_BYTES_MIN} bytes");
                return Err(StoreError::Invalid { what: "password", problem });
            }
        }
        let given = passwords.to_vec();
        let derive = move || {
            given.into_iter().map(|(role, password)| (role, scram_sha_256(password.as_bytes()))).collect()
        };
        let verifiers: Vec<(DatabaseRole, String)> =
            tokio::task::spawn_blocking(derive).await.expect("deriving does not panic");
        let pool = pool::pool(url, 1, "touchstone-migrate", MIGRATION_TIME_MAX)?;
        let client = pool.get().await.map_err(|e| StoreError::Unavailable(Box::new(e)))?;
        for (role, verifier) in verifiers {
            // A verifier is of base64, colons and dollar signs; parameters are not taken here.
            let sql = format!("ALTER ROLE {} PASSWORD '{verifier}'", role.user());
            let failed =
                |e| StoreError::Statement { statement: "migrate.role_password", source: Box::new(e) };
            client.batch_execute(&sql).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Whom a database address logs in as.
    pub async fn login(&self) -> Result<Login, StoreError> {
        const LOGIN: &str = r"-- store.login
SELECT rolname::text AS name, rolsuper AS is_superuser,
       EXISTS (SELECT FROM pg_tables WHERE tablename = 'gate' AND schemaname = current_schema()
               AND pg_has_role(rolname, tableowner, 'MEMBER')) AS is_owner
FROM pg_roles WHERE rolname = current_user";
        let row = self.query_opt(LOGIN, &[]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("store.login", "no row"))?;
        let columns = Columns(&row);
        Ok(Login {
            name: columns.get("name")?,
            is_owner: columns.get::<bool>("is_superuser")? || columns.get("is_owner")?,
        })
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
