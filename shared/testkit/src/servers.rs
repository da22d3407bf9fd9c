//! Private Postgres and NATS servers for tests.

use std::{
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use touchstone_bus::{BusUser, Passwords};
use touchstone_runtime::{
    Environment,
    servers::{Nats, NatsOptions, Postgres, PostgresOptions, Search},
};
use touchstone_store::Store;

/// Where the programs are. `./dev setup` puts them there; a test without them fails.
pub fn search() -> Search {
    Search::new(&Environment::of_process())
}

/// A Postgres and a nats-server of a test's own, which it may kill.
pub struct Servers {
    /// The database server.
    pub postgres: Postgres,
    /// The message server; who may log in is told by [`Servers::nats_url`].
    pub nats: Nats,
    pub(crate) passwords: Passwords,
    /// Where they keep their files.
    pub directory: TempDir,
}

impl Servers {
    /// Starts both. Commits survive the death of any process, as in production.
    pub async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("ts").tempdir_in("/tmp").expect("a directory");
        let postgres = start_postgres(&directory, true).await;
        let passwords = Passwords::generate();
        let nats = start_nats(&directory, &passwords).await;
        Self { postgres, nats, passwords, directory }
    }

    /// The address of the message server, as a service has it.
    pub fn nats_url(&self, user: BusUser) -> String {
        self.passwords.url(&self.nats.url(), user)
    }

    /// The address of the message server for somebody who may say and hear everything, as a test does.
    pub fn operator_nats_url(&self) -> String {
        operator_url(&self.nats)
    }
}

/// With a user for each service, and one for the test.
pub(crate) async fn start_nats(directory: &TempDir, passwords: &Passwords) -> Nats {
    let binary = search().nats_server().expect("nats-server; run ./dev setup");
    let data_dir = directory.path().join("nats");
    let users = "users = [\n";
    let with_operator = format!("{users}    {{ user: operator, password: operator }}\n");
    let configuration = passwords.configuration().replacen(users, &with_operator, 1);
    Nats::start_with_users(NatsOptions { data_dir, binary }, configuration).await.expect("nats-server starts")
}

pub(crate) fn operator_url(nats: &Nats) -> String {
    nats.url().replacen("//", "//operator:operator@", 1)
}

async fn start_postgres(directory: &TempDir, durable: bool) -> Postgres {
    let bin_dir = search().postgres_bin_dir().expect("Postgres; run ./dev setup");
    let data_dir = directory.path().join("postgres");
    Postgres::start(PostgresOptions { data_dir, bin_dir, durable }).await.expect("Postgres starts")
}

/// The server that the tests of one process share. It ends with the process.
struct Shared {
    url: String,
    _postgres: Postgres,
    _directory: TempDir,
}

/// The address of an empty, migrated database on the server that the tests of this process share.
pub async fn fresh_database() -> String {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let shared = SHARED.get_or_init(|| on_lasting_runtime(start_shared())).await;
    let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let administrator = with_database(&shared.url, "postgres");
    execute(&administrator, &format!("CREATE DATABASE {name} TEMPLATE template_touchstone")).await;
    with_database(&shared.url, &name)
}

async fn start_shared() -> Shared {
    sweep();
    let prefix = format!("{SHARED_PREFIX}{}-", std::process::id());
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").expect("a directory");
    let postgres = start_postgres(&directory, false).await;
    let url = postgres.url();
    execute(&with_database(&url, "postgres"), "CREATE DATABASE template_touchstone").await;
    Store::migrate(&with_database(&url, "template_touchstone")).await.expect("migrations");
    Shared { url, _postgres: postgres, _directory: directory }
}

/// What the directory of the shared server is called, before the process id. Nothing is dropped when a process ends, so the
/// next one takes it away.
const SHARED_PREFIX: &str = "ts-shared-";

/// Removes the directories of processes that have ended.
fn sweep() {
    for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(SHARED_PREFIX)?.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _not_ours = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Each test has a runtime of its own, which ends with it; what outlives a test starts on another.
async fn on_lasting_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    });
    runtime.spawn(work).await.expect("started")
}

async fn execute(url: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connected");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    client.batch_execute(statement).await.expect(statement);
}

/// The address of another database on the same server.
fn with_database(url: &str, database: &str) -> String {
    let (before, parameters) =
        url.split_once('?').map_or((url, None), |(before, after)| (before, Some(after)));
    let scheme_end = before.find("://").map_or(0, |at| at + 3);
    let authority_end = before[scheme_end..].find('/').map_or(before.len(), |at| scheme_end + at);
    let base = format!("{}/{database}", &before[..authority_end]);
    parameters.map_or(base.clone(), |parameters| format!("{base}?{parameters}"))
}
