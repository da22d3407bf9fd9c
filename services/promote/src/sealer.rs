//! The sealer: what happened goes into the transparency log, and while the log says otherwise than Postgres, nothing is promoted.
//!
//! ```text
//! each period, every promote process
//!     published checkpoint, witness directories ─┐
//!     Postgres: leaves, last checkpoint ─────────┴─ compare ─▶ halt, or go on
//! the one that leads, besides
//!     gate_log, log_event ─▶ entries ─▶ leaves + signed checkpoint ─ commit ─▶ published directory ─▶ witnesses
//!     a part of what was sealed long ago ─▶ audit
//! ```
//!
//! *Invariant:* nothing is promoted before Postgres was compared with what was published, nor after they were found to differ, until
//! `touchstone log recover` has put back what Postgres lacks.
//!
//! *Invariant:* leaves are committed before they are published, so a published log is never ahead of an honest Postgres.

mod audit;
mod behind;
mod compare;
mod copy;
mod floors;
pub(crate) mod published;
mod seal;
mod witness;

use std::{collections::HashSet, ops::Range, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, timeout},
};
use touchstone_domain::ArtifactId;
use touchstone_store::{IncidentKind, KnownSeal, LogCursor, LogLeader, NewIncident, StoreError};
use touchstone_tlog::{
    TreeHead,
    note::{KeyError, NoteError, SignerKey},
};
use touchstone_translog::{CheckpointError, LogError, LogKeys, log_name};

use crate::{LogParts, Promote, rejections};

use behind::{Behind, Lasting};
use copy::Copy;
use published::Published;
use witness::Witness;

/// Why nothing is promoted right after the start.
pub(crate) const NOT_COMPARED: &str = "the database was not compared with the transparency log yet";
/// Why nothing is promoted while what happened when nobody sealed goes into the log: after a pause, or an upgrade.
const NOT_SEALED: &str = "what happened a minute ago and longer is going into the transparency log";
/// Why nothing is promoted while a cycle does not end.
const HANGS: &str = "the sealer waits for Postgres, or for a directory of the log, and cannot compare them";
/// How long a cycle may take before promotion is halted.
const CYCLE_MAX: Duration = STALLED_AFTER;
/// How long what happened may wait for the log: promotion goes on unlogged no longer than this.
pub(crate) const STALLED_AFTER: Duration = Duration::from_mins(1);
/// How long a transaction of our own roles may stay open while the log waits; the longest honest ones take seconds.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// How long a cycle waits for a look at rejections.
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// How long a look may take at all: longer than what it asks of Postgres, which has timeouts of its own.
const LOOKING_MAX: Duration = Duration::from_mins(3);
/// How many different problems are remembered, so that each is told once.
const TOLD_MAX: usize = 1024;

/// Why nothing may be promoted: the log contradicts the rows, or itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    kind: IncidentKind,
    problem: String,
}

/// Why a cycle did not finish; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// Postgres does not answer, or refuses.
    #[error("the store does not answer as it should")]
    Store(#[from] StoreError),
    /// A directory of the log cannot be used.
    #[error("a directory of the log cannot be used")]
    Log(#[from] LogError),
    /// The name of the environment makes no key.
    #[error("the log's key cannot be used")]
    Key(#[from] KeyError),
    /// The checkpoint cannot be signed.
    #[error("the checkpoint cannot be signed")]
    Sign(#[from] NoteError),
    /// What was signed does not count by the key ring.
    #[error("what the log's key signs does not count; is its public half in the key ring?")]
    Signer(#[source] CheckpointError),
    /// The process is being stopped.
    #[error("the work was given up")]
    Stopped,
    /// Nothing may be promoted.
    #[error("{}", .0.problem)]
    Stop(Stop),
}

/// What one promote process knows of the log.
pub(crate) struct Sealer {
    promote: Arc<Promote>,
    origin: String,
    signer: Arc<SignerKey>,
    /// Where the log is published; then the witnesses' directories.
    copies: Vec<Copy>,
    witnesses: Vec<Witness>,
    halts: watch::Sender<Option<String>>,
    seals: watch::Sender<Option<KnownSeal>>,
    leader: Option<LogLeader>,
    cursor: Option<LogCursor>,
    /// The largest tree that was seen by this process.
    last: Option<TreeHead>,
    /// Whether people are told that it does not go on.
    behind: Behind,
    /// Older heads that are known to be of the same tree.
    proven: HashSet<(u64, touchstone_domain::Sha256)>,
    /// Why the leaves in Postgres cannot be published: found while publishing, and over once they are published.
    unpublished: Option<Stop>,
    /// Epochs that ended by the log, of artifacts that are not on record.
    floors: Option<Vec<(ArtifactId, i32)>>,
    audit: audit::Progress,
    /// The look at rejections that goes on.
    looking: JoinSet<()>,
    /// When it began.
    looking_since: Instant,
    /// Whether what is sealed is in the published log.
    unread: Lasting,
    told: HashSet<String>,
}

/// Whom the sealer tells why nothing may be promoted, and which checkpoint was compared last.
pub(crate) type Tells = (watch::Sender<Option<String>>, watch::Sender<Option<KnownSeal>>);

/// Seals until told to stop.
pub(crate) async fn run(promote: Arc<Promote>, log: LogParts, tells: Tells) {
    // Whatever ends this ends promote: without it, nothing that happens would be sealed or compared.
    let _ends = promote.stop.clone().drop_guard();
    let mut ticks = tokio::time::interval(log.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = promote.stop.clone();
    let mut sealer = Sealer::new(promote, log, tells);
    let halts = sealer.halts.clone();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        watched(sealer.cycle(), CYCLE_MAX, &halts).await;
    }
}

/// Waits for a cycle; one that does not end halts promotion, for nothing is compared or sealed meanwhile.
async fn watched(cycle: impl Future<Output = ()>, longest: Duration, halts: &watch::Sender<Option<String>>) {
    let mut cycle = pin!(cycle);
    if timeout(longest, &mut cycle).await.is_ok() {
        return;
    }
    tracing::error!("{HANGS}: NOTHING IS PROMOTED until it goes on");
    metrics::gauge!("touchstone_log_halted").set(1);
    halts.send_replace(Some(HANGS.to_owned()));
    cycle.await;
}

impl Sealer {
    pub(crate) fn new(promote: Arc<Promote>, log: LogParts, (halts, seals): Tells) -> Self {
        let LogParts { dir, signer, witness_dirs, witness_urls, period } = log;
        let dirs: Vec<PathBuf> = std::iter::once(dir).chain(witness_dirs).collect();
        Self {
            origin: log_name(&promote.signing.environment),
            signer: Arc::new(signer),
            copies: dirs.into_iter().map(Copy::new).collect(),
            witnesses: witness_urls.iter().filter_map(Witness::new).collect(),
            halts,
            seals,
            leader: None,
            cursor: None,
            last: None,
            behind: Behind::default(),
            proven: HashSet::new(),
            unpublished: None,
            floors: None,
            audit: audit::Progress::new(period),
            looking: JoinSet::new(),
            looking_since: Instant::now(),
            unread: Lasting::default(),
            told: HashSet::new(),
            promote,
        }
    }

    /// Compares, and if all is well and this process leads: seals, publishes, audits.
    pub(crate) async fn cycle(&mut self) {
        let started = Instant::now();
        let audited = match self.examine().await {
            Ok(audited) => audited,
            Err(SealError::Stop(stop)) => return self.stopped(stop).await,
            // Whatever it is by then that answers as the database may be another one.
            Err(error) => return self.set_unknown(&error),
        };
        let read = match self.read_rejections().await {
            Err(error) if !self.promote.rejections.has_begun() => return self.set_unknown(&error),
            read => read,
        };
        let stalled = match self.stalled().await {
            Ok(stalled) => stalled.or(self.withheld(&read, started)),
            Err(error) => return self.set_unknown(&error),
        };
        let goes_on = self.unpublished.is_none() && stalled.is_none();
        rejections::wait(&self.promote, read.ok(), goes_on, started);
        let size = self.last.map_or(0, |head| head.size);
        let is_quiet = self.behind.is_quiet(size, stalled.is_some(), Instant::now());
        // What is stalled may go on by sealing, unlike what contradicts itself.
        if stalled.is_some() && self.unpublished.is_none() && is_quiet {
            self.set_behind();
        } else {
            self.set_halt(self.unpublished.clone().or(stalled)).await;
        }
        if goes_on {
            self.look_at_rejections().await;
        }
        match self.lead(audited).await {
            Ok(()) => {}
            Err(SealError::Stop(stop)) => {
                self.unpublished = Some(stop.clone());
                self.stopped(stop).await;
            }
            Err(error) => {
                metrics::counter!("touchstone_log_failures").increment(1);
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the transparency log could not be sealed or published; the next cycle tries again"
                );
            }
        }
        metrics::histogram!("touchstone_log_cycle_seconds").record(started.elapsed().as_secs_f64());
    }

    async fn read_rejections(&self) -> Result<rejections::Read, SealError> {
        let read = rejections::read(&self.promote, &self.published()?).await;
        if let Err(error) = &read {
            metrics::counter!("touchstone_log_failures").increment(1);
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the published log cannot be read: what is kept from it is not noticed until it can"
            );
        }
        read
    }

    /// Whether what is sealed is not published, or cannot be read there, for so long that it is as good as not sealed.
    fn withheld(&mut self, read: &Result<rejections::Read, SealError>, now: Instant) -> Option<Stop> {
        let sealed = self.last.map_or(0, |head| head.size);
        let is_there = read.as_ref().is_ok_and(|read| read.size >= sealed);
        self.unread.exceeds(STALLED_AFTER, !is_there, now).then(|| Stop {
            kind: IncidentKind::LogFrozen,
            problem: "what was sealed a minute ago and longer is not in the published log, or cannot be read there: nothing is promoted \
                      until it is; look at the log's directory, and at what promote says of it"
                .to_owned(),
        })
    }

    /// Begins a look where the one before has ended, and waits for it a little: Postgres may make it wait for longer.
    async fn look_at_rejections(&mut self) {
        if self.looking.try_join_next().is_some() || self.looking.is_empty() {
            self.looking_since = Instant::now();
        } else if self.looking_since.elapsed() < LOOKING_MAX {
            return;
        } else {
            tracing::error!(
                "Postgres does not answer whether rejections are on record, beyond every timeout; they are looked for anew"
            );
            metrics::counter!("touchstone_log_failures").increment(1);
            self.looking.abort_all();
            self.looking.detach_all();
            self.looking_since = Instant::now();
        }
        let promote = Arc::clone(&self.promote);
        self.looking.spawn(async move {
            if let Err(error) = rejections::look(&promote, Instant::now()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "rejections are not looked for now");
            }
        });
        if let Err(_takes_long) = timeout(LOOK_WAIT, self.looking.join_next()).await {
            tracing::debug!("the look at rejections takes long, and goes on beside sealing");
        }
    }

    fn published(&self) -> Result<Published, SealError> {
        Ok(Published::new(self.copies[0].dir().to_owned(), self.keys()?))
    }

    /// What every process does before it promotes anything.
    async fn examine(&mut self) -> Result<Range<u64>, SealError> {
        if self.compare().await? {
            self.unpublished = None;
        }
        self.audit_tree().await
    }

    /// Whether nobody seals any more: no process leads, a transaction hides what came after it, or rows cannot be sealed.
    async fn stalled(&self) -> Result<Option<Stop>, SealError> {
        let Some(age) = self.promote.store.oldest_unsealed().await? else { return Ok(None) };
        metrics::gauge!("touchstone_log_unsealed_seconds").set(age.as_secs_f64());
        if age > OPEN_MAX {
            self.end_transactions().await;
        }
        Ok((age > STALLED_AFTER).then(|| Stop {
            kind: IncidentKind::LogFrozen,
            problem: "what happened a minute ago and longer is not in the transparency log: nothing is promoted until it is; look for \
                      a transaction that stays open, and for who holds the log's turn"
                .to_owned(),
        }))
    }

    /// Ends what hides from the sealer what came after it. Where that may not be done, sealing goes on with what can be seen.
    async fn end_transactions(&self) {
        match self.promote.store.end_transactions(OPEN_MAX).await {
            Ok(0) => {}
            Ok(ended) => {
                tracing::warn!(ended, "ended transactions that kept the transparency log from going on");
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "transactions that keep the transparency log from going on cannot be ended; the owner of the tables needs pg_signal_backend"
            ),
        }
    }

    /// What only one process does. The leaves in `audited` were compared with the tree just now.
    async fn lead(&mut self, audited: Range<u64>) -> Result<(), SealError> {
        if let Some(leader) = &self.leader
            && !leader.is_held().await
        {
            self.leader = None;
        }
        if self.leader.is_none() {
            self.forget();
            self.leader = self.promote.store.lead_log().await?;
        }
        if self.leader.is_none() {
            return Ok(());
        }
        self.bring_copies().await?;
        self.unpublished = None;
        let is_busy = self.seal_rows().await?;
        self.ask_witnesses().await?;
        self.raise_floors().await?;
        if is_busy {
            self.audit.put_off(&audited);
            return Ok(());
        }
        self.audit_rows(audited).await
    }

    /// Forgets what another leader may have changed.
    fn forget(&mut self) {
        self.cursor = None;
        self.floors = None;
        for copy in &mut self.copies {
            copy.close();
        }
    }

    /// The log keys of the ring, now.
    fn keys(&self) -> Result<Arc<LogKeys>, SealError> {
        let ring = Arc::clone(&self.promote.ring.borrow());
        Ok(Arc::new(LogKeys::of(&ring, &self.promote.signing.environment)?))
    }

    async fn stopped(&mut self, stop: Stop) {
        self.leader = None;
        self.forget();
        self.set_halt(Some(stop)).await;
    }

    /// Remembers a checkpoint that Postgres has, and tells those who promote.
    fn saw(&mut self, head: TreeHead) {
        self.last = Some(head);
        let TreeHead { size, root } = head;
        self.seals.send_replace((size > 0).then_some(KnownSeal { size, root }));
    }

    /// Tells everybody whether anything may be promoted.
    async fn set_halt(&mut self, stop: Option<Stop>) {
        let problem = stop.as_ref().map(|stop| stop.problem.clone());
        metrics::gauge!("touchstone_log_halted").set(u32::from(problem.is_some()));
        let before = self.halts.send_replace(problem.clone());
        if before == problem {
            return;
        }
        if let Some(stop) = stop {
            tracing::error!(kind = stop.kind.as_str(), problem = %stop.problem, "NOTHING IS PROMOTED");
            self.record(stop.kind, &stop.problem).await;
        } else {
            tracing::info!("the database agrees with the transparency log: artifacts are promoted");
        }
    }

    /// Nothing is promoted, and nothing is wrong: the log grows, or nobody had the time to seal yet.
    fn set_behind(&self) {
        metrics::gauge!("touchstone_log_halted").set(1);
        let before = self.halts.send_replace(Some(NOT_SEALED.to_owned()));
        if before.as_deref() != Some(NOT_SEALED) {
            tracing::info!("{NOT_SEALED}; nothing is promoted until it is there");
        }
    }

    fn set_unknown(&mut self, error: &SealError) {
        metrics::gauge!("touchstone_log_halted").set(1);
        let before = self.halts.send_replace(Some(NOT_COMPARED.to_owned()));
        if before.as_deref() != Some(NOT_COMPARED) || self.is_new(&error.to_string()) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the database cannot be compared with the transparency log; nothing is promoted until it is"
            );
        }
    }

    /// Tells of a problem that stops nothing, once.
    async fn complain(&mut self, kind: IncidentKind, problem: &str) {
        if self.is_new(problem) {
            tracing::error!(kind = kind.as_str(), problem, "the transparency log found something wrong");
            self.record(kind, problem).await;
        }
    }

    fn is_new(&mut self, problem: &str) -> bool {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        self.told.insert(problem.to_owned())
    }

    async fn record(&self, kind: IncidentKind, problem: &str) {
        let incident = NewIncident::about_log(kind, &self.origin, json!({ "problem": problem }));
        if let Err(error) = self.promote.store.record_incident(&incident).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "an incident is not on record");
        }
    }
}

/// Runs what blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SealError> {
    spawn_blocking(work).await.map_err(|_stopped| SealError::Stopped)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn a_cycle_that_does_not_end_halts_promotion_until_the_next_one_compares() {
        let halts = watch::Sender::new(None);
        watched(ready(()), Duration::ZERO, &halts).await;
        assert_eq!(*halts.borrow(), None);
        let mut seen = halts.subscribe();
        // It ends when promotion is halted.
        let cycle = async { drop(seen.changed().await) };
        watched(cycle, Duration::ZERO, &halts).await;
        assert_eq!(halts.borrow().as_deref(), Some(HANGS));
    }
}
