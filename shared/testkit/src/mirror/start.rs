//! How a mirror is started: servers, then promote, the edge and the workers.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::sync::{oneshot, watch};
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, BusOptions, BusUser, Passwords};
use touchstone_custody::KeyKind;
use touchstone_domain::{CheckKind, Policy};
use touchstone_edge::{EdgeConfig, EdgeParts};
use touchstone_promote::{LogParts, PromoteConfig, PromoteParts};
use touchstone_runtime::Shutdown;
use touchstone_store::{DatabaseRole, Store, StoreOptions};
use touchstone_upstream::{Upstream, UpstreamOptions};

use super::{TestMirror, TestMirrorBuilder, sumdb::SumdbOptions};
use crate::{
    port::Port,
    servers::{fresh_database, operator_url, start_nats},
};

impl TestMirrorBuilder {
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
        // Its own address is in what it serves, so that it has to be told before it listens.
        let port = Port::take();
        let listen = port.address();
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
                sumdb: self.sumdb.as_ref().map(SumdbOptions::edge),
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
        bound.await.expect("the edge listens on its port")
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
pub(super) async fn open_store(url: &str, role: Option<DatabaseRole>) -> Store {
    let url = role.map_or_else(|| url.to_owned(), |role| role.url(url));
    let options = StoreOptions { url, pool_size: 8, application_name: "test".into() };
    Store::connect(options).await.expect("connected")
}

pub(super) async fn connect(url: String) -> Bus {
    Bus::connect(BusOptions { url, name: "test".into() }).await.expect("connected")
}
