//! The loop: who pulls when, and how it ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::sleep,
};
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, BusError, Deliveries, Delivery};
use touchstone_custody::{KeyKind, KeyRing, Signing};
use touchstone_domain::{ArtifactDbId, CheckKind};
use touchstone_records::RecordStore;
use touchstone_runtime::{Clock, Shutdown};
use touchstone_store::{Facts, Store};

use crate::{
    Check,
    judge::{Judged, judge},
    key::Told,
    policies::Policies,
    trouble::{Trouble, give_back, put_off, settled},
};

/// The pauses between questions whether Postgres is back.
const STORE_RETRY_MIN: Duration = Duration::from_millis(100);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

/// What a worker is given.
pub struct Parts {
    /// Postgres.
    pub store: Store,
    /// NATS.
    pub bus: Bus,
    /// The bytes, and the signed verdicts.
    pub blobs: BlobStore,
    /// What verdicts are signed with: a key of this kind of check.
    pub signing: Signing,
    /// The keys that count: the worker's own may cease to.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// Dates verdicts.
    pub clock: Arc<dyn Clock>,
    /// `soft` ends pulling, and what is in hand is finished; `hard` drops what is in hand.
    pub shutdown: Shutdown,
    /// The bounds.
    pub options: Options,
}

/// The bounds of one worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many checks run at once.
    pub concurrency: usize,
    /// How many verdicts go into one statement.
    pub batch_max: usize,
    /// How long one check may take.
    pub check_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { concurrency: 16, batch_max: 256, check_timeout: Duration::from_mins(5) }
    }
}

/// Why a worker cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// NATS refuses what the worker needs. A server that is merely away is waited for.
    #[error("the worker cannot consume events")]
    Bus(#[from] BusError),
    /// Verdicts that it signs would not count.
    #[error(
        "the key signs for {found}, and verdicts of the {check} check would not count; name a key of this check in [custody]"
    )]
    Key {
        /// The check.
        check: CheckKind,
        /// What the key signs.
        found: KeyKind,
    },
}

pub(crate) struct Worker<C> {
    pub(crate) check: C,
    pub(crate) parts: Parts,
    pub(crate) records: RecordStore,
    pub(crate) policies: Policies,
    pub(crate) told: Told,
}

/// Works until `parts.shutdown` says stop.
pub async fn run<C: Check>(check: C, parts: Parts) -> Result<(), WorkerError> {
    let found = parts.signing.signer.kind();
    if found != check.kind().into() {
        return Err(WorkerError::Key { check: check.kind(), found });
    }
    let hard = parts.shutdown.hard.clone();
    let records = RecordStore::new(parts.blobs.clone());
    let worker =
        Arc::new(Worker { check, parts, records, policies: Policies::default(), told: Told::default() });
    hard.run_until_cancelled(Box::pin(worker.work())).await.unwrap_or(Ok(()))
}

impl<C: Check> Worker<C> {
    async fn work(self: Arc<Self>) -> Result<(), WorkerError> {
        let options = &self.parts.options;
        let deliveries = self.parts.bus.consume(self.check.kind(), options.concurrency).await?;
        let (judged, recording) = mpsc::channel(options.batch_max.max(1));
        tokio::join!(Arc::clone(&self).pull(deliveries, judged), self.record(recording), self.tell_of_key());
        Ok(())
    }

    /// Pulls as many messages as checks may start, and starts them. Ends when `soft` is cancelled and the jobs are done.
    async fn pull(self: Arc<Self>, mut deliveries: Deliveries, judged: mpsc::Sender<Judged>) {
        let soft = self.parts.shutdown.soft.clone();
        let concurrency = self.parts.options.concurrency.max(1);
        let mut jobs = JoinSet::new();
        while !soft.is_cancelled() {
            if jobs.len() >= concurrency
                && let Some(Some(ended)) = soft.run_until_cancelled(jobs.join_next()).await
            {
                report(ended);
            }
            while let Some(ended) = jobs.try_join_next() {
                report(ended);
            }
            if jobs.len() >= concurrency {
                continue;
            }
            let next = tokio::select! {
                biased;
                () = soft.cancelled() => break,
                () = self.key_ends() => None,
                batch = deliveries.next_batch(concurrency - jobs.len()) => Some(batch),
            };
            let Some(batch) = next else {
                // Another process may have a key that counts.
                deliveries.hand_back().await;
                soft.run_until_cancelled(self.key_counts()).await;
                continue;
            };
            let Some(found) = self.facts(batch).await else {
                // What was sent ahead must not lie here until Postgres is back.
                deliveries.hand_back().await;
                soft.run_until_cancelled(self.store_is_back()).await;
                continue;
            };
            for (facts, delivery) in found {
                jobs.spawn(judge(Arc::clone(&self), facts, delivery, judged.clone()));
            }
        }
        deliveries.hand_back().await;
        while let Some(ended) = jobs.join_next().await {
            report(ended);
        }
    }

    /// Loads what Postgres knows of the artifacts; `None` when it does not answer. Messages that cannot be judged now, or
    /// at all, are settled here.
    async fn facts(&self, batch: Vec<Delivery>) -> Option<Vec<(Facts, Delivery)>> {
        match self.parts.store.facts(&artifacts(&batch)).await {
            Ok(found) => Some(self.paired(batch, found).await),
            Err(error) if error.is_transient() => {
                for delivery in &batch {
                    put_off(delivery, "Postgres does not answer", &error).await;
                }
                None
            }
            // One row that cannot be read must not keep the others back.
            Err(_) => {
                let mut all = vec![];
                for delivery in batch {
                    all.extend(self.facts_of_one(delivery).await);
                }
                Some(all)
            }
        }
    }

    async fn facts_of_one(&self, delivery: Delivery) -> Vec<(Facts, Delivery)> {
        match self.parts.store.facts(&[delivery.event.artifact]).await {
            Ok(found) => return self.paired(vec![delivery], found).await,
            Err(error) if error.is_transient() => {
                put_off(&delivery, "Postgres does not answer", &error).await;
            }
            Err(error) => {
                let (store, check, epoch) = (&self.parts.store, self.check.kind(), delivery.event.epoch);
                give_back(store, check, &delivery, epoch, Trouble::poison(&error)).await;
            }
        }
        vec![]
    }

    /// Brings messages and facts together. What is about no artifact, or already answered, is done.
    async fn paired(&self, batch: Vec<Delivery>, found: Vec<Facts>) -> Vec<(Facts, Delivery)> {
        let check = self.check.kind();
        let found: HashMap<ArtifactDbId, Facts> =
            found.into_iter().map(|facts| (facts.artifact, facts)).collect();
        let mut jobs = Vec::with_capacity(batch.len());
        for delivery in batch {
            let artifact = delivery.event.artifact;
            let done = match found.get(&artifact) {
                Some(facts) if facts.answered.contains(check) => "answered",
                Some(facts) => {
                    jobs.push((facts.clone(), delivery));
                    continue;
                }
                None => {
                    tracing::warn!(artifact.id = %artifact, check.kind = %check, "a message is about no artifact");
                    "unknown"
                }
            };
            metrics::counter!("touchstone_checks", "check" => check.as_str(), "outcome" => done).increment(1);
            settled(delivery.ack().await);
        }
        jobs
    }

    /// Waits until Postgres answers again.
    async fn store_is_back(&self) {
        let mut pause = STORE_RETRY_MIN;
        while self.parts.store.ping().await.is_err() {
            sleep(pause).await;
            pause = STORE_RETRY_MAX.min(pause * 2);
        }
    }
}

/// A panic of a check is caught in its job, so this is a fault of the loop; the message comes again by itself.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a job broke off");
    }
}

fn artifacts(batch: &[Delivery]) -> Vec<ArtifactDbId> {
    let mut artifacts: Vec<ArtifactDbId> = batch.iter().map(|delivery| delivery.event.artifact).collect();
    artifacts.sort_unstable();
    artifacts.dedup();
    artifacts
}
