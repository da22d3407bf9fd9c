//! The checksum database behind the edge: untouched, kept, and never told a private name (G-18, G-19).

use touchstone_domain::Ecosystem;
use touchstone_store::{SumdbHead, SumdbTile, SumdbTree, TilesKept};
use touchstone_testkit::{Fault, Lie, Module, PartialTiles, Registry, Request, TestMirror, TileForgery};

use super::{assert_refused, get, world};
use crate::protocol::raw::{Reply, ask};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const BINARY: &str = "application/octet-stream";
pub(super) const A_MINUTE: &str = "public, max-age=60";
pub(super) const A_DAY: &str = "public, max-age=86400";
/// Of tiles that nobody has authenticated.
pub(super) const MINUTES: &str = "public, max-age=300";
const IMMUTABLE: &str = "public, max-age=86400, immutable";

/// Asks the database below the edge.
pub(super) async fn ask_database(mirror: &TestMirror, path: &str) -> Reply {
    get(mirror, &format!("sumdb/sumdb.example/{path}")).await
}

/// What the database itself says.
pub(super) async fn said(registry: &Registry, path: &str) -> Vec<u8> {
    let url = registry.sumdb_url().join(path).expect("an address");
    let reply = reqwest::Client::builder().no_proxy().build().expect("a client").get(url).send().await;
    reply.expect("the registry answers").bytes().await.expect("a body").to_vec()
}

/// Asserts that the answer is what the database says, under these headers.
pub(super) async fn assert_passed(
    registry: &Registry,
    mirror: &TestMirror,
    path: &str,
    headers: (&str, &str),
) {
    let reply = ask_database(mirror, path).await;
    assert_eq!(reply.line, "HTTP/1.1 200 OK", "{path}: {}", reply.text());
    assert_eq!((reply.header("content-type"), reply.header("cache-control")), headers, "{path}");
    assert!(!reply.has_header("content-encoding"), "{path}");
    assert_eq!(reply.body, said(registry, path).await, "{path}");
}

/// A mirror of which no worker asks the database.
pub(super) async fn idle(registry: &Registry, policy: &str) -> TestMirror {
    TestMirror::builder().registry(registry).sumdb_workers(0).policy(policy).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configured_database_is_passed_through_as_it_is() {
    let registry = Registry::start().await;
    registry.publish_module(Module::new("example.com/Big", "v1.0.0"));
    registry.sumdb().fill(700);
    let mirror = idle(&registry, "").await;
    let supported = ask_database(&mirror, "supported").await;
    assert_eq!((supported.status(), supported.body.len()), (200, 0));
    assert_eq!((supported.header("content-type"), supported.header("cache-control")), (TEXT, A_MINUTE));
    assert_passed(&registry, &mirror, "latest", (TEXT, A_MINUTE)).await;
    assert_passed(&registry, &mirror, "lookup/example.com/!big@v1.0.0", (TEXT, A_DAY)).await;
    for tile in ["tile/8/0/000", "tile/8/0/002.p/188", "tile/8/1/000.p/2", "tile/8/data/001"] {
        assert_passed(&registry, &mirror, tile, (BINARY, MINUTES)).await;
    }
    let head = ask(&mirror, "HEAD", "/go/sumdb/sumdb.example/tile/8/0/000", &[]).await;
    assert_eq!((head.status(), head.header("content-length")), (200, "8192"));
    assert_eq!(ask(&mirror, "POST", "/go/sumdb/sumdb.example/latest", &[]).await.status(), 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_databases_are_left_to_the_client() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    let unconfigured =
        TestMirror::builder().upstream(Ecosystem::Go, registry.url(Ecosystem::Go)).start().await;
    let paths = ["supported", "latest", "lookup/example.com/m@v1.0.0", "tile/8/0/000.p/1"];
    for path in paths {
        let other = get(&mirror, &format!("sumdb/other.example/{path}")).await;
        let none = ask_database(&unconfigured, path).await;
        for reply in [other, none] {
            assert_eq!(reply.line, "HTTP/1.1 404 Not the checksum database of this mirror", "{path}");
        }
    }
    assert!(!registry.requests().iter().any(|request| request.path.contains("other.example")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_name_never_leaves() {
    let policy = "[sumdb]\nprivate = [\"private.example\"]\n[[internal]]\necosystem = \"go\"\npackages = [\"corp.example\"]\n";
    let registry = Registry::start().await;
    let mirror = idle(&registry, policy).await;
    for module in ["private.example/m", "corp.example/m/sub", "private.example/!upper"] {
        let reply = ask_database(&mirror, &format!("lookup/{module}@v1.0.0")).await;
        assert_refused(&reply, 403, "internal", "Private module, in no checksum database", module);
        assert!(reply.text().contains("Set GONOSUMDB"), "{}", reply.text());
    }
    assert_eq!(registry.requests(), Vec::<Request>::new());
    registry.publish_module(Module::new("private.example.com/m", "v1.0.0"));
    assert_eq!(ask_database(&mirror, "lookup/private.example.com/m@v1.0.0").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said_as_the_database_said_it_and_remembered() {
    let registry = Registry::start().await;
    let mirror = idle(&registry, "").await;
    for status in [404, 410] {
        let path = format!("lookup/example.com/m@v1.0.{status}");
        registry.fault(&format!("sumdb/{path}"), Fault::Status(status));
        for _ in ["asked", "remembered"] {
            let reply = ask_database(&mirror, &path).await;
            assert_eq!(reply.line, format!("HTTP/1.1 {status} Not found upstream"), "{}", reply.text());
        }
        assert_eq!(registry.asked_for(&path), 1);
    }
    let path = "lookup/example.com/m@v1.0.0";
    registry.publish_module(Module::new("example.com/m", "v1.0.0"));
    for status in [500, 503] {
        registry.fault(&format!("sumdb/{path}"), Fault::Status(status));
        let reply = ask_database(&mirror, path).await;
        assert_refused(&reply, 502, "upstream_unreachable", "Upstream answered with an error", path);
    }
    registry.honest();
    assert_passed(&registry, &mirror, path, (TEXT, A_DAY)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_note_record_or_tile_is_not_passed_on_and_not_kept() {
    let registry = Registry::start().await;
    registry.publish_module(Module::new("example.com/m", "v1.0.0"));
    registry.sumdb().fill(300);
    let mirror = idle(&registry, "").await;
    let (latest, lookup) =
        (said(&registry, "latest").await, said(&registry, "lookup/example.com/m@v1.0.0").await);
    let cut = |body: &[u8]| body[..body.len() - 1].to_vec();
    for (path, wrong) in [
        ("latest", vec![]),
        ("latest", cut(&latest)),
        ("latest", vec![b'a'; 3 << 20]),
        ("lookup/example.com/m@v1.0.0", vec![]),
        ("lookup/example.com/m@v1.0.0", cut(&lookup)),
        ("lookup/example.com/m@v1.0.0", latest.clone()),
        ("lookup/example.com/m@v1.0.0", b"<html></html>".to_vec()),
        ("tile/8/0/000", vec![0; 8191]),
        ("tile/8/0/000", vec![0; 8193]),
        ("tile/8/0/001.p/44", vec![0; 43 * 32]),
        ("tile/8/data/000", b"not records".to_vec()),
    ] {
        registry.fault(&format!("sumdb/{path}"), Fault::Bytes(wrong));
        let reply = ask_database(&mirror, path).await;
        assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", path);
    }
    registry.honest();
    for path in
        ["latest", "lookup/example.com/m@v1.0.0", "tile/8/0/000", "tile/8/0/001.p/44", "tile/8/data/000"]
    {
        assert_eq!(ask_database(&mirror, path).await.body, said(&registry, path).await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_no_tile_is_refused_before_anything_is_asked() {
    let registry = Registry::start().await;
    let mirror = idle(&registry, "").await;
    for path in [
        "tile/8/0/0",
        "tile/8/0/000.p/0",
        "tile/8/0/000.p/256",
        "tile/8/0/x000/001",
        "tile/8/0/1000",
        "tile/8/8/000",
        "tile/9/0/000",
        "tile/8/data/00",
        "tile/8/0/-01",
        "tile/8/0/..",
        "tile/8/0/%2e%2e/latest",
        "tile/8/0/000.p/01",
    ] {
        let status = ask_database(&mirror, path).await.status();
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(registry.requests(), Vec::<Request>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tile_that_a_worker_authenticated_is_served_at_every_narrower_width() {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    let mirror = idle(&registry, "").await;
    let whole = said(&registry, "tile/8/0/001.p/44").await;
    let tile = SumdbTile { level: 0, index: 1, hashes: whole[..40 * 32].to_vec() };
    let (database, size) = (registry.sumdb().id(), 300);
    let (root, note) = (registry.sumdb().root(size), registry.sumdb().note(size));
    mirror.store.advance_sumdb_head(&database, None, &SumdbHead { size, root, note }).await.expect("a head");
    let tree = SumdbTree { lineage: 0, size };
    let kept = mirror.store.put_sumdb_tiles(&database, tree, &[tile]).await.expect("kept");
    assert_eq!(kept, TilesKept::Kept);
    let before = registry.requests().len();
    for width in [1, 39, 40] {
        let reply = ask_database(&mirror, &format!("tile/8/0/001.p/{width}")).await;
        assert_eq!((reply.status(), reply.header("cache-control")), (200, IMMUTABLE), "{width}");
        assert_eq!(reply.body, whole[..width * 32], "{width}");
    }
    assert_eq!(registry.requests().len(), before);
    assert_passed(&registry, &mirror, "tile/8/0/001.p/41", (BINARY, MINUTES)).await;
    assert_passed(&registry, &mirror, "tile/8/0/000", (BINARY, MINUTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_tile_that_is_gone_is_taken_from_the_full_one() {
    let registry = Registry::start().await;
    registry.sumdb().fill(300);
    let before = [said(&registry, "tile/8/0/000.p/17").await, said(&registry, "tile/8/data/000.p/17").await];
    registry.sumdb().set_partial_tiles(PartialTiles::Missing);
    let mirror = idle(&registry, "").await;
    for (path, before) in ["tile/8/0/000.p/17", "tile/8/data/000.p/17"].iter().zip(before) {
        let reply = ask_database(&mirror, path).await;
        assert_eq!(
            (reply.status(), reply.header("cache-control")),
            (200, MINUTES),
            "{path}: {}",
            reply.text()
        );
        assert_eq!(reply.body, before, "{path}");
    }
    // There is no full one yet.
    let reply = ask_database(&mirror, "tile/8/0/001.p/44").await;
    assert_eq!(reply.line, "HTTP/1.1 404 Not found upstream");
    let lie = Lie::Tile { level: 0, index: 0, forgery: TileForgery::Narrow };
    registry.sumdb().lie(lie);
    let mirror = idle(&registry, "").await;
    let reply = ask_database(&mirror, "tile/8/0/000.p/17").await;
    assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", "a narrow full tile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_are_one_request() {
    let registry = Registry::start().await;
    registry.publish_module(Module::new("example.com/m", "v1.0.0"));
    let mirror = idle(&registry, "").await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let path = "lookup/example.com/m@v1.0.0";
    registry.fault(&format!("sumdb/{path}"), Fault::Hold(std::sync::Arc::clone(&gate)));
    let asking = futures::future::join_all((0..20).map(|_| ask_database(&mirror, path)));
    let opened = async {
        touchstone_testkit::eventually("it is asked", || async {
            (registry.asked_for(path) == 1).then_some(())
        })
        .await;
        gate.add_permits(20);
    };
    let (replies, ()) = tokio::join!(asking, opened);
    assert!(replies.iter().all(|reply| reply.status() == 200));
    assert_eq!(registry.asked_for(path), 1);
}
