//! The data directory of a standalone from before decisions were signed: the schema of then, rows as it wrote them, blobs, and a
//! nats-server without users.

use std::path::Path;

use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use touchstone_blobs::BlobStore;
use touchstone_bus::{ArtifactEvent, Bus, BusOptions};
use touchstone_domain::{ArtifactDbId, CheckKind, ChunkList, Ecosystem, Policy, Sha256, Sha512};
use touchstone_runtime::servers::{Nats, NatsOptions, Postgres, PostgresOptions};
use touchstone_testkit::{Package, search};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The last schema in which nothing was signed.
const SCHEMA: i32 = 3;
/// The bits of the checks that npm's artifacts needed: hash and attest.
const REQUIRED: i64 = 0b11;

/// What had become of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    Served,
    /// By the hash check.
    Rejected,
    Recalled,
    /// Nobody had checked it yet.
    Fetched,
}

impl Was {
    /// `ok`, `deny` and `hold` of its gate.
    const fn masks(self) -> (i64, i64, i64) {
        match self {
            Self::Served => (REQUIRED, 0, 0),
            Self::Rejected => (0, 1, 0),
            Self::Recalled => (REQUIRED, 0, 2),
            Self::Fetched => (0, 0, 0),
        }
    }
}

/// A connection as the owner of the database.
pub(super) struct Database {
    pub(super) client: Client,
    _connection: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Database {
    pub(super) async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected");
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Self { client, _connection: tasks }
    }

    /// Every row of history, and the gates that no upgrade may touch: table and content.
    pub(super) async fn rows(&self) -> Vec<(String, String)> {
        const TABLES: &str = "SELECT table_name::text FROM information_schema.tables
            WHERE table_schema = current_schema() AND table_name NOT IN ('gate', 'document', 'tuf_file', 'trust_status')";
        let tables = self.client.query(TABLES, &[]).await.expect("tables");
        let mut sources: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
        sources.push("(SELECT * FROM gate WHERE deny <> 0 OR hold <> 0)".to_owned());
        let mut all = vec![];
        for source in sources {
            let rows = format!("SELECT to_jsonb(t)::text FROM {source} AS t");
            let rows = self.client.query(&rows, &[]).await.expect("rows");
            all.extend(rows.iter().map(|row| (source.clone(), row.get(0))));
        }
        all
    }

    /// Whether a row is there, whatever columns came with it.
    pub(super) async fn has(&self, (source, row): &(String, String)) -> bool {
        let found = format!("SELECT count(*) FROM {source} AS t WHERE to_jsonb(t) @> $1::text::jsonb");
        self.client.query_one(&found, &[row]).await.expect("a number").get::<_, i64>(0) == 1
    }
}

/// Metadata of a package, as a registry sends it.
pub(super) struct Listing {
    pub(super) url: String,
    pub(super) document: Vec<u8>,
}

impl Listing {
    /// What it says of one version.
    fn entry(&self, package: &Package) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.document).expect("JSON");
        document["versions"][&package.version].to_string()
    }
}

/// Makes it, stops its servers, and returns the rows that must not be lost.
pub(super) async fn make(
    data_dir: &Path,
    artifacts: &[(&Package, Was)],
    listings: &[Listing],
) -> Vec<(String, String)> {
    let bin_dir = search().postgres_bin_dir().expect("Postgres; run ./dev setup");
    let servers = data_dir.join("servers");
    let options = PostgresOptions { data_dir: servers.join("postgres"), bin_dir, durable: true };
    let postgres = Postgres::start(options).await.expect("Postgres starts");
    let blobs = BlobStore::open(&data_dir.join("blobs")).await.expect("blobs");
    let mut database = Database::connect(&postgres.url()).await;
    let then = embedded::migrations::runner().set_target(refinery::Target::Version(SCHEMA));
    then.run_async(&mut database.client).await.expect("migrated");
    let policy = "INSERT INTO policy (sha256, document) VALUES ($1, '')";
    database.client.execute(policy, &[&bytes(Policy::default().digest())]).await.expect("a policy");
    for (listing, (package, was)) in listings.iter().zip(artifacts) {
        keep(&database, &blobs, listing).await;
        record(&database, &blobs, (package, listing.entry(package)), *was).await;
    }
    let incident = "INSERT INTO incident (kind, ecosystem, package, version, detail)
        VALUES ('second_digest', 'npm', 'left-pad', '1.3.0', '{\"offered\": \"other\"}')";
    database.client.batch_execute(incident).await.expect("an incident");
    let rows = database.rows().await;
    postgres.stop().await;
    ring(&servers, artifacts.len()).await;
    rows
}

async fn record(database: &Database, blobs: &BlobStore, (package, entry): (&Package, String), was: Was) {
    let stored = blobs.put_bytes(package.bytes.clone().into()).await.expect("stored");
    let entry = blobs.put_bytes(entry.into()).await.expect("stored");
    let (sha256, chunks) = (bytes(stored.sha256), ChunkList::of(&package.bytes));
    let (root, size) = (bytes(chunks.root()), i64::try_from(stored.size).expect("small"));
    let url = format!("https://npm.example/{}/-/{}", package.name, package.file);
    let db = &database.client;
    let artifact = "INSERT INTO artifact (ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url)
        VALUES ('npm', $1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
    let sha512 = Sha512::of(&package.bytes).0.to_vec();
    let (name, version, file) = (&package.name, &package.version, &package.file);
    let id: i64 = db
        .query_one(artifact, &[name, version, file, &sha256, &sha512, &size, &root, &chunks.to_bytes(), &url])
        .await
        .expect("an artifact")
        .get(0);
    let claim = "INSERT INTO claim (artifact_id, ordinal, field, value) VALUES ($1, 0, 'npm.integrity', $2)";
    db.execute(claim, &[&id, &package.integrity()]).await.expect("a claim");
    let evidence = "INSERT INTO evidence (artifact_id, ordinal, kind, url, sha256, size, seen_at)
        VALUES ($1, 0, 'metadata_entry', $2, $3, $4, now())";
    let size_of_entry = i64::try_from(entry.size).expect("small");
    db.execute(evidence, &[&id, &url, &bytes(entry.sha256), &size_of_entry]).await.expect("evidence");
    let sighting = "INSERT INTO sighting (ecosystem, package, version) VALUES ('npm', $1, $2)";
    db.execute(sighting, &[name, version]).await.expect("a sighting");
    let (ok, deny, hold) = was.masks();
    let gate = "INSERT INTO gate (artifact_id, policy_epoch, required, veto, tolerated, ok, deny, hold, dispatch_due)
        VALUES ($1, 1, 3, 3, 2, $2, $3, $4, now())";
    db.execute(gate, &[&id, &ok, &deny, &hold]).await.expect("a gate");
    judged(db, id, &sha256, &root, was).await;
    if ok == REQUIRED {
        let promotion = "INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root)
            VALUES ($1, 0, 1, $2, $3, $4)";
        db.execute(promotion, &[&id, &sha256, &size, &root]).await.expect("a promotion");
    }
    if was == Was::Recalled {
        let recall = "INSERT INTO recall (ecosystem, package, reason, actor) VALUES ('npm', $1, 'malware', 'an operator of then')";
        db.execute(recall, &[name]).await.expect("a recall");
    }
}

/// The verdicts of an artifact, and what its gate went through.
async fn judged(db: &Client, id: i64, sha256: &Vec<u8>, root: &Vec<u8>, was: Was) {
    let verdict = "INSERT INTO verdict (artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch,
            outcome, reason, evidence, service, software, decided_at)
        VALUES ($1, $2, $3, 0, $4, $5, 1, 1, $6, $7::text::jsonb, '', $4, 'touchstone 0.1.0', now())";
    let pass = ("pass", r#"{"code": "digests_match", "claims": 1}"#);
    let fail = ("fail", r#"{"code": "size_mismatch", "declared": 1, "computed": 2}"#);
    let none = ("not_offered", r#"{"code": "unattested", "registry_signature": "absent"}"#);
    let found = match was {
        Was::Served | Was::Recalled => vec![("hash", 1_i64, pass), ("attest", 2, none)],
        Was::Rejected => vec![("hash", 1, fail)],
        Was::Fetched => vec![],
    };
    for (check, mask, (outcome, reason)) in found {
        db.execute(verdict, &[&id, sha256, root, &check, &mask, &outcome, &reason]).await.expect("a verdict");
    }
    let log = "INSERT INTO gate_log (artifact_id, epoch, was, state, cause, at) VALUES ($1, 0, $2, $3, $4, now() - interval '1 day')";
    let went: &[(&str, &str, &str)] = match was {
        Was::Served => &[("fetched", "servable", "verdict")],
        Was::Rejected => &[("fetched", "rejected", "verdict")],
        Was::Recalled => &[("fetched", "servable", "verdict"), ("servable", "revoked", "recall")],
        Was::Fetched => &[],
    };
    for (before, after, cause) in went {
        db.execute(log, &[&id, before, after, cause]).await.expect("a change");
    }
}

/// Metadata, as it was last fetched.
async fn keep(database: &Database, blobs: &BlobStore, Listing { url, document }: &Listing) {
    let stored = blobs.put_bytes(document.clone().into()).await.expect("stored");
    let kept = "INSERT INTO document (ecosystem, key, sha256, size, url, content_type)
        VALUES ('npm', $1, $2, $3, $1, 'application/json')";
    let size = i64::try_from(stored.size).expect("small");
    database.client.execute(kept, &[url, &bytes(stored.sha256), &size]).await.expect("a document");
}

/// The messages that were under way, on a server that everybody may log in to.
async fn ring(servers: &Path, artifacts: usize) {
    let binary = search().nats_server().expect("nats-server; run ./dev setup");
    let nats = Nats::start(NatsOptions { data_dir: servers.join("nats"), binary }).await.expect("it starts");
    let options = BusOptions { url: nats.url(), name: "before".to_owned() };
    let bus = Bus::connect(options).await.expect("connected");
    bus.provision(&[CheckKind::Hash, CheckKind::Attest]).await.expect("provisioned");
    let events: Vec<ArtifactEvent> = (1..=i64::try_from(artifacts).expect("few"))
        .map(|id| ArtifactEvent {
            artifact: ArtifactDbId(id),
            ecosystem: Ecosystem::Npm,
            epoch: 0,
            dispatch: 0,
        })
        .collect();
    bus.publish_fetched(&events).await.expect("published");
    nats.stop().await;
}

fn bytes(digest: Sha256) -> Vec<u8> {
    digest.0.to_vec()
}
