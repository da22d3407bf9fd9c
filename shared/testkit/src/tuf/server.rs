//! A mirror of the repository on loopback.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{OwnedRwLockWriteGuard, RwLock},
    task::JoinSet,
};
use url::Url;

use super::TufRepository;
use crate::registry::lock;

/// One request that was received.
#[derive(Clone, Debug)]
pub struct TufRequest {
    /// The path, still encoded.
    pub path: String,
    /// The names of its headers, in lower case.
    pub headers: Vec<String>,
}

/// The server. It ends when it is dropped.
pub struct TufServer {
    shared: Arc<Shared>,
    url: Url,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    redirects: Mutex<BTreeMap<String, String>>,
    log: Mutex<Vec<TufRequest>>,
    gate: Arc<RwLock<()>>,
}

impl TufServer {
    /// Hands out what a repository has published, below `/tuf/`.
    pub async fn start(repository: &TufRepository) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        let url = format!("http://{address}/tuf/").parse().expect("an address");
        let started = Self { shared, url, _server: server };
        started.serve(repository);
        started
    }

    /// Hands out this from now on, and nothing else.
    pub fn serve(&self, repository: &TufRepository) {
        lock(&self.shared.redirects).clear();
        lock(&self.shared.files).clone_from(&repository.files);
    }

    /// Holds every answer back, although the requests are received, until what is returned is dropped.
    pub async fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.shared.gate).write_owned().await
    }

    /// Redirects one document.
    pub fn redirect(&self, name: &str, to: &str) {
        lock(&self.shared.redirects).insert(name.to_owned(), to.to_owned());
    }

    /// Its address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<TufRequest> {
        lock(&self.shared.log).clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (answer, gate) = (answer(&shared, &request), Arc::clone(&shared.gate));
                async move {
                    let _open = gate.read().await;
                    Ok::<_, Infallible>(answer)
                }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ended = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer(shared: &Shared, request: &http::Request<Incoming>) -> http::Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let headers = request.headers().keys().map(ToString::to_string).collect();
    lock(&shared.log).push(TufRequest { path: path.clone(), headers });
    let name = path.strip_prefix("/tuf/").unwrap_or_default();
    let response = http::Response::builder();
    let response = if let Some(to) = lock(&shared.redirects).get(name) {
        response.status(302).header("location", to).body(Full::default())
    } else if let Some(bytes) = lock(&shared.files).get(name) {
        response.body(Full::from(bytes.clone()))
    } else {
        response.status(404).body(Full::default())
    };
    response.expect("plain parts")
}
