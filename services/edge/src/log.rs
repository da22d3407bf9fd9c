//! Following the transparency log, without which a database that is set back, or rewritten by whoever owns it, would not be noticed.
//!
//! *Invariant:* what the log has ended stays ended, whatever the database says: entries are only ever added to what is known.
//!
//! *Invariant:* nothing is served before all entries count that were seen of the log, also before this process was started: an
//! edge that is started without its log serves again when the log is back. One that has read it goes on with what it knows.
//!
//! *Invariant:* nothing is known from a log before it led to the root of a checkpoint that a log key of the ring signed, and that
//! begins with every head seen before, also before this process was started.
//!
//! What is kept in memory of the log is bounded by it: one entry for each coordinate that ended and one for each recall.

mod behind;
mod files;
mod follower;
mod seen;

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use touchstone_custody::{KeyRing, Revocations};
use touchstone_store::{IncidentKind, NewIncident, Store};

use behind::{BEHIND_MAX, Behind};
pub(crate) use files::respond;
pub use follower::FollowError;
pub(crate) use follower::Follower;
use follower::{Halt, Step};

/// How often the checkpoint is read.
const PERIOD: Duration = Duration::from_secs(1);

/// How the edge stands to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The entries of the largest tree that was seen.
    pub(crate) size: u64,
    /// Why nothing is served.
    pub(crate) halted: Option<Arc<str>>,
}

/// What requests see of the log.
#[derive(Clone)]
pub(crate) struct Log {
    dir: PathBuf,
    origin: Arc<str>,
    standing: watch::Receiver<Standing>,
    revocations: Arc<RwLock<Revocations>>,
    /// The entries that Postgres has, as it said last.
    sealed: Arc<AtomicU64>,
}

impl Log {
    /// How the edge stands to it now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// The first line of its checkpoints.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Looks at what it has ended. Must not take long: new entries wait.
    pub(crate) fn with_revocations<T>(&self, look: impl FnOnce(&Revocations) -> T) -> T {
        look(&self.revocations.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of how many entries Postgres has sealed.
    pub(crate) fn sealed(&self, entries: u64) {
        self.sealed.store(entries, Ordering::Relaxed);
    }

    /// Waits until the log was read, or found to be out of reach, but not for longer than `patience`.
    pub(crate) async fn read(&self, patience: Duration) {
        let mut standing = self.standing.clone();
        let read = standing.wait_for(|standing| standing.halted.as_deref() != Some(follower::READING));
        if tokio::time::timeout(patience, read).await.is_err() {
            tracing::warn!(log.dir = %self.dir.display(), "the transparency log is still being read; nothing is served until it is");
        }
    }
}

/// Follows the log until `stop`.
pub(crate) async fn follow(
    mut follower: Follower,
    ring: watch::Receiver<Arc<KeyRing>>,
    store: Store,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (log, standing, mut behind) = (follower.log(), follower.standing.clone(), Behind::default());
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let (keys, token) = (Arc::clone(&ring.borrow()), stop.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let looked = follower.step(&keys, &|| token.is_cancelled());
            (follower, looked)
        });
        let looked;
        match looking.await {
            Ok((again, came_of_it)) => (follower, looked) = (again, came_of_it),
            Err(error) => {
                tracing::error!(%error, "following the transparency log failed; nothing is served");
                standing.send_modify(|standing| standing.halted = Some("following it failed".into()));
                return;
            }
        }
        if let Step::Halted(halt) = looked {
            tell(&store, follower.origin(), &halt).await;
        }
        let (sealed, read) = (log.sealed.load(Ordering::Relaxed), follower.taken);
        if behind.look(sealed, read, Instant::now()) {
            frozen(&store, log.origin(), sealed, read).await;
        }
    }
}

/// Puts on record that the log contradicts what was seen of it, or that what was seen cannot be read.
async fn tell(store: &Store, origin: &str, halt: &Halt) {
    let Halt { kind, problem, seen, note } = halt;
    tracing::error!(
        log.origin = origin,
        problem,
        "the transparency log cannot be relied on; nothing is served"
    );
    let seen = seen.map(|seen| json!({ "size": seen.size, "root": seen.root.to_string() }));
    let facts = json!({ "problem": problem, "seen": seen, "checkpoint": note });
    record(store, *kind, origin, facts).await;
}

/// Puts on record that the log stays behind Postgres.
async fn frozen(store: &Store, origin: &str, sealed: u64, followed: u64) {
    tracing::warn!(
        log.origin = origin,
        sealed,
        followed,
        "the transparency log stays behind Postgres: it is frozen, or withheld from this edge; serving goes on with what is known of it"
    );
    let minutes = BEHIND_MAX.as_secs() / 60;
    let problem = format!("entries that Postgres sealed more than {minutes} minutes ago cannot be read");
    let facts = json!({ "problem": problem, "sealed": sealed, "followed": followed });
    record(store, IncidentKind::LogFrozen, origin, facts).await;
}

async fn record(store: &Store, kind: IncidentKind, origin: &str, facts: Value) {
    metrics::counter!("touchstone_incidents", "kind" => kind.as_str()).increment(1);
    let incident = NewIncident::about_log(kind, origin, facts);
    if let Err(error) = store.record_incident(&incident).await {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot record an incident");
    }
}
