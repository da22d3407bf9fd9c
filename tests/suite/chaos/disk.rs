//! Postgres has no room for its log: it ends, and does not go on with what it could not write; nothing that it promised is lost.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use touchstone_runtime::Shutdown;
use touchstone_testkit::{MirrorProcesses, Package, Registry, eventually, npm_package};

use crate::custody::world::{Owner, Refused, path};

/// What makes Postgres begin another file of its log.
const ANOTHER_FILE: &str =
    "SELECT pg_logical_emit_message(true, 'test', 'something'); SELECT pg_switch_wal()";
const PROMOTIONS: &str = "SELECT count(*) FROM promotion";

async fn asked(mirror: &MirrorProcesses, package: &Package) -> Refused {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = mirror.url.join(&path(package)).expect("a path");
    Refused::of(client.get(url).send().await.expect("an answer")).await
}

fn mode(directory: &Path, bits: u32) {
    fs::set_permissions(directory, fs::Permissions::from_mode(bits)).expect("ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_cannot_write_its_log_stops_and_nothing_that_it_promised_is_lost() {
    let registry = Registry::start().await;
    let [served, cold] = ["served", "cold"].map(|name| npm_package(name, "1.0.0", &[], 10));
    registry.publish(served.clone());
    registry.publish(cold.clone());
    let mirror = MirrorProcesses::start(&registry).await;
    assert_eq!(asked(&mirror, &served).await.status, 200);
    let postmaster = mirror.servers.postgres.pid().expect("it runs");
    let owner = Owner::at(&mirror.servers.postgres.url()).await;
    assert_eq!(owner.number(PROMOTIONS).await, 1);

    let log = mirror.servers.directory.path().join("postgres/cluster/pg_wal");
    mode(&log, 0o500);
    let mut files = 0;
    while owner.may_run(ANOTHER_FILE).await {
        files += 1;
        assert!(files < 100, "it goes on without files to write");
    }
    let stat = format!("/proc/{postmaster}/stat");
    let has_ended = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    eventually("it ended", || async { has_ended().then_some(()) }).await;
    for package in [&served, &cold] {
        let title = "Mirror cannot decide now, try again shortly";
        asked(&mirror, package).await.says(503, "unavailable", title, "its database did not answer");
    }

    mode(&log, 0o700);
    let shutdown = Shutdown::new();
    mirror.servers.postgres.supervise(&shutdown);
    for package in [&served, &cold] {
        eventually("it is served", || async { (asked(&mirror, package).await.status == 200).then_some(()) })
            .await;
    }
    let owner = Owner::at(&mirror.servers.postgres.url()).await;
    assert_eq!(owner.number(PROMOTIONS).await, 2, "each once");
    assert_eq!(owner.number("SELECT count(*) FROM incident").await, 0);
    shutdown.soft.cancel();
}
