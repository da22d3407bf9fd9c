//! Real artifacts of npm and PyPI, from the shared folder's registry: served as they are, refused when it lies, and served
//! again once it no longer does.

pub(crate) mod registry;

use std::{fs, path::Path, time::Duration};

use touchstone_domain::Ecosystem;
use touchstone_testkit::{TestMirror, eventually};

use crate::protocol::raw::{ask, assert_refused};
use registry::{FixtureRegistry, shared};

/// The target at the mirror, the file as it is published, and the file in the folder.
type Real = (&'static str, &'static str, &'static str);

const NPM: Real =
    ("/npm/sigstore/-/sigstore-5.0.0.tgz", "sigstore-5.0.0.tgz", "npm/artifacts/sigstore-5.0.0.tgz");
const PYPI: Real = (
    "/pypi/files/-/sampleproject/sampleproject-4.0.0.tar.gz",
    "sampleproject-4.0.0.tar.gz",
    "pypi/artifacts/sampleproject-4.0.0.tar.gz",
);
/// Large enough to take more than half a second at 64 kB/s.
const NPM_LARGE: Real =
    ("/npm/sigstore/-/sigstore-1.3.0.tgz", "sigstore-1.3.0.tgz", "npm/artifacts/sigstore-1.3.0.tgz");
const PYPI_LARGE: Real = (
    "/pypi/files/-/sigstore/sigstore-4.5.0-py3-none-any.whl",
    "sigstore-4.5.0-py3-none-any.whl",
    "pypi/artifacts/pypi-sigstore-4.5.0-py3-none-any.whl",
);
const OTHERS: [Real; 6] = [
    ("/npm/sigstore/-/sigstore-2.0.0.tgz", "sigstore-2.0.0.tgz", "npm/artifacts/sigstore-2.0.0.tgz"),
    ("/npm/sigstore/-/sigstore-2.1.0.tgz", "sigstore-2.1.0.tgz", "npm/artifacts/sigstore-2.1.0.tgz"),
    (
        "/pypi/files/-/sigstore/sigstore-4.5.0.tar.gz",
        "sigstore-4.5.0.tar.gz",
        "pypi/artifacts/pypi-sigstore-4.5.0.tar.gz",
    ),
    (
        "/pypi/files/-/pypi-attestations/pypi_attestations-0.0.19.tar.gz",
        "pypi_attestations-0.0.19.tar.gz",
        "pypi/artifacts/pypi_attestations-0.0.19.tar.gz",
    ),
    (
        "/pypi/files/-/rfc8785/rfc8785-0.1.2-py3-none-any.whl",
        "rfc8785-0.1.2-py3-none-any.whl",
        "pypi/artifacts/rfc8785-0.1.2-py3-none-any.whl",
    ),
    (
        "/pypi/files/-/sampleproject/sampleproject-3.0.0.tar.gz",
        "sampleproject-3.0.0.tar.gz",
        "pypi/artifacts/sampleproject-3.0.0.tar.gz",
    ),
];

async fn mirror(registry: &FixtureRegistry, hold: Duration) -> TestMirror {
    TestMirror::builder()
        .upstream(Ecosystem::Npm, registry.url("npm"))
        .upstream(Ecosystem::Pypi, registry.url("pypi"))
        // This is about bytes; not every recorded document is whole, and `attested_clients` is about those that are.
        .policy("[attestations]\nnpm = \"off\"\npypi = \"off\"\n")
        .hold(hold)
        .start()
        .await
}

async fn assert_served(mirror: &TestMirror, shared: &Path, (target, file, path): Real) {
    let reply = ask(mirror, "GET", target, &[]).await;
    assert_eq!(reply.line, "HTTP/1.1 200 OK", "{file}: {}", reply.text());
    let real = fs::read(shared.join("fixtures").join(path)).expect("the artifact");
    assert!(reply.body == real, "{file}: other bytes were served");
}

/// Under the fault both files are refused like this, and fetched this often; without it they are served.
async fn refused_then_served(fault: &str, code: &str, title: &str, fetches: usize) {
    let Some(shared) = shared() else { return };
    let faults = [NPM, PYPI].map(|(_, file, _)| format!("{fault}={file}"));
    let mut registry = FixtureRegistry::start(&shared, &faults);
    let mirror = mirror(&registry, Duration::from_secs(8)).await;
    for (target, file, _) in [NPM, PYPI] {
        // PyPI declares a size, which is compared first.
        let title =
            if (fault, target) == ("short", PYPI.0) { title.replace("digest", "size") } else { title.into() };
        assert_refused(&ask(&mirror, "GET", target, &[]).await, 502, code, &title, file);
        assert_eq!(registry.asked_for(file).await, fetches, "{file}");
        assert_refused(&ask(&mirror, "HEAD", target, &[]).await, 502, code, &title, file);
    }
    let expected = if fetches == 2 { vec!["upstream_mismatch"; 2] } else { vec![] };
    assert_eq!(mirror.incidents().await, expected);
    registry.restart_honest();
    for real in [NPM, PYPI] {
        assert_served(&mirror, &shared, real).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_artifacts_are_served_as_they_are() {
    let Some(shared) = shared() else { return };
    let registry = FixtureRegistry::start(&shared, &[]);
    let mirror = mirror(&registry, Duration::from_secs(8)).await;
    for real in [NPM, PYPI, NPM_LARGE, PYPI_LARGE].into_iter().chain(OTHERS) {
        assert_served(&mirror, &shared, real).await;
    }
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampered() {
    refused_then_served("tamper", "upstream_broken", "Upstream sent wrong bytes: digest_mismatch", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short() {
    refused_then_served("short", "upstream_broken", "Upstream sent wrong bytes: digest_mismatch", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated() {
    refused_then_served("truncate", "upstream_unreachable", "Upstream broke off its answer", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing() {
    refused_then_served("error", "upstream_unreachable", "Upstream answered with an error", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow() {
    let Some(shared) = shared() else { return };
    let files = [NPM_LARGE, PYPI_LARGE];
    let registry = FixtureRegistry::start(&shared, &files.map(|(_, file, _)| format!("slow={file}")));
    let mirror = mirror(&registry, Duration::from_millis(400)).await;
    for (target, file, path) in files {
        let title = "Still fetching from upstream, try again shortly";
        assert_refused(&ask(&mirror, "GET", target, &[]).await, 503, "pending", title, file);
        eventually("it is served", || async {
            (ask(&mirror, "GET", target, &[]).await.status() == 200).then_some(())
        })
        .await;
        assert_served(&mirror, &shared, (target, file, path)).await;
        assert_eq!(registry.asked_for(file).await, 1, "{file}");
    }
}
