//! The database behind the mirror: clients verify it themselves, end to end, and it never hears of what is private (G-18,
//! G-19). How it is passed through is in `goproxy`.

use touchstone_domain::Reason;
use touchstone_testkit::{Lie, Module, Registry, TestMirror};

use super::{get, project, sumdb_verdict};
use crate::protocol::raw::{ask, assert_refused};

const PREFIX: &str = "/go/sumdb/sumdb.example/";

async fn world(policy: &str) -> (Registry, TestMirror) {
    let registry = Registry::start().await;
    registry.sumdb().fill(600);
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    (registry, mirror)
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
