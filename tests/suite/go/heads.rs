//! Signed heads only move forward. What contradicts them, falls behind, or stands still stops Go; what is servable stays
//! served (G-08, G-09).

mod race;
mod told;

use std::time::Duration;

use touchstone_domain::ArtifactState;
use touchstone_store::{SumdbHead, SumdbState, SumdbStop, SumdbStopKind};
use touchstone_testkit::{Lie, Module, Registry, TestMirror, TestMirrorBuilder, eventually};

use super::{get, sumdb_verdict, target};
use crate::protocol::raw::ask;

/// Between two polls, where polls are what a test is about.
const POLL: Duration = Duration::from_millis(50);

/// A registry, and a mirror that promoted a first module and knows the database's head.
struct World {
    registry: Registry,
    mirror: TestMirror,
    first: Module,
}

impl World {
    async fn new() -> Self {
        let registry = Registry::start().await;
        registry.sumdb().fill(300);
        let mirror =
            TestMirror::builder().registry(&registry).patient_hold(Duration::from_millis(500)).start().await;
        let first = publish(&registry, "first");
        let world = Self { registry, mirror, first };
        world.promoted(&world.first).await;
        world
    }

    /// One more process of the same installation, which asks for the latest head again and again.
    async fn watch(&self, configure: impl FnOnce(TestMirrorBuilder) -> TestMirrorBuilder) -> TestMirror {
        let builder = TestMirror::builder().registry(&self.registry).beside(&self.mirror);
        configure(builder.sumdb_poll(POLL)).start().await
    }

    /// Waits until a module is served, however long requests are held.
    async fn promoted(&self, module: &Module) {
        eventually("it is served", || async {
            let reply = ask(&self.mirror, "GET", &target(module, "zip"), &[]).await;
            assert_ne!(reply.header("x-touchstone-code"), "rejected", "{}", reply.text());
            (reply.status() == 200).then_some(())
        })
        .await;
    }

    async fn state(&self) -> SumdbState {
        self.mirror.store.sumdb_state(&self.registry.sumdb().id()).await.expect("a state")
    }

    async fn head(&self) -> SumdbHead {
        self.state().await.head.expect("a head")
    }

    async fn stopped(&self, kind: SumdbStopKind) -> SumdbStop {
        eventually("the database is stopped", || async {
            self.state().await.stop.filter(|stop| stop.kind == kind)
        })
        .await
    }

    async fn resumed(&self) {
        eventually("the database is no longer stopped", || async {
            self.state().await.stop.is_none().then_some(())
        })
        .await;
    }

    /// Asserts that nothing new is promoted or refused for good, and that what was promoted is served.
    async fn assert_stopped(&self, module: &Module) {
        let asked = get(&self.mirror, module, "zip").await;
        assert_eq!(asked.reply.status(), 403, "{}", asked.reply.text());
        assert_eq!(asked.reply.header("x-touchstone-code"), "pending", "{}", asked.reply.text());
        assert!(asked.story.state().is_pending(), "{:?}", asked.story.state());
        assert_eq!(sumdb_verdict(&asked.story), None);
        let first = get(&self.mirror, &self.first, "zip").await;
        assert_eq!((first.reply.status(), first.story.state()), (200, ArtifactState::Servable));
    }

    /// Asserts that there comes to be one incident of a kind.
    async fn told_once(&self, kind: &str) {
        eventually(kind, || async { (self.incidents(kind).await > 0).then_some(()) }).await;
        assert_eq!(self.incidents(kind).await, 1, "{kind}");
    }

    async fn incidents(&self, kind: &str) -> usize {
        self.mirror.incidents().await.iter().filter(|found| *found == kind).count()
    }
}

fn publish(registry: &Registry, name: &str) -> Module {
    let module = Module::new(&format!("example.com/{name}"), "v1.0.0");
    registry.publish_module(module.clone());
    module
}

/// G-08: lookups are signed for a second tree, of this size, in which an old record is another.
async fn forks(size_of: impl FnOnce(u64) -> (u64, u64)) {
    let world = World::new().await;
    let (asked, later) = (publish(&world.registry, "asked"), publish(&world.registry, "later"));
    let last = publish(&world.registry, "last");
    world.promoted(&last).await;
    let ours = world.head().await;
    let sumdb = world.registry.sumdb();
    assert_eq!(ours.size, sumdb.size());
    let (more, size) = size_of(ours.size);
    sumdb.lie(Lie::Fork { record: 17, more });
    sumdb.set_lookup_size(Some(size));

    world.assert_stopped(&asked).await;
    let stop = world.stopped(SumdbStopKind::Fork).await;
    assert_eq!((&stop.ours, stop.theirs.size), (&ours, size));
    let signed = String::from_utf8(stop.theirs.note.clone()).expect("text");
    assert!(signed.starts_with(&format!("go.sum database tree\n{size}\n")), "{signed}");
    assert_ne!(stop.theirs.note, sumdb.note(size.min(ours.size)));
    assert_eq!(stop.ours.note, sumdb.note(ours.size), "it is kept as it was signed");
    world.told_once("sumdb_fork").await;

    // That it is honest again ends nothing.
    sumdb.honest();
    sumdb.set_lookup_size(None);
    world.assert_stopped(&later).await;
    assert_eq!((world.head().await, world.incidents("sumdb_fork").await), (ours, 1));

    let database = sumdb.id();
    let resumed = world.mirror.store.resume_sumdb(&database, &SumdbStopKind::ALL, "a test", false).await;
    assert!(resumed.expect("resumed"));
    // What waited is asked about again in a while; what comes now, at once.
    world.promoted(&publish(&world.registry, "next")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tree_of_the_same_size_stops_go() {
    forks(|ours| (0, ours)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_tree_that_does_not_extend_ours_stops_go() {
    forks(|ours| (500, ours + 500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_tree_that_ours_does_not_extend_stops_go() {
    forks(|ours| (0, ours - 1)).await;
}

/// A cache in between answers with heads of yesterday: they are looked into, and ours stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_head_of_the_same_log_is_no_fork() {
    let world = World::new().await;
    let asked = publish(&world.registry, "asked");
    let size = world.registry.sumdb().size();
    world.registry.sumdb().fill(900);
    let last = publish(&world.registry, "last");
    world.promoted(&last).await;
    let ours = world.head().await;
    world.registry.sumdb().set_lookup_size(Some(size));
    world.promoted(&asked).await;
    assert_eq!(world.head().await, ours);
    assert_eq!(world.mirror.incidents().await, Vec::<String>::new());
}

/// G-09, before it has lasted: an incident at once, and no stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_went_back_is_told_of_at_once_and_ours_stays() {
    let world = World::new().await;
    let ours = world.head().await;
    for lie in [Lie::OldLatest { size: 200 }, Lie::Rollback { size: 100 }] {
        world.registry.sumdb().lie(lie);
        let before = world.incidents("sumdb_rollback").await;
        // A start of all roles is what happens after a failover.
        let again = world.watch(|builder| builder).await;
        eventually("it is told", || async {
            (world.incidents("sumdb_rollback").await > before).then_some(())
        })
        .await;
        assert_eq!(world.head().await, ours);
        assert_eq!(world.state().await.stop, None);
        world.registry.sumdb().honest();
        eventually("it is back", || async {
            world.state().await.poll.filter(|poll| poll.behind_since.is_none())
        })
        .await;
        drop(again);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stays_behind_stops_go_until_it_is_back() {
    let world = World::new().await;
    let ours = world.head().await;
    let asked = publish(&world.registry, "asked");
    world.registry.sumdb().lie(Lie::OldLatest { size: 100 });
    let _watch = world.watch(|builder| builder.sumdb_behind_max(Duration::from_millis(300))).await;
    let stop = world.stopped(SumdbStopKind::Rollback).await;
    assert_eq!((&stop.ours, stop.theirs.note), (&ours, world.registry.sumdb().note(100)));
    world.assert_stopped(&asked).await;
    assert_eq!(world.head().await, ours);

    world.registry.sumdb().honest();
    world.resumed().await;
    world.promoted(&asked).await;
    assert!(world.head().await.size > ours.size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_stops_go_until_it_grows() {
    let world = World::new().await;
    let asked = publish(&world.registry, "asked");
    let _watch = world.watch(|builder| builder.sumdb_frozen_after(Duration::from_millis(700))).await;
    let stop = world.stopped(SumdbStopKind::Freeze).await;
    let frozen = world.registry.sumdb().size();
    assert_eq!(stop.theirs.size, frozen);
    world.told_once("sumdb_freeze").await;
    world.assert_stopped(&asked).await;

    // It goes on growing, so that it is not stopped again while this is watched.
    let size = frozen + 100_000;
    for larger in [frozen + 10, size] {
        world.registry.sumdb().fill(larger);
        world.resumed().await;
    }
    world.promoted(&asked).await;
}
