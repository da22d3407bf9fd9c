//! Refused versions: hidden from the list, refused wherever they are named, and never as if they did not exist.

use touchstone_store::RecallTarget;
use touchstone_testkit::{Fault, Module, Registry, TestMirror};

use super::{assert_text, get, world};

const TEXT: &str = "text/plain; charset=utf-8";

/// Asserts that the version's document and both files are refused in the same words.
async fn assert_refused(mirror: &TestMirror, version: &str, line: &str) {
    for extension in ["info", "zip", "mod"] {
        let reply = get(mirror, &format!("example.com/m/@v/{version}.{extension}")).await;
        assert_eq!(reply.line, line, "{extension}: {}", reply.text());
    }
}

async fn list(mirror: &TestMirror) -> String {
    let reply = get(mirror, "example.com/m/@v/list").await;
    assert_text(&reply, TEXT, &reply.text());
    reply.text()
}

/// Publishes a version of which the database has another digest, for one of its files.
fn publish_other(registry: &Registry, version: &str, file: &str) {
    let module = Module::new("example.com/m", version);
    let (zip, go_mod) = (module.zip_h1(), module.mod_h1());
    let other = Module::new("example.com/other", version).mod_h1();
    match file {
        "zip" => registry.sumdb().record("example.com/m", version, &other, &go_mod),
        _ => registry.sumdb().record("example.com/m", version, &zip, &other),
    };
    registry.serve_module(module);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_refused_with_either_of_its_files() {
    let rejected = "HTTP/1.1 403 Rejected by the sumdb check: sumdb_mismatch";
    for file in ["zip", "mod"] {
        let (registry, mirror) = world(&["v1.0.0", "v1.1.0-rc.1"], "").await;
        publish_other(&registry, "v1.2.0", file);
        let path = format!("example.com/m/@v/v1.2.0.{file}");
        // Nothing is known of it yet.
        assert_eq!(get(&mirror, "example.com/m/@v/v1.2.0.info").await.status(), 200);
        assert_eq!(get(&mirror, &path).await.line, rejected);
        let info = get(&mirror, "example.com/m/@v/v1.2.0.info").await;
        assert_eq!(info.line, rejected, "{file}");
        assert!(info.text().contains("choose another version"), "{}", info.text());
        assert_eq!(list(&mirror).await, "v1.0.0\nv1.1.0-rc.1\n", "{file}");
        // A release before a pre-release, as the go command has it.
        let latest = get(&mirror, "example.com/m/@latest").await;
        assert!(latest.status() == 200 && latest.text().contains("\"v1.0.0\""), "{}", latest.text());
        registry.tag_module("example.com/m", "main", "v1.2.0");
        assert_eq!(get(&mirror, "example.com/m/@v/main.info").await.line, rejected, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_version_is_refused_the_latest_says_why() {
    let (registry, mirror) = world(&[], "").await;
    publish_other(&registry, "v1.0.0", "zip");
    publish_other(&registry, "v1.1.0", "mod");
    let rejected = "HTTP/1.1 403 Rejected by the sumdb check: sumdb_mismatch";
    assert_eq!(get(&mirror, "example.com/m/@v/v1.0.0.zip").await.line, rejected);
    assert_eq!(get(&mirror, "example.com/m/@v/v1.1.0.mod").await.line, rejected);
    assert_eq!(list(&mirror).await, "");
    let latest = get(&mirror, "example.com/m/@latest").await;
    assert_eq!(latest.line, rejected, "{}", latest.text());
    assert!(latest.text().contains("v1.1.0"), "{}", latest.text());
    // Without a list to fall back to, the same.
    registry.fault("go/example.com/m/@v/list", Fault::Status(404));
    assert_eq!(get(&mirror, "example.com/m/@latest").await.line, rejected);
}

/// A module proxy need not have `@latest`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_upstream_has_no_latest_the_list_says_which_it_is() {
    for status in [404, 410] {
        let (registry, mirror) = world(&["v1.0.0", "v1.1.0", "v1.2.0-rc.1"], "").await;
        registry.fault("go/example.com/m/@latest", Fault::Status(status));
        let latest = get(&mirror, "example.com/m/@latest").await;
        assert_text(
            &latest,
            "application/json",
            "{\"Time\":\"2024-01-02T03:04:05Z\",\"Version\":\"v1.1.0\"}",
        );
        assert_eq!(latest.header("cache-control"), "private, max-age=60");
        // What is refused is passed over, and what is not there after all.
        publish_other(&registry, "v1.3.0", "zip");
        assert_eq!(get(&mirror, "example.com/m/@v/v1.3.0.zip").await.status(), 403);
        assert!(get(&mirror, "example.com/m/@latest").await.text().contains("\"v1.1.0\""), "{status}");
        registry.fault("go/example.com/m/@v/list", Fault::Bytes(b"v1.0.0\nv1.9.0\n".to_vec()));
        assert!(get(&mirror, "example.com/m/@latest").await.text().contains("\"v1.0.0\""), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_upstream_has_no_latest_it_is_unknown_only_when_nothing_is_listed() {
    let (registry, mirror) = world(&[], "").await;
    registry.fault("go/example.com/m/@latest", Fault::Status(404));
    let latest = async || get(&mirror, "example.com/m/@latest").await;
    assert_eq!(latest().await.line, "HTTP/1.1 404 Not found upstream", "there is no list");
    for (list, line) in [
        (Fault::Bytes(vec![]), "HTTP/1.1 404 Not found upstream"),
        (Fault::Status(503), "HTTP/1.1 502 Upstream answered with an error"),
        (Fault::Bytes(b"v1.9.0\n".to_vec()), "HTTP/1.1 502 Upstream answered wrongly"),
    ] {
        let mirror = TestMirror::builder().registry(&registry).start().await;
        registry.fault("go/example.com/m/@v/list", list.clone());
        let reply = get(&mirror, "example.com/m/@latest").await;
        assert_eq!(reply.line, line, "{list:?}: {}", reply.text());
    }
    registry.honest();
    registry.fault("go/example.com/m/@latest", Fault::Status(404));
    publish_other(&registry, "v1.0.0", "zip");
    publish_other(&registry, "v1.1.0", "mod");
    let mirror = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(get(&mirror, "example.com/m/@v/v1.0.0.zip").await.status(), 403);
    assert_eq!(get(&mirror, "example.com/m/@v/v1.1.0.mod").await.status(), 403);
    let latest = get(&mirror, "example.com/m/@latest").await;
    assert_eq!(latest.line, "HTTP/1.1 403 Rejected by the sumdb check: sumdb_mismatch", "{}", latest.text());
    assert!(latest.text().contains("v1.1.0"), "{}", latest.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_without_tagged_versions_has_an_empty_list() {
    let (registry, mirror) = world(&[], "").await;
    let version = "v0.0.0-20240102030405-0123456789ab";
    registry.publish_module(Module::new("example.com/m", version));
    assert_eq!(list(&mirror).await, "");
    let latest = get(&mirror, "example.com/m/@latest").await;
    assert!(latest.status() == 200 && latest.text().contains(version), "{}", latest.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_and_internal_versions_are_refused_before_the_upstream_is_asked() {
    let policy = "[[deny]]\necosystem = \"go\"\npackage = \"example.com/m\"\nversions = [\"v1.1.0\"]\nreason = \"malware\"\n\
                  [[internal]]\necosystem = \"go\"\npackages = [\"corp.example\"]\n";
    let (registry, mirror) = world(&["v1.0.0", "v1.1.0"], policy).await;
    assert_refused(&mirror, "v1.1.0", "HTTP/1.1 403 Denied by mirror policy").await;
    assert_eq!(registry.asked_for("/v1.1.0.info"), 0);
    assert_eq!(list(&mirror).await, "v1.0.0\n");
    assert!(get(&mirror, "example.com/m/@latest").await.text().contains("\"v1.0.0\""));
    for name in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info", "@v/v1.0.0.zip", "@v/v1.0.0.mod"] {
        let reply = get(&mirror, &format!("corp.example/m/{name}")).await;
        assert_eq!(reply.line, "HTTP/1.1 403 Internal name, never fetched from outside", "{name}");
        assert!(reply.text().contains("Set GOPRIVATE"), "{}", reply.text());
    }
    assert!(!registry.requests().iter().any(|request| request.path.contains("corp.example")));
}

/// As the go command asks for every parent of a package's path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parents_of_internal_names_never_leave() {
    let policy = "[[internal]]\necosystem = \"go\"\npackages = [\"git.corp.example/team/lib\", \"*.hidden.example/x\"]\n\
                  [sumdb]\nprivate = [\"code.example/private\"]\n";
    let (registry, mirror) = world(&["v1.0.0"], policy).await;
    for module in
        ["git.corp.example", "git.corp.example/team", "git.corp.example/team/lib/sub", "a.hidden.example"]
    {
        for name in ["@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info", "@v/v1.0.0.zip", "@v/v1.0.0.mod"]
        {
            let reply = get(&mirror, &format!("{module}/{name}")).await;
            assert_eq!(
                reply.line, "HTTP/1.1 403 Internal name, never fetched from outside",
                "{module}/{name}"
            );
        }
        let reply = get(&mirror, &format!("sumdb/sumdb.example/lookup/{module}@v1.0.0")).await;
        assert_eq!(reply.line, "HTTP/1.1 403 Private module, in no checksum database", "{module}");
    }
    assert!(!registry.requests().iter().any(|request| request.path.contains("corp.example")));
    assert!(!registry.requests().iter().any(|request| request.path.contains("hidden.example")));
    // Those beside them are asked for, and so are the parents of what is only private.
    for module in ["git.corp.example/other", "corp.example", "hidden.example", "code.example"] {
        let reply = get(&mirror, &format!("{module}/@v/list")).await;
        assert_eq!(reply.line, "HTTP/1.1 404 Not found upstream", "{module}: {}", reply.text());
        assert_eq!(registry.asked_for(&format!("/go/{module}/@v/list")), 1, "{module}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn young_versions_are_hidden_and_say_until_when() {
    let policy = "[[rule]]\necosystem = \"go\"\nrequire = [\"hash\"]\nmin_age = \"7d\"\n";
    let (_registry, mirror) = world(&["v1.0.0"], policy).await;
    assert_eq!(list(&mirror).await, "");
    for name in ["@latest", "@v/v1.0.0.info", "@v/v1.0.0.zip", "@v/v1.0.0.mod"] {
        let reply = get(&mirror, &format!("example.com/m/{name}")).await;
        let held =
            reply.line.starts_with("HTTP/1.1 403 Held until ") && reply.line.ends_with(", minimum age");
        assert!(held, "{name}: {} {}", reply.line, reply.text());
    }
    assert_eq!(get(&mirror, "example.com/m/@v/v1.0.0.info").await.header("x-touchstone-code"), "held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recalled_version_is_refused_with_its_document() {
    let (_registry, mirror) = world(&["v1.0.0", "v1.1.0"], "").await;
    assert_eq!(get(&mirror, "example.com/m/@v/v1.1.0.zip").await.status(), 200);
    let purl = "pkg:golang/example.com/m@v1.1.0".parse().expect("a purl");
    mirror.store.recall(&RecallTarget::Purl(purl), "malware found", "test").await.expect("recalled");
    let line = "HTTP/1.1 403 Recalled by the mirror's operators";
    for extension in ["info", "zip"] {
        let reply = get(&mirror, &format!("example.com/m/@v/v1.1.0.{extension}")).await;
        assert_eq!(reply.line, line, "{}", reply.text());
        assert!(reply.text().contains("malware found"), "{}", reply.text());
    }
    assert_eq!(list(&mirror).await, "v1.0.0\n");
    assert!(get(&mirror, "example.com/m/@latest").await.text().contains("\"v1.0.0\""));
}
