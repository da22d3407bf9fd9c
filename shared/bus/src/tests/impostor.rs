//! Somebody between us and the server, or in its place: what it says leads us nowhere, and gets no password.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

const PASSWORD: &str = "the-password-of-the-edge";

/// Somebody who listens, and says whatever it likes.
struct Impostor {
    listener: TcpListener,
    /// Where it says that other servers are.
    elsewhere: Vec<String>,
}

impl Impostor {
    async fn new(elsewhere: &[&Self]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { listener, elsewhere: elsewhere.iter().map(|other| other.address()).collect() }
    }

    fn address(&self) -> String {
        self.listener.local_addr().expect("bound").to_string()
    }

    /// Greets the next one that connects, and says what it was told back, up to its first pause or the end of a line.
    async fn greet(&self) -> (TcpStream, Vec<u8>) {
        let (mut stream, _) =
            timeout(PATIENCE, self.listener.accept()).await.expect("it comes").expect("accepted");
        let info = serde_json::json!({
            "server_id": "impostor", "server_name": "impostor", "version": "2.12.0", "go": "", "host": "127.0.0.1",
            "port": 4222, "headers": true, "max_payload": 1_048_576, "proto": 1, "client_id": 1,
            "auth_required": true, "tls_required": false, "connect_urls": self.elsewhere,
        });
        stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.expect("sent");
        let mut told = vec![0; 4096];
        let length = timeout(PATIENCE, BufReader::new(&mut stream).read(&mut told)).await;
        told.truncate(length.expect("an answer").unwrap_or(0));
        (stream, told)
    }
}

/// Connects in the background, as every service does.
fn connecting(url: String) -> tokio::task::JoinSet<Result<Bus, BusError>> {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Bus::connect(BusOptions { url, name: "test".into() }));
    tasks
}

fn has_password(told: &[u8]) -> bool {
    String::from_utf8_lossy(told).contains(PASSWORD)
}

/// TLS or nothing: who takes `tls_required` out of the greeting, or has no TLS at all, is told nothing.
#[tokio::test]
async fn where_tls_is_asked_for_nobody_is_told_a_password_without_it() {
    for (scheme, is_told) in [("nats", true), ("tls", false)] {
        let impostor = Impostor::new(&[]).await;
        let _connecting = connecting(format!("{scheme}://edge:{PASSWORD}@{}", impostor.address()));
        for _attempt in 0..2 {
            let (_closed, told) = impostor.greet().await;
            assert_eq!(has_password(&told), is_told, "{scheme}: {:?}", String::from_utf8_lossy(&told));
            assert_eq!(told.starts_with(&[0x16, 3]), !is_told, "{scheme}: a handshake");
        }
    }
}

/// An address in a greeting would be dialled without TLS, whatever the configured one asks for.
#[tokio::test]
async fn a_server_that_only_a_greeting_names_is_never_dialled() {
    let other = Impostor::new(&[]).await;
    let first = Impostor::new(&[&other]).await;
    let _connecting = connecting(format!("nats://edge:{PASSWORD}@{}", first.address()));
    for _attempt in 0..4 {
        let (_closed, told) = first.greet().await;
        assert!(has_password(&told), "it is the configured one");
    }
    let dialled = futures::FutureExt::now_or_never(other.listener.accept());
    assert!(dialled.is_none(), "nobody came");

    // One that is configured is dialled.
    let both = format!("nats://edge:{PASSWORD}@{},nats://{}", first.address(), other.address());
    let _connecting = connecting(both);
    tokio::select! {
        (_closed, told) = other.greet() => assert!(has_password(&told)),
        () = async { loop { first.greet().await; } } => unreachable!("it ends only by being dropped"),
    }
}

/// The addresses are of one cluster: if one asks for TLS, none is told anything without.
#[tokio::test]
async fn one_address_that_asks_for_tls_asks_for_all() {
    let impostor = Impostor::new(&[]).await;
    let gone = Impostor::new(&[]).await.address();
    let _connecting = connecting(format!("tls://edge:{PASSWORD}@{gone}, {}", impostor.address()));
    let (_closed, told) = impostor.greet().await;
    assert!(told.starts_with(&[0x16, 3]) && !has_password(&told), "{:?}", String::from_utf8_lossy(&told));
}
