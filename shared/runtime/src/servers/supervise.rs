//! Keeps one server running until it is told to stop.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ServerError, process::Process};
use crate::{Chain, Shutdown};

/// The pause before the first attempt to start a server again; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A server that ran so long was well; its next end starts with the short pause again.
const STABLE: Duration = Duration::from_secs(30);

/// How one kind of server is started; called again for every restart, on the same files and the same address.
pub(super) trait Recipe: Send + Sync + 'static {
    /// The server in log lines.
    const NAME: &'static str;

    /// Starts it and waits until it is ready.
    fn launch(&self) -> impl Future<Output = Result<Process, ServerError>> + Send;
}

/// A server that runs, supervised or not.
pub(super) struct Server<R> {
    shared: Arc<Shared<R>>,
    supervisor: TaskTracker,
}

struct Shared<R> {
    recipe: R,
    /// 0 while none runs.
    pid: AtomicU32,
    /// The process while nobody supervises it.
    process: Mutex<Option<Process>>,
    stopping: CancellationToken,
}

impl<R: Recipe> Server<R> {
    pub(super) async fn start(recipe: R) -> Result<Self, ServerError> {
        let process = recipe.launch().await?;
        let pid = AtomicU32::new(process.id());
        let shared =
            Shared { recipe, pid, process: Mutex::new(Some(process)), stopping: CancellationToken::new() };
        Ok(Self { shared: Arc::new(shared), supervisor: TaskTracker::new() })
    }

    pub(super) fn recipe(&self) -> &R {
        &self.shared.recipe
    }

    pub(super) fn pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// Starts the task that restarts the server; it is not on the shutdown's own tracker, since the server must outlive
    /// everything that is.
    pub(super) fn supervise(&self, shutdown: &Shutdown) {
        if let Some(process) = self.shared.take() {
            self.supervisor.spawn(Arc::clone(&self.shared).keep(process, shutdown.hard.clone()));
        }
    }

    pub(super) async fn stop(&self) {
        self.shared.stopping.cancel();
        if let Some(process) = self.shared.take() {
            process.stop().await;
        }
        self.supervisor.close();
        self.supervisor.wait().await;
        self.shared.pid.store(0, Ordering::Release);
    }
}

impl<R> Drop for Server<R> {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
    }
}

impl<R> Shared<R> {
    fn take(&self) -> Option<Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<R: Recipe> Shared<R> {
    async fn keep(self: Arc<Self>, mut process: Process, hard: CancellationToken) {
        let stop = async {
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = hard.cancelled() => {}
            }
        };
        tokio::pin!(stop);
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                status = process.wait() => status,
                () = &mut stop => return process.stop().await,
            };
            self.pid.store(0, Ordering::Release);
            tracing::warn!(server = R::NAME, %status, "a private server ended; starting it again");
            if started.elapsed() >= STABLE {
                failures = 0;
            }
            process = tokio::select! {
                process = self.restart(&mut failures) => process,
                () = &mut stop => return,
            };
            self.pid.store(process.id(), Ordering::Release);
            tracing::info!(server = R::NAME, pid = process.id(), "the private server runs again");
        }
    }

    async fn restart(&self, failures: &mut u32) -> Process {
        loop {
            tokio::time::sleep(pause(*failures)).await;
            *failures = failures.saturating_add(1);
            match self.recipe.launch().await {
                Ok(process) => return process,
                Err(error) => {
                    tracing::warn!(server = R::NAME, error = %Chain(&error), "cannot start it again yet");
                }
            }
        }
    }
}

/// Doubles with every failure in a row.
fn pause(failures: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(pause(0), PAUSE_MIN);
        assert_eq!(pause(1), 2 * PAUSE_MIN);
        assert_eq!(pause(7), PAUSE_MAX);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
