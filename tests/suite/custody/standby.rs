//! A standby says today what was true a while ago: nothing is decided by it, whatever the address of the database is.

use std::{
    error::Error as _,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use touchstone_domain::Sha256;
use touchstone_runtime::servers::{Postgres, PostgresOptions};
use touchstone_store::{DatabaseRole, RecallTarget, Store, StoreError, StoreOptions};
use touchstone_testkit::{eventually, search};

use super::world::Owner;

/// How far the standby is behind: longer than this test takes.
const LAG: &str = "recovery_min_apply_delay=60s";

struct Standby(Child);

impl Drop for Standby {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Standby {
    /// A copy of a cluster that has stopped, which follows the one at this socket.
    fn start(cluster: &Path, directory: &Path, primary: &Path) -> Self {
        let copied = Command::new("cp").arg("-a").arg(cluster).arg(directory.join("cluster")).status();
        assert!(copied.expect("cp").success());
        let data = directory.join("cluster");
        let owner = fs::metadata(&data).expect("copied").uid();
        fs::write(data.join("standby.signal"), "").expect("written");
        std::os::unix::fs::chown(data.join("standby.signal"), Some(owner), Some(owner)).expect("ours");
        std::os::unix::fs::chown(directory, Some(owner), Some(owner)).expect("ours");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if owner != fs::metadata("/proc/self").expect("we are").uid() {
            command.args([format!("--reuid={owner}"), format!("--regid={owner}"), "--clear-groups".into()]);
        }
        command.arg(search().postgres_bin_dir().expect("Postgres").join("postgres")).arg("-D").arg(&data);
        command.arg("-k").arg(directory).args([
            "-p",
            "5432",
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=200",
            "-c",
            LAG,
        ]);
        command.arg("-c").arg(format!("primary_conninfo=host={} user=postgres", primary.display()));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started"))
    }
}

fn url(hosts: &[&Path]) -> String {
    let hosts: Vec<String> =
        hosts.iter().map(|host| host.display().to_string().replace('/', "%2F")).collect();
    format!("postgres://postgres@{}/touchstone", hosts.join(","))
}

async fn connect(url: &str) -> Result<Store, StoreError> {
    let application_name = "test".into();
    Store::connect(StoreOptions { url: url.to_owned(), pool_size: 1, application_name }).await
}

/// What the statements of an edge would see there.
async fn recalls(hosts: &[&Path]) -> i64 {
    Owner::at(&url(hosts)).await.number("SELECT count(*) FROM recall").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_decided_by_a_standby_that_lags_behind() {
    let place = tempfile::Builder::new().prefix("ts").tempdir_in("/tmp").expect("a directory");
    let options = || PostgresOptions {
        data_dir: place.path().join("primary"),
        bin_dir: search().postgres_bin_dir().expect("Postgres; run ./dev setup"),
        durable: false,
    };
    let postgres = Postgres::start(options()).await.expect("it starts");
    let primary: PathBuf = socket(&postgres);
    Store::migrate(&url(&[&primary])).await.expect("migrated");
    postgres.stop().await;
    let follows = tempfile::Builder::new().prefix("ts").tempdir_in("/tmp").expect("a directory");
    let standby = follows.path();
    let _standby = Standby::start(&place.path().join("primary/cluster"), standby, &primary);
    let _postgres = Postgres::start(options()).await.expect("it starts again");
    let at_standby = url(&[standby]);
    eventually("the standby answers", || async {
        tokio_postgres::connect(&at_standby, tokio_postgres::NoTls).await.ok().map(drop)
    })
    .await;

    let store = connect(&url(&[&primary])).await.expect("the primary");
    store.recall(&RecallTarget::Digest(Sha256::of("bad")), "malware", "test").await.expect("recalled");
    assert_eq!((recalls(&[&primary]).await, recalls(&[standby]).await), (1, 0), "it lags behind");
    for role in [DatabaseRole::Edge, DatabaseRole::Promote, DatabaseRole::Hash, DatabaseRole::Console] {
        let refused = connect(&role.url(&at_standby)).await.map(drop).expect_err("a standby");
        assert!(matches!(&refused, StoreError::Unavailable(_)) && refused.is_transient(), "{refused:?}");
        let mut cause = refused.source();
        while let Some(next) = cause.and_then(std::error::Error::source) {
            cause = Some(next);
        }
        assert_eq!(cause.expect("a cause").to_string(), "database does not allow writes", "{role}");
        connect(&role.url(&url(&[&primary]))).await.expect("the primary");
    }
    // Both are named, as where one may take over from the other: whichever takes writes is used.
    let either = connect(&url(&[standby, &primary])).await.expect("one of them is the primary");
    either.recall(&RecallTarget::Digest(Sha256::of("worse")), "malware", "test").await.expect("recalled");
    assert_eq!((recalls(&[&primary]).await, recalls(&[standby]).await), (2, 0));
}

/// Where a private server listens.
fn socket(postgres: &Postgres) -> PathBuf {
    let url = postgres.url();
    let host = url.strip_prefix("postgres://postgres@").and_then(|rest| rest.strip_suffix("/touchstone"));
    let encoded = host.expect("its form");
    encoded.replace("%2F", "/").replace("%2E", ".").replace("%2D", "-").replace("%5F", "_").into()
}
