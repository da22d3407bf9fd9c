//! `./dev live`: the real mirror between the real clients and the live registries.
//!
//! Every client installs a real project through an empty mirror, from the index and from its lockfile. Then the same mirror
//! is started again where there is no network but loopback, and every client does the same with an empty cache: what it
//! gets now can only come from the mirror, and must be the same.

mod isolated;
mod mirror;
mod report;

use std::{
    env, ffi::OsString, fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use touchstone_tests::clients::{Client, Project, Run};

use crate::{
    mirror::{Mirror, stop},
    report::{Network, Round, report},
};

/// One install from the live registries through an empty mirror.
const RUN_LIMIT: Duration = Duration::from_mins(5);

/// The tarballs of the last one, and of one below it, hold a file twice.
const NODE: &[(&str, &str)] = &[
    ("express", "^5"),
    ("chalk", "^4"),
    ("yargs", "^17"),
    ("@babel/code-frame", "^7"),
    ("socks-proxy-agent", "8.0.5"),
];
const PYTHON: &[(&str, &str)] = &[
    ("flask", ">=3"),
    ("requests", ">=2"),
    ("rich", ">=13"),
    ("sqlalchemy", ">=2"),
    ("pydantic", ">=2"),
    ("httpx", ""),
];
/// Modules with a package of that very path.
const GO: &[(&str, &str)] = &[
    ("github.com/spf13/viper", "latest"),
    ("github.com/gin-gonic/gin", "latest"),
    ("github.com/minio/minio-go/v7", "latest"),
];
const RUST: &[(&str, &str)] = &[("axum", "0.8"), ("clap", "4"), ("serde_json", "1")];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let ended = match arguments.as_slice() {
        [] => live().await,
        [flag, directory, binary, url] if flag == isolated::FLAG => {
            without_network(directory, binary, url).await
        }
        _ => Err(anyhow!("`live` takes no arguments")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Both halves and the table.
async fn live() -> Result<()> {
    isolated::permitted().await?;
    // The private database's user must be able to pass through.
    let open = fs::Permissions::from_mode(0o755);
    let directory = tempfile::Builder::new().prefix("touchstone-live-").permissions(open).tempdir()?;
    let ended = both_halves(directory.path()).await;
    if ended.is_err() {
        eprintln!("the mirror's files and its log are kept in {}", directory.keep().display());
    }
    ended
}

async fn both_halves(directory: &Path) -> Result<()> {
    let mirror = Mirror::new(directory)?;
    eprintln!("asking the package clients of this machine for their registries");
    mirror.discover().await?;
    let with = half(&mirror, Network::Up).await?;
    let without = isolated::run(&mirror).await?;
    let with = with.into_iter().map(|run| Round { network: Network::Up, run });
    let without = without.into_iter().map(|run| Round { network: Network::Absent, run });
    let rounds: Vec<Round> = with.chain(without).collect();
    report(&rounds)
}

/// What the process in the namespace does: the second half, handed back as JSON on standard output.
async fn without_network(directory: &OsString, binary: &OsString, url: &OsString) -> Result<()> {
    isolated::enter().await?;
    let url = url.to_str().context("an address is text")?.parse()?;
    let mirror = Mirror { directory: directory.into(), binary: binary.into(), url, _ports: vec![] };
    let runs = half(&mirror, Network::Absent).await?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &runs)?;
    Ok(out.flush()?)
}

/// Starts the mirror, lets every client install from the index and then from the lockfile, and ends the mirror.
async fn half(mirror: &Mirror, network: Network) -> Result<Vec<Run>> {
    eprintln!("starting the mirror at {} {}", mirror.url, network.words());
    let running = mirror.start().await?;
    let ran = runs(mirror, network).await;
    stop(running).await?;
    ran
}

async fn runs(mirror: &Mirror, network: Network) -> Result<Vec<Run>> {
    if network == Network::Absent {
        mirror.expect_nothing_new().await?;
    }
    let mut runs = Vec::new();
    for client in Client::ALL {
        let project = Project::new(client, roots(client)).limit(RUN_LIMIT);
        for run in [project.install(&mirror.url).await, project.install_locked(&mirror.url).await] {
            let round = Round { network, run };
            eprintln!("  {round}");
            runs.push(round.run);
        }
    }
    Ok(runs)
}

/// The root dependencies of a client's project.
fn roots(client: Client) -> &'static [(&'static str, &'static str)] {
    match client {
        Client::Npm | Client::Pnpm | Client::Yarn => NODE,
        Client::Pip | Client::Uv => PYTHON,
        Client::Cargo => RUST,
        Client::Go => GO,
    }
}
