//! Whole checks against the miniature database: what they use, what they add to the evidence, and when they give no verdict.

use touchstone_blobs::BlobStore;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, EnvelopeRef, FileName, KeyId, OutcomeKind, Policy, Sha256, SignedBy,
};
use touchstone_ecosystems::adapter;
use touchstone_runtime::SystemClock;
use touchstone_store::{Facts, Ingested, NewArtifact, NewSumdbStop, StoreOptions, SumdbHead, SumdbStopKind};
use touchstone_testkit::{Fault, Lie, Module, PartialTiles, Registry, eventually, fresh_database};
use touchstone_tlog::note::VerifierKey;
use touchstone_upstream::{Limits, Mirror};

use super::*;
use crate::client::Client;

struct World {
    registry: Registry,
    store: Store,
    blobs: BlobStore,
    policy: Arc<Policy>,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::under("").await
    }

    async fn under(policy: &str) -> Self {
        let registry = Registry::start().await;
        registry.sumdb().fill(300);
        let options =
            StoreOptions { url: fresh_database().await, pool_size: 4, application_name: "test".to_owned() };
        let directory = tempfile::tempdir().unwrap();
        Self {
            registry,
            store: Store::connect(options).await.unwrap(),
            blobs: BlobStore::open(directory.path()).await.unwrap(),
            policy: Arc::new(Policy::parse(policy).unwrap()),
            _directory: directory,
        }
    }

    /// The `.mod` file of a module, as it was ingested.
    async fn ingest(&self, module: &Module) -> ArtifactDbId {
        let go = adapter(Ecosystem::Go);
        let id = ArtifactId {
            ecosystem: Ecosystem::Go,
            package: go.package(&module.path).unwrap(),
            version: go.version(&module.version).unwrap(),
            file: FileName::new(format!("{}.mod", module.version)).unwrap(),
        };
        let contents = self.blobs.put_bytes(module.go_mod.clone().into()).await.unwrap();
        let new = NewArtifact {
            sha256: contents.sha256,
            sha512: contents.sha512,
            size: contents.size,
            chunks: contents.chunks,
            upstream_url: "https://modules.example/".to_owned(),
            published_at: None,
            claims: vec![],
            evidence: vec![],
            requirement: self.policy.requirement(Ecosystem::Go, &id.package),
            policy_epoch: self.store.register_policy(&self.policy).await.unwrap(),
            eligible_at: None,
            // No check looks at it.
            fetch: SignedBy {
                key: KeyId(Sha256::of("key")),
                envelope: EnvelopeRef {
                    sha256: Sha256::of("fetch"),
                    pack: Sha256::of("pack"),
                    offset: 0,
                    size: 1,
                },
            },
            id,
        };
        let Ingested::Inserted { artifact, .. } = self.store.ingest(&new).await.unwrap() else {
            panic!("it is new")
        };
        artifact
    }

    async fn published(&self, name: &str) -> (Module, ArtifactDbId) {
        let module = Module::new(&format!("example.com/{name}"), "v1.0.0");
        self.registry.publish_module(module.clone());
        let artifact = self.ingest(&module).await;
        (module, artifact)
    }

    async fn facts(&self, artifact: ArtifactDbId) -> Facts {
        self.store.facts(&[artifact]).await.unwrap().remove(0)
    }

    /// One check, by a process of its own: nothing is in memory.
    async fn checked(&self, artifact: ArtifactDbId) -> Result<Finding, String> {
        let key = VerifierKey::parse(&self.registry.sumdb().key()).unwrap();
        let limits = Limits { attempts_max: 1, ..Limits::default() };
        let mirror = Mirror::new(&self.registry.sumdb_url(), limits).unwrap();
        let client = Client::new(mirror, self.store.clone(), key.id());
        let database = Arc::new(Database::new(key, client, self.store.clone()));
        let check = SumdbCheck {
            lookups: Lookups::new(Arc::clone(&database.client)),
            database,
            store: self.store.clone(),
            clock: Arc::new(SystemClock),
        };
        let (facts, policy) = (self.facts(artifact).await, Arc::clone(&self.policy));
        check.check(&Job { facts, blobs: self.blobs.clone(), policy }).await.map_err(|error| {
            assert!(matches!(error, CheckError::Retry { .. }), "{error}");
            error.to_string()
        })
    }

    /// The digests of the lookups on record.
    async fn on_record(&self, artifact: ArtifactDbId) -> Vec<Sha256> {
        self.facts(artifact).await.evidence.iter().map(|kept| kept.sha256).collect()
    }

    fn grow(&self) {
        let sumdb = self.registry.sumdb();
        sumdb.fill(sumdb.size() + 1);
    }

    /// Ends a fork, and forgets the head.
    async fn discard(&self, ours: &SumdbHead) {
        let id = self.registry.sumdb().id();
        let stop = NewSumdbStop {
            kind: SumdbStopKind::Fork,
            ours: ours.clone(),
            theirs: ours.clone(),
            detail: "a test".to_owned(),
        };
        self.store.stop_sumdb(&id, &stop).await.unwrap();
        assert!(self.store.resume_sumdb(&id, &SumdbStopKind::ALL, "a test", true).await.unwrap());
    }

    async fn head(&self) -> SumdbHead {
        self.store.sumdb_state(&self.registry.sumdb().id()).await.unwrap().head.unwrap()
    }
}

fn code(checked: &Result<Finding, String>) -> &str {
    match checked {
        Ok(finding) => finding.outcome.reason.code(),
        Err(why) => why,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_record_and_proves_itself_is_not_asked_for_again() {
    let world = World::new().await;
    let (module, artifact) = world.published("a").await;
    let first = world.checked(artifact).await.unwrap();
    assert_eq!((first.outcome.kind, &first.evidence), (OutcomeKind::Pass, &world.on_record(artifact).await));
    assert_eq!(first.evidence.len(), 1);
    // Also where the tree is larger by now.
    for name in ["b", "c"] {
        let (_, other) = world.published(name).await;
        world.checked(other).await.unwrap();
        assert_eq!(world.checked(artifact).await.unwrap(), first);
    }
    let asked = || world.registry.asked_for(module.lookup().trim_start_matches("sumdb/"));
    assert_eq!(asked(), 1);

    // Not where the tree was forgotten that it is of: neither does that come back, nor is it a fork.
    world.discard(&world.head().await).await;
    let last = world.registry.sumdb().size() - 1;
    world.registry.sumdb().lie(Lie::Fork { record: last, more: 9 });
    let again = world.checked(artifact).await.unwrap();
    assert_eq!((again.outcome.kind, again.evidence.len()), (OutcomeKind::Pass, 1));
    assert_ne!(again.evidence, first.evidence);
    assert_eq!(world.head().await.size, last + 1 + 9);
    for _ in 0..2 {
        assert_eq!(world.checked(artifact).await.unwrap(), again);
    }
    assert_eq!(asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_adds_nothing_to_the_evidence() {
    let world = World::new().await;
    let (module, artifact) = world.published("a").await;
    world.registry.sumdb().set_partial_tiles(PartialTiles::Missing);
    for _ in 0..12 {
        world.grow();
        let why = world.checked(artifact).await.unwrap_err();
        assert!(why.starts_with("the checksum database is not available: it does not have"), "{why}");
    }
    world.registry.sumdb().set_partial_tiles(PartialTiles::Any);
    assert_eq!(world.on_record(artifact).await, []);
    world.registry.fault(&module.lookup(), Fault::Cut);
    let why = world.checked(artifact).await.unwrap_err();
    assert!(why.contains(", of no announced length, ended early, after "), "{why}");
    for status in [401, 403] {
        world.registry.fault(&module.lookup(), Fault::Status(status));
        let why = world.checked(artifact).await.unwrap_err();
        let expected =
            "it asks for credentials, and none are ever sent to it; `upstream.go.sumdb_url` must be";
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!(world.on_record(artifact).await, []);
    world.registry.honest();
    assert_eq!(code(&world.checked(artifact).await), "sumdb_recorded");
    assert_eq!(world.on_record(artifact).await.len(), 1);
}

/// A database that lies differently each time fills nothing up, and is believed once it proves something.
#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_lies_makes_an_artifact_undecidable() {
    let world = World::new().await;
    let (_, artifact) = world.published("a").await;
    world.registry.sumdb().lie(Lie::Number("0".to_owned()));
    for round in 1..12 {
        world.grow();
        let finding = world.checked(artifact).await.unwrap();
        let Reason::SumdbRefused { problem, .. } = &finding.outcome.reason else { panic!("{finding:?}") };
        assert_eq!(problem, "record_mismatch");
        assert_eq!(world.on_record(artifact).await.len(), LOOKUPS_MAX.min(round));
    }
    world.registry.sumdb().honest();
    let proved = world.checked(artifact).await.unwrap();
    assert_eq!(proved.outcome.kind, OutcomeKind::Pass);
    assert_eq!(world.on_record(artifact).await.len(), LOOKUPS_MAX + 1);
    assert_eq!(proved.evidence, world.on_record(artifact).await[LOOKUPS_MAX..]);
    world.registry.set_down(true);
    assert_eq!(
        world.checked(artifact).await.unwrap(),
        proved,
        "of those on record, the one that proves itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lookups_on_record_are_tried_newest_first_until_one_proves_itself() {
    let world = World::new().await;
    let (module, artifact) = world.published("a").await;
    let proved = world.checked(artifact).await.unwrap();
    let add = async |content: String| {
        let stored = world.blobs.put_bytes(content.into()).await.unwrap();
        let evidence = Evidence {
            kind: EvidenceKind::SumdbLookup,
            url: "https://sums.example/".to_owned(),
            sha256: stored.sha256,
            size: stored.size,
            seen_at: SystemClock.now(),
        };
        world.store.add_evidence(artifact, &[evidence]).await.unwrap();
    };
    for number in 1..LOOKUPS_MAX {
        add(format!("garbage {number}")).await;
        assert_eq!(world.checked(artifact).await.unwrap(), proved, "{number}");
    }
    let asked = || world.registry.asked_for(module.lookup().trim_start_matches("sumdb/"));
    assert_eq!(asked(), 1);
    add("one more".to_owned()).await;
    world.grow();
    let again = world.checked(artifact).await.unwrap();
    assert_eq!((again.outcome.kind, asked()), (OutcomeKind::Pass, 2), "it is beyond those that are tried");
    assert_eq!(again.evidence.last(), world.on_record(artifact).await.last());
    assert_eq!(world.checked(artifact).await.unwrap(), again);

    // What the database withdrew is proved by what is on record.
    world.registry.fault(&module.lookup(), Fault::Status(404));
    assert_eq!(world.checked(artifact).await.unwrap(), again);
    let (withdrawn, other) = world.published("b").await;
    world.registry.fault(&withdrawn.lookup(), Fault::Status(404));
    assert_eq!(code(&world.checked(other).await), "sumdb_absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_an_internal_name() {
    let policy = "[[internal]]\necosystem = \"go\"\npackages = [\"example.com/internal/*\"]\n";
    let world = World::under(policy).await;
    let (_, artifact) = world.published("internal/tool").await;
    let finding = world.checked(artifact).await.unwrap();
    assert_eq!(
        (finding.outcome.kind, &finding.outcome.reason),
        (OutcomeKind::NotOffered, &Reason::SumdbPrivate)
    );
    assert_eq!(world.registry.requests(), []);
    let (_, public) = world.published("internals").await;
    assert_eq!(code(&world.checked(public).await), "sumdb_recorded");
}

/// A pass counts only while the database is what it was when it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped_meanwhile_gives_no_pass() {
    let world = World::new().await;
    let (_, before) = world.published("before").await;
    let (module, artifact) = world.published("a").await;
    world.checked(before).await.unwrap();
    let (id, ours) = (world.registry.sumdb().id(), world.head().await);
    let held = async |meanwhile: &str| {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let lookup = module.lookup();
        let asked = world.registry.asked_for(lookup.trim_start_matches("sumdb/"));
        world.registry.fault(&lookup, Fault::Hold(Arc::clone(&gate)));
        let change = async {
            eventually("it is asked for", || async {
                (world.registry.asked_for(lookup.trim_start_matches("sumdb/")) > asked).then_some(())
            })
            .await;
            if meanwhile == "stopped" {
                let (ours, theirs) = (ours.clone(), ours.clone());
                let freeze =
                    NewSumdbStop { kind: SumdbStopKind::Freeze, ours, theirs, detail: "it froze".to_owned() };
                world.store.stop_sumdb(&id, &freeze).await.unwrap();
            } else {
                world.discard(&ours).await;
            }
            gate.add_permits(1);
        };
        tokio::join!(world.checked(artifact), change).0
    };
    let why = held("stopped").await.unwrap_err();
    assert!(why.starts_with(&format!("{id} is stopped: freeze since ")), "{why}");
    world.store.resume_sumdb(&id, &SumdbStopKind::ALL, "a test", false).await.unwrap();
    assert_eq!(held("discarded").await, Err(format!("the head of {id} was forgotten meanwhile")));
    assert_eq!(world.on_record(artifact).await, []);
    world.registry.honest();
    assert_eq!(code(&world.checked(artifact).await), "sumdb_recorded");
}
