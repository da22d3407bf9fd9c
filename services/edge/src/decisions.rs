//! Waking the requests that wait for a decision.
//!
//! Decisions arrive as messages, which may be lost: whoever waits is also asked about in Postgres, in one query for all
//! of them, at a steady interval. So a decision is always heard of, with NATS down too.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use touchstone_bus::Bus;
use touchstone_domain::ArtifactDbId;
use touchstone_store::Store;

/// How often Postgres is asked about those who wait.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How many artifacts one query asks about.
const POLL_BATCH: usize = 1_000;
/// How long to wait before listening again when NATS is away.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The waiting requests, by artifact.
#[derive(Default)]
pub(crate) struct Decisions {
    waiting: Mutex<HashMap<ArtifactDbId, Vec<oneshot::Sender<()>>>>,
}

impl Decisions {
    /// Registers; the receiver fires when the artifact may have been decided. Register first, look at Postgres second.
    pub(crate) fn wait(&self, artifact: ArtifactDbId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(artifact).or_default().push(sender);
        receiver
    }

    /// Wakes whoever waits for the artifact.
    pub(crate) fn wake(&self, artifact: ArtifactDbId) {
        for sender in self.lock().remove(&artifact).unwrap_or_default() {
            let _gone = sender.send(());
        }
    }

    /// The artifacts that somebody still waits for.
    fn awaited(&self) -> Vec<ArtifactDbId> {
        let mut waiting = self.lock();
        waiting.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        waiting.keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ArtifactDbId, Vec<oneshot::Sender<()>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks Postgres about everyone who waits, until `stop`.
    pub(crate) async fn poll(&self, store: &Store, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            for batch in self.awaited().chunks(POLL_BATCH) {
                match store.states(batch).await {
                    Ok(states) => {
                        states
                            .iter()
                            .filter(|(_, state)| !state.is_pending())
                            .for_each(|(id, _)| self.wake(*id));
                    }
                    Err(error) => tracing::debug!(%error, "cannot ask Postgres about the waiting requests"),
                }
            }
        }
    }

    /// Listens to decisions, until `stop`.
    pub(crate) async fn listen(&self, bus: &Bus, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match bus.decisions().await {
                Ok(decisions) => {
                    let mut decisions = std::pin::pin!(decisions);
                    while let Some(Some(batch)) = stop.run_until_cancelled(decisions.next()).await {
                        for decided in batch {
                            self.wake(decided.artifact);
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "cannot listen to decisions; polling goes on"),
            }
            stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_who_waits_is_woken_once_and_those_who_left_are_forgotten() {
        let decisions = Decisions::default();
        let (first, second) = (decisions.wait(ArtifactDbId(1)), decisions.wait(ArtifactDbId(1)));
        drop(decisions.wait(ArtifactDbId(2)));
        assert_eq!(decisions.awaited(), vec![ArtifactDbId(1)]);
        decisions.wake(ArtifactDbId(1));
        assert_eq!((first.await, second.await), (Ok(()), Ok(())));
        assert_eq!(decisions.awaited(), vec![]);
    }
}
