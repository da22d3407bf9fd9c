//! A private Postgres and nats-server, a scripted check, and a worker that runs it.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use touchstone_blobs::BlobStore;
use touchstone_bus::{ArtifactEvent, Bus, BusOptions};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, FileName, Outcome, PackageName,
    Policy, Reason, Requirement, Sha256, Sha512, Version,
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
    policy_epoch: i32,
    workers: JoinSet<Result<(), WorkerError>>,
    directory: TempDir,
    _nats: Nats,
}

impl World {
    pub(super) async fn new() -> Self {
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
        bus.provision(&[CheckKind::Hash]).await.expect("streams");
        Self {
            postgres: Some(postgres),
            store,
            bus,
            shutdown: Shutdown::new(),
            policy_epoch,
            workers: JoinSet::new(),
            directory,
            _nats: nats,
        }
    }

    /// Starts a worker with the scripted check.
    pub(super) async fn work(&mut self, check: Scripted, concurrency: usize) {
        let parts = Parts {
            store: self.store.clone(),
            bus: self.bus.clone(),
            blobs: BlobStore::open(&self.directory.path().join("blobs")).await.expect("a directory"),
            clock: Arc::new(ManualClock::new("2026-11-23T00:00:00Z".parse().expect("a time"))),
            shutdown: self.shutdown.clone(),
            options: Options { concurrency, check_timeout: Duration::from_millis(500), ..Options::default() },
        };
        self.workers.spawn(run(check, parts));
    }

    /// Waits for the worker to end by itself.
    pub(super) async fn ended(&mut self) {
        let ended = timeout(PATIENCE, self.workers.join_next()).await.expect("it ends");
        ended.expect("a worker").expect("no panic").expect("no error");
    }

    /// Puts an artifact on record, without telling anybody.
    pub(super) async fn ingest(&self, package: &str) -> ArtifactEvent {
        let hash = CheckSet::of(CheckKind::Hash);
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
            requirement: Requirement::new(hash, hash).expect("a member"),
            policy_epoch: self.policy_epoch,
            eligible_at: None,
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
            outcome: Outcome::pass(Reason::Trivial),
            chunk_root: Some(job.facts.chunk_root),
            evidence: vec![],
            trust: vec![Sha256::of(job.policy.document())],
        })
    }
}
