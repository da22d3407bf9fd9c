//! For tests only: one private Postgres per test process, and a fresh database per test.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use touchstone_custody::{Case, StoredVerdict};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, ChunkList, Claim, ClaimField, Ecosystem, EnvelopeRef,
    Evidence, EvidenceKind, FileName, Gate, GateDelta, HoldSet, KeyId, Outcome, OutcomeKind, PackageName,
    Policy, Reason, Requirement, Sha256, Sha512, SignedBy, Verdict, Version, count,
};

use crate::{
    Change, Ingested, NewArtifact, NewPromotion, SignedVerdict, Store, StoreError, StoreOptions, Wanted, pool,
};

/// Who runs the server when the tests run as root: `nobody`.
const NOBODY: u32 = 65_534;
const TEMPLATE: &str = "touchstone_template";

/// The directory of the server's socket.
fn cluster() -> &'static Path {
    static CLUSTER: OnceLock<PathBuf> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // the server dies with the thread that started it, so that thread lives as long as the process
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut server, dir) = start();
            ready.send(dir).expect("the test waits");
            server.wait().expect("it is our child")
        });
        is_ready.recv().expect("the server starts")
    })
}

fn start() -> (Child, PathBuf) {
    let dir = std::env::temp_dir().join(format!("touchstone-store-{}", std::process::id()));
    remove_left_overs();
    fs::create_dir(&dir).expect("a new directory");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("mode");
    if is_root() {
        chown(&dir, Some(NOBODY), Some(NOBODY)).expect("owner");
    }
    let data = dir.join("data");
    let initdb = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"];
    let done = command("initdb").args(initdb).arg(&data).stdout(Stdio::null()).status().expect("initdb");
    assert!(done.success(), "initdb failed");
    let mut server = command("postgres");
    server.arg("-D").arg(&data).arg("-k").arg(&dir);
    for setting in [
        "listen_addresses=",
        "fsync=off",
        "full_page_writes=off",
        "max_connections=300",
        "deadlock_timeout=50ms",
    ] {
        server.arg("-c").arg(setting);
    }
    let log = fs::File::create(dir.join("log")).expect("log file");
    let mut server = server.stdout(Stdio::null()).stderr(log).spawn().expect("postgres");
    for _ in 0..600 {
        if fs::read_to_string(data.join("postmaster.pid"))
            .is_ok_and(|file| file.trim_end().ends_with("ready"))
        {
            return (server, dir);
        }
        assert!(server.try_wait().expect("wait").is_none(), "the server stopped; see {}", dir.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the server is not ready after 12 s");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]).current_dir("/").stdin(Stdio::null());
    if is_root() {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
    }
    command.arg("--").arg(binary(program));
    command
}

fn binary(program: &str) -> PathBuf {
    let named = std::env::var_os("TOUCHSTONE_PG_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    installed.sort();
    let places = named.into_iter().chain(std::env::split_paths(&path)).chain(installed.into_iter().rev());
    places.map(|place| place.join(program)).find(|file| file.is_file()).expect("PostgreSQL is installed")
}

/// Directories of test processes that are gone.
fn remove_left_overs() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("touchstone-store-"));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn url(database: &str) -> String {
    format!("postgres://postgres@/{database}?host={}", cluster().display())
}

/// An empty database.
pub(crate) async fn empty_database() -> String {
    create("template0").await
}

async fn create(template: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    create_named(&name, template).await;
    url(&name)
}

async fn create_named(name: &str, template: &str) {
    let admin = pool::pool(&url("postgres"), 1, "tests", Duration::from_mins(1)).expect("pool");
    let client = admin.get().await.expect("the server answers");
    client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("create");
}

/// A migrated database of its own.
pub(crate) struct TestDb {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) policy_epoch: i32,
    raw: Pool,
}

impl TestDb {
    pub(crate) async fn new() -> Self {
        static MIGRATED: OnceCell<()> = OnceCell::const_new();
        MIGRATED
            .get_or_init(|| async {
                create_named(TEMPLATE, "template0").await;
                Store::migrate(&url(TEMPLATE)).await.expect("migrate");
            })
            .await;
        let url = create(TEMPLATE).await;
        let options = StoreOptions { url: url.clone(), pool_size: 10, application_name: "test".into() };
        let store = Store::connect(options).await.expect("connect");
        let policy_epoch = store.register_policy(&Policy::default()).await.expect("policy");
        let raw = pool::pool(&url, 4, "raw", Duration::from_secs(30)).expect("pool");
        Self { store, url, policy_epoch, raw }
    }

    /// A connection past the store's own functions.
    pub(crate) async fn raw(&self) -> deadpool_postgres::Client {
        self.raw.get().await.expect("connection")
    }

    /// A connection as another user.
    pub(crate) async fn login(&self, user: &str) -> deadpool_postgres::Client {
        let url = self.url.replacen("postgres@", &format!("{user}@"), 1);
        pool::pool(&url, 1, user, Duration::from_secs(30)).expect("pool").get().await.expect("connection")
    }

    pub(crate) async fn query(&self, sql: &str) -> Vec<Row> {
        self.raw().await.query(sql, &[]).await.expect(sql)
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.raw().await.batch_execute(sql).await
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.query(sql).await[0].get(0)
    }

    /// Puts an artifact on record that needs these checks.
    pub(crate) async fn artifact(&self, package: &str, required: &[CheckKind]) -> Facts {
        self.ingested(new_artifact(self.policy_epoch, package, required)).await
    }

    /// Puts an artifact on record that needs the hash check, and the attest check where there is something to attest.
    pub(crate) async fn tolerant(&self, package: &str) -> Facts {
        let mut new = new_artifact(self.policy_epoch, package, &[CheckKind::Hash, CheckKind::Attest]);
        let attest = CheckSet::of(CheckKind::Attest);
        new.requirement = new.requirement.tolerating(attest).expect("the hash check approves");
        self.ingested(new).await
    }

    async fn ingested(&self, new: NewArtifact) -> Facts {
        match self.store.ingest(&new).await.expect("ingest") {
            Ingested::Inserted { artifact, epoch } => Facts { artifact, epoch, new },
            other => panic!("{other:?}"),
        }
    }

    /// Records verdicts, each by the key of its check, and judges them as promote does, but believes the rows.
    pub(crate) async fn judge(&self, verdicts: &[Verdict]) -> Result<Vec<Change>, StoreError> {
        self.store.record_verdicts(&sign(verdicts)).await?;
        let artifacts: Vec<ArtifactDbId> = verdicts.iter().map(|v| v.artifact).collect();
        judge(&self.store, &artifacts, Wanted::New, |_| true).await
    }

    /// Releases what is old enough, as promote does.
    pub(crate) async fn release_aged(&self) -> Result<Vec<Change>, StoreError> {
        let aged = self.store.aged(9).await?;
        let mut promotions = vec![];
        for case in self.store.cases(&aged, Wanted::All).await? {
            let gate = Gate { hold: HoldSet::EMPTY, ..case.gate };
            promotions.extend(approve(&self.store, &Case { gate, ..case }).await?);
        }
        self.store.release_aged(&aged, &promotions, None).await
    }
}

/// Applies what counts of these artifacts, with the promotions that follow and that `may` lets through, until nothing is left to
/// be judged as a whole.
pub(crate) async fn judge(
    store: &Store,
    artifacts: &[ArtifactDbId],
    wanted: Wanted,
    mut may: impl FnMut(&NewPromotion) -> bool,
) -> Result<Vec<Change>, StoreError> {
    let (mut changes, mut open, mut wanted) = (vec![], artifacts.to_vec(), wanted);
    while !open.is_empty() {
        let cases = store.cases(&open, wanted).await?;
        let mut promotions = vec![];
        for case in &cases {
            promotions.extend(approve(store, case).await?.filter(&mut may));
        }
        let applied = store.apply(&deltas(&cases), &promotions, None).await?;
        changes.extend(applied.changes);
        (open, wanted) = (applied.unapproved, Wanted::All);
    }
    Ok(changes)
}

/// The promotion of a case whose verdicts fulfil its gate.
async fn approve(store: &Store, case: &Case) -> Result<Option<NewPromotion>, StoreError> {
    let mut gate = case.gate;
    for delta in deltas(std::slice::from_ref(case)) {
        gate.apply(&delta);
    }
    if !gate.is_servable() {
        return Ok(None);
    }
    let fetch = case.fetches.len() as u64;
    assert!(fetch > 0, "each artifact was fetched");
    let signers = case.verdicts.iter().filter_map(|stored| Some(stored.signed?.key));
    Ok(Some(NewPromotion {
        artifact: gate.artifact,
        epoch: gate.epoch,
        serial: store.next_serials(1).await?[0],
        policy_epoch: case.policy_epoch,
        rests_on: [key("fetch")].into_iter().chain(signers).collect(),
        promoted_at: "2026-11-22T04:08:41.5Z".parse().expect("a time"),
        signed: signed("promote", &format!("the record of {} in {}", gate.artifact, gate.epoch)),
    }))
}

/// The number of a key.
pub(crate) fn key(name: &str) -> KeyId {
    KeyId(Sha256::of(format!("the key {name}")))
}

/// An envelope that nobody signed: the store verifies nothing.
pub(crate) fn signed(by: &str, what: &str) -> SignedBy {
    let envelope = EnvelopeRef {
        sha256: Sha256::of(format!("{by} signed {what}")),
        pack: Sha256::of("a pack"),
        offset: 1000,
        size: 900,
    };
    SignedBy { key: key(by), envelope }
}

/// Each verdict by the key of its check.
pub(crate) fn sign(verdicts: &[Verdict]) -> Vec<SignedVerdict> {
    verdicts.iter().map(|verdict| sign_by(verdict.check.as_str(), verdict)).collect()
}

/// A verdict by a key.
pub(crate) fn sign_by(by: &str, verdict: &Verdict) -> SignedVerdict {
    let what = serde_json::to_string(verdict).expect("JSON");
    SignedVerdict { verdict: verdict.clone(), signed: signed(by, &what) }
}

/// What [`TestDb::artifact`] put on record.
pub(crate) struct Facts {
    pub(crate) artifact: ArtifactDbId,
    pub(crate) epoch: i32,
    pub(crate) new: NewArtifact,
}

impl Facts {
    pub(crate) fn verdict(&self, check: CheckKind, kind: OutcomeKind) -> Verdict {
        Verdict {
            artifact: self.artifact,
            sha256: self.new.sha256,
            chunk_root: Some(self.new.chunks.root()),
            epoch: self.epoch,
            check,
            check_revision: 1,
            policy_epoch: self.new.policy_epoch,
            outcome: Outcome { kind, reason: Reason::Trivial },
            evidence: vec![Sha256::of("evidence")],
            trust: vec![],
            service: check.to_string(),
            software: "test".into(),
            decided_at: Timestamp::UNIX_EPOCH,
        }
    }

    pub(crate) fn pass(&self, check: CheckKind) -> Verdict {
        self.verdict(check, OutcomeKind::Pass)
    }
}

pub(crate) fn deltas(cases: &[Case]) -> Vec<GateDelta> {
    let delta = |case: &Case, stored: &StoredVerdict| count(&stored.verdict, &case.gate).ok();
    cases.iter().flat_map(|case| case.verdicts.iter().filter_map(move |stored| delta(case, stored))).collect()
}

pub(crate) fn id(package: &str, version: &str) -> ArtifactId {
    ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new(package).unwrap(),
        version: Version::new(version).unwrap(),
        file: FileName::new(format!("{package}-{version}.tgz")).unwrap(),
    }
}

pub(crate) fn new_artifact(policy_epoch: i32, package: &str, required: &[CheckKind]) -> NewArtifact {
    let bytes = format!("the bytes of {package}");
    let checks: CheckSet = required.iter().copied().collect();
    NewArtifact {
        id: id(package, "1.0.0"),
        sha256: Sha256::of(&bytes),
        sha512: Sha512::of(&bytes),
        size: bytes.len() as u64,
        chunks: ChunkList::of(bytes.as_bytes()),
        upstream_url: format!("https://registry.example/{package}/-/{package}-1.0.0.tgz"),
        published_at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        claims: vec![
            Claim { field: ClaimField::NpmIntegrity, value: "sha512-AAAA".into() },
            Claim { field: ClaimField::NpmShasum, value: "00".repeat(20) },
        ],
        evidence: vec![Evidence {
            kind: EvidenceKind::MetadataEntry,
            url: format!("https://registry.example/{package}"),
            sha256: Sha256::of("entry"),
            size: 5,
            seen_at: "2026-11-22T04:08:41.123456Z".parse().unwrap(),
        }],
        requirement: Requirement::new(checks, checks).expect("not empty"),
        policy_epoch,
        eligible_at: None,
        fetch: signed("fetch", package),
    }
}
