//! A private Postgres and nats-server, a scripted check, and a worker that runs it.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use touchstone_blobs::BlobStore;
use touchstone_bus::{ArtifactEvent, Bus, BusOptions};
use touchstone_custody::{KeyEntry, KeyKind, KeyRing, LocalSigner, PublicKey, SignError, Signer, Signing};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef, FileName, KeyId,
    Outcome, PackageName, Policy, Reason, Requirement, Sha256, Sha512, SignedBy, Version,
};
use touchstone_runtime::{
    Environment, ManualClock, Nats, NatsOptions, Postgres, PostgresOptions, Search, Shutdown,
};
use touchstone_store::{Ingested, NewArtifact, Store, StoreOptions, Story};

use crate::{Check, CheckError, Finding, Job, Options, Parts, WorkerError, run};

/// A test that hangs is a test that fails.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Everything around one worker.
pub(super) struct World {
    pub(super) postgres: Option<Postgres>,
    pub(super) store: Store,
    pub(super) bus: Bus,
    pub(super) shutdown: Shutdown,
    pub(super) clock: Arc<ManualClock>,
    pub(super) signer: Arc<FlakySigner>,
    /// The keys that count; at first that of the signer alone.
    pub(super) ring: watch::Sender<Arc<KeyRing>>,
    pub(super) check_timeout: Duration,
    pub(super) policy_epoch: i32,
    /// What gates require.
    pub(super) required: CheckSet,
    pub(super) workers: JoinSet<Result<(), WorkerError>>,
    pub(super) directory: TempDir,
    pub(super) nats: Nats,
}

impl World {
    pub(super) async fn new() -> Self {
        let world = Self::unprovisioned().await;
        world.bus.provision(&[CheckKind::Hash]).await.expect("streams");
        world
    }

    /// Before promote was there.
    pub(super) async fn unprovisioned() -> Self {
        let directory = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a directory");
        let search = Search::new(&Environment::of_process());
        let binary = search.nats_server().expect("nats-server");
        let nats =
            Nats::start(NatsOptions { data_dir: directory.path().join("nats"), binary }).await.expect("NATS");
        let postgres = start_postgres(&directory).await;
        Store::migrate(&postgres.url()).await.expect("migrations");
        let options = StoreOptions { url: postgres.url(), pool_size: 4, application_name: "test".into() };
        let store = Store::connect(options).await.expect("a database");
        let policy_epoch = store.register_policy(&Policy::default()).await.expect("a policy");
        let bus = Bus::connect(BusOptions { url: nats.url(), name: "test".into() }).await.expect("NATS");
        let signer = Arc::new(FlakySigner::new(KeyKind::Hash));
        Self {
            postgres: Some(postgres),
            store,
            bus,
            shutdown: Shutdown::new(),
            clock: Arc::new(ManualClock::new("2026-11-23T00:00:00Z".parse().expect("a time"))),
            ring: watch::Sender::new(Arc::new(signer.ring())),
            signer,
            check_timeout: Duration::from_millis(500),
            policy_epoch,
            required: CheckSet::of(CheckKind::Hash),
            workers: JoinSet::new(),
            directory,
            nats,
        }
    }

    /// Starts a worker with the scripted check.
    pub(super) async fn work(&mut self, check: Scripted, concurrency: usize) {
        let signer: Arc<dyn Signer> = self.signer.clone();
        let parts = Parts {
            store: self.store.clone(),
            bus: self.bus.clone(),
            blobs: self.blobs().await,
            signing: Signing { environment: "test".into(), signer },
            ring: self.ring.subscribe(),
            clock: self.clock.clone(),
            shutdown: self.shutdown.clone(),
            options: Options { concurrency, check_timeout: self.check_timeout, ..Options::default() },
        };
        self.workers.spawn(run(check, parts));
    }

    /// The blob store.
    pub(super) async fn blobs(&self) -> BlobStore {
        BlobStore::open(&self.directory.path().join("blobs")).await.expect("a directory")
    }

    /// The names of the packs. Nothing else is in the blob store: the scripted check looks at no bytes.
    pub(super) fn packs(&self) -> Vec<String> {
        let mut directories = vec![self.directory.path().join("blobs/packs")];
        let mut names = vec![];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    directories.push(entry.path());
                } else {
                    names.push(entry.file_name().into_string().expect("ASCII"));
                }
            }
        }
        names.sort();
        names
    }

    /// Waits for the worker to end by itself.
    pub(super) async fn ended(&mut self) {
        let ended = timeout(PATIENCE, self.workers.join_next()).await.expect("it ends");
        ended.expect("a worker").expect("no panic").expect("no error");
    }

    /// Puts an artifact on record, without telling anybody.
    pub(super) async fn ingest(&self, package: &str) -> ArtifactEvent {
        let new = NewArtifact {
            id: ArtifactId {
                ecosystem: Ecosystem::Npm,
                package: PackageName::new(package).expect("a name"),
                version: Version::new("1.0.0").expect("a version"),
                file: FileName::new(format!("{package}-1.0.0.tgz")).expect("a name"),
            },
            sha256: Sha256::of(package),
            sha512: Sha512::of(package),
            size: package.len() as u64,
            chunks: ChunkList::of(package.as_bytes()),
            upstream_url: "https://registry.example/x".into(),
            published_at: None,
            claims: vec![],
            evidence: vec![],
            requirement: Requirement::new(self.required, self.required).expect("a member"),
            policy_epoch: self.policy_epoch,
            eligible_at: None,
            fetch: fetch_of_another_test(),
        };
        match self.store.ingest(&new).await.expect("ingested") {
            Ingested::Inserted { artifact, epoch } => ArtifactEvent::new(artifact, Ecosystem::Npm, epoch, 0),
            other => panic!("{other:?}"),
        }
    }

    /// Puts an artifact on record and announces it.
    pub(super) async fn fetched(&self, package: &str) -> ArtifactDbId {
        let event = self.ingest(package).await;
        let artifact = event.artifact;
        self.bus.publish_fetched(&[event]).await.expect("accepted");
        artifact
    }

    /// What Postgres knows of an artifact, once something holds.
    pub(super) async fn story(&self, artifact: ArtifactDbId, holds: impl Fn(&Story) -> bool) -> Story {
        let looking = async {
            loop {
                let story =
                    self.store.stories_of(&[artifact]).await.ok().and_then(|found| found.into_iter().next());
                match story {
                    Some(story) if holds(&story) => return story,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        timeout(PATIENCE, looking).await.expect("it comes true")
    }

    /// The events that are still to be worked off, with how often they were delivered; they are given back at once.
    pub(super) async fn pending(&self) -> Vec<(ArtifactDbId, i64)> {
        let last = self.ingest("last").await;
        self.bus.publish_fetched(std::slice::from_ref(&last)).await.expect("accepted");
        let mut deliveries = self.bus.consume(CheckKind::Hash, 64).await.expect("a consumer");
        let mut found = vec![];
        loop {
            for delivery in timeout(PATIENCE, deliveries.next_batch(64)).await.expect("at least the last one")
            {
                if delivery.event == last {
                    return found;
                }
                found.push((delivery.event.artifact, delivery.deliveries));
            }
        }
    }

    pub(super) async fn start_postgres(&mut self) {
        self.postgres = Some(start_postgres(&self.directory).await);
    }
}

async fn start_postgres(directory: &TempDir) -> Postgres {
    let bin_dir = Search::new(&Environment::of_process()).postgres_bin_dir().expect("Postgres");
    let data_dir = directory.path().join("postgres");
    Postgres::start(PostgresOptions { data_dir, bin_dir, durable: false }).await.expect("Postgres")
}

/// The workers do not look at fetches.
fn fetch_of_another_test() -> SignedBy {
    let envelope = EnvelopeRef { sha256: Sha256::of("e"), pack: Sha256::of("p"), offset: 0, size: 1 };
    SignedBy { key: KeyId(Sha256::of("k")), envelope }
}

/// A key that may be out of reach.
#[derive(Debug)]
pub(super) struct FlakySigner {
    inner: LocalSigner,
    pub(super) away: AtomicBool,
    /// How often it did not sign.
    pub(super) failures: AtomicU32,
}

impl FlakySigner {
    pub(super) fn new(kind: KeyKind) -> Self {
        Self::of_seed(kind, 7)
    }

    /// Another seed is another key.
    pub(super) fn of_seed(kind: KeyKind, seed: u8) -> Self {
        let inner = LocalSigner::from_seed(kind, [seed; 32]).expect("a key");
        Self { inner, away: AtomicBool::new(false), failures: AtomicU32::new(0) }
    }

    /// A ring that has this key alone.
    pub(super) fn ring(&self) -> KeyRing {
        let not_before = "2026-01-01T00:00:00Z".parse().expect("a time");
        let (kind, public) = (self.kind(), self.public());
        KeyRing::new(vec![KeyEntry { kind, public, not_before, not_after: None, revoked: None }])
            .expect("a ring")
    }
}

impl Signer for FlakySigner {
    fn kind(&self) -> KeyKind {
        self.inner.kind()
    }

    fn public(&self) -> PublicKey {
        self.inner.public()
    }

    fn key_id(&self) -> KeyId {
        self.inner.key_id()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        if self.away.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(SignError::Failed("the agent does not answer".into()));
        }
        self.inner.sign(message)
    }
}

/// A check that does what the package is called.
#[derive(Clone)]
pub(super) struct Scripted {
    /// How often it was called.
    pub(super) calls: Arc<AtomicU32>,
    /// What `waits` waits for.
    pub(super) permits: Arc<Semaphore>,
}

impl Scripted {
    pub(super) fn new() -> Self {
        Self { calls: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
    }
}

impl Check for Scripted {
    fn kind(&self) -> CheckKind {
        CheckKind::Hash
    }

    fn revision(&self) -> i32 {
        3
    }

    async fn check(&self, job: &Job) -> Result<Finding, CheckError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match job.facts.id.package.as_str() {
            "fails-once" if call == 0 => return Err(CheckError::retry("not today")),
            "poison" => return Err(CheckError::poison("never")),
            "panics" => panic!("on purpose"),
            "hangs" => std::future::pending().await,
            "waits" => self.permits.acquire().await.expect("open").forget(),
            _ => {}
        }
        Ok(Finding {
            outcome: match job.facts.id.package.as_str() {
                "is-refused" => Outcome::fail(Reason::NoClaim),
                _ => Outcome::pass(Reason::Trivial),
            },
            chunk_root: Some(job.facts.chunk_root),
            evidence: match job.facts.id.package.as_str() {
                "verbose" => vec![Sha256::of("e"); 2000],
                _ => vec![],
            },
            trust: vec![Sha256::of(job.policy.document())],
        })
    }
}
