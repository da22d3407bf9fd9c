//! Where a request ends, what it may do, and which part of a file it gets (P-13, P-27, P-38).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use touchstone_testkit::TestMirror;

use super::{
    raw::{self, Reply, ask, exchange},
    world,
};

const GET: &str = "GET /npm/left-pad HTTP/1.1\r\nHost: m\r\n";
const AUDIT: &str = "/npm/-/npm/v1/security/advisories/bulk";
/// What must never be answered.
const SMUGGLED: &str = "GET /npm/@s/p HTTP/1.1\r\nHost: m\r\n\r\n";

fn count(haystack: &[u8], needle: &str) -> usize {
    haystack.windows(needle.len()).filter(|window| *window == needle.as_bytes()).count()
}

/// P-13: where a body is expected, the encoding decides and the connection is closed, whatever length is announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_after_an_encoded_body_is_a_request() {
    let (_registry, mirror, _) = world().await;
    let head = format!("POST {AUDIT} HTTP/1.1\r\nHost: m\r\n");
    let body = format!("2\r\n{{}}\r\n0\r\n\r\n{SMUGGLED}");
    for lengths in ["", "Content-Length: 2\r\n", "Content-Length: 200\r\n"] {
        for headers in [
            format!("{lengths}Transfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\n{lengths}"),
        ] {
            let answer = exchange(&mirror, format!("{head}{headers}\r\n{body}").as_bytes()).await;
            assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
            assert_eq!((count(&answer, "HTTP/1."), count(&answer, "connection: close")), (1, 1), "{headers}");
        }
    }
}

/// P-13: a request that two readers could end at different places is 400, and the connection is closed, so that what
/// follows it is nobody's second request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_ambiguous_length_are_refused_and_the_connection_closed() {
    let (registry, mirror, _) = world().await;
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    let (get, post) = (GET.to_owned(), format!("POST {AUDIT} HTTP/1.1\r\nHost: m\r\n"));
    let old = post.replace("1.1", "1.0");
    for (name, head, headers, body) in [
        ("length, then encoding", &get, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks),
        ("encoding, then length", &get, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunks),
        ("two lengths", &post, "Content-Length: 2\r\nContent-Length: 4\r\n", "{}"),
        ("a list of lengths", &post, "Content-Length: 2, 4\r\n", "{}"),
        ("a signed length", &post, "Content-Length: +2\r\n", "{}"),
        ("an encoding that is not final", &post, "Transfer-Encoding: chunked, identity\r\n", "{}"),
        ("an unknown encoding", &post, "Transfer-Encoding: xchunked\r\n", "{}"),
        ("an encoding in HTTP/1.0", &old, "Transfer-Encoding: chunked\r\n", chunks),
        ("a space before the colon", &get, "X : y\r\n", ""),
        ("a folded header", &get, " folded\r\n", ""),
        ("two hosts", &get, "Host: n\r\n", ""),
        ("a bare carriage return", &get, "X: y\rZ: z\r\n", ""),
    ] {
        let answer = exchange(&mirror, format!("{head}{headers}\r\n{body}{SMUGGLED}").as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 400 ") || text.starts_with("HTTP/1.0 400 "), "{name}: {text}");
        assert_eq!(count(&answer, "HTTP/1."), 1, "{name}: {text}");
    }
    assert_eq!(registry.requests(), [], "nothing of it was asked upstream");
}

/// Beside them: a body of plain length on a GET is skipped, and what follows is a second request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_plain_length_follow_each_other() {
    let (_registry, mirror, _) = world().await;
    let first = format!("GET /healthz HTTP/1.1\r\nHost: m\r\nContent-Length: {}\r\n\r\n", SMUGGLED.len());
    let second = "GET /healthz HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    let request = format!("{first}{SMUGGLED}{second}");
    let answer = exchange(&mirror, request.as_bytes()).await;
    assert_eq!(count(&answer, "HTTP/1.1 200 OK"), 2, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(count(&answer, "\r\n\r\nok"), 2, "the body is not a request");
}

/// P-38.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_405_and_say_which_are_answered() {
    let (registry, mirror, packages) = world().await;
    let file = format!("/npm/left-pad/-/{}", packages[0].file);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "OPTIONS", "MKCOL"] {
        for target in ["/npm/left-pad", &file, "/pypi/simple/sample/", "/cargo/config.json", "/healthz", "/"]
        {
            let reply = ask(&mirror, method, target, &[]).await;
            assert_eq!((reply.status(), reply.header("allow")), (405, "GET, HEAD"), "{method} {target}");
        }
    }
    let audit = ask(&mirror, "GET", AUDIT, &[]).await;
    assert_eq!((audit.status(), audit.header("allow")), (405, "POST"));
    let tunnel = ask(&mirror, "CONNECT", "registry.example:443", &[]).await;
    assert_eq!((tunnel.status(), tunnel.header("allow")), (405, "GET, HEAD"));
    let lower = ask(&mirror, "get", "/npm/left-pad", &[]).await;
    assert_eq!(lower.status(), 405, "methods have one case");
    assert_eq!(registry.requests(), []);
    let upgrade = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "eA==")];
    let plain = ask(&mirror, "GET", "/npm/left-pad", &upgrade).await;
    assert_eq!((plain.status(), plain.has_header("upgrade")), (200, false), "an upgrade is ignored");
}

/// P-27.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_one_range_is_served_and_it_is_the_right_one() {
    let (_registry, mirror, packages) = world().await;
    let (bytes, target) = (&packages[0].bytes, format!("/npm/left-pad/-/{}", packages[0].file));
    let size = bytes.len();
    let whole = ask(&mirror, "GET", &target, &[]).await;
    let etag = whole.header("etag").to_owned();
    assert_eq!((whole.status(), &*etag), (200, &*format!("\"{}\"", packages[0].sha256())));
    let part = async |headers: &[(&str, &str)]| ask(&mirror, "GET", &target, headers).await;
    let thousand = format!("bytes={}", vec!["0-"; 1000].join(","));
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1-9", 1..10),
        ("bytes=100-", 100..size),
        ("bytes=-7", size - 7..size),
        ("bytes=-99999999", 0..size),
        ("bytes=10-99999999999999999999999999", 10..size),
    ] {
        let reply = part(&[("Range", range)]).await;
        assert_eq!(reply.status(), 206, "{range}");
        let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(reply.header("content-range"), content_range, "{range}");
        assert!(reply.body == bytes[expected], "{range}");
    }
    for range in [
        "bytes=abc",
        "bytes=5-3",
        "bytes=-",
        "bytes=0-0,2-2",
        "bytes=0-9,5-14",
        &thousand,
        "items=0-1",
        "bytes=--1",
    ] {
        let reply = part(&[("Range", range)]).await;
        assert_eq!((reply.status(), reply.body == *bytes), (200, true), "{range}");
    }
    for range in [format!("bytes={size}-"), "bytes=-0".to_owned()] {
        let reply = part(&[("Range", &range)]).await;
        assert_eq!(reply.line, "HTTP/1.1 416 Range Not Satisfiable", "{range}");
        assert_eq!(
            (reply.header("content-range"), reply.body.len()),
            (&*format!("bytes */{size}"), 0),
            "{range}"
        );
        assert_eq!(reply.header("cache-control"), "no-store", "{range}");
    }
    let weak = format!("W/{etag}");
    let date = "Sat, 01 Jan 2050 00:00:00 GMT";
    for (validator, status) in [(&*etag, 206), ("\"stale\"", 200), (&*weak, 200), (date, 200)] {
        let reply = part(&[("Range", "bytes=0-0"), ("If-Range", validator)]).await;
        assert_eq!((reply.status(), reply.body.len() == size), (status, status == 200), "{validator}");
    }
    let head = ask(&mirror, "HEAD", &target, &[("Range", "bytes=0-0")]).await;
    assert_eq!(
        (head.status(), head.header("content-length")),
        (200, &*size.to_string()),
        "ranges are for GET"
    );
    let unchanged = part(&[("If-None-Match", &etag)]).await;
    assert_eq!((unchanged.status(), unchanged.body.len()), (304, 0));
}

/// A client that goes away in the middle of its request leaves nothing behind that others notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_is_nobodys() {
    let (registry, mirror, _) = world().await;
    let mut stream = raw::connect(&mirror).await;
    stream.write_all(b"GET /npm/left-pad HTTP/1.1\r\nHost: m\r\n").await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let answer = raw::read_to_end(&mut stream).await;
    assert_eq!(count(&answer, "200 OK"), 0, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(registry.requests(), []);
    let reply: Reply = ask(&mirror, "GET", "/npm/left-pad", &[]).await;
    assert_eq!(reply.status(), 200);
}

/// A client that says nothing, or speaks HTTP/2 without having been asked to, does not keep its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_are_let_go() {
    let mirror = TestMirror::builder().header_timeout(Duration::from_millis(300)).start().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for said in ["", "P", "PRI * HTTP/2.0\r\n", preface, "GET /healthz HTTP/1.1\r\nHost: m"] {
        let mut connection = raw::connect(&mirror).await;
        connection.write_all(said.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut answer));
        let ended = ended.await;
        assert!(ended.is_ok(), "the connection is still open after {said:?}");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{said:?} was answered");
    }
}
