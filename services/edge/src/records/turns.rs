//! Whose records are gathered now: it takes a few queries and signatures each, and anybody may ask.
//!
//! *Invariant:* a client has at most [`SHARE`] turns at once, however many it asks for, and whoever waits gets one in the order of
//! asking.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// How many have a turn at once.
const TURNS: usize = 8;
/// How many of them a client has at most.
const SHARE: usize = 4;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a request came from; known of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) IpAddr);

/// The turns, and who has how many.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Semaphore,
    clients: Mutex<HashMap<IpAddr, Share>>,
}

#[derive(Debug)]
struct Share {
    turns: Arc<Semaphore>,
    /// How many requests have a turn, or wait for one.
    asking: usize,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _one: SemaphorePermit<'a>,
    _asking: Asking<'a>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { all: Semaphore::new(TURNS), clients: Mutex::default() }
    }

    /// Waits for a turn; none if there is none for too long.
    pub(crate) async fn turn(&self, client: IpAddr) -> Option<Turn<'_>> {
        let mut asking = Asking::new(self, network(client));
        let waited = timeout(PATIENCE, async {
            let turns = Arc::clone(&asking.turns);
            asking.share = turns.acquire_owned().await.ok();
            self.all.acquire().await.ok()
        });
        let one = waited.await.ok().flatten()?;
        Some(Turn { _one: one, _asking: asking })
    }
}

/// A client's request, while it has a turn or waits for one.
#[derive(Debug)]
struct Asking<'a> {
    of: &'a Turns,
    network: IpAddr,
    turns: Arc<Semaphore>,
    share: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl<'a> Asking<'a> {
    fn new(of: &'a Turns, network: IpAddr) -> Self {
        let mut clients = of.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let share = clients
            .entry(network)
            .or_insert_with(|| Share { turns: Arc::new(Semaphore::new(SHARE)), asking: 0 });
        share.asking += 1;
        Self { of, network, turns: Arc::clone(&share.turns), share: None }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut clients = self.of.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = clients.get_mut(&self.network) {
            share.asking -= 1;
            if share.asking == 0 {
                clients.remove(&self.network);
            }
        }
    }
}

/// What is taken for one client: an address, or of IPv6 what one host has many of.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// So many turns of a client that never end.
    async fn stalled<'a>(turns: &'a Turns, client: &str, number: usize) -> Vec<Turn<'a>> {
        let mut all = vec![];
        for _ in 0..number {
            all.push(turns.turn(address(client)).await.expect("a turn"));
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stalls_keeps_no_other_from_its_turn() {
        let turns = Turns::new();
        let begun = Instant::now();
        for greedy in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            let _held = stalled(&turns, greedy, SHARE).await;
            let mut waiting = vec![];
            for _ in 0..100 {
                let mut turn = Box::pin(turns.turn(address(greedy)));
                assert!(futures::poll!(&mut turn).is_pending());
                waiting.push(turn);
            }
            assert!(turns.turn(address("192.0.2.2")).await.is_some());
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
        assert!(turns.clients.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_network_are_one_client() {
        let turns = Turns::new();
        for (one, other, is_same) in [
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let _held = stalled(&turns, one, SHARE).await;
            let mut turn = Box::pin(turns.turn(address(other)));
            assert_eq!(futures::poll!(&mut turn).is_pending(), is_same, "{one} {other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_next_and_does_not_wait_for_ever() {
        let turns = Turns::new();
        let mut first = stalled(&turns, "192.0.2.1", SHARE).await;
        let second = stalled(&turns, "192.0.2.2", SHARE).await;
        let mut third = Box::pin(turns.turn(address("192.0.2.3")));
        let mut again = Box::pin(turns.turn(address("192.0.2.1")));
        assert!(futures::poll!(&mut third).is_pending() && futures::poll!(&mut again).is_pending());
        first.pop();
        let held = third.await.expect("it was before the other one");
        assert!(futures::poll!(&mut again).is_pending());
        let begun = Instant::now();
        assert!(again.await.is_none());
        assert_eq!(begun.elapsed(), PATIENCE);
        drop((first, second, held));
        assert!(turns.clients.lock().expect("not poisoned").is_empty());
    }
}
