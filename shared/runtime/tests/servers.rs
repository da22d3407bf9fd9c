//! The private servers, with real programs: they start, stop, heal, and never outlive their parent.
//!
//! Needs a Postgres and a nats-server; `./dev test` provides both.

#![expect(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use touchstone_runtime::{
    Environment, Nats, NatsOptions, Postgres, PostgresOptions, Search, ServerError, Shutdown, servers,
};

/// Names the directory in which this test program, started again, plays the parent that is killed.
const PARENT: &str = "TOUCHSTONE_TEST_PARENT";

/// A directory that the servers' user may enter even when the tests run as root.
fn directory() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

fn search() -> Search {
    Search::new(&Environment::of_process())
}

fn postgres_options(directory: &Path) -> PostgresOptions {
    let bin_dir = search().postgres_bin_dir().unwrap();
    PostgresOptions { data_dir: directory.join("postgres"), bin_dir, durable: false }
}

fn nats_options(directory: &Path) -> NatsOptions {
    NatsOptions { data_dir: directory.join("nats"), binary: search().nats_server().unwrap() }
}

/// The first value that the statements give, or nothing.
async fn query(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(connection);
    let messages = client.simple_query(sql).await?;
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(value.unwrap_or_default().to_owned())
}

async fn greeting(url: &str) -> std::io::Result<String> {
    let mut line = String::new();
    let stream = TcpStream::connect(url.trim_start_matches("nats://")).await?;
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line)
}

/// Waits until something holds; a bound only so that a failure does not hang.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), looking)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"));
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

/// Whether the process is there and is not just waiting to be reaped.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn postgres_keeps_its_data_and_its_address() {
    let directory = directory();
    let postgres = Postgres::start(postgres_options(directory.path())).await.unwrap();
    let url = postgres.url();
    assert_eq!(servers::recorded_url(&directory.path().join("postgres")), Some(url.clone()));
    query(&url, "CREATE TABLE kept AS VALUES ('still here')").await.unwrap();
    let pid = postgres.pid().unwrap();
    postgres.stop().await;
    assert!(!runs(pid) && postgres.pid().is_none());
    assert_eq!(servers::recorded_url(&directory.path().join("postgres")), None);

    let again = Postgres::start(postgres_options(directory.path())).await.unwrap();
    assert_eq!(again.url(), url);
    assert_eq!(query(&url, "TABLE kept").await.unwrap(), "still here");
    assert_eq!(query(&url, "VALUES (current_database())").await.unwrap(), "touchstone");
    assert_eq!(query(&url, "SHOW listen_addresses").await.unwrap(), "");
    again.stop().await;
}

#[tokio::test]
async fn nats_greets_with_jetstream_on_the_loopback_address() {
    let directory = directory();
    let nats = Nats::start(nats_options(directory.path())).await.unwrap();
    assert!(nats.url().starts_with("nats://127.0.0.1:"), "{}", nats.url());
    assert!(greeting(&nats.url()).await.unwrap().contains("\"jetstream\":true"));
    let pid = nats.pid().unwrap();
    nats.stop().await;
    assert!(!runs(pid));
}

/// A user that logs in over the protocol itself; what the server says to that.
async fn says(url: &str, login: &str) -> String {
    let stream = TcpStream::connect(url.trim_start_matches("nats://")).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    stream.write_all(format!("CONNECT {{{login}}}\r\nPING\r\n").as_bytes()).await.unwrap();
    line.clear();
    stream.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

#[tokio::test]
async fn nats_with_users_lets_nobody_else_in_also_after_a_restart() {
    let directory = directory();
    let users =
        |password| format!("authorization {{ users = [ {{ user: edge, password: \"{password}\" }} ] }}");
    let (edge, refused) = (r#""user":"edge","pass":"first""#, "-ERR 'Authorization Violation'");
    let nats = Nats::start_with_users(nats_options(directory.path()), users("first")).await.unwrap();
    assert_eq!(
        (says(&nats.url(), edge).await.as_str(), says(&nats.url(), "").await.as_str()),
        ("+OK", refused)
    );
    let file = directory.path().join("nats/nats.conf");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let shutdown = Shutdown::new();
    nats.supervise(&shutdown);
    let first = nats.pid().unwrap();
    kill(first);
    until("another nats-server", async || nats.pid().is_some_and(|pid| pid != first)).await;
    assert_eq!(
        (says(&nats.url(), edge).await.as_str(), says(&nats.url(), "").await.as_str()),
        ("+OK", refused)
    );
    nats.stop().await;

    let nats = Nats::start_with_users(nats_options(directory.path()), users("second")).await.unwrap();
    assert_eq!(says(&nats.url(), edge).await, refused, "the password is another one");
    nats.stop().await;
}

#[tokio::test]
async fn servers_that_are_killed_run_again_at_the_same_address() {
    let directory = directory();
    let shutdown = Shutdown::new();
    let postgres = Postgres::start(postgres_options(directory.path())).await.unwrap();
    let nats = Nats::start(nats_options(directory.path())).await.unwrap();
    postgres.supervise(&shutdown);
    nats.supervise(&shutdown);
    let (postgres_url, nats_url) = (postgres.url(), nats.url());
    let (first_postgres, first_nats) = (postgres.pid().unwrap(), nats.pid().unwrap());

    kill(first_postgres);
    kill(first_nats);
    until("another postgres", async || postgres.pid().is_some_and(|pid| pid != first_postgres)).await;
    until("another nats-server", async || nats.pid().is_some_and(|pid| pid != first_nats)).await;
    assert_eq!((postgres.url(), nats.url()), (postgres_url.clone(), nats_url.clone()));
    assert_eq!(query(&postgres_url, "VALUES ('well')").await.unwrap(), "well");
    greeting(&nats_url).await.unwrap();

    let (postgres_pid, nats_pid) = (postgres.pid().unwrap(), nats.pid().unwrap());
    postgres.stop().await;
    nats.stop().await;
    assert!(!runs(postgres_pid) && !runs(nats_pid), "a stopped server is not started again");
}

#[tokio::test]
async fn data_of_another_version_are_refused_before_the_start() {
    let directory = directory();
    let options = postgres_options(directory.path());
    Postgres::start(options.clone()).await.unwrap().stop().await;
    let file = options.data_dir.join("cluster/PG_VERSION");
    fs::write(&file, "14\n").unwrap();
    let error = Postgres::start(options).await.err().unwrap();
    assert!(matches!(&error, ServerError::Version { data, .. } if data == "14"), "{error}");
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = directory();
    let first = Postgres::start(postgres_options(directory.path())).await.unwrap();
    let pid = first.pid().unwrap();
    let error = Postgres::start(postgres_options(directory.path())).await.err().unwrap();
    assert!(matches!(error, ServerError::InUse { pid: other, .. } if other == pid), "{error}");
    assert_eq!(query(&first.url(), "VALUES ('undisturbed')").await.unwrap(), "undisturbed");
    first.stop().await;
}

#[tokio::test]
async fn a_pid_file_that_names_another_program_is_stale() {
    let directory = directory();
    let options = postgres_options(directory.path());
    Postgres::start(options.clone()).await.unwrap().stop().await;
    let own = std::process::id();
    fs::write(options.data_dir.join("cluster/postmaster.pid"), format!("{own}\n/nowhere\n0\n5432\n"))
        .unwrap();
    Postgres::start(options).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_an_error_with_its_last_words() {
    let directory = directory();
    let binary = script(directory.path(), "nats-server", "echo 'no such flag' >&2; exit 3");
    let error = Nats::start(NatsOptions { binary, ..nats_options(directory.path()) }).await.err().unwrap();
    let (expected, tail) = ("exit status: 3", "no such flag");
    assert!(
        matches!(&error, ServerError::Ended { status, tail: t, .. } if status == expected && t == tail),
        "{error}"
    );

    let bin = directory.path().join("bin");
    fs::create_dir(&bin).unwrap();
    script(&bin, "postgres", "echo 'postgres (PostgreSQL) 15.9 (Debian 15.9-0)'");
    script(&bin, "initdb", "echo 'no space left' >&2; exit 1");
    let options = PostgresOptions { bin_dir: bin.clone(), ..postgres_options(directory.path()) };
    let error = Postgres::start(options.clone()).await.err().unwrap();
    assert!(matches!(&error, ServerError::Ended { tail, .. } if tail == "no space left"), "{error}");

    script(&bin, "postgres", "echo 'postgres (PostgreSQL) 14.22'");
    let error = Postgres::start(options).await.err().unwrap();
    assert!(matches!(error, ServerError::TooOld { server: 14, min: 15, .. }), "{error}");
}

#[tokio::test]
async fn servers_end_when_their_parent_is_killed() {
    let directory = directory();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_that_is_killed", "--nocapture"])
        .env(PARENT, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let file = directory.path().join("pids");
    until("both servers run", async || file.exists()).await;
    let pids: Vec<u32> = fs::read_to_string(&file).unwrap().lines().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| runs(*pid)));

    parent.kill().unwrap();
    parent.wait().unwrap();
    until("both servers ended", async || !pids.iter().any(|pid| runs(*pid))).await;
    Postgres::start(postgres_options(directory.path())).await.unwrap().stop().await;
}

/// Not a test by itself: the parent that the test above starts and kills.
#[test]
fn parent_that_is_killed() {
    let Some(directory) = Environment::of_process().path(PARENT) else { return };
    // The thread that asks for the servers ends; the servers must not.
    let servers = std::thread::spawn({
        let directory = directory.clone();
        move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let started = runtime.block_on(async {
                let postgres = Postgres::start(postgres_options(&directory)).await.unwrap();
                (postgres, Nats::start(nats_options(&directory)).await.unwrap())
            });
            (runtime, started)
        }
    });
    let (_runtime, (postgres, nats)) = servers.join().unwrap();
    let pids = format!("{}\n{}\n", postgres.pid().unwrap(), nats.pid().unwrap());
    fs::write(directory.join("pids.new"), pids).unwrap();
    fs::rename(directory.join("pids.new"), directory.join("pids")).unwrap();
    loop {
        std::thread::park();
    }
}
