//! The real package clients: npm, pnpm, yarn, pip, uv, cargo and go, each with its own way to be told where the mirror is.
//!
//! A [`Project`] is a manifest with a few root dependencies. [`Project::install`] resolves it and writes a lockfile,
//! [`Project::install_locked`] installs from that lockfile alone.
//!
//! *Invariant:* every run starts with an empty cache, store and home of its own and an empty environment, so that what is
//! installed came through the mirror in that run.
//!
//! *Invariant:* no configuration of the person or the machine is read, and the mirror is the only address a client knows.

mod cargo;
mod command;
pub mod go;
pub mod judge;
mod node;
mod npm;
mod pip;
mod pnpm;
mod python;
mod tools;
mod uv;
mod yarn;

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use touchstone_domain::Ecosystem;
use url::Url;

pub use command::Exit;
pub use tools::Tools;

use command::ClientCommand;

/// What is installed: names and versions.
pub type Packages = BTreeSet<(String, String)>;

/// One of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Client {
    /// npm, with `npm ci` from `package-lock.json`.
    Npm,
    /// pnpm, with `--frozen-lockfile` from `pnpm-lock.yaml`.
    Pnpm,
    /// Yarn 4 with `node_modules`, and `--immutable` from `yarn.lock`.
    Yarn,
    /// pip, with `--require-hashes` from a requirements file.
    Pip,
    /// uv, with `uv sync --frozen` from `uv.lock`.
    Uv,
    /// cargo behind source replacement, with `--locked` from `Cargo.lock`.
    Cargo,
    /// go, with `-mod=readonly` from a `go.mod` and its `go.sum`.
    Go,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Npm, Self::Pnpm, Self::Yarn, Self::Pip, Self::Uv, Self::Cargo, Self::Go];

    /// The name that people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Pip => "pip",
            Self::Uv => "uv",
            Self::Cargo => "cargo",
            Self::Go => "go",
        }
    }

    /// Whose packages it installs.
    pub const fn ecosystem(self) -> Ecosystem {
        match self {
            Self::Npm | Self::Pnpm | Self::Yarn => Ecosystem::Npm,
            Self::Pip | Self::Uv => Ecosystem::Pypi,
            Self::Cargo => Ecosystem::Cargo,
            Self::Go => Ecosystem::Go,
        }
    }

    fn driver(self) -> &'static dyn Driver {
        match self {
            Self::Npm => &npm::Npm,
            Self::Pnpm => &pnpm::Pnpm,
            Self::Yarn => &yarn::Yarn,
            Self::Pip => &pip::Pip,
            Self::Uv => &uv::Uv,
            Self::Cargo => &cargo::Cargo,
            Self::Go => &go::Go,
        }
    }
}

/// How a run gets its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// From the index; the lockfile is written anew.
    Resolve,
    /// From the lockfile, which may not change.
    Locked,
}

impl Mode {
    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Resolve => "from the index",
            Self::Locked => "from the lock",
        }
    }
}

/// Where one run takes place.
struct Place<'a> {
    tools: &'a Tools,
    /// The project's directory.
    project: &'a Path,
    /// Home, caches and stores: empty when the run starts, removed when it ends.
    fresh: &'a Path,
    /// The root of the mirror, with a trailing slash.
    mirror: &'a Url,
}

impl Place<'_> {
    /// An address below the mirror.
    fn below(&self, path: &str) -> String {
        format!("{}{path}", self.mirror)
    }
}

/// What differs between the clients.
trait Driver: Sync {
    /// The project's own files: the manifest, and the configuration that names the mirror.
    fn files(&self, place: &Place<'_>, dependencies: &[(String, String)]) -> Vec<(PathBuf, String)>;

    /// The lockfile, in the project.
    fn lockfile(&self) -> &'static str;

    /// Directories of the project that an install fills.
    fn trees(&self) -> &'static [&'static str];

    /// The command that installs.
    fn command(&self, place: &Place<'_>, mode: Mode) -> ClientCommand;

    /// What is on disk after it.
    fn installed(&self, place: &Place<'_>) -> Packages;

    /// Writes the lockfile, where the client does not do so itself.
    fn lock(&self, _place: &Place<'_>) {}
}

/// A project that one client installs.
pub struct Project {
    client: Client,
    tools: Tools,
    dir: TempDir,
    dependencies: Vec<(String, String)>,
    limit: Duration,
}

/// Longer than an install from loopback takes on a busy machine.
const RUN_LIMIT: Duration = Duration::from_mins(2);

impl Project {
    /// A project with these root dependencies: names, and requirements as the ecosystem writes them (`^1.0.0`, `>=1,<2`,
    /// `latest`).
    ///
    /// # Panics
    /// When the tools are not installed: `./dev setup` does so.
    pub fn new(client: Client, dependencies: &[(&str, &str)]) -> Self {
        let dir =
            tempfile::Builder::new().prefix("touchstone-client-").tempdir().expect("a temporary directory");
        let dependencies = dependencies.iter().map(|(n, r)| ((*n).to_owned(), (*r).to_owned())).collect();
        Self { client, tools: Tools::find(), dir, dependencies, limit: RUN_LIMIT }
    }

    /// Allows each run this long.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Resolves from the index through the mirror, installs, and writes the lockfile.
    pub async fn install(&self, mirror: &Url) -> Run {
        self.run(mirror, Mode::Resolve).await
    }

    /// Installs what the lockfile of the last [`Project::install`] says.
    pub async fn install_locked(&self, mirror: &Url) -> Run {
        self.run(mirror, Mode::Locked).await
    }

    async fn run(&self, mirror: &Url, mode: Mode) -> Run {
        let driver = self.client.driver();
        let project = self.dir.path().join("project");
        let fresh = tempfile::Builder::new()
            .prefix("fresh-")
            .tempdir_in(self.dir.path())
            .expect("in our own directory");
        let place = Place { tools: &self.tools, project: &project, fresh: fresh.path(), mirror };
        for tree in driver.trees() {
            remove(&project.join(tree));
        }
        if mode == Mode::Resolve {
            remove(&project.join(driver.lockfile()));
        }
        for (path, content) in driver.files(&place, &self.dependencies) {
            write(&path, &content);
        }
        let finished = driver.command(&place, mode).run(&place, self.limit).await;
        let installed = driver.installed(&place);
        if finished.exit == Exit::Code(0) && mode == Mode::Resolve {
            driver.lock(&place);
        }
        Run {
            client: self.client,
            mode,
            exit: finished.exit,
            output: finished.output,
            elapsed: finished.elapsed,
            installed,
        }
    }
}

/// How a run went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The client.
    pub client: Client,
    /// Where its versions came from.
    pub mode: Mode,
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to standard output and standard error, with the command line first.
    pub output: String,
    /// How long it took.
    pub elapsed: Duration,
    /// What is installed now, half an install included.
    pub installed: Packages,
}

impl Run {
    /// Whether the client says that it succeeded.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// The versions of one package that are installed.
    pub fn versions(&self, name: &str) -> Vec<&str> {
        self.installed.iter().filter(|(n, _)| n == name).map(|(_, version)| version.as_str()).collect()
    }

    /// The output on one line, as some clients break theirs to the width of the terminal.
    pub fn words(&self) -> String {
        self.output.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, mode, exit, output, elapsed, installed } = self;
        let (name, count) = (client.name(), installed.len());
        let from = mode.words();
        write!(
            f,
            "{name} {from} ended with {exit:?} after {elapsed:.1?}, {count} packages installed:\n{output}"
        )
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a file in a directory")).expect("our own directory");
    fs::write(path, content).expect("our own file");
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        assert!(
            error.kind() == std::io::ErrorKind::NotFound,
            "{} cannot be removed: {error}",
            path.display()
        );
    }
}
