use super::*;
use crate::Framing;

#[tokio::test]
async fn bytes_come_exactly_as_sent() {
    // Gzip bytes without an encoding are what a .tgz is.
    let bytes = [0x1f, 0x8b, 8, 0, 255, 0, 13, 10];
    let server = TestServer::start(vec![Reply::new(200, &["Content-Type: application/gzip"], bytes)]).await;
    let (length, got) = artifact(&upstream(&server), "name.tgz#sha256=00").await.unwrap();
    assert_eq!((length, &got[..]), (Some(8), &bytes[..]));
    let request = &server.requests()[0];
    assert!(request.starts_with("get /registry/name.tgz http/1.1\r\n"), "{request}");
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
}

#[tokio::test]
async fn a_body_without_length_is_reported_as_such() {
    let chunked = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n";
    let closing = "HTTP/1.1 200 X\r\nConnection: close\r\n\r\nbytes";
    for reply in [chunked, closing] {
        let server = TestServer::start(vec![Reply::raw(reply)]).await;
        assert_eq!(artifact(&upstream(&server), "a.tgz").await.unwrap(), (None, b"bytes".to_vec()));
    }
}

#[tokio::test]
async fn how_a_body_ends_is_known_before_it_begins() {
    for (head, expected) in [
        ("Content-Length: 5", Framing::Announced),
        ("Transfer-Encoding: chunked", Framing::Delimited),
        ("Transfer-Encoding: Chunked", Framing::Delimited),
        ("Connection: close", Framing::Closing),
    ] {
        let server = TestServer::start(vec![Reply::raw(format!("HTTP/1.1 200 X\r\n{head}\r\n\r\n"))]).await;
        let upstream = upstream(&server);
        let body = upstream.artifact(&upstream.0.url, "a.zip").await.unwrap();
        assert_eq!(body.framing, expected, "{head}");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_truncated() {
    for (reply, expected) in [
        ("HTTP/1.1 200 X\r\nContent-Length: 6\r\n\r\nbytes", Some(6)),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n", None),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbytes", None),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0", None),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n", None),
    ] {
        let server = TestServer::start(vec![Reply::raw(reply)]).await;
        let error = artifact(&attempts(&server, 3), "a.tgz").await.unwrap_err();
        assert!(
            matches!(error, FetchError::Truncated { expected: got, got: 5, .. } if got == expected),
            "{reply:?}: {error:?}"
        );
        assert!(error.is_transient());
        assert_eq!(server.connections(), 1, "what has handed out bytes is not retried here");
    }
}

#[tokio::test]
async fn bytes_after_the_announced_length_are_not_part_of_it() {
    let server =
        TestServer::start(vec![Reply::raw("HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\nbytes")]).await;
    assert_eq!(artifact(&upstream(&server), "a.tgz").await.unwrap(), (Some(4), b"byte".to_vec()));
}

#[tokio::test]
async fn contradicting_framing_is_malformed() {
    for reply in [
        "HTTP/1.1 200 X\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nbytes",
        "HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\nbytes",
        "HTTP/1.1 200 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\nbytes\r\n0\r\n\r\n",
    ] {
        let server = TestServer::start(vec![Reply::raw(reply)]).await;
        let error = artifact(&upstream(&server), "a.tgz").await.unwrap_err();
        assert!(matches!(error, FetchError::Malformed { .. }), "{reply:?}: {error:?}");
    }
}

#[tokio::test]
async fn every_encoding_is_refused() {
    for header in [
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Content-Encoding: zstd",
        "Content-Encoding: gzip, gzip, gzip, gzip, gzip",
        "Content-Encoding: identity\r\nContent-Encoding: gzip",
    ] {
        let server = TestServer::start(vec![Reply::new(200, &[header], "bytes")]).await;
        let error = artifact(&upstream(&server), "a.tgz").await.unwrap_err();
        assert!(matches!(error, FetchError::Encoding { .. }), "{header}: {error:?}");
    }
    let transfer = "HTTP/1.1 200 X\r\nConnection: close\r\nTransfer-Encoding: gzip\r\n\r\nbytes";
    let server = TestServer::start(vec![Reply::raw(transfer)]).await;
    assert!(matches!(artifact(&upstream(&server), "a.tgz").await, Err(FetchError::Encoding { .. })));
    let server = TestServer::start(vec![Reply::new(200, &["Content-Encoding: identity"], "bytes")]).await;
    assert_eq!(artifact(&upstream(&server), "a.tgz").await.unwrap().1, b"bytes");
}

#[tokio::test]
async fn web_pages_and_nothing_are_no_artifacts() {
    for content_type in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
        let reply = Reply::new(200, &[&format!("Content-Type: {content_type}")], "<h1>Log in</h1>");
        let server = TestServer::start(vec![reply]).await;
        let error = artifact(&upstream(&server), "a.tgz").await.unwrap_err();
        assert!(matches!(&error, FetchError::NotAnArtifact { content_type: got, .. } if got == content_type));
    }
    let server = TestServer::start(vec![Reply::new(200, &["Content-Type: text/plain"], "bytes")]).await;
    assert_eq!(artifact(&upstream(&server), "a.tgz").await.unwrap().1, b"bytes");
    for empty in [Reply::new(200, &[], ""), Reply::raw("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")] {
        let server = TestServer::start(vec![empty]).await;
        let error = artifact(&upstream(&server), "a.tgz").await.unwrap_err();
        assert!(matches!(error, FetchError::Empty { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn only_status_200_is_an_artifact() {
    for status in [203, 206, 304, 403, 503] {
        let body = if status == 304 { "" } else { "bytes" };
        let server = TestServer::start(vec![Reply::new(status, &[], body)]).await;
        let error = artifact(&upstream(&server), "a.tgz").await.unwrap_err();
        assert!(matches!(error, FetchError::Status { status: got, .. } if got == status), "{error:?}");
    }
    let server = TestServer::start(vec![Reply::new(503, &[], ""), Reply::new(200, &[], "bytes")]).await;
    assert_eq!(artifact(&attempts(&server, 2), "a.tgz").await.unwrap().1, b"bytes", "503 before any byte");
}

#[tokio::test]
async fn a_body_is_bounded_in_size_and_time() {
    let endless = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n";
    let announced = Reply::new(200, &[], "bytes");
    for reply in [announced.clone(), Reply::raw(endless)] {
        let server = TestServer::start(vec![reply]).await;
        let upstream = limited(&server, |limits| limits.artifact_bytes_max = 4);
        let error = artifact(&upstream, "a.tgz").await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 4, .. }), "{error:?}");
    }
    let server = TestServer::start(vec![announced]).await;
    let upstream = limited(&server, |limits| limits.artifact_bytes_max = 5);
    assert_eq!(artifact(&upstream, "a.tgz").await.unwrap().1, b"bytes");

    let server = TestServer::start(vec![Reply::raw(endless).stalling()]).await;
    let error = artifact(&impatient(&server), "a.tgz").await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { phase: Phase::Body, .. }), "{error:?}");
    let upstream = limited(&server, |limits| limits.artifact_timeout = Duration::from_millis(50));
    let error = artifact(&upstream, "a.tgz").await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { phase: Phase::Total, .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_holds_its_slot_until_it_is_dropped_and_never_one_of_a_document() {
    let server = TestServer::start(vec![Reply::new(200, &[], "bytes")]).await;
    let upstream = limited(&server, |limits| {
        (limits.documents_max, limits.artifacts_max) = (1, 1);
        limits.artifact_timeout = Duration::from_secs(1);
    });
    let body = upstream.artifact(&upstream.0.url, "a.tgz").await.unwrap();
    assert_eq!(document(&upstream).await.unwrap().body, "bytes");
    let error = artifact(&upstream, "b.tgz").await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { phase: Phase::Total, .. }), "{error:?}");
    drop(body);
    assert_eq!(artifact(&upstream, "b.tgz").await.unwrap().1, b"bytes");
}
