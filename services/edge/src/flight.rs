//! One piece of work per key, however many callers wait for it.
//!
//! *Invariant:* the work runs as its own task: callers that go away, the first one included, never end it.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The work under way, by key.
pub(crate) struct Flights<K, V> {
    under_way: Mutex<HashMap<K, watch::Receiver<Option<V>>>>,
    tracker: TaskTracker,
    most: usize,
}

/// A place in the queue of those who wait for one piece of work.
pub(crate) struct Ticket<V> {
    result: watch::Receiver<Option<V>>,
}

/// So much work is under way that no more is taken on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// At most `most` pieces of work at once; tasks belong to `tracker`.
    pub(crate) fn new(tracker: TaskTracker, most: usize) -> Arc<Self> {
        Arc::new(Self { under_way: Mutex::default(), tracker, most })
    }

    /// Joins the work under `key`, or starts it.
    pub(crate) fn join<F>(self: &Arc<Self>, key: &K, start: impl FnOnce() -> F) -> Result<Ticket<V>, Full>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = under_way.get(key) {
            return Ok(Ticket { result: result.clone() });
        }
        if under_way.len() >= self.most {
            return Err(Full);
        }
        let (sender, result) = watch::channel(None);
        under_way.insert(key.clone(), result.clone());
        let landing = Landing { flights: Arc::clone(self), key: key.clone() };
        let work = start();
        self.tracker.spawn(async move {
            let value = work.await;
            drop(landing);
            sender.send_replace(Some(value));
        });
        Ok(Ticket { result })
    }
}

impl<V: Clone> Ticket<V> {
    /// Waits for the result; `None` if the work died without one.
    pub(crate) async fn wait(mut self) -> Option<V> {
        self.result.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Takes the key off the list when the work ends, a panic included.
struct Landing<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn many_callers_share_one_piece_of_work_and_may_go_away() {
        let flights = Flights::<u32, usize>::new(TaskTracker::new(), 1);
        let started = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let join = || {
            let (started, gate) = (Arc::clone(&started), Arc::clone(&gate));
            flights.join(&7, || async move {
                let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                let _permit = gate.acquire().await;
                number
            })
        };
        let first = join().expect("room");
        drop(first);
        let tickets: Vec<_> = (0..200).map(|_| join().expect("joined")).collect();
        assert_eq!(flights.join(&8, || async { 0 }).err(), Some(Full));
        gate.add_permits(1);
        for ticket in tickets {
            assert_eq!(ticket.wait().await, Some(1));
        }
        assert_eq!(started.load(Ordering::SeqCst), 1);
        gate.add_permits(1);
        assert_eq!(join().expect("room again").wait().await, Some(2));
    }

    #[tokio::test]
    async fn work_that_panics_wakes_its_callers_and_can_be_started_again() {
        let flights = Flights::<u32, u32>::new(TaskTracker::new(), 4);
        let ticket = flights.join(&1, || async { panic!("boom") }).expect("room");
        assert_eq!(ticket.wait().await, None);
        let again = flights.join(&1, || async { 5 }).expect("room");
        assert_eq!(again.wait().await, Some(5));
    }
}
