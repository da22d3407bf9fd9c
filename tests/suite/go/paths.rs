//! Request paths of the GOPROXY protocol: one spelling, one meaning (P-05, P-07, ecosystems.md 7.1 and 7.6); and what
//! go prints of a module that is pending.

use std::{sync::Arc, time::Duration};

use touchstone_runtime::SystemClock;
use touchstone_testkit::{Module, Registry, TestMirror, eventually};

use super::{project, target};
use crate::protocol::raw::{ask, assert_refused};

/// P-05, P-07: what x/mod refuses, and what no version of a module can be.
const MALFORMED: &[&str] = &[
    "example.com/Upper/@v/list",
    "example.com/!Upper/@v/list",
    "example.com/!!upper/@v/list",
    "example.com/!1/@v/list",
    "example.com/up!/@v/list",
    "example.com/%55pper/@v/list",
    "example.com/a/@v/v1.0.0-RC1.zip",
    "example.com/a/@v/v1.0.0-!!rc1.zip",
    "example.com/a/@v/v1.0.0-rc!.zip",
    "example.com/../a/@v/list",
    "example.com/./a/@v/list",
    "example.com/.a/@v/list",
    "example.com/a./@v/list",
    "example.com/con/@v/list",
    "example.com/aux.txt/@v/list",
    "example.com/long~1/@v/list",
    "example.com/-a/@v/v1.0.0;rm.zip",
    "-example.com/a/@v/list",
    "example/a/@v/list",
    "example.com/\u{fffd}/@v/list",
    "example.com/a%00/@v/list",
    "example.com/a%252f/@v/list",
    "example.com/a\\b/@v/list",
    "example.com/v1/@v/list",
    "example.com/v02/@v/list",
    "example.com/a/@v/--upload-pack=x.info",
    "example.com/a/@v/--upload-pack=x.zip",
    "example.com/a/@v/v1.0.0;rm.zip",
    "example.com/a/@v/master.zip",
    "example.com/a/@v/master.mod",
    "example.com/a/@v/1.0.0.zip",
    "example.com/a/@v/v1.0.zip",
    "example.com/a/@v/v1.0.0+meta.zip",
    "example.com/a/@v/v01.0.0.zip",
    "example.com/a/@v/v1.0.0+incompatible.zip",
    "example.com/a/@v/v2.0.0.zip",
    "example.com/a/v2/@v/v1.0.0.zip",
    "example.com/a/v2/@v/v3.0.0.info",
    "example.com/a/v2/@v/v2.0.0+incompatible.zip",
    "example.com/a/@v/v0.0.0-20241301030405-0123456789ab.zip",
    "example.com/a/@v/v0.0.0-2024010203040-0123456789ab.zip",
    "golang.org/toolchain/@v/v0.0.1-go1.21.0.zip",
    "golang.org/toolchain/@v/v0.0.1-go1.21.0;sh.linux-amd64.zip",
    "golang.org/toolchain/@v/v0.0.2.zip",
    "sumdb/sumdb.example/lookup/example.com/Upper@v1.0.0",
    "sumdb/sumdb.example/lookup/example.com/a@master",
];

/// What the protocol does not have.
const NO_SUCH_PATH: &[&str] = &[
    "",
    "example.com/a",
    "example.com/a/@v/",
    "example.com/a/@v/v1.0.0",
    "example.com/a/@v/v1.0.0.exe",
    "example.com/a/@v/v1.0.0.zip/",
    "example.com//a/@v/list",
    "example.com/a/@v/..%2fv1.0.0.zip",
    "@latest",
    "@v/list",
    "sumdb/",
    "sumdb/sumdb.example",
    "sumdb/sumdb.example/signed",
    "sumdb/sumdb.example/lookup/example.com/a@v1.0.0%2fgo.mod",
    "sumdb/sumdb.example/tile/8/0",
    "sumdb/sumdb.example/tile/8/0/../000",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_outside_the_grammar_are_refused_before_anything_is_asked() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).sumdb_workers(0).start().await;
    let long = format!("example.com/{}/@v/list", "a".repeat(300));
    let malformed = MALFORMED.iter().copied().chain([long.as_str()]).map(|path| (path, 400));
    for (path, status) in malformed.chain(NO_SUCH_PATH.iter().map(|path| (*path, 404))) {
        for method in ["GET", "HEAD"] {
            let reply = ask(&mirror, method, &format!("/go/{path}"), &[]).await;
            assert_eq!(reply.status(), status, "{path}: {}", reply.text());
        }
    }
    for target in ["/go/example.com/a/@v/list", "/go/sumdb/sumdb.example/latest"] {
        let reply = ask(&mirror, "POST", target, &[]).await;
        assert_eq!((reply.status(), reply.header("allow")), (405, "GET, HEAD"), "{target}");
    }
    assert_eq!(registry.requests(), vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pending_is_held_then_refused_in_words_that_go_prints() {
    let registry = Registry::start().await;
    let module = Module::new("example.com/slow", "v1.0.0");
    registry.publish_module(module.clone());
    let hold = Duration::from_millis(600);
    let mirror = TestMirror::builder().registry(&registry).patient_hold(hold).sumdb_workers(0).start().await;
    let title = "Verification goes on, run the command again";
    for (method, extension) in [("GET", "mod"), ("GET", "zip"), ("HEAD", "zip")] {
        let reply = ask(&mirror, method, &target(&module, extension), &[]).await;
        assert_refused(&reply, 403, "pending", title, &target(&module, extension));
    }
    let project = project(&registry, mirror.url().join("go").expect("a path"));
    let run = project.go("mod download example.com/slow@v1.0.0").await;
    run.failed(title);
    assert!(run.output.contains("`touchstone why` shows its state"), "{}", run.output);

    mirror.sumdb_worker(Arc::new(SystemClock)).await;
    let target = target(&module, "zip");
    let served = async || (ask(&mirror, "GET", &target, &[]).await.status() == 200).then_some(());
    eventually("it is served", served).await;
    project.empty_cache();
    project.go("mod download example.com/slow@v1.0.0").await.succeeded();
}
