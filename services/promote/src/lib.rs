//! Promote: the only service that moves gates, and the only one that signs the permission to serve.
//!
//! *Invariant:* rows are hints. What counts are signatures of keys in the key ring, as `touchstone_custody` judges them, by the
//! policy file that this process was given; a row can only make less pass.
//!
//! *Invariant:* a serve record is on disk before the row that names it, and is signed for an approval alone.
//!
//! *Invariant:* while promote's own key does not count, it signs nothing and counts no approval.
//!
//! *Invariant:* while the transparency log says stop, nothing is counted, promoted or released; and no promotion is written where the
//! checkpoint is missing that was compared last, for the database may be another one since.
//!
//! *Invariant:* messages are doorbells. Whatever a lost message would have said is found in Postgres by the sweeper.
//!
//! Any number of promote processes may run: gates are locked row by row, and due rows are taken with SKIP LOCKED.

mod count;
mod course;
mod dead_letters;
mod judge;
mod keys;
mod layouts;
mod lost;
mod provision;
mod rejections;
mod release;
mod reopen;
mod sealer;
mod sign;
mod sweep;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, Decided};
use touchstone_custody::{KeyKind, KeyProblem, KeyRing, Signing};
use touchstone_domain::Policy;
use touchstone_records::RecordStore;
use touchstone_runtime::Clock;
use touchstone_store::{Change, KnownSeal, Store, StoreError};
use touchstone_tlog::note::SignerKey;
use url::Url;

use crate::rejections::Rejections;

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
    /// Where envelopes are kept.
    pub blobs: BlobStore,
    /// The key that signs serve records, of the kind `promote`.
    pub signing: Signing,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// What promote itself requires, whatever rows say.
    pub policy: Arc<Policy>,
    /// What ages and windows are counted by.
    pub clock: Arc<dyn Clock>,
    /// The transparency log, if this process seals it.
    pub log: Option<LogParts>,
    /// Where tasks belong.
    pub tracker: TaskTracker,
    /// Says when to stop.
    pub stop: CancellationToken,
}

/// The transparency log: where it is published, and who signs it.
#[derive(Debug)]
pub struct LogParts {
    /// The directory that it is published in.
    pub dir: PathBuf,
    /// What its checkpoints are signed with; its name is the log's origin.
    pub signer: SignerKey,
    /// Directories that checkpoints are copied to.
    pub witness_dirs: Vec<PathBuf>,
    /// Addresses that checkpoints are sent to.
    pub witness_urls: Vec<Url>,
    /// How often new entries are looked for.
    pub period: Duration,
}

/// Why promote does not run.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// Its key signs something else, so nothing that it signed would ever be served.
    #[error("promote was given a key for {0}, and needs one for promote")]
    KeyKind(KeyKind),
    /// Its policy could not be put on record.
    #[error("the policy could not be put on record")]
    Policy(#[source] StoreError),
    /// Nothing that happens would be sealed or compared any more. The panic is in the process' log.
    #[error("the transparency log's sealer ended by itself; start promote again, and report what it said")]
    Sealer,
}

/// The collaborators of every task.
pub(crate) struct Promote {
    pub(crate) config: PromoteConfig,
    pub(crate) store: Store,
    pub(crate) bus: watch::Receiver<Option<Bus>>,
    /// Where the records are.
    pub(crate) blobs: BlobStore,
    pub(crate) records: RecordStore,
    pub(crate) signing: Signing,
    pub(crate) ring: watch::Receiver<Arc<KeyRing>>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) policy_epoch: i32,
    pub(crate) clock: Arc<dyn Clock>,
    /// Why nothing may be promoted, if the transparency log says so.
    pub(crate) halt: watch::Receiver<Option<String>>,
    /// The checkpoint that was compared last: without it, nothing is promoted.
    pub(crate) seal: watch::Receiver<Option<KnownSeal>>,
    /// How many artifacts have been rung for and wait to be counted by this process.
    pub(crate) waiting: AtomicUsize,
    /// What this process rejected, and the log does not have yet.
    pub(crate) rejections: Rejections,
    pub(crate) stop: CancellationToken,
}

impl Promote {
    /// Whether the transparency log says that nothing may be promoted.
    pub(crate) fn is_halted(&self) -> bool {
        self.halt.borrow().is_some()
    }

    /// The checkpoint that the database must have for anything to be promoted; none if there is no log yet.
    pub(crate) fn known_seal(&self) -> Option<KnownSeal> {
        *self.seal.borrow()
    }

    /// Whether what this process signs now counts, by the key ring. While it does not, nothing is signed, and no approval is
    /// counted: all of it would have to be taken back.
    pub(crate) fn may_sign(&self) -> Result<(), KeyProblem> {
        let ring = Arc::clone(&self.ring.borrow());
        ring.accept(self.signing.signer.key_id(), KeyKind::Promote, self.clock.now()).map(drop)
    }

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

/// Counts, sweeps and keeps dead letters until told to stop, or until the sealer ends by itself.
pub async fn run(parts: PromoteParts) -> Result<(), PromoteError> {
    let kind = parts.signing.signer.kind();
    if kind != KeyKind::Promote {
        return Err(PromoteError::KeyKind(kind));
    }
    let policy_epoch = parts.store.register_policy(&parts.policy).await.map_err(PromoteError::Policy)?;
    let (halts, halt) = watch::channel(parts.log.as_ref().map(|_| sealer::NOT_COMPARED.to_owned()));
    let (seals, seal) = watch::channel(None);
    let stop = parts.stop.child_token();
    let promote = Arc::new(Promote {
        config: parts.config,
        store: parts.store,
        bus: parts.bus,
        records: RecordStore::new(parts.blobs.clone()),
        blobs: parts.blobs,
        signing: parts.signing,
        ring: parts.ring,
        policy: parts.policy,
        policy_epoch,
        clock: parts.clock,
        halt,
        seal,
        waiting: AtomicUsize::new(0),
        rejections: Rejections::default(),
        stop,
    });
    if let Some(log) = parts.log {
        parts.tracker.spawn(sealer::run(Arc::clone(&promote), log, (halts, seals)));
    }
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    parts.tracker.spawn(count::batches(Arc::clone(&promote), receiver));
    let listener = Arc::clone(&promote);
    parts.tracker.spawn(async move { count::listen(&listener, &sender).await });
    let keeper = Arc::clone(&promote);
    parts.tracker.spawn(async move { dead_letters::keep(&keeper).await });
    let provisioner = Arc::clone(&promote);
    parts.tracker.spawn(async move { provision::keep(&provisioner).await });
    let signer = Arc::clone(&promote);
    parts.tracker.spawn(async move { layouts::keep(&signer).await });
    let follower = Arc::clone(&promote);
    parts.tracker.spawn(async move { keys::follow(&follower).await });
    sweep::run(&promote).await;
    if parts.stop.is_cancelled() { Ok(()) } else { Err(PromoteError::Sealer) }
}

#[cfg(test)]
mod tests;
