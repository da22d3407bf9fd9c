//! `./dev live`: the real mirror between the real clients and the live registries.
//!
//! Every client installs a real project through an empty mirror, from the index and from its lockfile. Then the mirror is
//! started again with upstreams that cannot be reached, and every client does the same with an empty cache: what it gets
//! now can only come from the mirror, and must be the same.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};
use touchstone_testkit::touchstone_binary;
use touchstone_tests::clients::{Client, Packages, Project, Run};
use url::Url;

/// A project is real from this many packages on.
const PACKAGES_MIN: usize = 20;
/// One install from the live registries through an empty mirror.
const RUN_LIMIT: Duration = Duration::from_mins(5);
/// The mirror's own start, with a new database; and its end.
const MIRROR_LIMIT: Duration = Duration::from_mins(2);
/// Between two questions whether the mirror is ready.
const READY_POLL: Duration = Duration::from_millis(200);

const NODE: &[(&str, &str)] =
    &[("express", "^5"), ("chalk", "^4"), ("yargs", "^17"), ("@babel/code-frame", "^7")];
const PYTHON: &[(&str, &str)] = &[
    ("flask", ">=3"),
    ("requests", ">=2"),
    ("rich", ">=13"),
    ("sqlalchemy", ">=2"),
    ("pydantic", ">=2"),
    ("httpx", ""),
];
const RUST: &[(&str, &str)] = &[("axum", "0.8"), ("clap", "4"), ("serde_json", "1")];

#[tokio::main]
async fn main() -> ExitCode {
    // The private database's user must be able to pass through.
    let open = fs::Permissions::from_mode(0o755);
    let directory = tempfile::Builder::new().prefix("touchstone-live-").permissions(open).tempdir();
    let directory = directory.expect("a temporary directory");
    match live(directory.path()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: {error:#}\nThe mirror's files and its log are kept in {}.",
                directory.keep().display()
            );
            ExitCode::FAILURE
        }
    }
}

async fn live(directory: &Path) -> Result<()> {
    let mirror = Mirror::new(directory)?;
    eprintln!("asking the package clients of this machine for their registries");
    mirror.discover().await?;
    let projects: Vec<Project> =
        Client::ALL.into_iter().map(|client| Project::new(client, roots(client)).limit(RUN_LIMIT)).collect();

    let mut rounds = Vec::new();
    for upstreams in [Upstreams::Live, Upstreams::Unreachable] {
        if upstreams == Upstreams::Unreachable {
            mirror.cut_off()?;
        }
        eprintln!("starting the mirror at {} with {}", mirror.url, upstreams.words());
        let running = mirror.start().await?;
        let ran = run(&mirror, upstreams, &projects, &mut rounds).await;
        stop(running).await?;
        ran?;
    }
    report(&rounds)
}

/// Lets every client install from the index, and then from the lockfile.
async fn run(
    mirror: &Mirror,
    upstreams: Upstreams,
    projects: &[Project],
    rounds: &mut Vec<Round>,
) -> Result<()> {
    if upstreams == Upstreams::Unreachable {
        mirror.expect_nothing_new().await?;
    }
    for project in projects {
        for run in [project.install(&mirror.url).await, project.install_locked(&mirror.url).await] {
            let round = Round { upstreams, run };
            eprintln!("  {round}");
            rounds.push(round);
        }
    }
    Ok(())
}

/// The root dependencies of a client's project.
fn roots(client: Client) -> &'static [(&'static str, &'static str)] {
    match client {
        Client::Npm | Client::Pnpm | Client::Yarn => NODE,
        Client::Pip | Client::Uv => PYTHON,
        Client::Cargo => RUST,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstreams {
    Live,
    Unreachable,
}

impl Upstreams {
    const fn words(self) -> &'static str {
        match self {
            Self::Live => "live upstreams",
            Self::Unreachable => "unreachable upstreams",
        }
    }
}

/// One run and its circumstances.
struct Round {
    upstreams: Upstreams,
    run: Run,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let result = if self.run.succeeded() { "ok" } else { "FAILED" };
        let (name, from, packages) =
            (self.run.client.name(), self.run.mode.words(), self.run.installed.len());
        let (upstreams, seconds) = (self.upstreams.words(), self.run.elapsed.as_secs_f64());
        write!(f, "{name:<6} {from:<14} {upstreams:<22} {packages:>4} packages {seconds:>6.1} s  {result}")
    }
}

/// Prints the table, and what failed. With live upstreams the mirror is cold for the first client of each ecosystem, and warm
/// for the next; cargo's time from the lockfile is mostly the compiler's.
fn report(rounds: &[Round]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n                 upstreams live        upstreams unreachable")?;
    writeln!(out, "client packages  index      lockfile   index      lockfile")?;
    for client in Client::ALL {
        let runs: Vec<&Run> =
            rounds.iter().filter(|round| round.run.client == client).map(|round| &round.run).collect();
        let packages = runs.first().map_or(0, |run| run.installed.len());
        write!(out, "{:<6} {packages:>8}", client.name())?;
        for run in runs {
            let result = if run.succeeded() {
                format!("{:.1} s", run.elapsed.as_secs_f64())
            } else {
                "FAILED".to_owned()
            };
            write!(out, "  {result:<9}")?;
        }
        writeln!(out)?;
    }
    let mut problems = Vec::new();
    for round in rounds {
        if !round.run.succeeded() {
            problems.push(round.run.to_string());
        } else if round.run.installed.len() < PACKAGES_MIN {
            problems.push(format!("{round}: fewer than {PACKAGES_MIN} packages"));
        }
    }
    for client in Client::ALL {
        let of_client = rounds.iter().filter(|round| round.run.client == client);
        let sets: BTreeSet<&Packages> = of_client.map(|round| &round.run.installed).collect();
        if sets.len() != 1 {
            problems.push(format!("{} did not install the same packages each time", client.name()));
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n\n"));
    Ok(())
}

/// The binary and its configuration.
struct Mirror {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    url: Url,
}

impl Mirror {
    fn new(directory: &Path) -> Result<Self> {
        let (edge, console) = (free_port()?, free_port()?);
        let config = directory.join("touchstone.toml");
        let text = format!(
            "data_dir = \"data\"\n\n[edge]\nlisten = \"127.0.0.1:{edge}\"\npublic_url = \"http://127.0.0.1:{edge}\"\n\n\
             [console]\nlisten = \"127.0.0.1:{console}\"\n"
        );
        fs::write(&config, text)?;
        let url = format!("http://127.0.0.1:{edge}/").parse()?;
        Ok(Self { binary: touchstone_binary(), config, log: directory.join("mirror.log"), url })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn discover(&self) -> Result<()> {
        let status = self.command().args(["upstreams", "discover", "--write"]).status().await?;
        ensure!(status.success(), "`touchstone upstreams discover` ended with {status}");
        Ok(())
    }

    /// Starts it, and waits until it says that it is ready.
    async fn start(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut child = self.command().arg("standalone").stdout(log.try_clone()?).stderr(log).spawn()?;
        let ready = self.url.join("readyz")?;
        let http = http()?;
        let wait = async {
            loop {
                if let Some(status) = child.try_wait()? {
                    bail!("the mirror ended with {status}");
                }
                match http.get(ready.clone()).send().await {
                    Ok(answer) if answer.status().is_success() => return Ok(()),
                    Ok(_) | Err(_) => sleep(READY_POLL).await,
                }
            }
        };
        let waited = timeout(MIRROR_LIMIT, wait).await.context("the mirror is not ready").flatten();
        if let Err(problem) = waited {
            stop(child).await.context(problem)?;
            bail!("the mirror was never ready");
        }
        Ok(child)
    }

    /// Asks for a package that no project has, so that nothing can come but from the upstream.
    async fn expect_nothing_new(&self) -> Result<()> {
        let status = http()?.get(self.url.join("npm/is-odd")?).send().await?.status();
        ensure!(
            status == StatusCode::BAD_GATEWAY,
            "the mirror answers {status} for what only an upstream has"
        );
        Ok(())
    }

    /// Points every upstream at a port of this machine where nobody listens; everything else stays.
    fn cut_off(&self) -> Result<()> {
        let closed: Url = format!("http://127.0.0.1:{}/", free_port()?).parse()?;
        let mut config: toml::Table = fs::read_to_string(&self.config)?.parse()?;
        let upstreams = config.get_mut("upstream").and_then(toml::Value::as_table_mut);
        for (_, upstream) in upstreams.context("no upstream was discovered")? {
            redirect(upstream, &closed)?;
        }
        Ok(fs::write(&self.config, toml::to_string(&config)?)?)
    }
}

/// Moves every address in a value to another origin.
fn redirect(value: &mut toml::Value, origin: &Url) -> Result<()> {
    match value {
        toml::Value::String(text) => {
            if let Ok(address) = Url::parse(text) {
                *text = origin.join(address.path())?.into();
            }
        }
        toml::Value::Array(values) => values.iter_mut().try_for_each(|value| redirect(value, origin))?,
        toml::Value::Table(table) => table.iter_mut().try_for_each(|(_, value)| redirect(value, origin))?,
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => (),
    }
    Ok(())
}

/// Asks the mirror to end, as a supervisor does.
async fn stop(mut running: Child) -> Result<()> {
    let id = running.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(id.context("the mirror ended by itself")?, rustix::process::Signal::TERM)?;
    let status = timeout(MIRROR_LIMIT, running.wait()).await.context("the mirror does not end")??;
    ensure!(status.success(), "the mirror ended with {status}");
    Ok(())
}

/// Asks the mirror on loopback, whatever proxies the environment names.
fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
