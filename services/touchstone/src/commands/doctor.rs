//! `touchstone doctor`: the effective configuration, and whether everything that it names can be reached.

use std::{fmt::Write as _, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, BusOptions};
use touchstone_domain::Ecosystem;
use touchstone_runtime::{Chain, Config};
use touchstone_upstream::{FetchError, Upstream, Validators};

use crate::wiring;

/// How long one test may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Prints the configuration and a line per test; exit code 1 when a test failed.
pub(crate) async fn run(config: &Config, file: Option<&Path>) -> Result<ExitCode> {
    let source =
        file.map_or_else(|| "no file; defaults and environment".to_owned(), |f| f.display().to_string());
    super::say(&format!("# effective configuration ({source})\n{}\n# tests\n", config.to_toml()));
    let mut tests = vec![
        (
            "policy".to_owned(),
            wiring::policy(config.policy.file.as_deref())
                .map(|policy| format!("digest sha256:{}", policy.digest())),
        ),
        ("blobs".to_owned(), blobs(config).await),
        ("database".to_owned(), within(database(config)).await),
        ("nats".to_owned(), within(nats(config)).await),
    ];
    match wiring::upstreams(config) {
        Ok(upstreams) => {
            for ecosystem in Ecosystem::ALL {
                let test = match upstreams.get(&ecosystem) {
                    Some(found) => within(upstream(ecosystem, found)).await,
                    None => Ok("not configured; run `touchstone upstreams discover --write`".to_owned()),
                };
                tests.push((format!("upstream.{ecosystem}"), test));
            }
        }
        Err(error) => tests.push(("upstream".to_owned(), Err(error))),
    }
    let mut out = String::new();
    for (name, result) in &tests {
        let _infallible = match result {
            Ok(text) => writeln!(out, "ok    {name:<16}{text}"),
            Err(error) => writeln!(out, "FAIL  {name:<16}{}", Chain(error.as_ref())),
        };
    }
    super::say(&out);
    Ok(if tests.iter().all(|(_, result)| result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn within(test: impl Future<Output = Result<String>>) -> Result<String> {
    tokio::time::timeout(TEST_TIMEOUT, test).await.context("no answer in time")?
}

async fn blobs(config: &Config) -> Result<String> {
    let directory = config.blobs_dir()?;
    BlobStore::open(&directory).await?;
    Ok(directory.display().to_string())
}

async fn database(config: &Config) -> Result<String> {
    if super::database(config).is_err() {
        return Ok("not configured; standalone starts a private one".to_owned());
    }
    let store = super::store(config).await?;
    let attempts_max = i16::try_from(config.promote.attempts_max).unwrap_or(i16::MAX);
    let counts = store.counts(attempts_max).await?;
    let artifacts: u64 = counts.artifacts.iter().map(|(_, _, number)| number).sum();
    Ok(format!(
        "{artifacts} artifact(s), {} stuck, {} dead letter(s), {} open incident(s)",
        counts.stuck, counts.dead_letters, counts.incidents
    ))
}

async fn nats(config: &Config) -> Result<String> {
    let Some(url) = &config.nats.url else {
        return Ok("not configured; standalone starts a private one".to_owned());
    };
    let options = BusOptions { url: url.reveal().to_owned(), name: "touchstone-doctor".to_owned() };
    // A server that is away is no error to a role, which goes on trying.
    ensure!(Bus::connect(options).await?.is_connected(), "no server answers there");
    Ok("connected; the server is recent enough".to_owned())
}

/// Asks for the metadata of a name that no registry has: an answer of any kind says that the upstream is there.
async fn upstream(ecosystem: Ecosystem, upstream: &Upstream) -> Result<String> {
    let path = match ecosystem {
        Ecosystem::Cargo => "config.json",
        Ecosystem::Npm => "-/ping",
        Ecosystem::Pypi => "simple/pip/",
    };
    let url = upstream.index_url(path)?;
    match upstream.metadata(&url, "*/*", &Validators::default()).await {
        Ok(_) => Ok(format!("{} answers", url.origin().ascii_serialization())),
        Err(FetchError::NotFound { .. }) => {
            Ok(format!("{} answers (without a test document)", url.origin().ascii_serialization()))
        }
        Err(error) => Err(error.into()),
    }
}
