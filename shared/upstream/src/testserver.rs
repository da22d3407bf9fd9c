//! A scripted HTTP server on a loopback address: it says exactly the bytes that a test gives it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use url::Url;

/// What one connection is answered with.
#[derive(Clone)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    Stall,
}

impl Reply {
    /// These bytes, then the end.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::Close }
    }

    /// A well-formed answer; `headers` is `Name: value` lines.
    pub(crate) fn new(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let lines = headers.iter().flat_map(|line| [*line, "\r\n"]).collect::<String>();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n");
        Self::raw([head.as_bytes(), body].concat())
    }

    /// A redirect.
    pub(crate) fn redirect(location: &str) -> Self {
        Self::new(302, &[&format!("Location: {location}")], "moved")
    }

    /// The connection stays open afterwards, and silent.
    pub(crate) fn stalling(self) -> Self {
        Self { then: Then::Stall, ..self }
    }
}

/// The server; gone when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl TestServer {
    /// Gives the replies in turn, and the last one for ever.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        Self::start_on("127.0.0.1", replies).await
    }

    /// The same on another loopback address.
    pub(crate) async fn start_on(ip: &str, replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(vec![]));
        let connections = Arc::new(AtomicUsize::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let (requests, connections) = (Arc::clone(&requests), Arc::clone(&connections));
            async move {
                let mut answering = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let index = connections.fetch_add(1, Ordering::SeqCst);
                    let reply = replies.get(index).or(replies.last()).unwrap().clone();
                    answering.spawn(answer(stream, reply, Arc::clone(&requests)));
                }
            }
        });
        Self { address, requests, connections, _accepting: accepting }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}/{path}", self.address)).unwrap()
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests as they came, in lower case but for their bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, reply: Reply, requests: Arc<Mutex<Vec<String>>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    requests.lock().unwrap().push(request);
    // A client may have hung up on us; that is its right.
    let _ = stream.write_all(&reply.bytes).await;
    match reply.then {
        Then::Close => {
            let _ = stream.shutdown().await;
        }
        Then::Stall => std::future::pending().await,
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..count]).ok()?);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return Some(format!("{head}\r\n\r\n{body}"));
        }
    }
}
