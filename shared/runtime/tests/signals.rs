//! What signals do. A process of its own, since a signal reaches every test in it; one test, for the same reason.

use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use touchstone_runtime::Shutdown;

#[tokio::test]
async fn the_first_signal_is_soft_and_the_second_is_hard() {
    let shutdown = Shutdown::install(Duration::from_hours(1)).unwrap();
    kill_process(getpid(), Signal::TERM).unwrap();
    shutdown.soft.cancelled().await;
    assert!(!shutdown.hard.is_cancelled());
    kill_process(getpid(), Signal::INT).unwrap();
    shutdown.hard.cancelled().await;
}
