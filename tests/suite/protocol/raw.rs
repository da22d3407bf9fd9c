//! HTTP/1.1 written and read by hand: what a tidy client would not send, and the status line as it came.

use std::{fmt::Write as _, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use touchstone_testkit::TestMirror;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One response.
pub(crate) struct Reply {
    /// The status line, without its line end.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    /// The body; chunks, if it has them, are not put together.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A header, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every header of that name.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }

    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a status line").to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self { line, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() }
    }
}

/// A connection to the edge.
pub(crate) async fn connect(mirror: &TestMirror) -> TcpStream {
    let url = mirror.url();
    let address = (url.host_str().expect("a host"), url.port().expect("a port"));
    TcpStream::connect(address).await.expect("the edge listens")
}

/// Sends these bytes, and reads until the edge closes the connection; what it may not do must not be waited for.
pub(crate) async fn exchange(mirror: &TestMirror, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(mirror).await;
    // What is refused early is not read to its end.
    let _refused_early = stream.write_all(request).await;
    read_to_end(&mut stream).await
}

/// Reads until the edge closes the connection.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = vec![];
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received)).await;
    // A reset after the answer ends it too.
    let _ended = read.expect("the edge closes the connection");
    received
}

/// Sends these bytes, and takes what comes for one response.
pub(crate) async fn send(mirror: &TestMirror, request: &[u8]) -> Reply {
    Reply::parse(&exchange(mirror, request).await)
}

/// Sends one request without a body for a target that is taken as it is.
pub(crate) async fn ask(mirror: &TestMirror, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request.push_str("Host: mirror.example\r\n");
    }
    for (name, value) in headers {
        let _infallible = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    send(mirror, request.as_bytes()).await
}

/// Asserts that a reply refuses, with this code, and says this in every place that a client shows.
pub(crate) fn assert_refused(reply: &Reply, status: u16, code: &str, title: &str, what: &str) {
    assert_eq!(reply.line, format!("HTTP/1.1 {status} {title}"), "{what}: {}", reply.text());
    assert_eq!(reply.header("x-touchstone-code"), code, "{what}");
    assert_eq!(reply.header("x-touchstone-reason"), title, "{what}");
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    assert_eq!(reply.has_header("retry-after"), status == 503, "{what}");
    assert!(![202, 404, 409, 425, 451].contains(&status), "{what}");
    // The answer to HEAD has no body, and announces the one that GET gets.
    if !reply.body.is_empty() {
        assert!(reply.text().contains(title), "{what}: {}", reply.text());
        assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{what}");
    }
}
