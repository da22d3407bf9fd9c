//! Request paths of the GOPROXY protocol: one spelling, one meaning, and quick answers for what is not there (P-05, P-07,
//! ecosystems.md 7.1 and 7.6).

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use touchstone_runtime::SystemClock;
use touchstone_testkit::{Fault, Module, Registry, TestMirror, eventually};

use super::{get, project, target};
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

/// The go command asks for a module at every parent of a path, at once, in every command anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_asked_for_once_and_answered_at_once() {
    let registry = Registry::start().await;
    let module = Module::new("example.com/deep/er/module", "v1.0.0");
    registry.publish_module(module.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let absent = [
        "example.com/@v/list",
        "example.com/deep/@v/list",
        "example.com/deep/er/@v/list",
        "example.com/deep/@latest",
        "example.com/deep/@v/main.info",
        "example.com/deep/@v/v1.0.0.info",
        "example.com/deep/er/module/@v/v1.9.0.info",
        "example.com/deep/er/module/@v/main.info",
    ];
    for _ in 0..3 {
        for path in absent {
            let reply = ask(&mirror, "GET", &format!("/go/{path}"), &[]).await;
            assert_eq!(reply.line, "HTTP/1.1 404 Not found upstream", "{path}: {}", reply.text());
            assert!(reply.header("content-type").starts_with("text/plain"), "{path}");
        }
    }
    for path in absent {
        assert_eq!(registry.asked_for(path), 1, "{path}");
    }
    assert_eq!(get(&mirror, &module, "zip").await.reply.status(), 200);

    // A file that is not there is remembered no longer than its info is.
    for extension in ["zip", "mod"] {
        let gone = Module::new("example.com/deep/er/module", "v1.9.0");
        let reply = ask(&mirror, "GET", &target(&gone, extension), &[]).await;
        assert_eq!(reply.line, "HTTP/1.1 404 Not found upstream", "{}", reply.text());
    }

    // A failure is no absence, and makes nobody look elsewhere.
    for (path, status) in [("example.com/failing/@v/list", 503), ("example.com/failing/@latest", 403)] {
        registry.fault(&format!("go/{path}"), Fault::Status(status));
        let reply = ask(&mirror, "GET", &format!("/go/{path}"), &[]).await;
        assert_eq!(reply.status(), 502, "{path}: {}", reply.text());
    }
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

    // The same while the upstream is what is slow.
    let slower = Module::new("example.com/slower", "v1.0.0");
    registry.publish_module(slower.clone());
    let gate = Arc::new(Semaphore::new(0));
    registry.fault(&slower.at("zip"), Fault::Hold(Arc::clone(&gate)));
    let reply = ask(&mirror, "GET", &target(&slower, "zip"), &[]).await;
    let title = "Still fetching from upstream, run the command again";
    assert_refused(&reply, 403, "pending", title, &target(&slower, "zip"));
    gate.add_permits(1);

    mirror.sumdb_worker(Arc::new(SystemClock)).await;
    for target in [&module, &slower].map(|module| target(module, "zip")) {
        let served = async || (ask(&mirror, "GET", &target, &[]).await.status() == 200).then_some(());
        eventually("it is served", served).await;
    }
    project.empty_cache();
    project.go("mod download example.com/slow@v1.0.0").await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zip_without_length_is_taken_whole_or_not_at_all() {
    let registry = Registry::start().await;
    registry.set_lengthless_zips(true);
    let module = Module::new("example.com/chunked", "v1.0.0").file("filler.bin", vec![7; 200_000]);
    registry.publish_module(module.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    registry.fault(&module.at("zip"), Fault::Truncate);
    let reply = ask(&mirror, "GET", &target(&module, "zip"), &[]).await;
    assert_eq!(reply.line, "HTTP/1.1 502 Upstream broke off its answer", "{}", reply.text());
    registry.honest();
    let reply = ask(&mirror, "GET", &target(&module, "zip"), &[]).await;
    assert!(reply.status() == 200 && reply.body == module.zip(), "{}", reply.line);

    // The half of it that looks whole is no zip.
    let half = Module::new("example.com/chunked", "v1.1.0").file("filler.bin", vec![7; 200_000]);
    registry.publish_module(half.clone());
    registry.fault(&half.at("zip"), Fault::Short);
    let reply = ask(&mirror, "GET", &target(&half, "zip"), &[]).await;
    assert_eq!(reply.line, "HTTP/1.1 403 Rejected by the hash check: archive_rejected", "{}", reply.text());
}
