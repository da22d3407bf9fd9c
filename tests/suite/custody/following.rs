//! Edges follow the transparency log: its directory is the second witness of what the database says.

use std::{fs, path::Path};

use reqwest::Response;
use serde_json::Value;
use touchstone_custody::KeyKind;
use touchstone_runtime::SystemClock;
use touchstone_testkit::{Package, TestMirror, custody::TestKeys, eventually, npm_package};

use super::world::{Refused, World, path, published};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_older_than_the_log_serves_nothing() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    world.assert_served(&package).await;
    let size = published(&world.edge);
    // What a backup from before would have had.
    world.owner.run("CREATE TABLE kept_leaf AS SELECT * FROM log_leaf; CREATE TABLE kept_seal AS SELECT * FROM log_seal").await;
    let last = size - 1;
    world.owner.run(&format!("DELETE FROM log_leaf WHERE index >= {last}; DELETE FROM log_seal")).await;
    world.owner.run(&format!(
        "INSERT INTO log_seal (size, root, note) SELECT {last}, root, note FROM kept_seal ORDER BY size DESC LIMIT 1"
    ))
    .await;
    let title = "Mirror's database is too old, tell the operators";
    let detail = format!("it has {last} entries of it, and {size} were published");
    world.refused(&package).await.says(503, "unavailable", title, &detail);
    eventually("the incident is on record", || async {
        world.edge.incidents().await.contains(&"database_rollback".to_owned()).then_some(())
    })
    .await;
    // Another edge knows of it from the published log alone.
    let other = world.another_edge().start().await;
    Refused::of(other.get(&path(&package)).await).await.says(503, "unavailable", title, &detail);
    world.owner.run("DELETE FROM log_seal; INSERT INTO log_seal SELECT * FROM kept_seal").await;
    world.owner.run(&format!("INSERT INTO log_leaf SELECT * FROM kept_leaf WHERE index >= {last}")).await;
    world.assert_served(&package).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_the_one_that_was_seen_stops_the_edge_until_it_is_again() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    world.assert_served(&package).await;
    let checkpoint = world.edge.log_dir.join("checkpoint");
    let honest = fs::read_to_string(&checkpoint).expect("a checkpoint");
    let size = published(&world.edge);
    let text = |size: u64, root: &str| format!("touchstone/test\n{size}\n{root}\n");
    let key = world.edge.keys.log_key();
    let root = honest.lines().nth(2).expect("a root");
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let sign = |text: String| String::from_utf8(key.sign(&text).expect("signed")).expect("text");
    for (note, problem) in [
        (
            sign(text(size - 1, root)),
            format!("the log went back: it had {size} entries, and has {} now", size - 1),
        ),
        (sign(text(size, other)), format!("the log forked: its first {size} entries had the root ")),
        (
            honest.replace(&format!("\n{size}\n"), &format!("\n{}\n", size + 1)),
            "the checkpoint is refused: ".to_owned(),
        ),
        (
            honest.replace("touchstone/test", "touchstone/else"),
            "is not signed by a log key of the ring".to_owned(),
        ),
        ("nothing of the kind".to_owned(), "the checkpoint is refused: ".to_owned()),
    ] {
        replace(&checkpoint, &note);
        eventually("the edge is not ready", || async {
            (world.edge.get("readyz").await.status() == 503).then_some(())
        })
        .await;
        let title = "Mirror is stopped by its transparency log";
        world.refused(&package).await.says(503, "unavailable", title, &problem);
        assert_eq!(world.edge.get("healthz").await.status(), 200);
        replace(&checkpoint, &honest);
        eventually("the edge is ready", || async {
            (world.edge.get("readyz").await.status() == 200).then_some(())
        })
        .await;
        world.assert_served(&package).await;
    }
    assert!(world.edge.incidents().await.contains(&"log_rollback".to_owned()));
    // Out of reach is no contradiction, for whoever has read it.
    let away = checkpoint.with_file_name("away");
    fs::rename(&checkpoint, &away).expect("moved");
    assert_eq!(world.edge.get("log/checkpoint").await.status(), 404);
    world.assert_served(&package).await;
    assert_eq!(world.edge.get("readyz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_a_revoked_key_counts_for_nothing() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    let keys = &world.edge.keys;
    keys.revoke(keys.id(KeyKind::Log), "lost", &SystemClock);
    let checkpoint = world.edge.log_dir.join("checkpoint");
    let forged = "touchstone/test\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    replace(&checkpoint, str::from_utf8(&keys.log_key().sign(forged).expect("signed")).expect("text"));
    world.assert_served(&package).await;
    // Who begins with it knows nothing of the log, and is no worse off than without one.
    let other = world.another_edge().start().await;
    assert_eq!(other.get(&path(&package)).await.status(), 200);
    assert_eq!(other.get("readyz").await.status(), 200);
}

/// Starts an edge that has read the log, and stops it. What it has seen is in the directory.
async fn has_read(world: &World, state: &Path, package: &Package) {
    let edge = world.another_edge().state_dir(state.to_owned()).start().await;
    assert_eq!(edge.get(&path(package)).await.status(), 200);
    edge.shutdown.soft.cancel();
    edge.shutdown.drained().await;
}

/// Waits until an edge serves.
async fn serves(edge: &TestMirror, package: &Package) {
    eventually("the edge is ready", || async { (edge.get("readyz").await.status() == 200).then_some(()) })
        .await;
    assert_eq!(edge.get(&path(package)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_without_the_log_that_it_has_seen_serves_nothing_until_it_is_back() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    let state = tempfile::tempdir().expect("a directory");
    has_read(&world, state.path(), &package).await;
    let away = world.edge.log_dir.with_file_name("away");
    fs::rename(&world.edge.log_dir, &away).expect("moved");
    let size = {
        let kept = fs::read(state.path().join("log-head.json")).expect("a head");
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        kept["size"].as_u64().expect("a size")
    };
    let again = world.another_edge().state_dir(state.path().to_owned()).start().await;
    let title = "Mirror is stopped by its transparency log";
    let detail =
        format!("{size} entries of it were seen before, and nothing is served until they can be read again");
    Refused::of(again.get(&path(&package)).await).await.says(503, "unavailable", title, &detail);
    assert_eq!(again.get("readyz").await.status(), 503);
    assert_eq!(again.get("healthz").await.status(), 200);
    eventually("the incident is on record", || async {
        again.incidents().await.contains(&"log_frozen".to_owned()).then_some(())
    })
    .await;
    // Whoever has read it goes on, and whoever never saw it is no worse off than without one.
    world.assert_served(&package).await;
    let first = world.another_edge().start().await;
    assert_eq!(first.get(&path(&package)).await.status(), 200);

    fs::rename(&away, &world.edge.log_dir).expect("moved");
    serves(&again, &package).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_after_the_log_key_was_revoked_waits_for_a_checkpoint_by_another_key() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    let state = tempfile::tempdir().expect("a directory");
    has_read(&world, state.path(), &package).await;
    let keys = &world.edge.keys;
    keys.revoke(keys.id(KeyKind::Log), "lost", &SystemClock);
    let again = world.another_edge().state_dir(state.path().to_owned()).start().await;
    let title = "Mirror is stopped by its transparency log";
    let detail =
        "which was revoked: rotate the log key (`touchstone keys rotate log`), and let promote seal once";
    Refused::of(again.get(&path(&package)).await).await.says(503, "unavailable", title, detail);
    assert_eq!(again.get("readyz").await.status(), 503);
    world.assert_served(&package).await;

    keys.add(KeyKind::Log, 7);
    let checkpoint = world.edge.log_dir.join("checkpoint");
    let note = fs::read_to_string(&checkpoint).expect("a checkpoint");
    let (text, _) = note.split_once("\n\n").expect("signatures");
    let sealed = TestKeys::new(7).log_key().sign(&format!("{text}\n")).expect("signed");
    replace(&checkpoint, str::from_utf8(&sealed).expect("text"));
    serves(&again, &package).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_published_by_the_edge_and_nothing_beside_it_is() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    let size = published(&world.edge);
    fs::write(world.edge.log_dir.join("secret"), "x").expect("written");
    for (path, file, content_type, cache) in [
        ("checkpoint".to_owned(), "checkpoint".to_owned(), "text/plain; charset=utf-8", "no-cache"),
        (
            format!("tile/0/000.p/{size}"),
            format!("tile/0/000.p/{size}"),
            "application/octet-stream",
            "public, max-age=60",
        ),
        (
            format!("tile/entries/000.p/{size}"),
            format!("tile/entries/000.p/{size}"),
            "application/octet-stream",
            "public, max-age=60",
        ),
    ] {
        let response = world.edge.get(&format!("log/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(
            (header(&response, "content-type"), header(&response, "cache-control")),
            (content_type, cache)
        );
        let bytes = response.bytes().await.expect("a body");
        assert!(bytes == fs::read(world.edge.log_dir.join(file)).expect("a file"), "{path}");
    }
    for path in [
        "secret",
        ".lock",
        "tile/0/000",
        "tile/0/../../secret",
        "tile/0/%2e%2e/%2e%2e/secret",
        "checkpoint/..",
        "",
    ] {
        let response = world.edge.get(&format!("log/{path}")).await;
        assert_eq!(response.status(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_an_artifact_are_linked_beside_its_bytes() {
    let package = npm_package("package", "1.0.0", &[], 10);
    let world = World::start(&[&package], async |_, _| ()).await;
    let response = world.edge.get(&path(&package)).await;
    let link = header(&response, "link").to_owned();
    let url = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("an address");
    assert_eq!(url.1, "; rel=\"describedby\"; type=\"application/json\"");
    let below = url.0.strip_prefix(world.edge.url().as_str()).expect("below the edge");
    assert_eq!(below, format!("api/v1/artifacts/{}/records", package.sha256()));
    let response = world.edge.get(below).await;
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/json"));
    let records: Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
    let artifact = &records["artifacts"][0];
    assert_eq!(artifact["purl"], "pkg:npm/package@1.0.0?file_name=package-1.0.0.tgz");
    let links = artifact["links"].as_object().expect("links").keys();
    let steps: Vec<&str> = links.filter_map(|name| name.split('.').next()).collect();
    assert_eq!(steps, ["attest", "fetch", "hash"], "{artifact}");
    assert!(artifact["vsa"]["package-1.0.0.tgz.vsa.json"].is_object(), "{artifact}");
    assert!(artifact["log"]["index"].is_u64(), "{artifact}");
    let unknown = format!("api/v1/artifacts/{}/records", "0".repeat(64));
    let response = world.edge.get(&unknown).await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (404, "application/problem+json")
    );
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

/// Replaces a file as a whole, as the log does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("written");
    fs::rename(new, path).expect("replaced");
}
