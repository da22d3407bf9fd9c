//! A private Postgres on a Unix socket.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    ServerError, directory,
    process::{Process, Program, Stop},
    supervise::{Recipe, Server},
};
use crate::Shutdown;

/// The oldest major version that the SQL is written for.
const VERSION_MIN: u32 = 15;
/// The database that is created beside Postgres' own.
const DATABASE: &str = "touchstone";
/// How long setting up an empty data directory may take.
const INIT_DEADLINE: Duration = Duration::from_mins(2);
/// How long a start may take; recovery after a crash is part of it.
const READY_DEADLINE: Duration = Duration::from_mins(2);
/// How often to look whether it is ready.
const READY_PERIOD: Duration = Duration::from_millis(5);
/// How often to look whether another server has left the directory, and how many times: a server whose parent was just
/// killed may not know it yet; one that is stopping may have much to write.
const LEAVE_PERIOD: Duration = Duration::from_millis(50);
const LEAVE_LOOKS_MAX: u32 = 20;
const STOPPING_LOOKS_MAX: u32 = 1200;
const NO_PANIC: &str = "preparing a directory does not panic";

/// Where a private Postgres keeps its files, and which programs it is.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Its directory; created if it is not there.
    pub data_dir: PathBuf,
    /// The directory of `postgres` and `initdb`, see [`super::Search::postgres_bin_dir`].
    pub bin_dir: PathBuf,
    /// Whether commits survive a power cut; only tests can do without.
    pub durable: bool,
}

/// A private Postgres with an empty database named `touchstone`. Dropping it asks it to stop without waiting.
pub struct Postgres(Server<PostgresRecipe>);

impl Postgres {
    /// Creates the data directory if there is none, starts the server and waits until it takes connections.
    pub async fn start(options: PostgresOptions) -> Result<Self, ServerError> {
        let recipe =
            tokio::task::spawn_blocking(move || PostgresRecipe::prepare(options)).await.expect(NO_PANIC)?;
        recipe.initialise().await?;
        recipe.wait_for_another_to_leave().await?;
        let server = Server::start(recipe).await?;
        directory::record_url(&server.recipe().base, &server.recipe().url())?;
        Ok(Self(server))
    }

    /// `postgres://postgres@` and the percent-encoded directory of the socket; the same over restarts.
    pub fn url(&self) -> String {
        self.0.recipe().url()
    }

    /// The process id; `None` while it is being started again.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// From now on, starts it again whenever it ends, until [`Postgres::stop`] or the hard stage of the shutdown.
    pub fn supervise(&self, shutdown: &Shutdown) {
        self.0.supervise(shutdown);
    }

    /// Stops it, ending open connections, and waits until it has ended.
    pub async fn stop(&self) {
        self.0.stop().await;
        directory::forget_url(&self.0.recipe().base);
    }
}

struct PostgresRecipe {
    base: PathBuf,
    cluster: PathBuf,
    socket: PathBuf,
    bin_dir: PathBuf,
    durable: bool,
}

impl PostgresRecipe {
    fn prepare(PostgresOptions { data_dir, bin_dir, durable }: PostgresOptions) -> Result<Self, ServerError> {
        let postgres = bin_dir.join("postgres");
        directory::reachable(&postgres)?;
        let server = version(&postgres)?;
        if server < VERSION_MIN {
            return Err(ServerError::TooOld { bin_dir, server, min: VERSION_MIN });
        }
        let base = directory::private(&data_dir)?;
        let cluster = base.join("cluster");
        if let Ok(data) = fs::read_to_string(cluster.join("PG_VERSION"))
            && data.trim() != server.to_string()
        {
            return Err(ServerError::Version {
                path: cluster,
                data: data.trim().to_owned(),
                bin_dir,
                server,
            });
        }
        let socket = directory::socket(&base)?;
        Ok(Self { base, cluster, socket, bin_dir, durable })
    }

    fn url(&self) -> String {
        let socket = self.socket.to_string_lossy();
        format!("postgres://postgres@{}/{DATABASE}", utf8_percent_encode(&socket, NON_ALPHANUMERIC))
    }

    fn program(&self, file: &str, arguments: &[&str]) -> Program {
        let arguments = arguments.iter().map(OsString::from).collect();
        Program { file: self.bin_dir.join(file), arguments, stop: Stop::Interrupt }
    }

    /// Sets up the data directory under another name, so that one that is half done never counts.
    async fn initialise(&self) -> Result<(), ServerError> {
        if self.cluster.exists() {
            return Ok(());
        }
        let fresh = self.base.join("cluster.new");
        let directory = fresh.clone();
        tokio::task::spawn_blocking(move || directory::private_and_empty(&directory))
            .await
            .expect(NO_PANIC)?;
        let path = fresh.to_string_lossy();
        let mut arguments =
            vec!["-D", &path, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"];
        if !self.durable {
            arguments.push("--no-sync");
        }
        Process::run(self.program("initdb", &arguments), b"", INIT_DEADLINE).await?;
        let alone = ["--single", "-D", &path, "-c", "exit_on_error=true", "postgres"];
        let create = format!("CREATE DATABASE {DATABASE}\n");
        Process::run(self.program("postgres", &alone), create.as_bytes(), INIT_DEADLINE).await?;
        let failed = |source| ServerError::Directory { path: self.cluster.clone(), source };
        tokio::fs::rename(&fresh, &self.cluster).await.map_err(failed)
    }

    /// The server of a parent that was just killed still shuts down; one that stays has another owner.
    async fn wait_for_another_to_leave(&self) -> Result<(), ServerError> {
        let (mut looks, mut stopping) = (0, 0);
        while let Some(other) = self.running().await {
            let is_stopping = other.status.as_deref() == Some("stopping");
            *(if is_stopping { &mut stopping } else { &mut looks }) += 1;
            if looks > LEAVE_LOOKS_MAX || stopping > STOPPING_LOOKS_MAX {
                return Err(ServerError::InUse { path: self.cluster.clone(), pid: other.pid });
            }
            tokio::time::sleep(LEAVE_PERIOD).await;
        }
        Ok(())
    }

    /// The Postgres that `postmaster.pid` names, if it lives. If the number is by now some other program's, as happens
    /// when a container starts again, or that of a dead process which nobody waited for, the file is removed: Postgres
    /// itself would refuse to start. It still refuses while a process of the dead one uses the shared memory.
    async fn running(&self) -> Option<PidFile> {
        let path = self.cluster.join(PID_FILE);
        let file = PidFile::read(&path).await?;
        let stat = tokio::fs::read_to_string(format!("/proc/{}/stat", file.pid)).await.ok()?;
        if is_live_postgres(&stat) {
            return Some(file);
        }
        tracing::warn!(file.pid, "removing the postmaster.pid of a Postgres that is gone");
        let _ = tokio::fs::remove_file(&path).await;
        None
    }
}

/// Reads `/proc/PID/stat`: the number, the name in parentheses, the state.
fn is_live_postgres(stat: &str) -> bool {
    let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else {
        return false;
    };
    name == "postgres" && !rest.starts_with(['Z', 'X'])
}

impl Recipe for PostgresRecipe {
    const NAME: &'static str = "postgres";

    async fn launch(&self) -> Result<Process, ServerError> {
        let (cluster, socket) = (self.cluster.to_string_lossy(), self.socket.to_string_lossy());
        let mut arguments = vec!["-D", &cluster, "-k", &socket, "-p", "5432", "-c", "listen_addresses="];
        arguments.extend([
            "-c",
            "max_connections=200",
            "-c",
            "logging_collector=off",
            "-c",
            "log_destination=stderr",
        ]);
        if !self.durable {
            arguments.extend([
                "-c",
                "fsync=off",
                "-c",
                "synchronous_commit=off",
                "-c",
                "full_page_writes=off",
            ]);
        }
        let mut process = Process::start(self.program("postgres", &arguments)).await?;
        let (file, pid) = (self.cluster.join(PID_FILE), process.id());
        process.ready(READY_DEADLINE, ready(&file, pid)).await?;
        Ok(process)
    }
}

const PID_FILE: &str = "postmaster.pid";

/// The file by which `pg_ctl` too knows a server's state.
struct PidFile {
    pid: u32,
    /// The eighth line; absent at first.
    status: Option<String>,
}

impl PidFile {
    async fn read(file: &Path) -> Option<Self> {
        let text = tokio::fs::read_to_string(file).await.ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        Some(Self { pid, status: lines.nth(6).map(|status| status.trim().to_owned()) })
    }
}

async fn ready(file: &Path, pid: u32) {
    loop {
        let found = PidFile::read(file).await;
        if found.is_some_and(|found| found.pid == pid && found.status.as_deref() == Some("ready")) {
            return;
        }
        tokio::time::sleep(READY_PERIOD).await;
    }
}

/// The major version that `postgres --version` names.
fn version(postgres: &Path) -> Result<u32, ServerError> {
    let failed = |source| ServerError::Spawn { program: postgres.to_owned(), source };
    let output = Command::new(postgres).arg("--version").env_clear().output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = text.split_whitespace().find_map(|word| word.split(['.', 'b', 'r']).next()?.parse().ok());
    major.ok_or_else(|| ServerError::Ended {
        program: postgres.to_owned(),
        status: output.status.to_string(),
        tail: format!(
            "--version said {:?} {:?}",
            text.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_postgres_that_is_not_dead_is_live() {
        assert!(is_live_postgres("42 (postgres) S 1 42 42 0"));
        assert!(!is_live_postgres("42 (postgres) Z 1 42 42 0"));
        assert!(!is_live_postgres("42 (bash) S 1 42 42 0"));
        assert!(!is_live_postgres("42 (a) (postgres) S 1 42 42 0"));
        assert!(!is_live_postgres(""));
    }
}
