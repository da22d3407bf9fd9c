//! What can happen to NATS: it keeps hints, and may lose or mangle all of them, or be away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use touchstone_runtime::Shutdown;
use touchstone_testkit::{MirrorProcesses, Package, Registry, eventually, npm_package};

use super::{load::Load, signal};
use crate::custody::world::{Owner, Refused, path};

/// Every file below a directory.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// How a disk, or a crash, leaves a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Flipped,
    Truncated,
    Emptied,
}

impl Damage {
    fn done_to(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flipped => {
                for at in (7..bytes.len()).step_by(64) {
                    bytes[at] ^= 0x10;
                }
            }
            Self::Truncated => bytes.truncate(bytes.len() / 2 + 1),
            Self::Emptied => bytes.clear(),
        }
    }
}

/// The blocks of messages (`.blk`) and the snapshots of their index, in mid-load, and the server killed at once: the shapes of which
/// Jepsen tells. A server that cannot read what its streams and consumers are makes them no more, and is to be wiped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_jetstream_finds_on_its_disk_nothing_is_lost() {
    let registry = Registry::start().await;
    let mirror = MirrorProcesses::start(&registry).await;
    let shutdown = Shutdown::new();
    mirror.servers.nats.supervise(&shutdown);
    let load = Load::start(&registry, &mirror.url, 100);
    let jetstream = mirror.servers.directory.path().join("nats/jetstream");
    for (n, damage) in [Damage::Flipped, Damage::Truncated, Damage::Emptied].into_iter().enumerate() {
        load.answered(20 * (n + 1)).await;
        let nats = eventually("it runs", || async { mirror.servers.nats.pid() }).await;
        signal(nats, Signal::STOP);
        let mut found = vec![];
        files(&jetstream, &mut found);
        found.retain(|file| file.parent().is_some_and(|directory| directory.ends_with("msgs")));
        let blocks = found.iter().filter(|file| file.extension().is_some_and(|kind| kind == "blk")).count();
        assert!(blocks > 0, "there is something to damage");
        for file in found {
            let mut bytes = fs::read(&file).expect("read");
            damage.done_to(&mut bytes);
            fs::write(&file, bytes).expect("written");
        }
        signal(nats, Signal::KILL);
    }
    load.finish(&mirror.servers.postgres.url()).await;
    shutdown.soft.cancel();
}

async fn asked(mirror: &MirrorProcesses, package: &Package) -> Refused {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = mirror.url.join(&path(package)).expect("a path");
    Refused::of(client.get(url).send().await.expect("an answer")).await
}

/// An hour or a second: what is fetched meanwhile waits in Postgres, nobody is lied to, and afterwards nobody need ask again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nats_is_away_what_is_fetched_waits_and_is_judged_once_it_is_back() {
    let registry = Registry::start().await;
    let packages: Vec<Package> =
        (0..5).map(|n| npm_package(&format!("package-{n}"), "1.0.0", &[], 10)).collect();
    for package in &packages {
        registry.publish(package.clone());
    }
    let mirror = MirrorProcesses::start(&registry).await;
    assert_eq!(asked(&mirror, &packages[0]).await.status, 200);
    signal(mirror.servers.nats.pid().expect("it runs"), Signal::KILL);
    assert_eq!(asked(&mirror, &packages[0]).await.status, 200, "what is promoted is served");
    for told in futures::future::join_all(packages[1..].iter().map(|package| asked(&mirror, package))).await {
        let title = "Verification is running, try again shortly";
        told.says(503, "pending", title, "was fetched and is being verified. Try again in a few seconds");
    }
    let owner = Owner::at(&mirror.servers.postgres.url()).await;
    let waiting = "SELECT count(*) FROM gate WHERE pending AND dispatch_due IS NOT NULL";
    assert_eq!(owner.number(waiting).await, 4, "the row is what will be announced");
    let shutdown = Shutdown::new();
    mirror.servers.nats.supervise(&shutdown);
    eventually("all are promoted, and nobody asked", || async {
        (owner.number("SELECT count(*) FROM promotion").await == 5).then_some(())
    })
    .await;
    for package in &packages {
        assert_eq!(asked(&mirror, package).await.status, 200);
        assert_eq!(registry.asked_for(&package.file), 1, "nothing is fetched twice");
    }
    assert_eq!(owner.number("SELECT count(*) FROM incident").await, 0);
    shutdown.soft.cancel();
}
