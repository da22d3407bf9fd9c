//! The hash check: are these bytes what the upstream declared, and is the archive what it is called?
//!
//! Every digest is computed again from the stored blob, whatever was computed while it was fetched; the chunk root in the
//! verdict ties the chunk list, by which ranges are verified later, to those digests.
//!
//! *Invariant:* a verdict is only ever about the artifact's own bytes. A blob that holds other bytes is set aside and
//! tried again later; the fault is our disk's, not the artifact's.
//!
//! *Invariant:* the archive that is inspected is, byte for byte, what was hashed.
//!
//! *Invariant:* a Python distribution and its core metadata sidecar, and a Go module's zip and `.mod`, are never both approved
//! when they differ.

mod check;
mod examine;
mod sidecar;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use touchstone_blobs::BlobStore;
use touchstone_bus::Bus;
use touchstone_custody::{KeyRing, Signing};
use touchstone_runtime::{Clock, Shutdown};
use touchstone_store::Store;
use touchstone_worker::{Options, Parts, WorkerError};

pub use check::HashCheck;

/// The settings of the hash service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashConfig {
    /// How many artifacts are looked at at once, each on its own thread.
    pub concurrency: usize,
    /// How long one artifact may take.
    pub check_timeout: Duration,
}

impl Default for HashConfig {
    fn default() -> Self {
        Self { concurrency: 16, check_timeout: Duration::from_mins(5) }
    }
}

/// What the hash service is given.
pub struct HashParts {
    /// Its settings.
    pub config: HashConfig,
    /// Postgres.
    pub store: Store,
    /// NATS.
    pub bus: Bus,
    /// The bytes.
    pub blobs: BlobStore,
    /// What verdicts are signed with: a key of this check.
    pub signing: Signing,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// Dates verdicts.
    pub clock: Arc<dyn Clock>,
    /// Says when to stop.
    pub shutdown: Shutdown,
}

/// Checks artifacts until it is told to stop.
pub async fn run(parts: HashParts) -> Result<(), WorkerError> {
    let HashParts { config, store, bus, blobs, signing, ring, clock, shutdown } = parts;
    let options = Options {
        concurrency: config.concurrency,
        check_timeout: config.check_timeout,
        ..Options::default()
    };
    let check = HashCheck::new(store.clone());
    touchstone_worker::run(check, Parts { store, bus, blobs, signing, ring, clock, shutdown, options }).await
}
