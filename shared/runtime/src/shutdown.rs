//! Shutdown in two stages. The first SIGTERM or SIGINT cancels `soft`: stop taking new work, finish what runs. When the
//! grace period is over, or on a second signal, `hard` is cancelled: stop now.
//!
//! *Invariant:* `hard` is cancelled only after `soft`.

use std::{io, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks have to leave after the hard stage.
const HARD_WAIT: Duration = Duration::from_secs(5);

/// The two stages, and the tracker of every task that must end before the process does.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Take no new work.
    pub soft: CancellationToken,
    /// Stop now; work in hand is lost, and is done again later.
    pub hard: CancellationToken,
    /// Every long-lived task of the process.
    pub tracker: TaskTracker,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every task ended.
    Fully,
    /// Tasks were still running when the waiting ended.
    Abandoned {
        /// How many.
        tasks: usize,
    },
}

impl Shutdown {
    /// Stages that no signal reaches: for tests and for short commands.
    #[expect(clippy::new_without_default, reason = "a shutdown is made once, on purpose")]
    pub fn new() -> Self {
        Self { soft: CancellationToken::new(), hard: CancellationToken::new(), tracker: TaskTracker::new() }
    }

    /// Stages that follow SIGTERM and SIGINT, with `grace` between the first signal and the hard stage.
    pub fn install(grace: Duration) -> Result<Self, io::Error> {
        let shutdown = Self::new();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Not on `tracker`: this task ends last.
        TaskTracker::new().spawn(shutdown.clone().follow(terminate, interrupt, grace));
        Ok(shutdown)
    }

    /// Waits for the soft stage, then until every task has ended, or for a few seconds after the hard stage.
    pub async fn drained(&self) -> Drained {
        self.soft.cancelled().await;
        self.tracker.close();
        let too_late = async {
            self.hard.cancelled().await;
            tokio::time::sleep(HARD_WAIT).await;
        };
        tokio::select! {
            () = self.tracker.wait() => Drained::Fully,
            () = too_late => Drained::Abandoned { tasks: self.tracker.len() },
        }
    }

    async fn follow(self, mut terminate: Signal, mut interrupt: Signal, grace: Duration) {
        tokio::select! {
            () = self.soft.cancelled() => {}
            () = either(&mut terminate, &mut interrupt) => tracing::info!(?grace, "shutting down; a second signal stops at once"),
        }
        self.soft.cancel();
        tokio::select! {
            () = self.hard.cancelled() => {}
            () = tokio::time::sleep(grace) => tracing::warn!(?grace, "the grace period is over; stopping at once"),
            () = either(&mut terminate, &mut interrupt) => tracing::warn!("second signal; stopping at once"),
        }
        self.hard.cancel();
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_ends_in_the_hard_stage() {
        let shutdown = Shutdown::install(LONG).unwrap();
        let before = tokio::time::Instant::now();
        shutdown.soft.cancel();
        shutdown.hard.cancelled().await;
        assert!(before.elapsed() >= LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_tasks_and_gives_up_after_the_hard_stage() {
        let shutdown = Shutdown::new();
        let soft = shutdown.soft.clone();
        shutdown.tracker.spawn(async move { soft.cancelled().await });
        shutdown.soft.cancel();
        assert_eq!(shutdown.drained().await, Drained::Fully);

        let stuck = Shutdown::new();
        stuck.tracker.spawn(std::future::pending::<()>());
        stuck.soft.cancel();
        stuck.hard.cancel();
        assert_eq!(stuck.drained().await, Drained::Abandoned { tasks: 1 });
    }
}
