//! Promise 6: every step may happen twice, out of order, or die half-way, with the same end. Roles and servers are killed
//! while clients are served; at the end every package is served exactly, or refused, and promoted once.

mod disk;
mod hints;
mod load;
mod points;

use std::{fs, sync::Arc, time::Duration, time::Instant};

use tokio::{sync::Semaphore, task::JoinSet};
use touchstone_bus::{ArtifactEvent, Rung};
use touchstone_domain::{ArtifactDbId, CheckKind, CheckSet, Ecosystem};
use touchstone_runtime::Shutdown;
use touchstone_testkit::{Fault, MirrorProcesses, Registry, Role, TestMirror, eventually, npm_package};

use load::Load;

const ROLES: [Role; 5] = [Role::Edge, Role::Hash(0), Role::Hash(1), Role::Promote, Role::Console];
/// The configured grace is five seconds; a role with nothing to do needs none of it.
const STOP_MAX: Duration = Duration::from_secs(4);

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("not zero");
    rustix::process::kill_process(pid, signal).expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_be_killed_under_load() {
    let registry = Registry::start().await;
    let mut mirror = MirrorProcesses::start(&registry).await;
    let load = Load::start(&registry, &mirror.url, 150);
    for (n, role) in ROLES.into_iter().enumerate() {
        load.answered(25 * (n + 1)).await;
        mirror.kill(role);
        mirror.spawn(role);
    }
    load.finish(&mirror.servers.postgres.url()).await;
    for role in ROLES {
        assert!(mirror.stop(role), "{role:?} ends well");
    }
}

/// Killed in mid-load, both come back with their data; then NATS comes back with nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_may_be_killed_and_jetstream_wiped_under_load() {
    let registry = Registry::start().await;
    let mirror = MirrorProcesses::start(&registry).await;
    let shutdown = Shutdown::new();
    mirror.servers.nats.supervise(&shutdown);
    mirror.servers.postgres.supervise(&shutdown);
    let load = Load::start(&registry, &mirror.url, 150);

    load.answered(20).await;
    signal(mirror.servers.nats.pid().expect("it runs"), rustix::process::Signal::KILL);
    load.answered(50).await;
    signal(mirror.servers.postgres.pid().expect("it runs"), rustix::process::Signal::KILL);
    load.answered(90).await;
    let nats = mirror.servers.nats.pid().expect("it runs");
    signal(nats, rustix::process::Signal::STOP);
    let jetstream = mirror.servers.directory.path().join("nats/jetstream");
    let mut wiped = 0;
    for entry in fs::read_dir(&jetstream).expect("JetStream's directory") {
        fs::remove_dir_all(entry.expect("an entry").path()).expect("wiped");
        wiped += 1;
    }
    assert!(wiped > 0, "there was something to wipe");
    signal(nats, rustix::process::Signal::KILL);

    load.finish(&mirror.servers.postgres.url()).await;
    shutdown.soft.cancel();
}

/// A role that is asked to stop finishes what it has begun: here a request that waits for the upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_stops_in_time_when_asked_and_finishes_what_it_has_begun() {
    let registry = Registry::start().await;
    let mut mirror = MirrorProcesses::start(&registry).await;
    let package = npm_package("begun", "1.0.0", &[], 300_000);
    registry.publish(package.clone());
    let gate = Arc::new(Semaphore::new(0));
    registry.fault(&package.file, Fault::Hold(Arc::clone(&gate)));
    let url = mirror.url.join("npm/begun/-/begun-1.0.0.tgz").expect("a path");
    let mut tasks = JoinSet::new();
    let asked = url.clone();
    tasks.spawn(
        async move { Some(reqwest::get(asked).await.expect("an answer").bytes().await.expect("whole")) },
    );
    eventually("the upstream is asked", || async { (registry.asked_for(&package.file) > 0).then_some(()) })
        .await;
    let port = url.port().expect("a port");
    tasks.spawn(async move {
        eventually("the edge takes no more", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err().then_some(())
        })
        .await;
        gate.add_permits(9);
        None
    });
    assert!(mirror.stop(Role::Edge), "the edge ends well");
    while let Some(ended) = tasks.join_next().await {
        if let Some(body) = ended.expect("no panic") {
            assert!(body == package.bytes, "what was begun was finished");
        }
    }
    for role in [Role::Hash(0), Role::Hash(1), Role::Promote, Role::Console] {
        let began = Instant::now();
        assert!(mirror.stop(role), "{role:?} ends well");
        assert!(began.elapsed() < STOP_MAX, "{role:?} took {:?}", began.elapsed());
    }
}

/// A client that leaves its response untouched does not keep the edge beyond its grace and the time to tear down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_does_not_keep_the_edge() {
    let registry = Registry::start().await;
    let mut mirror = MirrorProcesses::start(&registry).await;
    mirror.stop(Role::Edge);
    let text = fs::read_to_string(&mirror.config).expect("the configuration");
    fs::write(&mirror.config, text.replace("shutdown_grace = \"5s\"", "shutdown_grace = \"1s\""))
        .expect("written");
    mirror.spawn(Role::Edge);
    mirror.ready().await;
    // More than the buffers of both ends hold.
    let package = npm_package("unread", "1.0.0", &[], 24_000_000);
    registry.publish(package.clone());
    let url = mirror.url.join("npm/unread/-/unread-1.0.0.tgz").expect("a path");
    let unread = reqwest::get(url).await.expect("an answer");
    assert_eq!(unread.status(), 200);
    let began = Instant::now();
    assert!(mirror.stop(Role::Edge), "the edge ends well");
    assert!(began.elapsed() < Duration::from_secs(9), "it took {:?}", began.elapsed());
    assert!(unread.bytes().await.is_err(), "what was cut is not taken for whole");
}

/// Three workers and two promoters are told everything again and again, by four messengers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_and_promoters_that_race_promote_once() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).hash_workers(3).promoters(2).start().await;
    let load = Load::start(&registry, &mirror.url(), 100);
    let mut messengers = JoinSet::new();
    for messenger in 0..4 {
        let bus = mirror.bus.clone();
        messengers.spawn(async move {
            for dispatch in 0..10 {
                let event = |artifact| ArtifactEvent {
                    dispatch: dispatch + messenger * 10,
                    ..ArtifactEvent::new(ArtifactDbId(artifact), Ecosystem::Npm, 0, 0)
                };
                let events: Vec<ArtifactEvent> = (1..=100).map(event).collect();
                bus.publish_recheck(CheckKind::Hash, &events).await.expect("published");
                let rung = |event: &ArtifactEvent| Rung { artifact: event.artifact, others: CheckSet::EMPTY };
                let rung: Vec<Rung> = events.iter().map(rung).collect();
                bus.publish_recorded(&rung).await.expect("rung");
            }
        });
    }
    while let Some(ended) = messengers.join_next().await {
        ended.expect("no panic");
    }
    load.finish(&mirror.database_url).await;
}
