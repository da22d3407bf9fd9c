//! Real releases are served once their real attestations verified, and their clients can verify them again.

use std::fs;

use serde_json::Value;
use touchstone_attestation::{RegistryKeys, TrustRoot};
use touchstone_domain::{ArtifactState, Basis, Outcome, OutcomeKind, Reason, Sha256, SignatureNote};
use touchstone_testkit::TestMirror;

use super::{
    HOLD, NPM, PYPI, Release, mirror,
    runs::Workplace,
    told::{attest_verdict, attestations, story, why},
};
use crate::{
    fixtures::registry::{FixtureRegistry, shared},
    protocol::raw::ask,
};

async fn bytes_of(url: url::Url) -> Vec<u8> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body").to_vec()
}

/// What the record must say of a release that was served: who signed it, by which roots, on which evidence.
async fn assert_attested(
    mirror: &TestMirror,
    registry: &FixtureRegistry,
    release: Release,
    repository: &str,
) {
    let story = story(mirror, release).await;
    assert_eq!(story.state(), ArtifactState::Servable, "{release:?}");
    let verdict = attest_verdict(&story);
    let Outcome { kind, reason } = &verdict.outcome;
    let Reason::Attested { identity, continuity, attestations: notes, registry_signature, .. } = reason
    else {
        panic!("{release:?}: {reason}");
    };
    let address = format!("https://github.com/{repository}");
    assert_eq!((*kind, identity.repository.as_deref()), (OutcomeKind::Pass, Some(address.as_str())));
    assert_eq!(identity.issuer, "https://token.actions.githubusercontent.com");
    assert_eq!(identity.workflow.as_deref(), Some(".github/workflows/release.yml"));
    assert_eq!(*continuity, Basis::FirstUse);

    let (root, keys) = (TrustRoot::embedded().digest(), RegistryKeys::embedded().digest());
    assert!(verdict.trust.contains(&root), "{release:?}: {:?}", verdict.trust);
    let (signature, predicates) = if release.purl == NPM.purl {
        assert!(verdict.trust.contains(&keys), "{:?}", verdict.trust);
        (SignatureNote::Verified, 2)
    } else {
        (SignatureNote::NotApplicable, 1)
    };
    assert_eq!((*registry_signature, notes.len()), (signature, predicates), "{release:?}");

    let evidence = attestations(&story);
    let upstream = registry.url("").join(&format!("/{}", release.document)).expect("a path");
    assert_eq!(evidence.url, upstream.as_str());
    let received = bytes_of(upstream).await;
    let stored = mirror.blobs.read(evidence.sha256, 4 << 20).await.expect("stored");
    assert!(stored == received && evidence.sha256 == Sha256::of(&received), "stored as received");
    for note in notes {
        assert_eq!(note.document, evidence.sha256);
    }
    assert!(bytes_of(mirror.url().join(release.document).expect("a path")).await == received, "passed on");

    let (code, said) = why(mirror, release);
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "attest check pass: ",
        &address,
        &format!("attestations sha256:{} ({} bytes) from {}", evidence.sha256, evidence.size, evidence.url),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_installs_what_its_attestations_say_and_audits_it() {
    let Some(shared) = shared() else { return };
    let registry = FixtureRegistry::start(&shared, &[]);
    let mirror = mirror(&registry, HOLD).await;
    let work = Workplace::new();
    let ran = work.npm_install(&mirror.url(), "sigstore@5.0.0").await;
    assert!(ran.succeeded, "{}", ran.said);
    let manifest = fs::read(work.path("project/node_modules/sigstore/package.json")).expect("installed");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["version"], "5.0.0");
    assert_attested(&mirror, &registry, NPM, "sigstore/sigstore-js").await;

    // npm's own code verifies the registry's signature and both attestations, all of it through the mirror.
    let tuf = work.path("tuf.js");
    fs::write(&tuf, include_str!("tuf.js")).expect("written");
    let require = format!("--require={}", tuf.display());
    let root = shared.join("fixtures/trusted-root/trusted_root.json");
    let environment = [("NODE_OPTIONS", require.as_ref()), ("TRUSTED_ROOT", root.as_path())];
    let audit = ["audit", "signatures", "--json", "--include-attestations"];
    let ran = work.npm(&mirror.url(), &audit, &environment).await;
    assert!(ran.succeeded, "{}", ran.said);
    let told: Value = serde_json::from_str(&ran.output).expect("JSON");
    assert_eq!(
        (&told["invalid"], &told["missing"]),
        (&Value::Array(vec![]), &Value::Array(vec![])),
        "{told}"
    );
    let verified = told["verified"].as_array().expect("a list");
    assert_eq!(verified.len(), 1, "{told}");
    assert_eq!((&verified[0]["name"], &verified[0]["version"]), (&"sigstore".into(), &"5.0.0".into()));
    assert_eq!(verified[0]["attestationBundles"].as_array().map(Vec::len), Some(2));
    let ran = work.npm(&mirror.url(), &["audit", "signatures"], &environment).await;
    for words in ["1 package has a verified registry signature", "1 package has a verified attestation"] {
        assert!(ran.succeeded && ran.said.contains(words), "{}", ran.said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pip_downloads_what_its_attestations_say() {
    let Some(shared) = shared() else { return };
    let registry = FixtureRegistry::start(&shared, &[]);
    let mirror = mirror(&registry, HOLD).await;
    let work = Workplace::new();
    let ran = work.pip_download(&mirror.url(), "sampleproject==4.0.0").await;
    assert!(ran.succeeded, "{}", ran.said);
    let downloaded = fs::read(work.path("downloads").join(PYPI.file)).expect("downloaded");
    let published = fs::read(shared.join("fixtures/pypi/artifacts").join(PYPI.file)).expect("the artifact");
    assert!(downloaded == published, "other bytes came");
    assert_attested(&mirror, &registry, PYPI, "pypa/sampleproject").await;
    assert_eq!(ask(&mirror, "GET", PYPI.target, &[]).await.status(), 200);
}
