//! Promote's collaborators on a real Postgres and a real blob store, without NATS; and those who sign what it judges.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use touchstone_blobs::BlobStore;
use touchstone_custody::{Envelope, FetchStatement, KeyKind, ServeRecord, VerdictStatement};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, ArtifactState, CheckKind, CheckSet, ChunkList, Ecosystem, FileName, Outcome,
    OutcomeKind, PackageName, Policy, Reason, Requirement, Sha256, Sha512, Sighting, SignedBy, Verdict,
    Version,
};
use touchstone_records::RecordStore;
use touchstone_runtime::{Clock as _, ManualClock};
use touchstone_store::{Facts, Ingested, NewArtifact, SignedVerdict, Store, StoreOptions};
use touchstone_testkit::{
    custody::{ENVIRONMENT, TestKeys, signer},
    fresh_database,
};
use touchstone_translog::LogKeys;

use crate::{
    LogParts, Promote, PromoteConfig,
    count::{Counted, Look, verdicts},
    sealer::{NOT_COMPARED, Sealer, published::Published},
};

pub(super) const HASH: CheckSet = CheckSet::of(CheckKind::Hash);
pub(super) const ATTEST: CheckSet = CheckSet::of(CheckKind::Attest);

/// Everything around promote.
pub(super) struct World {
    pub(super) promote: Promote,
    pub(super) keys: TestKeys,
    pub(super) clock: Arc<ManualClock>,
    pub(super) blobs: BlobStore,
    pub(super) halt: watch::Sender<Option<String>>,
    /// Which of a kind's keys sign: the number of the installation.
    pub(super) signs: u8,
    /// When edges say that they saw a version first; now, if nothing is said.
    pub(super) seen: Option<Timestamp>,
    superuser: Client,
    directory: TempDir,
}

impl World {
    /// Promote with the policy that npm's attestations are taken by the ratchet.
    pub(super) async fn new() -> Self {
        Self::with("").await
    }

    pub(super) async fn with(policy: &str) -> Self {
        let url = fresh_database().await;
        let options = StoreOptions { url: url.clone(), pool_size: 4, application_name: "promote".into() };
        let store = Store::connect(options).await.expect("connected");
        let (superuser, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connected");
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(connection);
        let directory = tempfile::tempdir().expect("a directory");
        let blobs = BlobStore::open(directory.path()).await.expect("opens");
        let keys = TestKeys::new(1);
        let clock = Arc::new(ManualClock::new("2026-11-23T00:00:00Z".parse().expect("a time")));
        let (halt, halted) = watch::channel(None);
        let policy = Arc::new(Policy::parse(policy).expect("a policy"));
        let policy_epoch = store.register_policy(&policy).await.expect("registered");
        let promote = Promote {
            config: PromoteConfig { sweep_period: Duration::from_millis(20), ..PromoteConfig::default() },
            store,
            bus: watch::channel(None).1,
            records: RecordStore::new(blobs.clone()),
            blobs: blobs.clone(),
            signing: keys.signing(KeyKind::Promote),
            ring: keys.ring(),
            policy,
            policy_epoch,
            clock: clock.clone(),
            halt: halted,
            seal: watch::channel(None).1,
            waiting: AtomicUsize::new(0),
            rejections: crate::rejections::Rejections::default(),
            stop: CancellationToken::new(),
        };
        Self { promote, keys, clock, blobs, halt, signs: 1, seen: None, superuser, directory }
    }

    /// Promote is given another policy, which is registered after the one before.
    pub(super) async fn policy(&mut self, document: &str) {
        self.promote.policy = Arc::new(Policy::parse(document).expect("a policy"));
        self.promote.policy_epoch =
            self.promote.store.register_policy(&self.promote.policy).await.expect("registered");
    }

    /// Another promote process on the same database, and its sealer.
    pub(super) fn beside(&self) -> (Arc<Promote>, Sealer) {
        self.beside_asking(vec![])
    }

    /// The same, and its sealer asks these witnesses.
    pub(super) fn beside_asking(&self, witness_urls: Vec<url::Url>) -> (Arc<Promote>, Sealer) {
        let (halts, halt) = watch::channel(Some(NOT_COMPARED.to_owned()));
        let (seals, seal) = watch::channel(None);
        let promote = Arc::new(Promote {
            config: self.promote.config.clone(),
            store: self.promote.store.clone(),
            bus: self.promote.bus.clone(),
            records: self.promote.records.clone(),
            blobs: self.blobs.clone(),
            signing: self.keys.signing(KeyKind::Promote),
            ring: self.keys.ring(),
            policy: Arc::clone(&self.promote.policy),
            policy_epoch: self.promote.policy_epoch,
            clock: self.clock.clone(),
            halt,
            seal,
            waiting: AtomicUsize::new(0),
            rejections: crate::rejections::Rejections::default(),
            stop: CancellationToken::new(),
        });
        let log = self.log(witness_urls);
        (Arc::clone(&promote), Sealer::new(promote, log, (halts, seals)))
    }

    /// The log that sealers seal.
    pub(super) fn log(&self, witness_urls: Vec<url::Url>) -> LogParts {
        LogParts {
            dir: self.directory().join("log"),
            signer: self.keys.log_key(),
            witness_dirs: vec![],
            witness_urls,
            // each cycle audits: a round begins as soon as the one before has ended
            period: Duration::ZERO,
        }
    }

    /// The log in a directory with this name; sealers publish in `log`.
    pub(super) fn published(&self, name: &str) -> Published {
        let keys = LogKeys::of(&self.keys.ring().borrow(), ENVIRONMENT).expect("a log key");
        Published::new(self.directory().join(name), Arc::new(keys))
    }

    /// Goes on until all that happened is sealed; other tests' transactions hide it for a while.
    pub(super) async fn sealed(&self, sealer: &mut Sealer) {
        while self.promote.store.oldest_unsealed().await.expect("read").is_some() {
            sealer.cycle().await;
        }
    }

    /// Signs and keeps an envelope.
    async fn keep(&self, kind: KeyKind, envelope: Vec<u8>) -> SignedBy {
        let places = self.promote.records.put(&[envelope]).await.expect("kept");
        let key = touchstone_custody::Signer::key_id(&signer(kind, self.signs));
        SignedBy { key, envelope: places[0] }
    }

    /// A version of left-pad that was fetched, by the policy that promote has.
    pub(super) async fn fetched(&self, version: &str) -> ArtifactDbId {
        let id = id(version);
        let policy = &self.promote.policy;
        let requirement = policy.requirement(id.ecosystem, &id.package);
        self.fetched_under(version, requirement).await
    }

    pub(super) async fn fetched_under(&self, version: &str, requirement: Requirement) -> ArtifactDbId {
        let statement = self.fetch(version);
        let envelope = statement.sign(&signer(KeyKind::Fetch, self.signs)).expect("signed");
        let sighting = Sighting { published_at: None, first_seen: statement.first_seen };
        let id = statement.id.clone();
        let new = NewArtifact {
            sha256: statement.sha256,
            sha512: statement.sha512,
            size: statement.size,
            chunks: ChunkList::of(version.as_bytes()),
            upstream_url: statement.upstream_url.clone(),
            published_at: None,
            claims: vec![],
            evidence: vec![],
            requirement,
            policy_epoch: self.promote.policy_epoch,
            eligible_at: self.promote.policy.eligible_at(id.ecosystem, &id.package, sighting),
            fetch: self.keep(KeyKind::Fetch, envelope).await,
            id,
        };
        match self.promote.store.ingest(&new).await.expect("ingested") {
            Ingested::Inserted { artifact, .. } => {
                let now = self.clock.now();
                self.superuser(&format!(
                    "UPDATE artifact SET fetched_at = '{now}' WHERE id = {}",
                    artifact.0
                ))
                .await;
                artifact
            }
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&self, version: &str) -> FetchStatement {
        FetchStatement {
            environment: ENVIRONMENT.into(),
            id: id(version),
            sha256: Sha256::of(version),
            sha512: Sha512::of(version),
            size: version.len() as u64,
            chunk_root: ChunkList::of(version.as_bytes()).root(),
            upstream_url: "https://registry.example/left-pad".into(),
            published_at: None,
            first_seen: self.seen.unwrap_or_else(|| self.clock.now()),
            fetched_at: self.clock.now(),
            evidence: vec![],
            software: "touchstone/test".into(),
        }
    }

    /// An edge fetches it again.
    pub(super) async fn fetched_again(&self, artifact: ArtifactDbId, version: &str) {
        let envelope = self.fetch(version).sign(&signer(KeyKind::Fetch, self.signs)).expect("signed");
        let signed = self.keep(KeyKind::Fetch, envelope).await;
        self.promote.store.record_fetch(artifact, &signed).await.expect("recorded");
    }

    pub(super) async fn facts(&self, artifact: ArtifactDbId) -> Facts {
        self.promote.store.facts(&[artifact]).await.expect("read").remove(0)
    }

    /// What a worker would sign in the epoch that the gate has.
    pub(super) async fn statement(
        &self,
        artifact: ArtifactDbId,
        check: CheckKind,
        kind: OutcomeKind,
    ) -> VerdictStatement {
        let facts = self.facts(artifact).await;
        let policy = self.promote.store.policy_document(facts.policy_epoch).await.expect("read");
        VerdictStatement {
            environment: ENVIRONMENT.into(),
            id: facts.id,
            sha512: facts.sha512,
            size: facts.size,
            upstream_url: facts.upstream_url,
            policy: Sha256::of(policy.unwrap_or_else(|| "nowhere".to_owned())),
            verdict: Verdict {
                artifact,
                sha256: facts.sha256,
                chunk_root: (check == CheckKind::Hash).then_some(facts.chunk_root),
                epoch: facts.epoch,
                check,
                check_revision: 1,
                policy_epoch: facts.policy_epoch,
                outcome: Outcome { kind, reason: Reason::Trivial },
                evidence: vec![],
                trust: vec![],
                service: check.as_str().into(),
                software: "touchstone/test".into(),
                decided_at: self.clock.now(),
            },
        }
    }

    /// Signs with the key of a kind, and records the row. Returns how many rows are new.
    pub(super) async fn record(&self, statement: &VerdictStatement, with: KeyKind) -> usize {
        self.record_as(statement, with, |payload| payload).await
    }

    /// The same, by a version that writes the statement otherwise.
    pub(super) async fn record_as(
        &self,
        statement: &VerdictStatement,
        with: KeyKind,
        written: impl FnOnce(String) -> String,
    ) -> usize {
        let by = signer(with, self.signs);
        let envelope = statement.sign(&by).expect("signed");
        let payload = Envelope::parse(&envelope).expect("our own").payload;
        let payload = written(String::from_utf8(payload).expect("JSON"));
        let envelope = touchstone_custody::sign(&by, payload.as_bytes()).expect("signed");
        let signed = self.keep(with, envelope).await;
        let row = SignedVerdict { verdict: statement.verdict.clone(), signed };
        let recorded = self.promote.store.record_verdicts(&[row]).await.expect("recorded");
        assert_eq!(recorded.refused, []);
        recorded.inserted
    }

    /// A check answers as it should.
    pub(super) async fn answer(&self, artifact: ArtifactDbId, check: CheckKind, kind: OutcomeKind) -> usize {
        let statement = self.statement(artifact, check, kind).await;
        self.record(&statement, check.into()).await
    }

    /// Hash and attest pass it.
    pub(super) async fn passed(&self, artifact: ArtifactDbId) {
        for check in [CheckKind::Hash, CheckKind::Attest] {
            assert_eq!(self.answer(artifact, check, OutcomeKind::Pass).await, 1);
        }
    }

    /// The doorbell rings.
    pub(super) async fn rung(&self, artifact: ArtifactDbId) -> ArtifactState {
        verdicts(&self.promote, &[artifact], Look::Decided).await.expect("counted");
        self.state(artifact).await
    }

    /// The sweeper looks.
    pub(super) async fn swept(&self, artifact: ArtifactDbId) -> Counted {
        verdicts(&self.promote, &[artifact], Look::All).await.expect("counted")
    }

    /// A version that is served.
    pub(super) async fn served(&self, version: &str) -> ArtifactDbId {
        let artifact = self.fetched(version).await;
        self.passed(artifact).await;
        assert_eq!(self.rung(artifact).await, ArtifactState::Servable);
        artifact
    }

    pub(super) async fn state(&self, artifact: ArtifactDbId) -> ArtifactState {
        self.promote.store.states(&[artifact]).await.expect("read")[0].1
    }

    /// The codes of the verdicts that were refused, in the order of their rows.
    pub(super) async fn refused(&self) -> Vec<String> {
        let rows = self.rows("SELECT code FROM verdict_refusal ORDER BY verdict_id").await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The kinds of incidents, and the codes in their details.
    pub(super) async fn incidents(&self) -> Vec<(String, String)> {
        let found = self.promote.store.latest_incidents(100).await.expect("read");
        let code = |detail: &serde_json::Value| detail["code"].as_str().unwrap_or_default().to_owned();
        found.into_iter().rev().map(|incident| (incident.kind, code(&incident.detail))).collect()
    }

    /// The serve record that Postgres names, verified as an edge does.
    pub(super) async fn serve_record(&self, version: &str) -> Option<ServeRecord> {
        let row = self.promote.store.serve_record(&id(version)).await.expect("read")?;
        let envelope = self.promote.records.read(&[row.signed.envelope]).await.remove(0).expect("there");
        let ring = Arc::clone(&self.promote.ring.borrow());
        Some(ServeRecord::verify(&envelope, &ring).expect("verifies"))
    }

    /// What a superuser does: triggers are off.
    pub(super) async fn superuser(&self, sql: &str) {
        let table = sql.split(' ').find(|word| {
            ["gate", "gate_log", "verdict", "artifact", "fetched", "log_seal", "log_leaf"].contains(word)
        });
        let table = table.expect("a table");
        let sql =
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL; {sql}; ALTER TABLE {table} ENABLE TRIGGER ALL");
        self.superuser.batch_execute(&sql).await.expect(&sql);
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        self.superuser.query(sql, &[]).await.expect(sql)
    }

    /// Loses a pack.
    pub(super) fn lose(&self, pack: Sha256) {
        std::fs::remove_file(self.path(pack)).expect("it was there");
    }

    /// Where a pack is.
    pub(super) fn path(&self, pack: Sha256) -> PathBuf {
        let name = pack.to_string();
        self.directory().join("packs").join(&name[..2]).join(&name)
    }

    /// The blob store's directory.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The pack of the latest verdict of a check.
    pub(super) async fn pack(&self, check: CheckKind) -> Sha256 {
        let sql = format!("SELECT pack FROM verdict WHERE check_kind = '{check}' ORDER BY id DESC LIMIT 1");
        Sha256::from_slice(self.rows(&sql).await[0].get(0)).expect("a digest")
    }
}

pub(super) fn id(version: &str) -> ArtifactId {
    ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new("left-pad").expect("a name"),
        version: Version::new(version).expect("a version"),
        file: FileName::new(format!("left-pad-{version}.tgz")).expect("a file"),
    }
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}
