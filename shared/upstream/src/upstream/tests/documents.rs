use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn ok(body: &str) -> Reply {
    Reply::new(200, &["Content-Type: application/json"], body)
}

#[tokio::test]
async fn a_document_comes_with_its_type_address_and_validators() {
    let headers =
        ["Content-Type: application/json; charset=utf-8", "ETag: W/\"1\"", "Last-Modified: yesterday"];
    let server = TestServer::start(vec![Reply::new(200, &headers, "{}")]).await;
    let upstream = upstream(&server);
    let validators =
        Validators { etag: Some("W/\"1\"".to_owned()), last_modified: Some("yesterday".to_owned()) };
    let expected = MetadataDocument {
        url: server.url("registry/@scope%2fname"),
        content_type: "application/json; charset=utf-8".to_owned(),
        body: Bytes::from_static(b"{}"),
        framing: Framing::Announced,
        validators,
    };
    let url = upstream.index_url("@scope%2fname").unwrap();
    let reply = upstream.metadata(&url, "application/vnd.x+json", &Validators::default()).await.unwrap();
    assert_eq!(reply, MetadataReply::Document(expected));
    let request = &server.requests()[0];
    assert!(request.starts_with("get /registry/@scope%2fname http/1.1\r\n"), "{request}");
    assert!(request.contains("accept: application/vnd.x+json\r\n"), "{request}");
    assert!(request.contains("accept-encoding: gzip\r\n"), "{request}");
    assert!(
        request.contains(concat!("user-agent: touchstone/", env!("CARGO_PKG_VERSION"), "\r\n")),
        "{request}"
    );
    for unwanted in ["if-none-match", "if-modified-since", "authorization", "cookie", "referer"] {
        assert!(!request.contains(unwanted), "{request}");
    }
}

/// Only a body that ends with its connection may have been cut off unnoticed; of a packed one it is not known.
#[tokio::test]
async fn a_document_says_how_its_end_was_told() {
    let packed = gzip(b"{}");
    for (header, body, expected) in [
        ("Content-Length: 2", &b"{}"[..], Framing::Announced),
        ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", Framing::Delimited),
        ("Connection: close", b"{}", Framing::Closing),
        ("Content-Encoding: gzip", &packed, Framing::Closing),
    ] {
        let head = format!("HTTP/1.1 200 X\r\n{header}\r\n\r\n");
        let server = TestServer::start(vec![Reply::raw([head.as_bytes(), body].concat())]).await;
        let found = document(&upstream(&server)).await.unwrap();
        assert_eq!((&found.body[..], found.framing), (&b"{}"[..], expected), "{header}");
    }
}

#[tokio::test]
async fn a_304_is_an_answer_to_a_conditional_request_only() {
    let server = TestServer::start(vec![Reply::raw("HTTP/1.1 304 X\r\nConnection: close\r\n\r\n")]).await;
    let upstream = upstream(&server);
    let url = upstream.index_url("name").unwrap();
    let validators =
        Validators { etag: Some("\"1\"".to_owned()), last_modified: Some("yesterday".to_owned()) };
    assert_eq!(upstream.metadata(&url, ANY, &validators).await.unwrap(), MetadataReply::NotModified);
    let request = &server.requests()[0];
    assert!(request.contains("if-none-match: \"1\"\r\n") && request.contains("if-modified-since: yesterday"));
    assert!(matches!(document(&upstream).await, Err(FetchError::Status { status: 304, .. })));
}

#[tokio::test]
async fn only_200_is_a_document() {
    let lasting = [201, 203, 204, 206, 300, 403, 418, 451].map(|status| (status, false));
    let passing = [429, 500, 503].map(|status| (status, true));
    for (status, transient) in lasting.into_iter().chain(passing) {
        let body = if status == 204 { "" } else { "<h1>no</h1>" };
        let server = TestServer::start(vec![Reply::new(status, &[], body)]).await;
        let error = document(&upstream(&server)).await.unwrap_err();
        assert!(matches!(error, FetchError::Status { status: got, .. } if got == status), "{error}");
        assert_eq!(error.is_transient(), transient, "{status}");
    }
    for status in [404, 410] {
        let server = TestServer::start(vec![Reply::new(status, &[], "<h1>no</h1>")]).await;
        let error = document(&attempts(&server, 3)).await.unwrap_err();
        assert!(matches!(error, FetchError::NotFound { status: got, .. } if got == status), "{error}");
        assert_eq!(server.connections(), 1, "an absence is no failure to retry");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let server = TestServer::start(vec![Reply::new(503, &["Retry-After: -1"], ""), ok("{}")]).await;
    assert_eq!(document(&attempts(&server, 3)).await.unwrap().body, "{}");
    assert_eq!(server.connections(), 2);

    let server = TestServer::start(vec![Reply::new(503, &[], "")]).await;
    let error = document(&attempts(&server, 3)).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 503, .. }), "{error}");
    assert_eq!(server.connections(), 3);

    let server = TestServer::start(vec![Reply::new(503, &["Retry-After: 99999"], ""), ok("{}")]).await;
    let error = document(&attempts(&server, 3)).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { retry_after: Some(wait), .. } if wait.as_secs() == 99999));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_document_that_was_cut_is_fetched_again_and_never_returned() {
    let cut = Reply::raw("HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n12345");
    let server = TestServer::start(vec![cut.clone(), ok("{}")]).await;
    assert_eq!(document(&attempts(&server, 2)).await.unwrap().body, "{}");
    let server = TestServer::start(vec![cut]).await;
    let error = document(&upstream(&server)).await.unwrap_err();
    assert!(matches!(error, FetchError::Truncated { expected: Some(10), got: 5, .. }), "{error}");

    // Nobody can tell, where the end of the connection is that of the document.
    let server =
        TestServer::start(vec![Reply::raw("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n{\"a\":")]).await;
    let cut = document(&upstream(&server)).await.unwrap();
    assert_eq!((&cut.body[..], cut.framing), (&b"{\"a\":"[..], Framing::Closing));

    let packed = gzip(&[b'x'; 1000]);
    let head =
        format!("HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
    let server =
        TestServer::start(vec![Reply::raw([head.as_bytes(), &packed[..packed.len() - 3]].concat())]).await;
    let error = document(&upstream(&server)).await.unwrap_err();
    assert!(matches!(error, FetchError::Truncated { expected: None, .. }), "{error}");
}

#[tokio::test]
async fn gzip_is_unpacked_within_the_limit() {
    let server = TestServer::start(vec![
        Reply::new(200, &["Content-Encoding: gzip"], gzip(b"{\"unpacked\":true}")),
        Reply::new(200, &["Content-Encoding: gzip"], gzip(&vec![0; 64 << 20])),
        Reply::new(200, &["Content-Encoding: gzip"], b"not gzip at all"),
        Reply::new(200, &["Content-Encoding: gzip, gzip"], gzip(&gzip(b"{}"))),
        Reply::new(200, &["Content-Encoding: br"], b"{}"),
        Reply::new(200, &["Content-Encoding: identity"], b"{}"),
    ])
    .await;
    let upstream = limited(&server, |limits| limits.metadata_bytes_max = 1 << 20);
    assert_eq!(document(&upstream).await.unwrap().body, "{\"unpacked\":true}");
    let error = document(&upstream).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit, .. } if limit == 1 << 20), "{error}");
    for encoding in ["gzip", "gzip, gzip", "br"] {
        let error = document(&upstream).await.unwrap_err();
        assert!(matches!(&error, FetchError::Encoding { encoding: got, .. } if got == encoding), "{error}");
        assert!(!error.is_transient());
    }
    assert_eq!(document(&upstream).await.unwrap().body, "{}");
}

#[tokio::test]
async fn a_document_may_be_as_large_as_the_limit_and_no_larger() {
    let chunked = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let server = TestServer::start(vec![ok("ab"), ok("abc"), Reply::raw(chunked)]).await;
    let upstream = limited(&server, |limits| limits.metadata_bytes_max = 2);
    assert_eq!(document(&upstream).await.unwrap().body, "ab");
    for _ in ["announced", "found out"] {
        let error = document(&upstream).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 2, .. }), "{error}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_limit() {
    let stalls = [
        (Reply::raw("").stalling(), Phase::Answer),
        (Reply::raw("HTTP/1.1 200 X\r\nContent-").stalling(), Phase::Answer),
        (Reply::raw("HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n12345").stalling(), Phase::Body),
    ];
    for (reply, phase) in stalls {
        let server = TestServer::start(vec![reply]).await;
        let error = document(&impatient(&server)).await.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { phase: got, .. } if got == phase), "{error}");
        assert!(error.is_transient());
    }
    let server = TestServer::start(vec![Reply::raw("").stalling()]).await;
    let upstream = limited(&server, |limits| limits.total_timeout = Duration::from_millis(100));
    let error = document(&upstream).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { phase: Phase::Total, .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    let lengths = "HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}";
    for head in [lengths, "220 mail.example ESMTP\r\n\r\n"] {
        let server = TestServer::start(vec![Reply::raw(head)]).await;
        let error = document(&attempts(&server, 3)).await.unwrap_err();
        assert!(matches!(error, FetchError::Malformed { .. }), "{error}");
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_post_sends_its_body_and_follows_no_redirect() {
    let server = TestServer::start(vec![ok("[]"), Reply::redirect("/registry/other")]).await;
    let upstream = upstream(&server);
    let url = upstream.index_url("-/npm/v1/security/advisories/bulk").unwrap();
    let body = Bytes::from_static(b"{\"name\":[\"1.0.0\"]}");
    let document = upstream.post(&url, "application/json", body.clone()).await.unwrap();
    assert_eq!(document.body, "[]");
    let request = &server.requests()[0];
    assert!(
        request.starts_with("post /registry/-/npm/v1/security/advisories/bulk http/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"name\":[\"1.0.0\"]}"), "{request}");
    let error = upstream.post(&url, "application/json", body).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects { .. }), "{error}");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn cookies_are_ignored() {
    let set = Reply::new(200, &["Set-Cookie: session=1; Path=/"], "{}");
    let server = TestServer::start(vec![set]).await;
    let upstream = upstream(&server);
    document(&upstream).await.unwrap();
    document(&upstream).await.unwrap();
    assert_eq!(server.requests().iter().filter(|request| !request.contains("cookie")).count(), 2);
}

#[tokio::test]
async fn the_breaker_opens_and_closes_again() {
    let mut replies = vec![Reply::new(503, &[], ""); 5];
    replies.push(ok("{}"));
    let server = TestServer::start(replies).await;
    let upstream = upstream(&server);
    for _ in 0..5 {
        assert!(matches!(document(&upstream).await, Err(FetchError::Status { status: 503, .. })));
    }
    let error = document(&upstream).await.unwrap_err();
    assert!(
        matches!(error, FetchError::BreakerOpen { retry_after, .. } if retry_after <= Duration::from_secs(10))
    );
    assert!(error.is_transient());
    assert_eq!(server.connections(), 5, "nothing is sent while it is open");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(document(&upstream).await.unwrap().body, "{}");
    assert_eq!(document(&upstream).await.unwrap().body, "{}");
}

#[tokio::test]
async fn an_answer_of_any_kind_starts_the_breakers_count_again() {
    let four = vec![Reply::new(503, &[], ""); 4];
    for answer in [
        Reply::new(404, &[], ""),
        Reply::new(200, &["Content-Encoding: br"], "{}"),
        Reply::raw("HTTP/1.1 304 X\r\nConnection: close\r\n\r\n"),
    ] {
        let replies = [four.clone(), vec![answer], four.clone(), vec![ok("{}")]].concat();
        let server = TestServer::start(replies).await;
        let upstream = upstream(&server);
        for _ in 0..9 {
            document(&upstream).await.unwrap_err();
        }
        assert_eq!(document(&upstream).await.unwrap().body, "{}");
    }
}

#[tokio::test]
async fn documents_that_break_off_open_the_breaker_too() {
    let cut = Reply::raw("HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n12345");
    let server = TestServer::start(vec![cut]).await;
    let upstream = upstream(&server);
    for _ in 0..5 {
        assert!(matches!(document(&upstream).await, Err(FetchError::Truncated { .. })));
    }
    assert!(matches!(document(&upstream).await, Err(FetchError::BreakerOpen { .. })));
}

#[tokio::test]
async fn paths_stand_in_the_address_as_they_are_given() {
    let server = TestServer::start(vec![ok("{}")]).await;
    let upstream = upstream(&server);
    for path in ["name", "@scope%2fname", "simple/name/", "-/v1/attestations/@s%2fn@1.0.0", "se/rd/serde", ""]
    {
        assert_eq!(upstream.index_url(path).unwrap().path(), format!("/registry/{path}"));
        assert_eq!(upstream.attestations_url(path).unwrap().path(), format!("/registry/{path}"));
    }
    let rooted = ["/name", "//evil.example/"];
    let dotted = ["..", "../name", "a/../../b", "a/./b", "%2e%2e/name", "..\\name"];
    for path in rooted.into_iter().chain(dotted).chain(["a b", "a?b", "a#b", "é", "a\nb"]) {
        assert!(matches!(upstream.index_url(path), Err(FetchError::Request { .. })), "{path:?}");
    }
    let absolute = upstream.index_url("https://evil.example/").unwrap();
    assert_eq!(absolute, server.url("registry/https://evil.example/"), "stays below the registry's address");
}

#[tokio::test]
async fn a_caller_may_ask_for_less_than_the_limit_and_not_for_more() {
    let server = TestServer::start(vec![ok("{ }")]).await;
    let asked = async |upstream: &Upstream, bytes_max| {
        let url = upstream.index_url("name").unwrap();
        upstream.metadata_within(&url, ANY, &Validators::default(), bytes_max).await
    };
    assert!(matches!(asked(&upstream(&server), 3).await, Ok(MetadataReply::Document(_))));
    let error = asked(&upstream(&server), 2).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 2, .. }), "{error:?}");
    let upstream = limited(&server, |limits| limits.metadata_bytes_max = 1);
    let error = asked(&upstream, 3).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 1, .. }), "{error:?}");
}
