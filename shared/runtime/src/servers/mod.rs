//! A private Postgres and a private nats-server, for standalone and for tests.
//!
//! Both listen where only this machine can reach them (a socket in a directory of mode 0700; the loopback address), keep
//! everything in the directory they are given, and start again when they die. As root, which Postgres refuses, both run
//! as [`SERVER_UID`].
//!
//! *Invariant:* a server never outlives this process. The kernel signals it when the thread that started it dies, so one
//! thread that lives as long as the process starts them all.
//!
//! *Invariant:* starting ends: ready, or an error that carries the last words of the server, or a deadline.

mod directory;
mod find;
mod nats;
mod postgres;
mod process;
mod supervise;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use find::{NotFound, Search};
pub use nats::{Nats, NatsOptions};
pub use postgres::{Postgres, PostgresOptions};

/// The user that the servers run as when this process is root.
pub const SERVER_UID: u32 = 65534;

/// Why a private server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file or directory of the server cannot be used.
    #[error("cannot prepare {path}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server's user may not enter a directory above its files.
    #[error(
        "as root, the private servers run as user {SERVER_UID}, which may not enter {path}; \
         move the files, or allow it with: chmod o+x {path}",
        path = path.display()
    )]
    Unreachable {
        /// The directory that is closed.
        path: PathBuf,
    },
    /// The program cannot be started at all.
    #[error("cannot start {program} (setpriv, of util-linux, must be there too)", program = program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program ended before it was ready.
    #[error("{program} ended with {status}: {tail}", program = program.display())]
    Ended {
        /// Which.
        program: PathBuf,
        /// How.
        status: String,
        /// The end of what it wrote to standard error.
        tail: String,
    },
    /// The program was not ready in time.
    #[error("{program} was not ready after {}s: {tail}", after.as_secs(), program = program.display())]
    Deadline {
        /// Which.
        program: PathBuf,
        /// How long was waited.
        after: Duration,
        /// The end of what it wrote to standard error.
        tail: String,
    },
    /// The data were written by another major version.
    #[error("{path} was written by Postgres {data}, but {bin_dir} holds Postgres {server}", path = path.display(), bin_dir = bin_dir.display())]
    Version {
        /// The data directory.
        path: PathBuf,
        /// The version that wrote it.
        data: String,
        /// Where the programs are.
        bin_dir: PathBuf,
        /// Their version.
        server: u32,
    },
    /// Postgres is older than the SQL needs.
    #[error("{bin_dir} holds Postgres {server}; at least {min} is needed", bin_dir = bin_dir.display())]
    TooOld {
        /// Where the programs are.
        bin_dir: PathBuf,
        /// Their version.
        server: u32,
        /// The oldest that will do.
        min: u32,
    },
    /// Another server runs on the same directory.
    #[error("process {pid} already runs on {path}", path = path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The other server.
        pid: u32,
    },
}

/// The address that a running private server left in its directory, for commands beside a standalone process.
pub fn recorded_url(data_dir: &Path) -> Option<String> {
    let url = std::fs::read_to_string(data_dir.join(directory::URL_FILE)).ok()?;
    Some(url.trim().to_owned()).filter(|url| !url.is_empty())
}
