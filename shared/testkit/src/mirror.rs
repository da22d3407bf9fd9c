//! A whole mirror in the process of the test: edge, hash, attest and sumdb workers, and promote, over HTTP and real servers.

mod sumdb;
mod workers;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use touchstone_attest::trust::TrustOptions;
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, BusOptions, BusUser, Passwords};
use touchstone_custody::KeyKind;
use touchstone_domain::{ArtifactState, CheckKind, Ecosystem, Policy, Purl, Sha256};
use touchstone_edge::{EdgeConfig, EdgeParts};
use touchstone_promote::{LogParts, PromoteConfig, PromoteParts};
use touchstone_runtime::{Clock, Shutdown, SystemClock, servers::Nats};
use touchstone_store::{DatabaseRole, Store, StoreOptions};
use touchstone_upstream::{Limits, Upstream, UpstreamOptions};
use url::Url;

use crate::{
    Registry,
    custody::TestKeys,
    servers::{fresh_database, operator_url, start_nats},
    sigstore::Sigstore,
};

/// How long a condition may take to hold before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the condition gives a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in {PATIENCE:?}: {what}"))
}

/// What a mirror is started with.
pub struct TestMirrorBuilder {
    upstreams: Vec<UpstreamOptions>,
    policy: String,
    hold: Duration,
    patient_hold: Duration,
    metadata_ttl: Duration,
    hash_workers: usize,
    attest_workers: usize,
    sumdb_workers: usize,
    sumdb: Option<sumdb::SumdbOptions>,
    trust: Option<(Vec<u8>, Vec<u8>, String)>,
    trust_options: Option<TrustOptions>,
    promoters: usize,
    clock: Arc<dyn Clock>,
    hosts: HashMap<Ecosystem, String>,
    limits: Limits,
    header_timeout: Duration,
    shared: Option<Shared>,
    keys: TestKeys,
    log_dir: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    witness_dirs: Vec<PathBuf>,
    witness_urls: Vec<Url>,
}

/// What the processes of one installation share.
struct Shared {
    database_url: String,
    blobs_dir: PathBuf,
    log_dir: PathBuf,
}

/// A running mirror. It stops when it is dropped.
pub struct TestMirror {
    /// Postgres.
    pub store: Store,
    /// The address of its database.
    pub database_url: String,
    /// NATS, for a test that may say and hear everything.
    pub bus: Bus,
    passwords: Passwords,
    /// The private nats-server.
    pub nats: Nats,
    /// The blob store.
    pub blobs: BlobStore,
    /// Its directory.
    pub blobs_dir: PathBuf,
    /// The keys that decisions are signed with, and the ring that says which count.
    pub keys: TestKeys,
    /// Where the transparency log is published.
    pub log_dir: PathBuf,
    /// Cancelling it stops the roles.
    pub shutdown: Shutdown,
    address: SocketAddr,
    client: reqwest::Client,
    attestation_upstreams: Vec<UpstreamOptions>,
    sumdb: Option<sumdb::SumdbOptions>,
    trust: TrustOptions,
    _directory: TempDir,
}

impl TestMirror {
    /// A mirror with the default policy.
    pub fn builder() -> TestMirrorBuilder {
        TestMirrorBuilder {
            upstreams: vec![],
            policy: String::new(),
            hold: Duration::from_secs(8),
            patient_hold: Duration::from_secs(20),
            metadata_ttl: Duration::ZERO,
            hash_workers: 1,
            attest_workers: 1,
            sumdb_workers: 1,
            sumdb: None,
            trust: None,
            trust_options: None,
            promoters: 1,
            clock: Arc::new(SystemClock),
            hosts: HashMap::new(),
            limits: Limits { attempts_max: 1, ..Limits::default() },
            header_timeout: Duration::from_secs(10),
            shared: None,
            keys: TestKeys::new(0),
            log_dir: None,
            state_dir: None,
            witness_dirs: vec![],
            witness_urls: vec![],
        }
    }

    /// The address of the edge, with a trailing slash.
    pub fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().expect("an address")
    }

    /// Asks for a path below the root; redirects are not followed.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.request(path).send().await.expect("the edge answers")
    }

    /// A GET request to add headers to.
    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}/{path}", self.address))
    }

    /// NATS, as a service has it.
    pub(crate) async fn bus_of(&self, user: BusUser) -> Bus {
        connect(self.passwords.url(&self.nats.url(), user)).await
    }

    /// The states of what a purl names, by file.
    pub async fn states(&self, purl: &str) -> HashMap<String, ArtifactState> {
        let purl: Purl = purl.parse().expect("a purl");
        let stories = self.store.stories(&purl, 100).await.expect("stories");
        stories.iter().map(|story| (story.facts.id.file.to_string(), story.state())).collect()
    }

    /// The kinds of the incidents so far, settled or not, the latest first.
    pub async fn incidents(&self) -> Vec<String> {
        let incidents = self.store.latest_incidents(100).await.expect("incidents");
        incidents.into_iter().map(|incident| incident.kind).collect()
    }

    /// Stops the roles, and waits until they have ended. The database, the blobs and the log stay, for a mirror beside this one.
    pub async fn stop(&self) {
        self.shutdown.soft.cancel();
        self.shutdown.drained().await;
    }

    /// Where a blob is on disk.
    pub fn blob_path(&self, sha256: Sha256) -> PathBuf {
        let hex = sha256.to_string();
        self.blobs_dir.join("sha256").join(&hex[..2]).join(&hex[2..4]).join(hex)
    }
}

impl Drop for TestMirror {
    fn drop(&mut self) {
        self.shutdown.soft.cancel();
        self.shutdown.hard.cancel();
    }
}

impl TestMirror {
    /// Starts so many workers of the hash, attest and sumdb checks.
    async fn workers(&self, (hash, attest, sumdb): (usize, usize, usize), clock: &Arc<dyn Clock>) {
        for _ in 0..hash {
            self.hash_worker(Arc::clone(clock)).await;
        }
        for _ in 0..attest {
            self.attest_worker(Arc::clone(clock)).await;
        }
        for _ in 0..sumdb {
            self.sumdb_worker(Arc::clone(clock)).await;
        }
    }
}

impl TestMirrorBuilder {
    /// Uses the registry for every ecosystem, and its checksum database.
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        for ecosystem in Ecosystem::ALL {
            self = self.upstream(ecosystem, registry.url(ecosystem));
        }
        self.sumdb_of(registry)
    }

    /// Uses this address for an ecosystem.
    #[must_use]
    pub fn upstream(mut self, ecosystem: Ecosystem, url: Url) -> Self {
        let limits = Limits::default();
        self.upstreams.push(UpstreamOptions {
            ecosystem,
            url,
            attestations_url: None,
            file_hosts: vec![],
            limits,
            bearer: None,
        });
        self
    }

    /// Uses this policy file.
    #[must_use]
    pub fn policy(mut self, document: &str) -> Self {
        document.clone_into(&mut self.policy);
        self
    }

    /// How long requests wait for a decision.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// How long requests of the go command wait for one; 20 seconds if not said.
    #[must_use]
    pub fn patient_hold(mut self, hold: Duration) -> Self {
        self.patient_hold = hold;
        self
    }

    /// How long metadata is used without asking again; zero if not said.
    #[must_use]
    pub fn metadata_ttl(mut self, ttl: Duration) -> Self {
        self.metadata_ttl = ttl;
        self
    }

    /// How many hash workers share the work; none leaves everything pending.
    #[must_use]
    pub fn hash_workers(mut self, number: usize) -> Self {
        self.hash_workers = number;
        self
    }

    /// How many attest workers share the work; none leaves everything pending that has attestations in its ecosystem.
    #[must_use]
    pub fn attest_workers(mut self, number: usize) -> Self {
        self.attest_workers = number;
        self
    }

    /// Trusts this sigstore, its registry's keys and its registry, instead of what is built in.
    #[must_use]
    pub fn trust(mut self, sigstore: &Sigstore) -> Self {
        let (root, keys) = (sigstore.trusted_root_json(), sigstore.registry_keys_json());
        self.trust = Some((root, keys, sigstore.registry_url.clone()));
        self
    }

    /// Trusts what these say, whatever else was said.
    #[must_use]
    pub fn trust_options(mut self, options: TrustOptions) -> Self {
        self.trust_options = Some(options);
        self
    }

    /// How many promote services run.
    #[must_use]
    pub fn promoters(mut self, number: usize) -> Self {
        self.promoters = number;
        self
    }

    /// Tells the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Serves an ecosystem at the root of a host name.
    #[must_use]
    pub fn host(mut self, ecosystem: Ecosystem, name: &str) -> Self {
        self.hosts.insert(ecosystem, name.to_owned());
        self
    }

    /// Bounds on what upstreams may send.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a client may take to send a request's headers.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// Uses the database and the blobs of another mirror, as a second process of the same installation does.
    #[must_use]
    pub fn beside(mut self, mirror: &TestMirror) -> Self {
        self.shared = Some(Shared {
            database_url: mirror.database_url.clone(),
            blobs_dir: mirror.blobs_dir.clone(),
            log_dir: mirror.log_dir.clone(),
        });
        self.keys = mirror.keys.clone();
        self
    }

    /// As [`TestMirrorBuilder::beside`], but with this database: one that was restored, for instance.
    #[must_use]
    pub fn on_database(mut self, url: &str) -> Self {
        url.clone_into(&mut self.shared.as_mut().expect("`beside` comes first").database_url);
        self
    }

    /// Signs with these keys, and believes this ring.
    #[must_use]
    pub fn keys(mut self, keys: TestKeys) -> Self {
        self.keys = keys;
        self
    }

    /// Publishes the transparency log there.
    #[must_use]
    pub fn log_dir(mut self, directory: PathBuf) -> Self {
        self.log_dir = Some(directory);
        self
    }

    /// Keeps there what the edge has seen of the log, for another edge to be started with.
    #[must_use]
    pub fn state_dir(mut self, directory: PathBuf) -> Self {
        self.state_dir = Some(directory);
        self
    }

    /// Gives the transparency log to one more directory.
    #[must_use]
    pub fn witness_dir(mut self, directory: PathBuf) -> Self {
        self.witness_dirs.push(directory);
        self
    }

    /// Sends the transparency log's checkpoints to one more witness.
    #[must_use]
    pub fn witness_url(mut self, url: Url) -> Self {
        self.witness_urls.push(url);
        self
    }

    /// Starts everything.
    pub async fn start(self) -> TestMirror {
        let directory = tempfile::Builder::new().prefix("ts").tempdir_in("/tmp").expect("a directory");
        let (database_url, blobs_dir, log_dir) = match &self.shared {
            Some(shared) => (shared.database_url.clone(), shared.blobs_dir.clone(), shared.log_dir.clone()),
            None => (fresh_database().await, directory.path().join("blobs"), directory.path().join("log")),
        };
        let log_dir = self.log_dir.clone().unwrap_or(log_dir);
        let passwords = Passwords::generate();
        let nats = start_nats(&directory, &passwords).await;
        let shutdown = Shutdown::new();
        nats.supervise(&shutdown);
        let bus = connect(operator_url(&nats)).await;
        bus.provision(&[CheckKind::Hash, CheckKind::Attest, CheckKind::Sumdb]).await.expect("provisioned");
        let blobs = BlobStore::open(&blobs_dir).await.expect("blobs");
        let store = open_store(&database_url, None).await;
        let policy = Arc::new(Policy::parse(&self.policy).expect("policy"));
        let seen = async |user| {
            let bus = connect(passwords.url(&nats.url(), user)).await;
            let (sender, connected) = watch::channel(Some(bus));
            // The roles see NATS for as long as the mirror lives.
            let token = shutdown.soft.clone();
            shutdown.tracker.spawn(async move {
                token.cancelled().await;
                drop(sender);
            });
            connected
        };
        for _ in 0..self.promoters {
            let store = open_store(&database_url, Some(DatabaseRole::Promote)).await;
            let connected = (store, seen(BusUser::Promote).await);
            let parts = self.promoter(connected, (&blobs, &log_dir), &policy, &shutdown);
            shutdown
                .tracker
                .spawn(async move { touchstone_promote::run(parts).await.expect("promote runs") });
        }
        let (workers, sumdb) =
            ((self.hash_workers, self.attest_workers, self.sumdb_workers), self.sumdb.clone());
        let clock = Arc::clone(&self.clock);
        let (attestation_upstreams, trust) = (self.attestation_upstreams(), self.trusted(&directory));
        let keys = self.keys.clone();
        let state_dir = self.state_dir.clone().unwrap_or_else(|| directory.path().join("edge"));
        let places = Places { database_url: &database_url, log_dir: &log_dir, state_dir: &state_dir };
        let address = self.edge(&places, &blobs, seen(BusUser::Edge).await, policy, &shutdown).await;
        let client = http_client();
        let mirror = TestMirror {
            store,
            database_url,
            bus,
            passwords,
            nats,
            blobs,
            blobs_dir,
            keys,
            log_dir,
            shutdown,
            address,
            client,
            attestation_upstreams,
            sumdb,
            trust,
            _directory: directory,
        };
        mirror.workers(workers, &clock).await;
        mirror
    }

    /// A promote service, with what it is connected to, and where it keeps things.
    fn promoter(
        &self,
        (store, bus): (Store, watch::Receiver<Option<Bus>>),
        (blobs, log_dir): (&BlobStore, &Path),
        policy: &Arc<Policy>,
        shutdown: &Shutdown,
    ) -> PromoteParts {
        let log = LogParts {
            dir: log_dir.to_owned(),
            signer: self.keys.log_key(),
            witness_dirs: self.witness_dirs.clone(),
            witness_urls: self.witness_urls.clone(),
            period: Duration::from_millis(200),
        };
        PromoteParts {
            config: PromoteConfig { sweep_period: Duration::from_millis(200), ..PromoteConfig::default() },
            store,
            bus,
            blobs: blobs.clone(),
            signing: self.keys.signing(KeyKind::Promote),
            ring: self.keys.ring(),
            policy: Arc::clone(policy),
            clock: Arc::clone(&self.clock),
            log: Some(log),
            tracker: shutdown.tracker.clone(),
            stop: shutdown.soft.clone(),
        }
    }

    async fn edge(
        self,
        places: &Places<'_>,
        blobs: &BlobStore,
        bus: watch::Receiver<Option<Bus>>,
        policy: Arc<Policy>,
        shutdown: &Shutdown,
    ) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = listener.local_addr().expect("bound");
        drop(listener);
        let limits = self.limits;
        let upstream = |options: UpstreamOptions| {
            let ecosystem = options.ecosystem;
            let options = UpstreamOptions { limits: limits.clone(), ..options };
            (ecosystem, Upstream::new(options).expect("an upstream"))
        };
        let parts = EdgeParts {
            config: EdgeConfig {
                listen,
                public_url: format!("http://{listen}/").parse().expect("an address"),
                hosts: self.hosts,
                hold: self.hold,
                patient_hold: self.patient_hold,
                sumdb: self.sumdb.as_ref().map(sumdb::SumdbOptions::edge),
                metadata_ttl: self.metadata_ttl,
                connections_max: 4_096,
                header_timeout: self.header_timeout,
                stall_timeout: Duration::from_mins(1),
                log_dir: places.log_dir.to_owned(),
                state_dir: places.state_dir.to_owned(),
            },
            signing: self.keys.signing(KeyKind::Fetch),
            ring: self.keys.ring(),
            store: open_store(places.database_url, Some(DatabaseRole::Edge)).await,
            blobs: blobs.clone(),
            bus,
            upstreams: self.upstreams.into_iter().map(upstream).collect(),
            policy,
            clock: self.clock,
            tracker: shutdown.tracker.clone(),
            stop: shutdown.soft.clone(),
        };
        let (sender, bound) = oneshot::channel();
        shutdown.tracker.spawn(async move {
            let announce = move |address| {
                let _waiting = sender.send(address);
            };
            touchstone_edge::run(parts, announce).await.expect("the edge runs");
        });
        bound.await.expect("the edge listens")
    }
}

/// What asks the edge: nothing is followed, unpacked or kept.
fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_gzip().no_proxy();
    client.pool_max_idle_per_host(0).build().expect("a client")
}

/// Where an edge finds and keeps things.
struct Places<'a> {
    database_url: &'a str,
    log_dir: &'a Path,
    state_dir: &'a Path,
}

/// The database as a service has it; as its owner, who may do everything, for a test.
async fn open_store(url: &str, role: Option<DatabaseRole>) -> Store {
    let url = role.map_or_else(|| url.to_owned(), |role| role.url(url));
    let options = StoreOptions { url, pool_size: 8, application_name: "test".into() };
    Store::connect(options).await.expect("connected")
}

async fn connect(url: String) -> Bus {
    Bus::connect(BusOptions { url, name: "test".into() }).await.expect("connected")
}
