//! A Postgres of its own that asks every role for its password.

use std::{fs, path::PathBuf, sync::OnceLock};

use tempfile::TempDir;
use tokio::{sync::OnceCell, task::JoinSet};
use tokio_postgres::{Client, Config, NoTls};
use touchstone_runtime::servers::{Postgres, PostgresOptions};
use touchstone_store::{DatabaseRole, Store};
use touchstone_testkit::search;

/// What its tables hold: an artifact that was recalled, with a verdict, a promotion, and a stop of a checksum database.
const ROWS: &str = r"
INSERT INTO policy (sha256, document) VALUES (sha256(''), '');
INSERT INTO artifact (ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url)
    VALUES ('npm', 'left-pad', '1.3.0', 'left-pad-1.3.0.tgz', sha256('bytes'), sha512('bytes'), 5, sha256('bytes'), sha256('bytes'),
            'https://registry.example/left-pad');
INSERT INTO gate (artifact_id, policy_epoch, required, veto, ok, deny, hold, dispatch_due) VALUES (1, 1, 7, 7, 1, 2, 2, now());
INSERT INTO claim (artifact_id, ordinal, field, value) VALUES (1, 0, 'npm.shasum', '');
INSERT INTO fetched (artifact_id, key, envelope, pack, pack_offset, pack_size)
    VALUES (1, sha256('key'), sha256('envelope'), sha256('pack'), 0, 900);
INSERT INTO verdict (artifact_id, sha256, epoch, check_kind, check_mask, check_revision, policy_epoch, outcome, reason, evidence, service,
                     software, decided_at, key, envelope, pack, pack_offset, pack_size)
    VALUES (1, sha256('bytes'), 0, 'hash', 1, 9, 1, 'fail', '{}', '', 'hash', 'test', now(), sha256('key'), sha256('envelope'),
            sha256('pack'), 0, 900);
INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root, key, envelope, pack, pack_offset, pack_size)
    VALUES (1, 0, 1, sha256('bytes'), 5, sha256('bytes'), sha256('key'), sha256('envelope'), sha256('pack'), 0, 900);
INSERT INTO gate_log (artifact_id, epoch, was, state, cause) VALUES (1, 0, 'verifying', 'rejected', 'verdict');
INSERT INTO recall (ecosystem, package, reason, actor) VALUES ('npm', 'left-pad', 'bad', 'ops');
INSERT INTO incident (kind, ecosystem, package, detail) VALUES ('second_digest', 'npm', 'left-pad', '{}');
INSERT INTO dead_letter (stream, consumer, stream_seq, deliveries, detail) VALUES ('LIVE', 'hash', 1, 8, '');
INSERT INTO sighting (ecosystem, package, version) VALUES ('npm', 'left-pad', '1.3.0');
INSERT INTO log_leaf (index, source, source_id, entry) VALUES (0, 'log_event', 1, '{}');
INSERT INTO log_seal (size, root, note) VALUES (1, sha256('root'), 'note');
INSERT INTO tuf_file (name, content) VALUES ('root.json', '');
INSERT INTO sumdb_head (database, size, root, note) VALUES ('sum.example+1', 2, sha256('root'), 'note');
INSERT INTO sumdb_stop (database, kind, ours_size, ours_root, ours_note, theirs_size, theirs_root, theirs_note, detail)
    VALUES ('sum.example+1', 'fork', 2, sha256('root'), 'note', 2, sha256('other'), 'note', ''),
           ('sum.example+1', 'freeze', 2, sha256('root'), 'note', 2, sha256('root'), 'note', '');
";

/// Who connects.
#[derive(Clone, Copy)]
pub(super) enum Login {
    /// Whoever migrates: a superuser, here.
    Owner,
    /// A service.
    Role(DatabaseRole),
}

impl From<DatabaseRole> for Login {
    fn from(role: DatabaseRole) -> Self {
        Self::Role(role)
    }
}

/// A connection, for as long as it is kept.
pub(super) struct Session {
    client: Client,
    _connection: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Session {
    async fn open(config: &Config) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = config.connect(NoTls).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Ok(Self { client, _connection: tasks })
    }
}

impl std::ops::Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

pub(super) struct Server {
    postgres: Postgres,
    directory: TempDir,
}

impl Server {
    /// An empty one, which trusts everybody at first.
    pub(super) async fn start() -> Self {
        // The shared one is never dropped; whatever starts next removes directories of this name whose process is gone.
        let prefix = format!("ts-shared-{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").expect("a directory");
        let bin_dir = search().postgres_bin_dir().expect("Postgres; run ./dev setup");
        let data_dir = directory.path().join("postgres");
        let options = PostgresOptions { data_dir, bin_dir, durable: false };
        Self { postgres: Postgres::start(options).await.expect("Postgres starts"), directory }
    }

    /// The one that all tests of what is refused share: nothing changes it.
    pub(super) async fn shared() -> &'static Self {
        static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
        static SHARED: OnceCell<Server> = OnceCell::const_new();
        let lasting = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime"));
        SHARED
            .get_or_init(|| async {
                let prepared = async {
                    let server = Self::start().await;
                    Store::migrate(&server.owner_url()).await.expect("migrated");
                    server.execute(ROWS).await;
                    let passwords = DatabaseRole::ALL.map(|role| (role, Self::password(role).to_owned()));
                    Store::set_role_passwords(&server.owner_url(), &passwords).await.expect("set");
                    server.demand_passwords().await;
                    server
                };
                lasting.spawn(prepared).await.expect("prepared")
            })
            .await
    }

    pub(super) fn owner_url(&self) -> String {
        self.postgres.url()
    }

    pub(super) const fn password(role: DatabaseRole) -> &'static str {
        match role {
            DatabaseRole::Edge => "the password of edge",
            DatabaseRole::Hash => "the password of hash",
            DatabaseRole::Attest => "the password of attest",
            DatabaseRole::Sumdb => "the password of sumdb",
            DatabaseRole::Promote => "the password of promote",
            DatabaseRole::Console => "the password of console",
        }
    }

    /// From now on everybody but the owner logs in by password, and the owner by that of the test.
    pub(super) async fn demand_passwords(&self) {
        self.execute("ALTER ROLE postgres PASSWORD 'the password of the owner'").await;
        let file: PathBuf = self.directory.path().join("postgres/cluster/pg_hba.conf");
        fs::write(file, "local all all scram-sha-256\n").expect("written");
        self.execute("SELECT pg_reload_conf()").await;
        // The postmaster re-reads the file in its own time.
        touchstone_testkit::eventually("passwords are asked for", async || {
            self.login("touchstone_edge", "").await.err()
        })
        .await;
    }

    /// Runs statements as the owner, while the server trusts everybody.
    pub(super) async fn execute(&self, statements: &str) {
        let config: Config = self.owner_url().parse().expect("an address");
        let client = Session::open(&config).await.expect("connected");
        client.batch_execute(statements).await.expect(statements);
    }

    pub(super) async fn connect(&self, login: Login) -> Result<Session, tokio_postgres::Error> {
        match login {
            Login::Owner => self.login("postgres", "the password of the owner").await,
            Login::Role(role) => self.login(role.user(), Self::password(role)).await,
        }
    }

    pub(super) async fn login(&self, user: &str, password: &str) -> Result<Session, tokio_postgres::Error> {
        let mut config: Config = self.owner_url().parse().expect("an address");
        config.user(user).password(password);
        Session::open(&config).await
    }
}
