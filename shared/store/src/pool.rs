//! Connections, and the one way in which statements are run.
//!
//! *Invariant:* READ COMMITTED, whatever the server's default: the gate statement relies on it.
//!
//! *Invariant:* the primary, whatever the address says: a standby does not know yet what was recalled just now.

use std::{pin::Pin, time::Duration};

use deadpool_postgres::{
    Client, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime, Transaction,
};
use tokio_postgres::{Config, NoTls, Row, config::TargetSessionAttrs, types::ToSql};

use crate::{StoreError, error::SERVER_MAJOR_MIN, migrate};

/// How long a caller waits for a free connection, and a connection for the server.
const WAIT: Duration = Duration::from_secs(5);
/// How often a transaction that lost against another is run again.
const CONFLICTS_MAX: u32 = 5;

/// Session settings. Plans are generic and made once, often while the tables are still small; sequential scans and merge
/// joins are off so that such a plan goes by key and stays right when the tables have grown.
const SESSION: &str = "-c plan_cache_mode=force_generic_plan -c jit=off -c enable_seqscan=off -c enable_mergejoin=off \
    -c random_page_cost=1.1 -c default_transaction_isolation=read\\ committed -c timezone=UTC \
    -c idle_in_transaction_session_timeout=15s";

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `postgres://user@host/database`, or with `?host=/directory` a socket. Of several hosts, the one that takes writes is used.
    pub url: String,
    /// The most connections that are opened.
    pub pool_size: usize,
    /// What the server's own views call this process.
    pub application_name: String,
}

/// Postgres, through a pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
}

/// What a transaction does; boxed, since the compiler cannot tell that an async closure over borrowed arguments may move
/// between threads.
pub(crate) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

/// Parameters of a statement.
pub(crate) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

impl Store {
    /// Opens the pool, and one connection in it to learn whether the server and the schema are fit.
    pub async fn connect(options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions { url, pool_size, application_name } = options;
        let store = Self { pool: pool(&url, pool_size, &application_name, Duration::from_secs(30))? };
        let client = store.client().await?;
        check_version(&client).await?;
        migrate::check_schema(&client).await?;
        drop(client);
        Ok(store)
    }

    /// Asks the server for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        const PING: &str = r"-- store.ping
SELECT 1";
        self.query(PING, &[]).await.map(drop)
    }

    pub(crate) async fn client(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|e| StoreError::Unavailable(Box::new(e)))
    }

    /// Runs one statement by itself: one round trip once it has been prepared on the connection.
    pub(crate) async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let failed = |e| StoreError::statement(sql, e);
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        client.query(&statement, params).await.map_err(failed)
    }

    /// As [`Store::query`], for at most one row.
    pub(crate) async fn query_opt(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a named transaction, and runs it again if it loses a deadlock.
    pub(crate) async fn transaction<A: Sync, T>(
        &self,
        name: &'static str,
        arguments: &A,
        work: impl for<'t> Fn(&'t A, &'t Transaction<'t>) -> Work<'t, T>,
    ) -> Result<T, StoreError> {
        let mut conflicts = 0;
        loop {
            let mut client = self.client().await?;
            let failed = |e| StoreError::Statement { statement: name, source: Box::new(e) };
            let transaction = client.transaction().await.map_err(failed)?;
            let outcome = match work(arguments, &transaction).await {
                Ok(value) => match transaction.commit().await {
                    Ok(()) => Ok(value),
                    Err(error) => Err(StoreError::commit(name, error)),
                },
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_conflict() && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    tracing::warn!(
                        transaction = name,
                        conflicts,
                        "the transaction lost against another and runs again"
                    );
                }
                outcome => return outcome,
            }
        }
    }
}

/// Runs a statement within a transaction.
pub(crate) async fn query_in(
    transaction: &Transaction<'_>,
    sql: &'static str,
    params: Params<'_>,
) -> Result<Vec<Row>, StoreError> {
    let failed = |e| StoreError::statement(sql, e);
    let statement = transaction.prepare_cached(sql).await.map_err(failed)?;
    transaction.query(&statement, params).await.map_err(failed)
}

pub(crate) fn pool(
    url: &str,
    size: usize,
    name: &str,
    statement_timeout: Duration,
) -> Result<Pool, StoreError> {
    let mut config: Config = url.parse().map_err(StoreError::Address)?;
    let given = config.get_options().unwrap_or_default();
    let options = format!("{given} {SESSION} -c statement_timeout={}ms", statement_timeout.as_millis());
    config
        .options(options.trim())
        .application_name(name)
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(WAIT)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_mins(1));
    let manager =
        Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let pool = Pool::builder(manager)
        .max_size(size.max(1))
        // the one used last: its backend has the plans and the catalogue at hand
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .recycle_timeout(Some(WAIT))
        .build();
    Ok(pool.expect("a runtime is given, and nothing else is refused"))
}

pub(crate) async fn check_version(client: &Client) -> Result<(), StoreError> {
    const VERSION: &str = r"-- store.version
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number";
    let row = client.query_one(VERSION, &[]).await.map_err(|e| StoreError::statement(VERSION, e))?;
    let found = |e| StoreError::inconsistent("server version", &e);
    let number: i32 = row.try_get("number").map_err(found)?;
    if number / 10_000 >= SERVER_MAJOR_MIN.cast_signed() {
        Ok(())
    } else {
        Err(StoreError::ServerVersion { found: row.try_get("version").map_err(found)? })
    }
}

#[cfg(test)]
mod tests;
