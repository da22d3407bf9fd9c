//! `touchstone doctor`: the effective configuration, and whether everything that it names can be reached.
//!
//! *Invariant:* it makes nothing, and changes nothing: it may be run anywhere, by anybody, at any time.

mod attestations;
mod custody;
mod place;
mod sumdb;

use std::{fmt::Write as _, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use touchstone_bus::{Bus, BusOptions};
use touchstone_domain::{CheckKind, Ecosystem, Policy};
use touchstone_ecosystems::adapter;
use touchstone_runtime::{Chain, Config};
use touchstone_upstream::{FetchError, MetadataReply, Upstream, Validators};
use url::Url;

use crate::wiring;

/// How long one test may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What a test found.
enum Found {
    /// All is well.
    Good(String),
    /// It works, and somebody should look.
    Warning(String),
}

/// A test's name, and what it found or why it failed.
type Test = (String, Result<Found>);

/// Prints the configuration and a line per test; exit code 1 when a test failed.
pub(crate) async fn run(config: &Config, file: Option<&Path>) -> Result<ExitCode> {
    let source =
        file.map_or_else(|| "no file; defaults and environment".to_owned(), |f| f.display().to_string());
    super::say(&format!("# effective configuration ({source})\n{}\n# tests\n", config.to_toml()));
    let policy = wiring::policy(config.policy.file.as_deref());
    let checked = policy.as_ref().map(|policy| required(config, policy)).unwrap_or_default();
    let digest = policy.map(|policy| Found::Good(format!("digest sha256:{}", policy.digest())));
    let mut tests = vec![
        ("configuration".to_owned(), Ok(place::configuration(config, file))),
        ("policy".to_owned(), digest),
        ("blobs".to_owned(), within(place::blobs(config)).await),
        ("database".to_owned(), within(database(config)).await),
        ("nats".to_owned(), within(nats(config)).await),
        ("trust".to_owned(), within(attestations::trust(config)).await),
    ];
    if let Some(url) = &config.trust.tuf_url {
        tests.push(("trust.tuf_url".to_owned(), within(attestations::mirror(url)).await));
    }
    tests.extend(custody::tests(config).await);
    tests.extend(workers(config, &checked).await);
    tests.extend(upstreams(config).await);
    tests.extend(sumdb::tests(config).await);
    let mut out = String::new();
    for (name, result) in &tests {
        let _infallible = match result {
            Ok(Found::Good(text)) => writeln!(out, "ok    {name:<20}{text}"),
            Ok(Found::Warning(text)) => writeln!(out, "warn  {name:<20}{text}"),
            Err(error) => writeln!(out, "FAIL  {name:<20}{}", Chain(error.as_ref())),
        };
    }
    super::say(&out);
    Ok(if tests.iter().all(|(_, result)| result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checks that the policy asks of packages which no rule names, of the ecosystems that are mirrored.
fn required(config: &Config, policy: &Policy) -> Vec<CheckKind> {
    let asks = |check: CheckKind| {
        config.upstream.iter().any(|(ecosystem, _)| {
            let package = adapter(ecosystem).package(match ecosystem {
                Ecosystem::Go => "golang.org/toolchain",
                Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => "doctor",
            });
            package.is_ok_and(|package| policy.requirement(ecosystem, &package).required().contains(check))
        })
    };
    CheckKind::ALL.into_iter().filter(|check| check.is_available() && asks(*check)).collect()
}

async fn within(test: impl Future<Output = Result<Found>>) -> Result<Found> {
    tokio::time::timeout(TEST_TIMEOUT, test).await.context("no answer in time")?
}

async fn database(config: &Config) -> Result<Found> {
    if super::database(config).is_err() {
        return Ok(Found::Good("not configured; standalone starts a private one".to_owned()));
    }
    let store = super::store(config).await?;
    let login = store.login().await?;
    let attempts_max = i16::try_from(config.promote.attempts_max).unwrap_or(i16::MAX);
    let counts = store.counts(attempts_max).await?;
    let artifacts: u64 = counts.artifacts.iter().map(|(_, _, number)| number).sum();
    let found = format!(
        "{artifacts} artifact(s), {} stuck, {} dead letter(s), {} open incident(s); logged in as {}",
        counts.stuck, counts.dead_letters, counts.incidents, login.name
    );
    // Beside a standalone, commands have its socket, and with it everything; its roles do not.
    Ok(if login.is_owner && config.database.url.is_some() {
        Found::Warning(format!(
            "{found}, who owns the tables: only `touchstone migrate` needs to; let each role log in as touchstone_ROLE, and \
             doctor and an operator's commands as touchstone_console"
        ))
    } else {
        Found::Good(found)
    })
}

async fn nats(config: &Config) -> Result<Found> {
    Ok(Found::Good(match connect(config).await? {
        Some(_) => "connected; the server is recent enough".to_owned(),
        None => "not configured; standalone starts a private one".to_owned(),
    }))
}

async fn connect(config: &Config) -> Result<Option<Bus>> {
    let Some(url) = &config.nats.url else { return Ok(None) };
    let options = BusOptions { url: url.reveal().to_owned(), name: "touchstone-doctor".to_owned() };
    let bus = Bus::connect(options).await?;
    // A server that is away is no error to a role, which goes on trying.
    ensure!(bus.is_connected(), "no server answers there");
    Ok(Some(bus))
}

/// Whether somebody works on each check. Not where NATS or the database is away or of standalone: that is told already, and
/// standalone has every worker.
async fn workers(config: &Config, checks: &[CheckKind]) -> Vec<Test> {
    let bus = tokio::time::timeout(TEST_TIMEOUT, connect(config)).await;
    let (Ok(Ok(Some(bus))), Ok(store)) = (bus, super::store(config).await) else { return vec![] };
    let mut tests = vec![];
    for check in CheckKind::ALL.into_iter().filter(|check| check.is_available()) {
        let test = async {
            let (number, since) = store.waiting_for(check).await?;
            let is_consumed = bus.is_consumed(check).await?;
            match since {
                Some(_) if is_consumed => {
                    Ok(Found::Good(format!("a worker is there; {number} artifact(s) wait")))
                }
                Some(since) => bail!(
                    "no worker is there, and {number} artifact(s) wait for one, the first since {since:.0}; start \
                     `touchstone {check}`"
                ),
                None if is_consumed => Ok(Found::Good("a worker is there; nothing waits".to_owned())),
                None => Ok(Found::Warning(format!(
                    "no worker is there, and the policy requires this check; start `touchstone {check}`"
                ))),
            }
        };
        let found = within(test).await;
        // A check that nothing needs has no worker, and nobody misses it.
        if checks.contains(&check) || found.is_err() {
            tests.push((format!("check.{check}"), found));
        }
    }
    tests
}

/// Whether each upstream answers, and where its attestations are if that is elsewhere.
async fn upstreams(config: &Config) -> Vec<Test> {
    let (upstreams, documents) = match (wiring::upstreams(config), wiring::attestation_upstreams(config)) {
        (Ok(upstreams), Ok(documents)) => (upstreams, documents),
        (Err(error), _) | (_, Err(error)) => return vec![("upstream".to_owned(), Err(error))],
    };
    if upstreams.is_empty() {
        let none =
            "none is configured, so nothing can be fetched; run `touchstone upstreams discover --write`";
        return vec![("upstream".to_owned(), Ok(Found::Warning(none.to_owned())))];
    }
    let mut tests = vec![];
    for ecosystem in Ecosystem::ALL {
        let test = match upstreams.get(&ecosystem) {
            Some(found) => within(upstream(ecosystem, found)).await,
            None => Ok(Found::Good("not configured; run `touchstone upstreams discover --write`".to_owned())),
        };
        tests.push((format!("upstream.{ecosystem}"), test));
        let section = config.upstream.get(ecosystem);
        if section.is_some_and(|section| section.attestations_url.is_some())
            && let Some(found) = documents.get(&ecosystem)
        {
            let test = within(attestations::documents(ecosystem, found)).await;
            tests.push((format!("attestations.{ecosystem}"), test));
        }
    }
    tests
}

/// Asks for the metadata of a name that no registry has: an answer of any kind says that the upstream is there.
async fn upstream(ecosystem: Ecosystem, upstream: &Upstream) -> Result<Found> {
    let path = match ecosystem {
        Ecosystem::Cargo => "config.json",
        Ecosystem::Go => "golang.org/toolchain/@v/list",
        Ecosystem::Npm => "-/ping",
        Ecosystem::Pypi => "simple/pip/",
    };
    let url = upstream.index_url(path)?;
    answers(&url, upstream.metadata(&url, "*/*", &Validators::default()).await)
}

fn answers(url: &Url, answer: Result<MetadataReply, FetchError>) -> Result<Found> {
    let origin = url.origin().ascii_serialization();
    match answer {
        Ok(_) => Ok(Found::Good(format!("{origin} answers"))),
        Err(FetchError::NotFound { .. }) => {
            Ok(Found::Good(format!("{origin} answers (without a test document)")))
        }
        Err(error) => Err(error.into()),
    }
}
