//! A registry on loopback that serves generated packages, counts what it is asked, and lies on demand.

mod answer;
mod attestations;
mod documents;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use url::Url;

use crate::{Package, Sumdb, goproxy::GoProxy};

/// What goes wrong with one file or document.
#[derive(Clone, Debug)]
pub enum Fault {
    /// One byte of the body is flipped.
    Tamper,
    /// Half the body, with the full length announced.
    Truncate,
    /// Half the body, with no length announced: in chunks, which end as they should.
    Short,
    /// Half the body, which nothing but the end of the connection ends.
    Cut,
    /// The whole body, with no length announced.
    Lengthless,
    /// This status instead.
    Status(u16),
    /// An HTML page with status 200.
    Html,
    /// A redirect to this address.
    Redirect(String),
    /// The body waits until the semaphore has a permit.
    Hold(Arc<Semaphore>),
    /// What comes after the first 64 KiB of the body waits until the semaphore has a permit.
    Stall(Arc<Semaphore>),
    /// Other bytes than those that the metadata declares.
    Bytes(Vec<u8>),
    /// The same, with no length announced.
    Chunks(Vec<u8>),
}

/// One request that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with the query, still encoded.
    pub path: String,
}

/// The registry.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    _server: Arc<JoinSet<()>>,
}

pub(crate) struct Shared {
    pub(crate) go: GoProxy,
    pub(crate) sumdb: Sumdb,
    pub(crate) packages: Mutex<Vec<Package>>,
    pub(crate) faults: Mutex<HashMap<String, Fault>>,
    pub(crate) log: Mutex<Vec<Request>>,
    /// Documents that are passed through: npm attestations, keys, PyPI provenance; by path.
    pub(crate) documents: Mutex<HashMap<String, (String, Vec<u8>)>>,
    /// What is said of who published a file, by its name.
    pub(crate) publications: Mutex<HashMap<String, attestations::Publication>>,
    pub(crate) down: AtomicBool,
    pub(crate) html_only: AtomicBool,
    pub(crate) hostile_headers: AtomicBool,
}

impl Shared {
    fn new() -> Self {
        Self {
            go: GoProxy::default(),
            sumdb: Sumdb::new(),
            packages: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            documents: Mutex::default(),
            publications: Mutex::default(),
            down: AtomicBool::new(false),
            html_only: AtomicBool::new(false),
            hostile_headers: AtomicBool::new(false),
        }
    }
}

impl Registry {
    /// Starts an empty registry on a port of the kernel's choice. It ends with the last clone.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::new());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared), address));
        Self { shared, address, _server: Arc::new(server) }
    }

    /// The base address of an ecosystem, with a trailing slash.
    pub fn url(&self, ecosystem: touchstone_domain::Ecosystem) -> Url {
        let path = match ecosystem {
            touchstone_domain::Ecosystem::Pypi => "pypi",
            touchstone_domain::Ecosystem::Cargo => "cargo",
            touchstone_domain::Ecosystem::Go => "go",
            touchstone_domain::Ecosystem::Npm => "npm",
        };
        format!("http://{}/{path}/", self.address).parse().expect("an address")
    }

    /// The origin, without a path.
    pub fn origin(&self) -> Url {
        format!("http://{}/", self.address).parse().expect("an address")
    }

    /// The base address of the checksum database, with a trailing slash.
    pub fn sumdb_url(&self) -> Url {
        format!("http://{}/sumdb/", self.address).parse().expect("an address")
    }

    /// The checksum database.
    pub fn sumdb(&self) -> &Sumdb {
        &self.shared.sumdb
    }

    pub(crate) fn go(&self) -> &GoProxy {
        &self.shared.go
    }

    /// Publishes a package; a file of the same name is replaced, metadata included.
    pub fn publish(&self, package: Package) {
        let mut packages = lock(&self.shared.packages);
        packages
            .retain(|p| (p.ecosystem, &p.name, &p.file) != (package.ecosystem, &package.name, &package.file));
        packages.push(package);
    }

    /// Deletes every version of a package.
    pub fn unpublish(&self, name: &str) {
        lock(&self.shared.packages).retain(|p| p.name != name);
    }

    /// Makes one file go wrong, by its file name; or one document, by its path without leading slash.
    pub fn fault(&self, file: &str, fault: Fault) {
        lock(&self.shared.faults).insert(file.to_owned(), fault);
    }

    /// Makes every file and document right again.
    pub fn honest(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Answers this path (without leading slash) with a document.
    pub fn document(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        lock(&self.shared.documents).insert(path.to_owned(), (content_type.to_owned(), body.into()));
    }

    /// Drops every connection without an answer while `down`.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// Answers PyPI metadata in HTML whatever is accepted, as old indexes do.
    pub fn set_html_only(&self, html_only: bool) {
        self.shared.html_only.store(html_only, Ordering::SeqCst);
    }

    /// Adds to every answer headers that would do harm if a mirror passed them on.
    pub fn set_hostile_headers(&self, hostile: bool) {
        self.shared.hostile_headers.store(hostile, Ordering::SeqCst);
    }

    /// The requests so far, but for those that workers make by themselves: for the latest head of the checksum database.
    pub fn requests(&self) -> Vec<Request> {
        let by_itself = |request: &&Request| request.path == "/sumdb/latest";
        lock(&self.shared.log).iter().filter(|request| !by_itself(request)).cloned().collect()
    }

    /// How many requests so far had a path with this end.
    pub fn asked_for(&self, end: &str) -> usize {
        lock(&self.shared.log).iter().filter(|r| r.path.ends_with(end)).count()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, address: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if shared.down.load(Ordering::SeqCst) {
            continue;
        }
        let _best_effort = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move { answer::answer(&shared, address, request).await }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ended = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Why the registry breaks a connection.
#[derive(Debug, thiserror::Error)]
#[error("this registry breaks off here")]
pub(crate) struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
