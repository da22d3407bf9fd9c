//! The sumdb check: what the Go checksum database has on record decides what a module is.
//!
//! For each `.zip` and `.mod` of Go: the database's answer is kept as evidence, its signed head is merged into the stored one,
//! the record is authenticated up to that head, and the `h1:` digest of our bytes is compared with the record's line.
//!
//! *Invariant:* only lines of a record that is authenticated up to a signed head count.
//!
//! *Invariant:* the stored head only moves forward, and only to a tree that contains the one before. Two signed heads that
//! contradict each other stop the database, and both are kept.
//!
//! *Invariant:* the database vouches for nothing while it is stopped. What it vouched for before counts as ever: the gate may still
//! promote that, once it is old enough or its other checks pass.
//!
//! *Invariant:* nothing is asked about a module that the policy calls private.
//!
//! *Invariant:* a failure to answer is tried again, and never a verdict.

mod blob;
mod check;
mod client;
mod database;
mod heads;
mod judge;
mod lookups;
mod poll;
mod stop;
mod tiles;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use touchstone_blobs::BlobStore;
use touchstone_bus::Bus;
use touchstone_custody::{KeyRing, Signing};
use touchstone_runtime::{Clock, Shutdown};
use touchstone_store::Store;
use touchstone_tlog::{note::VerifierKey, sumdb::LOOKUP_BYTES_MAX};
use touchstone_upstream::{Limits, Mirror, MirrorError};
use touchstone_worker::{Options, Parts, WorkerError};
use url::Url;

use check::SumdbCheck;
use client::Client;
use database::Database;
use lookups::Lookups;
use poll::{Patience, Poller};

/// The settings of the sumdb service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumdbConfig {
    /// How many artifacts are looked at at once; most of the time they wait for the database.
    pub concurrency: usize,
    /// How long one artifact may take, the database's answers included.
    pub check_timeout: Duration,
    /// How often the database is asked for its latest head.
    pub poll: Duration,
    /// How long the database's latest head may stay smaller than one that we had before the database is stopped.
    pub behind_max: Duration,
    /// How long the database's latest head may stay as it is before the database is stopped; `None` for ever.
    pub frozen_after: Option<Duration>,
}

impl Default for SumdbConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            check_timeout: Duration::from_mins(2),
            poll: Duration::from_mins(5),
            behind_max: Duration::from_hours(1),
            frozen_after: Some(Duration::from_hours(24)),
        }
    }
}

/// What the sumdb service is given.
pub struct SumdbParts {
    /// Its settings.
    pub config: SumdbConfig,
    /// The database's key: who it is, and what its signatures are verified with.
    pub database: VerifierKey,
    /// The database's address; `latest`, `lookup/` and `tile/` are below it.
    pub url: Url,
    /// Bounds of what is asked of it; how large an answer may be is the service's own.
    pub limits: Limits,
    /// Postgres.
    pub store: Store,
    /// NATS.
    pub bus: Bus,
    /// The bytes, and the evidence.
    pub blobs: BlobStore,
    /// What verdicts are signed with: a key of this check.
    pub signing: Signing,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// Dates verdicts and evidence.
    pub clock: Arc<dyn Clock>,
    /// Says when to stop, and tracks the task that asks for the latest head.
    pub shutdown: Shutdown,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum SumdbError {
    /// The database cannot be asked as it is configured.
    #[error("the address of the checksum database is refused")]
    Database(#[source] MirrorError),
    /// The worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Checks artifacts, and watches the database's head, until it is told to stop.
pub async fn run(parts: SumdbParts) -> Result<(), SumdbError> {
    let SumdbParts { config, database, url, limits, store, bus, blobs, signing, ring, clock, shutdown } =
        parts;
    let limits = Limits { metadata_bytes_max: LOOKUP_BYTES_MAX as u64, ..limits };
    let mirror = Mirror::new(&url, limits).map_err(SumdbError::Database)?;
    let client = Client::new(mirror, store.clone(), database.id());
    let database = Arc::new(Database::new(database, client, store.clone()));
    let poller = Poller {
        database: Arc::clone(&database),
        store: store.clone(),
        period: config.poll,
        patience: Patience { behind_max: config.behind_max, frozen_after: config.frozen_after },
    };
    let soft = shutdown.soft.clone();
    shutdown.tracker.spawn(async move { soft.run_until_cancelled(poller.keep()).await });
    let check = SumdbCheck {
        lookups: Lookups::new(Arc::clone(&database.client)),
        database,
        store: store.clone(),
        clock: Arc::clone(&clock),
    };
    let options = Options {
        concurrency: config.concurrency,
        check_timeout: config.check_timeout,
        ..Options::default()
    };
    touchstone_worker::run(check, Parts { store, bus, blobs, signing, ring, clock, shutdown, options })
        .await?;
    Ok(())
}
