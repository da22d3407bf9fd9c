//! From an inserted artifact to its promotion, with four checks that always pass: what the pipeline itself costs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future, stream};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};
use touchstone_blobs::BlobStore;
use touchstone_bus::{ArtifactEvent, Bus, BusOptions};
use touchstone_custody::{FetchStatement, KeyKind, Signing};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, ArtifactState, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef,
    FileName, KeyId, Outcome, PackageName, Policy, Reason, Requirement, Sha256, Sha512, SignedBy, Version,
};
use touchstone_edge::{Recorder, RecorderParts};
use touchstone_promote::{LogParts, PromoteConfig, PromoteParts};
use touchstone_records::RecordStore;
use touchstone_runtime::{Clock as _, Shutdown, SystemClock};
use touchstone_store::{DatabaseRole, Ingested, NewArtifact, Store, StoreOptions};
use touchstone_testkit::{Servers, custody::TestKeys};
use touchstone_worker::{Check, CheckError, Finding, Job, Options, Parts};

use crate::{cpu, custody, rate, say, spread};

const FLOOD: usize = 20_000;
/// Artifacts of the flood that are put on record at once.
const TOGETHER: usize = 512;
/// Artifacts per second; the first shows what one costs when nothing queues.
const PACES: [u32; 2] = [50, 500];
const PACE_SECONDS: u32 = 15;
const PATIENCE: Duration = Duration::from_mins(5);

/// A check that approves whatever it is given.
struct Approves(CheckKind);

impl Check for Approves {
    fn kind(&self) -> CheckKind {
        self.0
    }

    fn revision(&self) -> i32 {
        1
    }

    async fn check(&self, job: &Job) -> Result<Finding, CheckError> {
        let outcome = Outcome::pass(Reason::Trivial);
        Ok(Finding { outcome, chunk_root: Some(job.facts.chunk_root), evidence: vec![], trust: vec![] })
    }
}

/// The edge's recorder, the four workers and promote, on durable servers.
struct Pipeline {
    store: Store,
    bus: Bus,
    policy_epoch: i32,
    shutdown: Shutdown,
    /// What fetches are signed with.
    edge: Signing,
    recorder: Recorder,
    /// Artifacts that checks of other ecosystems are to be told of.
    others: mpsc::UnboundedSender<ArtifactEvent>,
    servers: Servers,
}

impl Pipeline {
    async fn start() -> Self {
        let servers = Servers::start().await;
        let url = servers.postgres.url();
        Store::migrate(&url).await.expect("migrated");
        // Each service logs in as itself, as in production.
        let options = |name: &str| {
            let role = name.parse::<DatabaseRole>();
            let url = role.map_or_else(|_| url.clone(), |role| role.url(&url));
            StoreOptions { url, pool_size: 8, application_name: name.into() }
        };
        let store = Store::connect(options("bench")).await.expect("connected");
        let policy_epoch = store.register_policy(&Policy::default()).await.expect("registered");
        let connect = || Bus::connect(BusOptions { url: servers.operator_nats_url(), name: "bench".into() });
        let bus = connect().await.expect("connected");
        bus.provision(&CheckKind::ALL).await.expect("provisioned");
        let shutdown = Shutdown::new();
        let keys = TestKeys::new(0);
        let blobs = BlobStore::open(&servers.directory.path().join("blobs")).await.expect("a directory");
        for check in CheckKind::ALL {
            let parts = Parts {
                store: Store::connect(options(check.as_str())).await.expect("connected"),
                bus: connect().await.expect("connected"),
                blobs: blobs.clone(),
                clock: Arc::new(SystemClock),
                shutdown: shutdown.clone(),
                signing: keys.signing(check.into()),
                ring: keys.ring(),
                options: Options { concurrency: 256, ..Options::default() },
            };
            shutdown.tracker.spawn(touchstone_worker::run(Approves(check), parts));
        }
        let (sender, connected) = watch::channel(Some(connect().await.expect("connected")));
        let parts = PromoteParts {
            config: PromoteConfig::default(),
            store: Store::connect(options("promote")).await.expect("connected"),
            bus: connected,
            blobs: blobs.clone(),
            signing: keys.signing(KeyKind::Promote),
            ring: keys.ring(),
            policy: Arc::new(Policy::default()),
            clock: Arc::new(SystemClock),
            log: Some(LogParts {
                dir: servers.directory.path().join("log"),
                signer: keys.log_key(),
                witness_dirs: vec![],
                witness_urls: vec![],
                period: Duration::from_secs(1),
            }),
            tracker: shutdown.tracker.clone(),
            stop: shutdown.soft.clone(),
        };
        shutdown.tracker.spawn(async move {
            touchstone_promote::run(parts).await.expect("promote runs");
            drop(sender);
        });
        let edge = keys.signing(KeyKind::Fetch);
        let (_sender, connected) = watch::channel(Some(connect().await.expect("connected")));
        let recorder = Recorder::start(RecorderParts {
            store: Store::connect(options("edge")).await.expect("connected"),
            bus: connected,
            records: RecordStore::new(blobs),
            signing: edge.clone(),
            ring: keys.ring(),
            clock: Arc::new(SystemClock),
            tracker: shutdown.tracker.clone(),
        });
        let (others, waiting) = mpsc::unbounded_channel();
        shutdown.tracker.spawn(tell_others(bus.clone(), waiting));
        Self { store, bus, policy_epoch, shutdown, edge, recorder, others, servers }
    }

    /// Puts an artifact on record as an edge does, which announces it.
    async fn insert(&self, n: usize) -> ArtifactDbId {
        let new = artifact(n, self.policy_epoch, self.edge.signer.key_id());
        let statement = fetch(&new, &self.edge, SystemClock.now());
        let ingested = self.recorder.ingest(statement, move |fetch| NewArtifact { fetch, ..new }).await;
        match ingested.expect("inserted") {
            Ingested::Inserted { artifact, epoch } => {
                let event = ArtifactEvent::new(artifact, Ecosystem::Npm, epoch, 0);
                self.others.send(event).expect("it runs");
                artifact
            }
            other => panic!("{other:?}"),
        }
    }

    /// Calls `heard` for every promotion that is announced, until it says that it has heard enough.
    async fn promotions(&self, mut heard: impl FnMut(ArtifactDbId) -> bool) {
        let mut decisions = self.bus.decisions().await.expect("subscribed");
        let listening = async {
            while let Some(batch) = decisions.next().await {
                for decided in batch.iter().filter(|decided| decided.state == ArtifactState::Servable) {
                    if !heard(decided.artifact) {
                        return;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("everything is promoted");
    }

    /// The processor time of this process, which all services are in, of Postgres and of NATS.
    fn used(&self) -> [Duration; 3] {
        let of = |pid: Option<u32>| pid.map(cpu::of_tree).unwrap_or_default();
        [cpu::of_this_process(), of(self.servers.postgres.pid()), of(self.servers.nats.pid())]
    }

    /// Ends everything, and returns the directory that it was in.
    async fn stop(self) -> TempDir {
        let Self { shutdown, recorder, others, servers, .. } = self;
        drop((recorder, others));
        shutdown.soft.cancel();
        shutdown.hard.cancel();
        shutdown.drained().await;
        servers.directory
    }
}

/// Checks of other ecosystems do not hear of a fetch, and would wait for the sweeper.
async fn tell_others(bus: Bus, mut waiting: mpsc::UnboundedReceiver<ArtifactEvent>) {
    let mut events = Vec::new();
    while waiting.recv_many(&mut events, TOGETHER).await > 0 {
        for check in CheckKind::ALL.into_iter().filter(|check| !check.applies_to(Ecosystem::Npm)) {
            bus.publish_recheck(check, &events).await.expect("published");
        }
        events.clear();
    }
}

/// An artifact that all checks are required of, with the record of its fetch nowhere yet.
pub(crate) fn artifact(n: usize, policy_epoch: i32, key: KeyId) -> NewArtifact {
    let nowhere = Sha256::of("");
    let envelope = EnvelopeRef { sha256: nowhere, pack: nowhere, offset: 0, size: 0 };
    let name = format!("bench-{n}");
    let checks: CheckSet = CheckKind::ALL.into_iter().collect();
    NewArtifact {
        id: ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new(&name).expect("a name"),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new(format!("{name}-1.0.0.tgz")).expect("a file name"),
        },
        sha256: Sha256::of(&name),
        sha512: Sha512::of(&name),
        size: name.len() as u64,
        chunks: ChunkList::of(name.as_bytes()),
        upstream_url: format!("https://registry.example/{name}"),
        published_at: None,
        claims: vec![],
        evidence: vec![],
        requirement: Requirement::new(checks, checks).expect("not empty"),
        policy_epoch,
        eligible_at: None,
        fetch: SignedBy { key, envelope },
    }
}

/// What an edge would sign of it.
pub(crate) fn fetch(new: &NewArtifact, edge: &Signing, now: Timestamp) -> FetchStatement {
    FetchStatement {
        environment: edge.environment.to_string(),
        id: new.id.clone(),
        sha256: new.sha256,
        sha512: new.sha512,
        size: new.size,
        chunk_root: new.chunks.root(),
        upstream_url: new.upstream_url.clone(),
        published_at: None,
        first_seen: now,
        fetched_at: now,
        evidence: vec![],
        software: "bench".to_owned(),
    }
}

/// Everything at once.
pub(crate) async fn flood() -> TempDir {
    let pipeline = Pipeline::start().await;
    // The first few make connections and plans.
    run_flood(&pipeline, FLOOD, 500).await;
    let (began, before) = (Instant::now(), pipeline.used());
    run_flood(&pipeline, 0, FLOOD).await;
    let per_second = rate(FLOOD as u64, began);
    let used = pipeline.used();
    let counts = pipeline.store.counts(8).await.expect("counts");
    assert_eq!((counts.oldest_pending, counts.stuck), (None, 0));
    say("pipeline, 4 checks, flood of 20,000", &format!("{per_second:.0} artifacts/s"), ">= 5,000/s");
    let directory = pipeline.stop().await;
    say_used(before, used, FLOOD, "<= 400 µs for 5,000/s");
    // Nothing in the product leaves signatures out, so their cost is taken off: this supposes that all cores were busy.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let without = 1.0 / (1.0 / per_second - custody::signatures().total().as_secs_f64() / cores as f64);
    say("the same without signatures, computed", &format!("{without:.0} artifacts/s"), "");
    directory
}

/// Where the processors' time went, for each artifact.
fn say_used(before: [Duration; 3], used: [Duration; 3], artifacts: usize, goal: &str) {
    let number = u32::try_from(artifacts).expect("small");
    let each = |n: usize| (used[n].saturating_sub(before[n]) / number).as_micros();
    let [services, postgres, nats] = [each(0), each(1), each(2)];
    let figure = format!("{} µs: {services}, {postgres}, {nats}", services + postgres + nats);
    say("  cpu per artifact: services, Postgres, NATS", &figure, goal);
}

async fn run_flood(pipeline: &Pipeline, first: usize, number: usize) {
    let mut promoted = 0;
    let inserts = stream::iter(first..first + number).map(|n| pipeline.insert(n));
    let insert = inserts.buffer_unordered(TOGETHER).for_each(|_| future::ready(()));
    let hear = pipeline.promotions(|_| {
        promoted += 1;
        promoted < number
    });
    tokio::join!(hear, insert);
}

/// One after the other, at a steady pace.
pub(crate) async fn latency() -> Vec<TempDir> {
    let mut directories = Vec::new();
    for per_second in PACES {
        let pipeline = Arc::new(Pipeline::start().await);
        run_flood(&pipeline, 0, 500).await;
        let before = pipeline.used();
        let times = paced(&pipeline, per_second).await;
        let used = pipeline.used();
        let goal = if per_second == 500 { "p50 <= 5, p99 <= 20 ms" } else { "" };
        let promoted = times.len();
        say(&format!("pipeline, insert to promoted at {per_second}/s"), &spread(times), goal);
        say_used(before, used, promoted, "");
        directories.push(Arc::into_inner(pipeline).expect("nothing is under way").stop().await);
    }
    directories
}

/// From before the record of the fetch is signed to the announcement of the promotion, for each artifact.
async fn paced(pipeline: &Arc<Pipeline>, per_second: u32) -> Vec<Duration> {
    let number = (per_second * PACE_SECONDS) as usize;
    let began: Arc<Mutex<HashMap<ArtifactDbId, Instant>>> = Arc::default();
    let mut ended: HashMap<ArtifactDbId, Instant> = HashMap::new();
    let hear = pipeline.promotions(|artifact| {
        ended.insert(artifact, Instant::now());
        ended.len() < number
    });
    let insert = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut tasks = JoinSet::new();
        for n in 0..number {
            ticks.tick().await;
            let (pipeline, began) = (Arc::clone(pipeline), Arc::clone(&began));
            tasks.spawn(async move {
                let start = Instant::now();
                let artifact = pipeline.insert(10_000 + n).await;
                began.lock().expect("not poisoned").insert(artifact, start);
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("inserted");
        }
    };
    tokio::join!(hear, insert);
    let began = began.lock().expect("not poisoned");
    ended.into_iter().map(|(artifact, end)| end - began[&artifact]).collect()
}
