//! The database passed through: clients verify it themselves, end to end (G-18, G-19).

use touchstone_domain::Reason;
use touchstone_testkit::{Lie, Module, PartialTiles, Registry, TestMirror};

use super::{get, project, sumdb_verdict};
use crate::protocol::raw::{ask, assert_refused};

const PREFIX: &str = "/go/sumdb/sumdb.example/";

async fn world(policy: &str) -> (Registry, TestMirror) {
    let registry = Registry::start().await;
    registry.sumdb().fill(600);
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    (registry, mirror)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_passed_through_byte_for_byte() {
    let (registry, mirror) = world("").await;
    let module = Module::new("example.com/Upper", "v1.0.0");
    registry.publish_module(module.clone());
    let supported = ask(&mirror, "GET", &format!("{PREFIX}supported"), &[]).await;
    assert_eq!((supported.status(), supported.body.len()), (200, 0));
    assert_eq!(registry.asked_for("/supported"), 0, "that is for us to say");
    let paths = [
        "latest",
        "lookup/example.com/!upper@v1.0.0",
        "tile/8/0/000",
        "tile/8/0/001.p/17",
        "tile/8/0/002.p/89",
        "tile/8/1/000.p/2",
        "tile/8/data/000",
        "tile/8/data/002.p/3",
    ];
    let upstream = reqwest::Client::builder().no_proxy().build().expect("a client");
    for verified in [false, true] {
        if verified {
            // From now on a worker keeps tiles.
            get(&mirror, &module, "zip").await.served();
        }
        for path in paths {
            let url = registry.sumdb_url().join(path).expect("a path");
            let theirs = upstream.get(url).send().await.expect("an answer").bytes().await.expect("a body");
            let ours = ask(&mirror, "GET", &format!("{PREFIX}{path}"), &[]).await;
            assert_eq!(ours.status(), 200, "{path}: {}", ours.text());
            assert!(ours.body == theirs, "{path}");
            let head = ask(&mirror, "HEAD", &format!("{PREFIX}{path}"), &[]).await;
            assert_eq!((head.status(), head.body.len()), (200, 0), "{path}");
        }
    }
    for path in ["lookup/example.com/absent@v1.0.0", "tile/8/0/003.p/1", "tile/8/3/000"] {
        let reply = ask(&mirror, "GET", &format!("{PREFIX}{path}"), &[]).await;
        assert_eq!(reply.status(), 404, "{path}: {}", reply.text());
    }
    let other = ask(&mirror, "GET", "/go/sumdb/other.example/supported", &[]).await;
    assert_eq!(other.line, "HTTP/1.1 404 Not the checksum database of this mirror");
}

/// What is said may be a lie: it is the client that finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lie_reaches_the_client_as_it_is() {
    let (registry, mirror) = world("").await;
    let module = Module::new("example.com/a", "v1.0.0");
    registry.publish_module(module.clone());
    registry.sumdb().lie(Lie::Number("0".to_owned()));
    let reply = ask(&mirror, "GET", &format!("{PREFIX}lookup/example.com/a@v1.0.0"), &[]).await;
    assert!(reply.text().starts_with("0\nexample.com/a v1.0.0 h1:"), "{}", reply.text());
}

/// The tree grows, the database forgets widths, and then is away: what a worker has authenticated answers for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrower_tiles_come_out_of_wider_ones() {
    let (registry, mirror) = world("").await;
    let module = Module::new("example.com/a", "v1.0.0");
    registry.publish_module(module.clone());
    get(&mirror, &module, "zip").await.served();
    let url = |width: u16| registry.sumdb_url().join(&format!("tile/8/0/002.p/{width}")).expect("a path");
    let mut whole = vec![];
    for width in [40, 89] {
        let answer = reqwest::get(url(width)).await.expect("an answer");
        whole = answer.bytes().await.expect("a body").to_vec();
        assert_eq!(whole.len(), usize::from(width) * 32);
    }
    registry.sumdb().set_partial_tiles(PartialTiles::Missing);
    registry.set_down(true);
    for width in [1, 40, 89] {
        let reply = ask(&mirror, "GET", &format!("{PREFIX}tile/8/0/002.p/{width}"), &[]).await;
        assert!(reply.body == whole[..width * 32], "{width}: {}", reply.line);
    }
    let wider = ask(&mirror, "GET", &format!("{PREFIX}tile/8/0/002.p/90"), &[]).await;
    assert_eq!(wider.status(), 502, "{}", wider.text());
}

const PRIVATE: &str = r#"
[sumdb]
private = ["corp.example", "*.corp.example/team"]

[[internal]]
ecosystem = "go"
packages = ["internal.example/*"]
"#;

/// G-19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_database_hears_of_a_private_module() {
    let (registry, mirror) = world(PRIVATE).await;
    let private =
        ["corp.example/Secret", "git.corp.example/team/secret"].map(|path| Module::new(path, "v1.0.0"));
    let project = project(&registry, mirror.url().join("go").expect("a path"));
    let project = project.with("GONOSUMDB", "corp.example,*.corp.example/team");
    for module in &private {
        registry.serve_module(module.clone());
        for extension in ["zip", "mod"] {
            let asked = get(&mirror, module, extension).await;
            assert_eq!(asked.reply.status(), 200, "{}", asked.reply.text());
            let verdict = sumdb_verdict(&asked.story).map(|verdict| &verdict.outcome.reason);
            assert!(matches!(verdict, None | Some(Reason::SumdbPrivate)), "{verdict:?}");
        }
        let path = module.lookup().replace("sumdb/", PREFIX);
        let reply = ask(&mirror, "GET", &path, &[]).await;
        assert_refused(&reply, 403, "internal", "Private module, in no checksum database", &path);
        project.go(&format!("mod download {}@v1.0.0", module.path)).await.succeeded();
    }
    let internal = Module::new("internal.example/tool", "v1.0.0");
    registry.publish_module(internal.clone());
    for path in [
        format!("/{}", internal.at("zip")),
        format!("/{}", internal.at("mod")),
        format!("/{}", internal.at("info")),
        "/go/internal.example/tool/@v/list".to_owned(),
        "/go/internal.example/tool/@v/main.info".to_owned(),
        "/go/internal.example/tool/@latest".to_owned(),
    ] {
        let reply = ask(&mirror, "GET", &path, &[]).await;
        assert_refused(&reply, 403, "internal", "Internal name, never fetched from outside", &path);
    }
    let path = internal.lookup().replace("sumdb/", PREFIX);
    let reply = ask(&mirror, "GET", &path, &[]).await;
    assert_refused(&reply, 403, "internal", "Private module, in no checksum database", &path);
    let leaks = |path: &str| {
        path.contains("internal.example") || (path.starts_with("/sumdb/") && path.contains("corp.example"))
    };
    let asked = registry.requests();
    assert!(asked.iter().all(|request| !leaks(&request.path)), "{asked:?}");

    // Beside the patterns, a module is public.
    let public = Module::new("corp.example.com/tool", "v1.0.0");
    registry.serve_module(public.clone());
    let reason = get(&mirror, &public, "zip").await.rejected().clone();
    assert_eq!(reason, Reason::SumdbAbsent { database: registry.sumdb().id(), status: 404 });
}
