//! A recorder on a real Postgres and a real blob store, with a signer that does what the package is called.

use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex, mpsc},
};

use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use touchstone_blobs::BlobStore;
use touchstone_bus::Bus;
use touchstone_custody::{FetchStatement, KeyKind, LocalSigner, PublicKey, SignError, Signer, Signing};
use touchstone_domain::{
    ArtifactId, CheckKind, CheckSet, ChunkList, Ecosystem, EnvelopeRef, FileName, KeyId, PackageName, Policy,
    Requirement, Sha256, Sha512, SignedBy, Version,
};
use touchstone_records::RecordStore;
use touchstone_runtime::{Clock as _, ManualClock};
use touchstone_store::{Ingested, NewArtifact, Store, StoreOptions};
use touchstone_testkit::{
    custody::{ENVIRONMENT, TestKeys, signer},
    fresh_database,
};

use super::super::{NotRecorded, Recorder, RecorderParts};

/// The number of the installation.
const NUMBER: u8 = 1;

/// Everything around a recorder.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) records: RecordStore,
    pub(super) bus: watch::Sender<Option<Bus>>,
    pub(super) keys: TestKeys,
    pub(super) signer: Arc<Scripted>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tracker: TaskTracker,
    pub(super) directory: TempDir,
    policy_epoch: i32,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::on(fresh_database().await).await
    }

    /// On a database that is migrated.
    pub(super) async fn on(url: String) -> Self {
        let options = StoreOptions { url, pool_size: 4, application_name: "edge".into() };
        let store = Store::connect(options).await.expect("connected");
        let policy_epoch = store.register_policy(&Policy::default()).await.expect("registered");
        let directory = tempfile::tempdir().expect("a directory");
        let blobs = BlobStore::open(directory.path()).await.expect("opens");
        Self {
            store,
            records: RecordStore::new(blobs),
            bus: watch::Sender::new(None),
            keys: TestKeys::new(NUMBER),
            signer: Arc::new(Scripted::new()),
            clock: Arc::new(ManualClock::new("2026-11-23T00:00:00Z".parse().expect("a time"))),
            tracker: TaskTracker::new(),
            directory,
            policy_epoch,
        }
    }

    pub(super) fn start(&self) -> Recorder {
        Recorder::start(RecorderParts {
            store: self.store.clone(),
            bus: self.bus.subscribe(),
            records: self.records.clone(),
            signing: Signing { environment: ENVIRONMENT.into(), signer: self.signer.clone() },
            ring: self.keys.ring(),
            clock: self.clock.clone(),
            tracker: self.tracker.clone(),
        })
    }

    /// The number of the key that signs.
    pub(super) fn key(&self) -> KeyId {
        self.keys.id(KeyKind::Fetch)
    }

    /// An artifact with the record of its fetch nowhere yet.
    pub(super) fn artifact(&self, package: &str) -> NewArtifact {
        let nowhere = Sha256::of("");
        let envelope = EnvelopeRef { sha256: nowhere, pack: nowhere, offset: 0, size: 0 };
        let hash = CheckSet::of(CheckKind::Hash);
        NewArtifact {
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
            upstream_url: format!("https://registry.example/{package}"),
            published_at: None,
            claims: vec![],
            evidence: vec![],
            requirement: Requirement::new(hash, hash).expect("a member"),
            policy_epoch: self.policy_epoch,
            eligible_at: None,
            fetch: SignedBy { key: self.key(), envelope },
        }
    }

    /// What is signed of it.
    pub(super) fn statement(&self, new: &NewArtifact) -> FetchStatement {
        FetchStatement {
            environment: ENVIRONMENT.into(),
            id: new.id.clone(),
            sha256: new.sha256,
            sha512: new.sha512,
            size: new.size,
            chunk_root: new.chunks.root(),
            upstream_url: new.upstream_url.clone(),
            published_at: None,
            first_seen: self.clock.now(),
            fetched_at: self.clock.now(),
            evidence: vec![],
            software: "test".into(),
        }
    }

    /// Signs, and puts on record.
    pub(super) async fn ingest(
        &self,
        recorder: &Recorder,
        new: &NewArtifact,
    ) -> Result<Ingested, NotRecorded> {
        let (statement, new) = (self.statement(new), new.clone());
        recorder.ingest(statement, move |fetch| NewArtifact { fetch, ..new }).await
    }

    /// The statement that is kept there, once its signature counts.
    pub(super) async fn kept(&self, fetch: &SignedBy) -> FetchStatement {
        let envelope = self.records.read(&[fetch.envelope]).await.remove(0).expect("it is there");
        let signed = FetchStatement::verify(&envelope, &self.keys.ring().borrow()).expect("it counts");
        assert_eq!((signed.key(), signed.envelope()), (fetch.key, fetch.envelope.sha256));
        signed.statement().clone()
    }

    /// The one fetch on record of an artifact, if it is on record.
    pub(super) async fn fetch(&self, id: &ArtifactId) -> Option<SignedBy> {
        let status = self.store.status(id).await.expect("an answer")?;
        let story = self.store.stories_of(&[status.artifact()]).await.expect("an answer").remove(0);
        let [(fetch, _)] = &story.fetches[..] else { panic!("{:?}", story.fetches) };
        Some(*fetch)
    }
}

/// A key that does what the package is called.
#[derive(Debug)]
pub(super) struct Scripted {
    inner: LocalSigner,
    /// How many of `waits` were asked for.
    pub(super) begun: Semaphore,
    /// While the sender is there, `waits` waits.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Scripted {
    fn new() -> Self {
        Self { inner: signer(KeyKind::Fetch, NUMBER), begun: Semaphore::new(0), gate: Mutex::default() }
    }

    /// Lets `waits` wait until what is returned is dropped.
    pub(super) fn close(&self) -> mpsc::Sender<()> {
        let (gate, closed) = mpsc::channel();
        *self.gate.lock().expect("not poisoned") = Some(closed);
        gate
    }
}

impl Signer for Scripted {
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
        let called = |name: &str| message.windows(name.len()).any(|part| part == name.as_bytes());
        if called("npm/waits") {
            self.begun.add_permits(1);
            if let Some(gate) = &*self.gate.lock().expect("not poisoned") {
                gate.recv().expect_err("nothing is sent");
            }
        }
        if called("npm/panics") {
            // As a panic that says nothing on standard error.
            resume_unwind(Box::new("on purpose"));
        }
        if called("npm/fails") {
            return Err(SignError::Failed("the agent does not answer".into()));
        }
        self.inner.sign(message)
    }
}
