//! Promote: the only service that moves gates and writes promotions.
//!
//! *Invariant:* only a counted verdict moves a gate, and `touchstone_domain::count` is the only thing that counts one.
//!
//! *Invariant:* messages are doorbells. Whatever a lost message would have said is found in Postgres by the sweeper.
//!
//! Any number of promote processes may run: gates are locked row by row, and due rows are taken with SKIP LOCKED.

mod count;
mod dead_letters;
mod sweep;

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use touchstone_bus::{Bus, Decided};
use touchstone_store::{Change, Store};

/// Batches of artifacts that wait to be counted.
const BATCHES_WAITING: usize = 64;

/// Promote's settings.
#[derive(Clone, Debug)]
pub struct PromoteConfig {
    /// How often Postgres is swept for what messages lost.
    pub sweep_period: Duration,
    /// After how many dispatches an undecided artifact counts as stuck; it is tried on, hourly.
    pub attempts_max: i16,
    /// How many batches are counted at once.
    pub concurrency: usize,
}

impl Default for PromoteConfig {
    fn default() -> Self {
        Self { sweep_period: Duration::from_secs(1), attempts_max: 8, concurrency: 2 }
    }
}

/// What promote is given.
pub struct PromoteParts {
    /// Its settings.
    pub config: PromoteConfig,
    /// Postgres.
    pub store: Store,
    /// NATS, once it is connected; promotion goes on without it, at the sweeper's pace.
    pub bus: watch::Receiver<Option<Bus>>,
    /// Where tasks belong.
    pub tracker: TaskTracker,
    /// Says when to stop.
    pub stop: CancellationToken,
}

/// The collaborators of every task.
pub(crate) struct Promote {
    pub(crate) config: PromoteConfig,
    pub(crate) store: Store,
    pub(crate) bus: watch::Receiver<Option<Bus>>,
    pub(crate) stop: CancellationToken,
}

impl Promote {
    /// Tells the edges; they poll as well, so a lost message costs little.
    pub(crate) async fn tell(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        for change in changes {
            metrics::counter!("touchstone_decisions", "state" => change.state.as_str()).increment(1);
            tracing::debug!(artifact = %change.artifact, was = change.was.as_str(), state = change.state.as_str(), "decided");
        }
        let Some(bus) = self.bus.borrow().clone() else { return };
        let decided: Vec<Decided> = changes
            .iter()
            .map(|change| Decided {
                artifact: change.artifact,
                ecosystem: change.ecosystem,
                state: change.state,
            })
            .collect();
        if let Err(error) = bus.publish_decisions(&decided).await {
            tracing::debug!(%error, "cannot publish decisions; the edges poll");
        }
    }
}

/// Counts, sweeps and keeps dead letters until told to stop.
pub async fn run(parts: PromoteParts) {
    let promote =
        Arc::new(Promote { config: parts.config, store: parts.store, bus: parts.bus, stop: parts.stop });
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    parts.tracker.spawn(count::batches(Arc::clone(&promote), receiver));
    let listener = Arc::clone(&promote);
    parts.tracker.spawn(async move { count::listen(&listener, &sender).await });
    let keeper = Arc::clone(&promote);
    parts.tracker.spawn(async move { dead_letters::keep(&keeper).await });
    sweep::run(&promote).await;
}
