//! npm's bulk audit: the only request with a body. It is bounded, and internal names stay here (P-10, O-03).

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use touchstone_testkit::TestMirror;

use super::{
    raw::{Reply, assert_refused, send},
    world,
};

const TARGET: &str = "/npm/-/npm/v1/security/advisories/bulk";
const LIMIT: usize = 10 << 20;
const MALFORMED: &str = "Malformed audit request";

async fn post(mirror: &TestMirror, headers: &str, body: &[u8]) -> Reply {
    let mut request = format!(
        "POST {TARGET} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    send(mirror, &request).await
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(body).expect("in memory");
    encoder.finish().expect("in memory")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_names_are_left_out_of_what_the_upstream_is_asked() {
    let (registry, mirror, _) = world().await;
    let body = json!({
        "left-pad": ["1.3.0"], "@s/p": ["1.0.0", "1.0.1"], "@corp/secret": ["1.0.0"], "corp-secret": ["2.0.0"],
        "Corp-Secret": ["2.0.0"], "../../etc": ["1"], "@corp%2fsecret": ["1.0.0"],
    })
    .to_string();
    let expected = json!({ "left-pad": ["1.3.0"], "@s/p": ["1.0.0", "1.0.1"] });
    for (headers, body) in [
        ("Content-Type: application/json\r\n", body.clone().into_bytes()),
        ("Content-Encoding: gzip\r\n", gzipped(body.as_bytes())),
        ("Content-Encoding: identity\r\n", body.into_bytes()),
    ] {
        let reply = post(&mirror, headers, &body).await;
        assert_eq!(reply.status(), 200, "{headers}: {}", reply.text());
        assert_eq!(serde_json::from_slice::<Value>(&reply.body).expect("JSON"), expected, "{headers}");
        assert_eq!(reply.header("content-type"), "application/json", "{headers}");
    }
    assert_eq!(registry.asked_for("/bulk"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_audit_request_is_refused_here() {
    let (registry, mirror, _) = world().await;
    let zeros = gzipped(&vec![b' '; LIMIT + 1]);
    assert!(zeros.len() < LIMIT / 100, "a bomb is small");
    let too_long = vec![b' '; LIMIT + 1];
    for (name, headers, body, detail) in [
        ("no JSON", "", &b"what"[..], "audit request"),
        ("a list", "", b"[]", "audit request"),
        ("nothing", "", b"", "audit request"),
        ("no gzip", "Content-Encoding: gzip\r\n", b"{}", "bad gzip"),
        ("another encoding", "Content-Encoding: br\r\n", b"{}", "br"),
        ("a bomb", "Content-Encoding: gzip\r\n", &zeros, "unpacks to more than 10485760 bytes"),
        ("too long", "", &too_long, "larger than 10485760 bytes"),
    ] {
        let reply = post(&mirror, headers, body).await;
        assert_refused(&reply, 400, "malformed", MALFORMED, name);
        assert!(reply.text().contains(detail), "{name}: {}", reply.text());
    }
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20)).repeat(11);
    let endless = format!("POST {TARGET} HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let reply = send(&mirror, endless.as_bytes()).await;
    assert_refused(&reply, 400, "malformed", MALFORMED, "a body without an end");
    assert_eq!(registry.requests(), []);
    assert_eq!(post(&mirror, "", b"{}").await.status(), 200);
}

/// A body that announces more than the bound is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_flood_is_refused_at_once() {
    let (_registry, mirror, _) = world().await;
    let head = format!("POST {TARGET} HTTP/1.1\r\nHost: m\r\nContent-Length: 21474836480\r\n\r\n");
    assert_refused(&send(&mirror, head.as_bytes()).await, 400, "malformed", MALFORMED, "20 GiB");
}
