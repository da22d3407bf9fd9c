//! Promise 6, one point after the other: a role is held where it would do the next thing, and killed there. What is not decided is not
//! served, nothing is there twice, and whoever starts again ends well.

use std::{fs, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};
use touchstone_store::DatabaseRole;
use touchstone_testkit::{Fault, MirrorProcesses, Package, Registry, Role, eventually, npm_package};

use super::signal;
use crate::custody::world::{Owner, Refused, path};

const ARTIFACTS: &str = "SELECT count(*) FROM artifact";
const VERDICTS: &str = "SELECT count(*) FROM verdict WHERE check_kind = 'hash'";
const PROMOTIONS: &str = "SELECT count(*) FROM promotion";
const SERVABLE: &str = "SELECT count(*) FROM gate WHERE servable";
/// What says that something went wrong.
const TROUBLE: &str = "SELECT (SELECT count(*) FROM incident) + (SELECT count(*) FROM verdict_refusal)
    + (SELECT count(*) FROM fetch_refusal) + (SELECT count(*) FROM dead_letter)";

/// A mirror with one hash worker, one package, and somebody who locks tables.
struct World {
    registry: Registry,
    mirror: MirrorProcesses,
    owner: Owner,
    locker: Owner,
    package: Package,
    clients: JoinSet<Option<Refused>>,
}

impl World {
    async fn start() -> Self {
        let registry = Registry::start().await;
        let package = npm_package("package", "1.0.0", &[], 300_000);
        registry.publish(package.clone());
        let mut mirror = MirrorProcesses::start(&registry).await;
        assert!(mirror.stop(Role::Hash(1)), "one is enough");
        let url = mirror.servers.postgres.url();
        let (owner, locker) = (Owner::at(&url).await, Owner::at(&url).await);
        Self { registry, mirror, owner, locker, package, clients: JoinSet::new() }
    }

    /// Somebody asks for the package; what is refused to him is told by [`World::told`].
    fn asked(&mut self) {
        let url = self.mirror.url.join(&path(&self.package)).expect("a path");
        let bytes = self.package.bytes.clone();
        self.clients.spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let response = client.get(url).send().await.ok()?;
            if response.status() != 200 {
                return Some(Refused::of(response).await);
            }
            // A body that breaks off is no answer.
            response.bytes().await.ok().map(|body| assert!(body == bytes, "other bytes"))?;
            Some(Refused { status: 200, code: String::new(), title: String::new(), body: String::new() })
        });
    }

    /// What the last client was told; none if its connection broke.
    async fn told(&mut self) -> Option<Refused> {
        self.clients.join_next().await.expect("somebody asked").expect("no panic")
    }

    /// Nobody writes this table until [`World::unlocked`].
    async fn locked(&self, table: &str) {
        self.locker.run(&format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await;
    }

    async fn unlocked(&self) {
        self.locker.run("ROLLBACK").await;
    }

    /// Waits until the role wants to write what is locked.
    async fn waits(&self, role: DatabaseRole) {
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
            role.user()
        );
        self.counts(&waiting, 1).await;
    }

    async fn counts(&self, sql: &str, expected: i64) {
        eventually(&format!("{expected}: {sql}"), || async {
            (self.owner.number(sql).await == expected).then_some(())
        })
        .await;
    }

    fn nats(&self, how: rustix::process::Signal) {
        signal(self.mirror.servers.nats.pid().expect("it runs"), how);
    }

    fn restarted(&mut self, role: Role) {
        self.mirror.spawn(role);
    }

    /// However it ended, it is as if nothing had happened.
    async fn ends_well(&mut self) {
        self.counts(SERVABLE, 1).await;
        self.mirror.ready().await;
        self.asked();
        let told = self.told().await.map(|told| told.status);
        assert_eq!(told, Some(200));
        for (sql, expected) in [(ARTIFACTS, 1), (VERDICTS, 1), (PROMOTIONS, 1), (TROUBLE, 0)] {
            assert_eq!(self.owner.number(sql).await, expected, "{sql}");
        }
    }

    /// The files that are being written.
    fn unfinished(&self) -> usize {
        fs::read_dir(self.mirror.servers.directory.path().join("data/blobs/tmp"))
            .expect("it is there")
            .count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_may_die_while_bytes_come() {
    let mut world = World::start().await;
    let gate = Arc::new(Semaphore::new(0));
    world.registry.fault(&world.package.file, Fault::Stall(Arc::clone(&gate)));
    world.asked();
    eventually("bytes are written", || async { (world.unfinished() > 0).then_some(()) }).await;
    world.mirror.kill(Role::Edge);
    assert_eq!(world.told().await, None);
    assert_eq!((world.owner.number(ARTIFACTS).await, world.unfinished()), (0, 1));
    assert!(!world.mirror.blob(world.package.sha256()).exists(), "what is not whole has no name");
    world.registry.honest();
    world.restarted(Role::Edge);
    world.mirror.ready().await;
    assert_eq!(world.unfinished(), 0, "what the dead left is gone");
    world.asked();
    assert_eq!(world.told().await.map(|told| told.status), Some(200));
    world.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_may_die_between_blob_and_row() {
    let mut world = World::start().await;
    world.locked("artifact").await;
    world.asked();
    world.waits(DatabaseRole::Edge).await;
    assert!(world.mirror.blob(world.package.sha256()).exists(), "blob first");
    assert_eq!(world.owner.number(ARTIFACTS).await, 0, "row second");
    world.mirror.kill(Role::Edge);
    assert_eq!(world.told().await, None);
    world.unlocked().await;
    world.restarted(Role::Edge);
    world.mirror.ready().await;
    world.asked();
    assert_eq!(world.told().await.map(|told| told.status), Some(200));
    world.ends_well().await;
}

/// Nobody asks again: the row is what is announced, by whoever finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_may_die_between_row_and_event() {
    let mut world = World::start().await;
    world.nats(rustix::process::Signal::STOP);
    world.asked();
    world.counts(ARTIFACTS, 1).await;
    world.mirror.kill(Role::Edge);
    assert_eq!(world.told().await, None);
    assert_eq!((world.owner.number(VERDICTS).await, world.owner.number(SERVABLE).await), (0, 0));
    world.nats(rustix::process::Signal::CONT);
    world.counts(SERVABLE, 1).await;
    world.restarted(Role::Edge);
    world.ends_well().await;
    assert_eq!(world.registry.asked_for(&world.package.file), 1, "nothing is fetched twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_may_die_before_its_verdict_is_on_record() {
    let mut world = World::start().await;
    world.locked("verdict").await;
    world.asked();
    world.waits(DatabaseRole::Hash).await;
    world.mirror.kill(Role::Hash(0));
    let told = world.told().await.expect("an answer");
    let detail = "package@1.0.0 was fetched and is being verified. Try again in a few seconds";
    told.says(503, "pending", "Verification is running, try again shortly", detail);
    assert_eq!((world.owner.number(VERDICTS).await, world.owner.number(SERVABLE).await), (0, 0));
    // Its statement dies with it, or is the one verdict: either way there is one in the end.
    world.unlocked().await;
    world.restarted(Role::Hash(0));
    world.ends_well().await;
}

/// Its message comes again, and so may the check: there is one verdict all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_may_die_before_it_says_that_it_is_done() {
    let mut world = World::start().await;
    world.locked("verdict").await;
    world.asked();
    world.waits(DatabaseRole::Hash).await;
    world.nats(rustix::process::Signal::STOP);
    world.unlocked().await;
    world.counts(VERDICTS, 1).await;
    world.mirror.kill(Role::Hash(0));
    world.nats(rustix::process::Signal::CONT);
    world.restarted(Role::Hash(0));
    world.ends_well().await;
}

/// The record is signed and kept; what is not committed is not served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promote_may_die_before_its_promotion_is_on_record() {
    let mut world = World::start().await;
    world.locked("promotion").await;
    world.asked();
    world.waits(DatabaseRole::Promote).await;
    world.mirror.kill(Role::Promote);
    let told = world.told().await.expect("an answer");
    let detail = "package@1.0.0 was fetched and is being verified. Try again in a few seconds";
    told.says(503, "pending", "Verification is running, try again shortly", detail);
    assert_eq!((world.owner.number(PROMOTIONS).await, world.owner.number(SERVABLE).await), (0, 0));
    world.unlocked().await;
    world.restarted(Role::Promote);
    world.ends_well().await;
}

/// What is promoted is served, whether anybody was told or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promote_may_die_before_it_tells_anybody() {
    let mut world = World::start().await;
    world.locked("promotion").await;
    world.asked();
    world.waits(DatabaseRole::Promote).await;
    world.nats(rustix::process::Signal::STOP);
    world.unlocked().await;
    world.counts(PROMOTIONS, 1).await;
    world.mirror.kill(Role::Promote);
    world.ends_well().await;
    world.nats(rustix::process::Signal::CONT);
    world.restarted(Role::Promote);
    world.ends_well().await;
}
