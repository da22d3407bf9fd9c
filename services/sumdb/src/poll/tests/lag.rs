//! Polls of the miniature database, whose latest head is behind what lookups are signed for.

use touchstone_store::StoreOptions;
use touchstone_testkit::{Lie, Registry, fresh_database};
use touchstone_tlog::note::VerifierKey;
use touchstone_upstream::{Limits, Mirror};

use super::*;
use crate::client::Client;

struct World {
    registry: Registry,
    poller: Poller,
}

impl World {
    /// What is behind for any time at all is behind for too long.
    async fn new() -> Self {
        let registry = Registry::start().await;
        registry.sumdb().fill(2000);
        let options =
            StoreOptions { url: fresh_database().await, pool_size: 4, application_name: "test".to_owned() };
        let store = Store::connect(options).await.unwrap();
        let key = VerifierKey::parse(&registry.sumdb().key()).unwrap();
        let limits = Limits { attempts_max: 1, ..Limits::default() };
        let client =
            Client::new(Mirror::new(&registry.sumdb_url(), limits).unwrap(), store.clone(), key.id());
        let database = Arc::new(Database::new(key, client, store.clone()));
        let patience = Patience { behind_max: Duration::ZERO, frozen_after: None };
        Self { registry, poller: Poller { database, store, period: Duration::from_hours(1), patience } }
    }

    /// A lookup is signed for so large a tree.
    async fn looked_up(&self, size: u64) {
        let head = open_head(&self.registry.sumdb().note(size), &self.poller.database.key).unwrap();
        self.poller.database.merge(self.state().await, &Arc::new(head), Sources::Any).await.unwrap();
        assert_eq!(self.state().await.head.unwrap().size, size);
    }

    /// What a poll comes to when the latest tree has this size.
    async fn polled(&self, latest: u64) -> Result<&'static str, Stop> {
        self.registry.sumdb().honest();
        self.registry.sumdb().lie(Lie::OldLatest { size: latest });
        self.poller.poll().await
    }

    async fn state(&self) -> SumdbState {
        self.poller.store.sumdb_state(&self.poller.database.id).await.unwrap()
    }

    async fn stopped(&self) -> Option<SumdbStopKind> {
        self.state().await.stop.map(|stop| stop.kind)
    }

    /// How often the database's going back was told, however often the same.
    async fn told(&self) -> i64 {
        let incidents = self.poller.store.latest_incidents(100).await.unwrap();
        incidents.iter().filter(|i| i.kind == "sumdb_rollback").map(|incident| incident.count).sum()
    }
}

/// A cache before `/latest` is a little late at each poll, and lookups are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_latest_head_that_grows_and_lags_neither_stops_nor_alarms() {
    let world = World::new().await;
    world.looked_up(1000).await;
    assert_eq!(world.polled(1000).await.unwrap(), "same");
    for size in (1100..1600).step_by(100) {
        world.looked_up(size).await;
        assert_eq!(world.polled(size - 10).await.unwrap(), "behind");
        assert!(world.state().await.poll.unwrap().behind_since.is_some());
    }
    // Now and then it is not late.
    for size in (1600..2000).step_by(100) {
        assert_eq!(world.polled(size).await.unwrap(), "grown");
        world.looked_up(size + 90).await;
        assert_eq!(world.polled(size + 80).await.unwrap(), "behind");
    }
    assert_eq!((world.stopped().await, world.told().await), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latest_head_that_does_not_reach_what_was_seen_stops_however_it_grows() {
    let world = World::new().await;
    world.looked_up(1000).await;
    assert_eq!(world.polled(1000).await.unwrap(), "same");
    world.looked_up(1100).await;
    assert_eq!(world.polled(1050).await.unwrap(), "behind");
    assert_eq!(world.stopped().await, None);
    assert_eq!(world.polled(1051).await.unwrap(), "behind");
    assert_eq!((world.stopped().await, world.told().await), (Some(SumdbStopKind::Rollback), 1));
    assert_eq!(world.polled(1100).await.unwrap(), "same");
    assert_eq!((world.stopped().await, world.told().await), (None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latest_head_that_falls_is_told_at_once_and_each_fall_once() {
    let world = World::new().await;
    // The first that is ever heard of it.
    world.looked_up(1000).await;
    for (latest, told) in [(900, 1), (1000, 1), (999, 2), (1000, 2)] {
        world.polled(latest).await.unwrap();
        assert_eq!((world.stopped().await, world.told().await), (None, told), "{latest}");
    }
    // It stays where it is, and what was seen meanwhile is larger.
    world.looked_up(1200).await;
    world.polled(1000).await.unwrap();
    assert_eq!((world.stopped().await, world.told().await), (None, 3));
    world.polled(1000).await.unwrap();
    // The stop tells it as well.
    assert_eq!((world.stopped().await, world.told().await), (Some(SumdbStopKind::Rollback), 4));
    for (latest, told) in [(1000, 4), (1100, 4), (1099, 5), (1099, 5)] {
        world.polled(latest).await.unwrap();
        assert_eq!(world.told().await, told, "{latest}");
    }
}

/// A lookup moves our head on while the database is asked for its latest.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_level_with_the_head_of_before_is_not_behind() {
    let world = World::new().await;
    world.looked_up(1000).await;
    world.registry.sumdb().lie(Lie::OldLatest { size: 1010 });
    for size in [1100, 1200] {
        let latest = world.poller.latest(world.state().await, Sources::Any).await.unwrap();
        world.looked_up(size).await;
        world.poller.watch(latest).await.unwrap();
        let poll = world.state().await.poll.unwrap();
        if size == 1100 {
            assert_eq!((poll.latest_size, poll.behind_since), (1010, None));
        }
        world.registry.sumdb().honest();
        world.registry.sumdb().lie(Lie::OldLatest { size: 1150 });
    }
    let poll = world.state().await.poll.unwrap();
    assert_eq!((poll.latest_size, poll.behind_since), (1150, None));
    assert_eq!((world.stopped().await, world.told().await), (None, 0));
}

/// Both trees are signed: that it is behind as well changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_is_found_while_behind_is_a_stop_and_no_lag() {
    let world = World::new().await;
    // What leads from one to the other is kept from then on.
    world.looked_up(900).await;
    world.looked_up(1000).await;
    world.registry.sumdb().lie(Lie::Fork { record: 17, more: 0 });
    world.registry.sumdb().lie(Lie::OldLatest { size: 900 });
    let found = world.poller.poll().await;
    assert!(matches!(found, Err(Stop::Stopped(_))), "{found:?}");
    assert_eq!((world.stopped().await, world.told().await), (Some(SumdbStopKind::Fork), 0));
    assert_eq!(world.state().await.poll, None);
}
