//! What the edge says of Go modules: documents, lists and refusals of the GOPROXY protocol. What the files themselves have to
//! pass is in `go`.

mod signed;
mod stopped;
mod sumdb;
mod versions;

use std::time::Duration;

use touchstone_domain::Ecosystem;
use touchstone_testkit::{Fault, Module, Registry, TestMirror};

use crate::protocol::raw::{Reply, ask, assert_refused};

/// A registry with these versions of `example.com/m`, and a mirror of it under this policy.
async fn world(versions: &[&str], policy: &str) -> (Registry, TestMirror) {
    let registry = Registry::start().await;
    for version in versions {
        registry.publish_module(Module::new("example.com/m", version));
    }
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    (registry, mirror)
}

/// Asks for what is below `/go/`.
async fn get(mirror: &TestMirror, path: &str) -> Reply {
    ask(mirror, "GET", &format!("/go/{path}"), &[("Accept-Encoding", "gzip")]).await
}

/// Asserts that it is answered with this, as it is, and not compressed.
#[track_caller]
fn assert_text(reply: &Reply, content_type: &str, body: &str) {
    assert_eq!(reply.line, "HTTP/1.1 200 OK", "{}", reply.text());
    assert_eq!((reply.header("content-type"), reply.text().as_str()), (content_type, body));
    assert_eq!(reply.header("content-length"), body.len().to_string());
    assert!(!reply.has_header("content-encoding"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_parent_probe_does_not_find_is_not_asked_for_again() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    let absent = ["@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"];
    for name in absent {
        let path = format!("example.com/absent/{name}");
        for _ in ["asked", "remembered"] {
            let reply = get(&mirror, &path).await;
            assert_eq!(reply.line, "HTTP/1.1 404 Not found upstream", "{path}: {}", reply.text());
            assert!(reply.header("content-type").starts_with("text/plain"), "{path}");
        }
    }
    let of_absent = |r: &touchstone_testkit::Request| r.path.starts_with("/go/example.com/absent/");
    let mut asked: Vec<_> = registry.requests().into_iter().filter(of_absent).map(|r| r.path).collect();
    asked.sort();
    let mut expected: Vec<_> =
        absent.iter().take(4).map(|name| format!("/go/example.com/absent/{name}")).collect();
    expected.sort();
    // The files were not asked for: the document of their version is not there.
    assert_eq!(asked, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_missing_are_unknown_and_not_asked_for_again() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    for status in [404, 410] {
        let version = format!("v1.0.{status}");
        registry.publish_module(Module::new("example.com/m", &version));
        registry.fault(&format!("go/example.com/m/@v/{version}.zip"), Fault::Status(status));
        for _ in ["asked", "remembered"] {
            let reply = get(&mirror, &format!("example.com/m/@v/{version}.zip")).await;
            assert_eq!(reply.line, "HTTP/1.1 404 Not found upstream", "{}", reply.text());
        }
        assert_eq!(registry.asked_for(&format!("/{version}.zip")), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_not_remembered_and_what_is_kept_is_never_absent() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    for name in ["@v/list", "@latest", "@v/v1.0.0.info"] {
        let path = format!("go/example.com/m/{name}");
        registry.fault(&path, Fault::Status(503));
        let reply = get(&mirror, &format!("example.com/m/{name}")).await;
        assert_eq!(reply.line, "HTTP/1.1 502 Upstream answered with an error", "{}", reply.text());
        registry.honest();
        let good = get(&mirror, &format!("example.com/m/{name}")).await;
        assert_eq!(good.status(), 200, "{name}: {}", good.text());
        for status in [404, 410, 503] {
            registry.fault(&path, Fault::Status(status));
            let kept = get(&mirror, &format!("example.com/m/{name}")).await;
            assert_eq!((kept.status(), kept.body), (200, good.body.clone()), "{name} {status}");
        }
        registry.honest();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_come_as_they_are_and_those_of_versions_are_kept() {
    let (registry, mirror) = world(&["v1.0.0", "v1.1.0"], "").await;
    let odd =
        "{ \"Version\":\"v1.0.0\",\n \"Time\":\"2024-01-02T03:04:05Z\", \"Origin\":{\"VCS\":\"git\"} }\n";
    registry.fault("go/example.com/m/@v/v1.0.0.info", Fault::Bytes(odd.into()));
    for _ in ["asked", "kept"] {
        let reply = get(&mirror, "example.com/m/@v/v1.0.0.info").await;
        assert_text(&reply, "application/json", odd);
        assert_eq!(reply.header("cache-control"), "private, max-age=60");
    }
    assert_eq!(registry.asked_for("/v1.0.0.info"), 1);
    let head = ask(&mirror, "HEAD", "/go/example.com/m/@v/v1.0.0.info", &[]).await;
    assert_eq!((head.status(), head.header("content-length")), (200, odd.len().to_string().as_str()));

    assert_text(
        &get(&mirror, "example.com/m/@v/list").await,
        "text/plain; charset=utf-8",
        "v1.0.0\nv1.1.0\n",
    );
    let latest = "{\"Time\":\"2024-01-02T03:04:05Z\",\"Version\":\"v1.1.0\"}";
    assert_text(&get(&mirror, "example.com/m/@latest").await, "application/json", latest);
    // What these mean changes, and they are asked for again.
    registry.publish_module(Module::new("example.com/m", "v1.2.0"));
    assert!(get(&mirror, "example.com/m/@latest").await.text().contains("v1.2.0"));
    registry.tag_module("example.com/m", "main", "v1.1.0");
    assert_text(&get(&mirror, "example.com/m/@v/main.info").await, "application/json", latest);
    registry.tag_module("example.com/m", "main", "v1.2.0");
    assert!(get(&mirror, "example.com/m/@v/main.info").await.text().contains("v1.2.0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_of_another_version_or_none_is_refused_and_not_kept() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    for wrong in ["{\"Version\":\"v1.0.1\"}", "{\"Version\":1}", "{}", "<html></html>", ""] {
        registry.fault("go/example.com/m/@v/v1.0.0.info", Fault::Bytes(wrong.into()));
        for name in ["v1.0.0.info", "v1.0.0.zip", "v1.0.0.mod"] {
            let reply = get(&mirror, &format!("example.com/m/@v/{name}")).await;
            assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", wrong);
        }
        registry.honest();
    }
    assert_eq!(get(&mirror, "example.com/m/@v/v1.0.0.info").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_may_come_in_chunks_but_not_without_an_end() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    registry.set_lengthless_zips(true);
    let reply = ask(&mirror, "GET", "/go/example.com/m/@v/v1.0.0.zip", &[]).await;
    assert_eq!(reply.body, Module::new("example.com/m", "v1.0.0").zip());

    let (upstream, mut requests) = scripted().await;
    let mirror = TestMirror::builder().upstream(Ecosystem::Go, upstream).start().await;
    for (framing, title) in [
        ("Transfer-Encoding: chunked\r\n\r\n8\r\nmodule e\r\n", "Upstream broke off its answer"),
        ("Transfer-Encoding: chunked\r\n\r\n8\r\nmodule e\r\n0\r\n", "Upstream broke off its answer"),
        ("Content-Length: 9\r\n\r\nmodule e", "Upstream broke off its answer"),
        ("Connection: close\r\n\r\nmodule e", "Upstream answered wrongly"),
    ] {
        requests.replies.send(format!("HTTP/1.1 200 OK\r\n{framing}")).expect("the upstream runs");
        let reply = ask(&mirror, "GET", "/go/example.com/m/@v/v1.0.0.mod", &[]).await;
        assert_eq!(reply.line, format!("HTTP/1.1 502 {title}"), "{framing}: {}", reply.text());
    }
    assert!(requests.serving.try_join_next().is_none(), "the upstream runs");
}

/// A module proxy that answers `.info` as it should, and everything else with the latest text that it was given.
async fn scripted() -> (url::Url, Scripted) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("an address");
    let (replies, script) = tokio::sync::watch::channel(String::new());
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let info =
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n{\"Version\":\"v1.0.0\"}";
            let asked = String::from_utf8_lossy(&head).into_owned();
            let reply = if asked.contains(".info ") { info.to_owned() } else { script.borrow().clone() };
            let _gone = stream.write_all(reply.as_bytes()).await;
        }
    });
    (url, Scripted { replies, serving })
}

struct Scripted {
    replies: tokio::sync::watch::Sender<String>,
    serving: tokio::task::JoinSet<()>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pending_for_long_is_refused_with_the_advice_to_run_again() {
    let registry = Registry::start().await;
    registry.publish_module(Module::new("example.com/m", "v1.0.0"));
    let held = |hold| TestMirror::builder().registry(&registry).sumdb_workers(0).patient_hold(hold);
    let mirror = held(Duration::from_millis(300)).hold(Duration::from_secs(20)).start().await;
    for name in ["v1.0.0.zip", "v1.0.0.mod"] {
        let reply = get(&mirror, &format!("example.com/m/@v/{name}")).await;
        assert_refused(&reply, 403, "pending", "Verification goes on, run the command again", name);
        assert!(reply.text().contains("Run the command again in a minute"), "{}", reply.text());
    }
    // The documents are had meanwhile.
    assert_eq!(get(&mirror, "example.com/m/@v/v1.0.0.info").await.status(), 200);
    assert_eq!(get(&mirror, "example.com/m/@v/list").await.text(), "v1.0.0\n");

    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    registry.publish_module(Module::new("example.com/m", "v1.1.0"));
    registry.fault("go/example.com/m/@v/v1.1.0.zip", Fault::Hold(gate));
    let reply = get(&mirror, "example.com/m/@v/v1.1.0.zip").await;
    let title = "Still fetching from upstream, run the command again";
    assert_refused(&reply, 403, "pending", title, "fetching");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_copy_is_fetched_again_and_never_unknown() {
    let (registry, mirror) = world(&["v1.0.0"], "").await;
    let served = get(&mirror, "example.com/m/@v/v1.0.0.zip").await;
    assert_eq!(served.status(), 200, "{}", served.text());
    let sha256 = touchstone_domain::Sha256::of(&served.body);
    std::fs::remove_file(mirror.blob_path(sha256)).expect("stored");
    registry.fault("go/example.com/m/@v/v1.0.0.zip", Fault::Status(410));
    for _ in ["asked", "asked again"] {
        let reply = get(&mirror, "example.com/m/@v/v1.0.0.zip").await;
        assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", "lost");
    }
    registry.honest();
    let healed = get(&mirror, "example.com/m/@v/v1.0.0.zip").await;
    assert_eq!((healed.status(), healed.body == served.body), (200, true));
}
