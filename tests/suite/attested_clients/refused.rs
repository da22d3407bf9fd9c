//! Real releases whose attestations are broken, somebody else's, gone or not to be had are not served, and `why` says which
//! check found what, with which evidence.

use std::time::Duration;

use touchstone_domain::{ArtifactState, Discontinuity, Ecosystem, OutcomeKind, Reason, Sha256};
use touchstone_testkit::{TestMirror, eventually};

use super::{
    HOLD, NPM, NPM_OLD, PYPI, PYPI_SDIST, PYPI_WHEEL, Release, mirror,
    runs::Workplace,
    told::{attest_verdict, attestations, story, why},
};
use crate::{
    fixtures::registry::{FixtureRegistry, shared},
    protocol::raw::{ask, assert_refused},
};

async fn assert_served(mirror: &TestMirror, release: Release) {
    let reply = ask(mirror, "GET", release.target, &[]).await;
    assert_eq!(reply.line, "HTTP/1.1 200 OK", "{release:?}: {}", reply.text());
}

/// Refused to clients with this title; on record in this state, for a reason of the attest check's, which is returned.
async fn assert_refused_by_attest(
    mirror: &TestMirror,
    release: Release,
    (state, outcome): (ArtifactState, OutcomeKind),
    title: &str,
) -> Reason {
    let code = if state == ArtifactState::Rejected { "rejected" } else { "held" };
    let reply = ask(mirror, "GET", release.target, &[]).await;
    assert_refused(&reply, 403, code, title, release.file);
    let story = story(mirror, release).await;
    assert_eq!(story.state(), state, "{release:?}");
    let verdict = attest_verdict(&story);
    assert_eq!(verdict.outcome.kind, outcome, "{release:?}: {}", verdict.outcome.reason);
    let (exit, said) = why(mirror, release);
    assert_eq!(exit, Some(2), "{said}");
    let answer = format!("  attest check {outcome}: {} (attest touchstone/", verdict.outcome.reason);
    assert!(said.contains(&answer), "{answer}: {said}");
    verdict.outcome.reason.clone()
}

/// Rejected for this problem, on the evidence that was served.
async fn assert_forged(mirror: &TestMirror, release: Release, expected: &str) {
    let rejected = (ArtifactState::Rejected, OutcomeKind::Fail);
    let title = "Rejected by the attest check: attestation_refused";
    let reason = assert_refused_by_attest(mirror, release, rejected, title).await;
    let Reason::AttestationRefused { problem, .. } = &reason else { panic!("{release:?}: {reason}") };
    assert_eq!(problem, expected, "{release:?}: {reason}");
    let story = story(mirror, release).await;
    let evidence = attestations(&story);
    let stored = mirror.blobs.read(evidence.sha256, 4 << 20).await.expect("stored");
    assert_eq!(Sha256::of(&stored), evidence.sha256);
    let (_, said) = why(mirror, release);
    assert!(said.contains(&format!("attestations sha256:{}", evidence.sha256)), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_signature() {
    let Some(shared) = shared() else { return };
    let registry =
        FixtureRegistry::start(&shared, &[NPM, PYPI].map(|release| format!("badsig={}", release.file)));
    let mirror = mirror(&registry, HOLD).await;
    for release in [NPM, PYPI] {
        assert_forged(&mirror, release, "signature").await;
    }
    let work = Workplace::new();
    let ran = work.npm_install(&mirror.url(), "sigstore@5.0.0").await;
    assert!(!ran.succeeded && !work.path("project/node_modules/sigstore").exists(), "{}", ran.said);
    let ran = work.pip_download(&mirror.url(), "sampleproject==4.0.0").await;
    assert!(!ran.succeeded && !work.path("downloads").join(PYPI.file).exists(), "{}", ran.said);
    assert!(ran.said.contains("Rejected by the attest check: attestation_refused"), "{}", ran.said);
}

/// Of another version, of another project, and of the other file of the same version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attestations_of_something_else() {
    let Some(shared) = shared() else { return };
    let swaps = [(NPM, NPM_OLD), (PYPI, PYPI_SDIST), (PYPI_WHEEL, PYPI_SDIST), (PYPI_SDIST, PYPI_WHEEL)];
    let faults = swaps.map(|(release, other)| format!("swap={}:{}", release.file, other.file));
    let registry = FixtureRegistry::start(&shared, &faults);
    let mirror = mirror(&registry, HOLD).await;
    for (release, _) in swaps {
        assert_forged(&mirror, release, "artifact_digest").await;
    }
}

/// The first release was attested, the next is not any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attestations_that_are_gone_after_a_first_attested_version() {
    let Some(shared) = shared() else { return };
    let stripped = [NPM, PYPI_SDIST].map(|release| format!("strip={}", release.file));
    let registry = FixtureRegistry::start(&shared, &stripped);
    let mirror = mirror(&registry, HOLD).await;
    for (first, next) in [(NPM_OLD, NPM), (PYPI_WHEEL, PYPI_SDIST)] {
        assert_served(&mirror, first).await;
        let held = (ArtifactState::Held, OutcomeKind::Inconclusive);
        let title = "Held by the attest check: discontinued";
        let reason = assert_refused_by_attest(&mirror, next, held, title).await;
        let Reason::Discontinued { discontinuity: Discontinuity::Downgrade { since, identity } } = &reason
        else {
            panic!("{next:?}: {reason}");
        };
        let version = first.purl.rsplit('@').next().and_then(|rest| rest.split('?').next());
        assert_eq!(Some(since.as_str()), version);
        assert!(
            identity.repository.as_deref().is_some_and(|r| r.contains("/sigstore/sigstore-")),
            "{reason}"
        );
    }
}

const INDEXES: [&str; 2] = ["/npm/sigstore", "/pypi/simple/sampleproject/"];

async fn list(mirror: &TestMirror) {
    for index in INDEXES {
        assert_eq!(ask(mirror, "GET", index, &[]).await.status(), 200, "{index}");
    }
}

/// Nobody has asked for a release yet, and the upstream had listed it with attestations before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attestations_that_were_listed_before() {
    let Some(shared) = shared() else { return };
    let mut registry = FixtureRegistry::start(&shared, &[]);
    let mirror = mirror(&registry, HOLD).await;
    list(&mirror).await;
    registry.restart(&[NPM, PYPI].map(|release| format!("strip={}", release.file)));
    list(&mirror).await;
    for release in [NPM, PYPI] {
        let held = (ArtifactState::Held, OutcomeKind::Inconclusive);
        let title = "Held by the attest check: discontinued";
        let reason = assert_refused_by_attest(&mirror, release, held, title).await;
        let withdrawn = Reason::Discontinued { discontinuity: Discontinuity::Withdrawn };
        assert_eq!(reason, withdrawn, "{release:?}");
    }
}

/// The metadata lists them still, and the upstream says that there are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attestations_that_are_listed_and_not_there() {
    let Some(shared) = shared() else { return };
    let mut registry = FixtureRegistry::start(&shared, &[]);
    // The listing is used as it was, however long the registry takes to start again.
    let mirror = TestMirror::builder()
        .upstream(Ecosystem::Npm, registry.url("npm"))
        .upstream(Ecosystem::Pypi, registry.url("pypi"))
        .hold(HOLD)
        .metadata_ttl(Duration::from_mins(5))
        .start()
        .await;
    list(&mirror).await;
    registry.restart(&[NPM, PYPI].map(|release| format!("strip={}", release.file)));
    for release in [NPM, PYPI] {
        let held = (ArtifactState::Held, OutcomeKind::Inconclusive);
        let title = "Held by the attest check: attestation_incomplete";
        let reason = assert_refused_by_attest(&mirror, release, held, title).await;
        let Reason::AttestationIncomplete { problem, .. } = &reason else { panic!("{release:?}: {reason}") };
        assert_eq!(problem, "withheld", "{release:?}");
    }
}

/// Nothing is decided while they cannot be had; when they can, it is, and nobody has to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attestations_that_cannot_be_had_for_a_while() {
    let Some(shared) = shared() else { return };
    let mut registry =
        FixtureRegistry::start(&shared, &[NPM, PYPI].map(|release| format!("unavailable={}", release.file)));
    let mirror = mirror(&registry, Duration::from_secs(1)).await;
    for release in [NPM, PYPI] {
        let title = "Verification is running, try again shortly";
        let reply = ask(&mirror, "GET", release.target, &[]).await;
        assert_refused(&reply, 503, "pending", title, release.file);
        let attempted = eventually("the attempt is on record", || async {
            let story = story(&mirror, release).await;
            (!story.attempts.is_empty()).then_some(story)
        });
        let story = attempted.await;
        assert!(story.state().is_pending(), "{:?}", story.state());
        assert!(story.verdicts.iter().all(|v| v.verdict.outcome.kind == OutcomeKind::Pass), "{story:?}");
        let (exit, said) = why(&mirror, release);
        assert_eq!(exit, Some(0), "{said}");
        for words in ["waiting for attest; try again in a few seconds", "attest could not answer: "] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    registry.restart_honest();
    for release in [NPM, PYPI] {
        eventually("it is served", || async {
            (ask(&mirror, "GET", release.target, &[]).await.status() == 200).then_some(())
        })
        .await;
    }
}
