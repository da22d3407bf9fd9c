//! The check of an attestation beside the bare library, on the same real bundle in the same run.

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sigstore_verify::{
    VerificationPolicy, Verifier,
    trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot},
    types::{ArtifactDigest, Bundle, HashAlgorithm, Sha256Hash},
};
use touchstone_attestation::{ArtifactDigests, Signer, SubjectDigest, SubjectRule, TrustRoot};
use touchstone_runtime::Environment;

use crate::{percentile, say};

/// How often each is measured; they take turns, so that load strikes both.
const ROUNDS: usize = 2000;
/// Rounds that warm the caches.
const WARM_UP: usize = 100;

struct Real {
    bundle: &'static str,
    artifact: &'static str,
    subject: &'static str,
    digest: SubjectDigest,
}

const REAL: [Real; 2] = [
    Real {
        bundle: "npm/sigstore-5.0.0-provenance.sigstore.json",
        artifact: "npm/artifacts/sigstore-5.0.0.tgz",
        subject: "pkg:npm/sigstore@5.0.0",
        digest: SubjectDigest::Sha512,
    },
    Real {
        bundle: "pypi/sampleproject-4.0.0.sigstore.json",
        artifact: "pypi/artifacts/sampleproject-4.0.0.tar.gz",
        subject: "sampleproject-4.0.0.tar.gz",
        digest: SubjectDigest::Sha256,
    },
];

pub(crate) fn checks() {
    let shared = Environment::of_process().path("TOUCHSTONE_SHARED");
    let fixtures = shared.map_or_else(beside, |shared| shared.join("fixtures"));
    if !fixtures.is_dir() {
        say("attestation check", "no shared fixtures", "");
        return;
    }
    for real in &REAL {
        measure(real, &fixtures);
    }
}

fn beside() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures")
}

fn measure(real: &Real, fixtures: &Path) {
    let bundle = fs::read_to_string(fixtures.join(real.bundle)).expect("the bundle");
    let artifact = ArtifactDigests::of(fs::read(fixtures.join(real.artifact)).expect("the artifact"));
    let root = TrustRoot::embedded();
    let parsed = TrustedRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT).expect("a trust root");
    let verifier = Verifier::new(&parsed).expect("a trust root");
    let digest = match real.digest {
        SubjectDigest::Sha256 => ArtifactDigest::sha256(Sha256Hash::new(artifact.sha256.0)),
        SubjectDigest::Sha512 => {
            ArtifactDigest::new(HashAlgorithm::Sha2512, artifact.sha512.0.as_slice()).expect("a digest")
        }
    };
    let rule = SubjectRule { name: &|name| name == real.subject, digest: real.digest, exactly_one: true };
    let ours = || {
        let checked = root.verify(bundle.as_bytes(), &artifact, Signer::Certificate).expect("verified");
        black_box(checked.into_statement(&rule).expect("a statement"));
    };
    let bare = || {
        let bundle = Bundle::from_json(&bundle).expect("a bundle");
        let policy = VerificationPolicy::any_identity();
        black_box(verifier.verify(digest.clone(), &bundle, &policy).expect("verified"));
    };
    let (mut our_times, mut bare_times) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for round in 0..WARM_UP + ROUNDS {
        let (our, bare) = (time(ours), time(bare));
        if round >= WARM_UP {
            our_times.push(our);
            bare_times.push(bare);
        }
    }
    our_times.sort_unstable();
    bare_times.sort_unstable();
    let micros = |times: &[Duration]| percentile(times, 0.5).as_secs_f64() * 1e6;
    let (our, bare) = (micros(&our_times), micros(&bare_times));
    let ecosystem = real.bundle.split('/').next().unwrap_or_default();
    let figure = format!("{our:.0} us, bare {bare:.0} ({:.2}x)", our / bare);
    say(&format!("attestation check, {ecosystem}, median / library"), &figure, "<= 1.2x");
    let figure = format!("{:.0} bundles/s/core", 1e6 / our);
    say(&format!("attestation check, {ecosystem}"), &figure, ">= 1,200 bundles/s/core");
}

fn time(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}
