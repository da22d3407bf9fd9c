//! Generated archives of each ecosystem: accepted, and each with one thing changed.

mod archive;

use std::io::Cursor;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use touchstone_domain::{
    Algorithm, ArchiveRule, Claim, ClaimField, Ecosystem, FileName, Outcome, OutcomeKind, PackageName,
    Policy, Reason, Sha256, Sha512, Version,
};
use touchstone_store::Facts;
use touchstone_worker::Finding;

use super::{ExamineError, examine, manifest};
use archive::cargo;
pub(crate) use archive::{GO_MOD, PKG_INFO, Sample, go_mod, go_zip, npm, pypi, sidecar};

fn judge(bytes: &[u8], facts: &Facts) -> Result<Finding, ExamineError> {
    examine(Cursor::new(bytes), facts, &Policy::default(), &CancellationToken::new())
        .map(|examined| examined.finding)
}

fn outcome(sample: &Sample) -> Outcome {
    let finding = judge(&sample.bytes, &sample.facts).expect("a finding");
    assert_eq!(finding.chunk_root, Some(sample.facts.chunk_root), "the chunk root is always there");
    finding.outcome
}

fn claim(field: ClaimField, value: impl Into<String>) -> Claim {
    Claim { field, value: value.into() }
}

/// The lower-case digest that an all-zero claim of this algorithm declares.
fn zeros(algorithm: Algorithm) -> String {
    "00".repeat(algorithm.size_bytes())
}

#[test]
fn archives_that_are_what_they_are_called_pass() {
    for (sample, claims) in [(npm(), 1), (cargo(), 1), (pypi(), 1)] {
        let finding = judge(&sample.bytes, &sample.facts).expect("a finding");
        assert_eq!(finding.outcome, Outcome::pass(Reason::DigestsMatch { claims }), "{}", sample.facts.id);
        assert_eq!(finding.evidence, [sample.facts.evidence[0].sha256]);
    }
}

#[test]
fn where_no_digest_is_declared_the_archive_alone_counts() {
    for sample in [go_zip(Some(GO_MOD)), go_zip(None), go_mod(GO_MOD)] {
        assert_eq!(outcome(&sample), Outcome::pass(Reason::Undeclared), "{}", sample.facts.id);
    }
    let other = GO_MOD.replace("left", "right");
    for sample in [go_zip(Some(&other)), go_mod(&other)] {
        let expected = Reason::CoordinateMismatch {
            part: "module".into(),
            expected: "code.example/left-pad".into(),
            found: "code.example/right-pad".into(),
        };
        assert_eq!(outcome(&sample), Outcome::fail(expected), "{}", sample.facts.id);
    }
    let Sample { bytes, .. } = go_zip(Some(GO_MOD));
    let longer = go_zip(Some(GO_MOD)).with_bytes([bytes.as_slice(), b"x"].concat());
    let Outcome { kind, reason } = outcome(&longer);
    assert_eq!(kind, OutcomeKind::Fail);
    assert!(matches!(reason, Reason::ArchiveRejected { rule: ArchiveRule::Truncated, .. }), "{reason}");
}

#[test]
fn the_go_mod_of_a_fork_names_another_module_only_where_the_policy_says_so() {
    let upstream = GO_MOD.replace("left", "right");
    let manifest_of = Some(Sha256::of(&upstream));
    let policy = |pattern: &str| Policy::parse(&format!("[go]\nforks = [{pattern:?}]\n")).expect("a policy");
    for Sample { bytes, facts } in [go_zip(Some(&upstream)), go_mod(&upstream)] {
        let refused = Reason::CoordinateMismatch {
            part: "module".into(),
            expected: "code.example/left-pad".into(),
            found: "code.example/right-pad".into(),
        };
        for (pattern, allowed) in [
            ("code.example/left-pad", true),
            ("code.example", true),
            ("code.example/right-pad", false),
            ("code.example/left-pad/v2", false),
        ] {
            let (policy, stop) = (policy(pattern), CancellationToken::new());
            let found = examine(Cursor::new(&bytes), &facts, &policy, &stop).expect("a finding");
            let inside = manifest(Cursor::new(&bytes), &facts, &policy, &stop).expect("read");
            if allowed {
                assert_eq!(found.finding.outcome, Outcome::pass(Reason::Undeclared), "{pattern}");
                assert_eq!((found.manifest, inside), (manifest_of, Ok(manifest_of)), "{pattern}");
            } else {
                assert_eq!(found.finding.outcome, Outcome::fail(refused.clone()), "{pattern}");
                assert_eq!((found.manifest, inside), (None, Err(refused.clone())), "{pattern}");
            }
        }
    }
    let Sample { bytes, mut facts } = go_mod(&upstream);
    facts.id.package = PackageName::new("golang.org/toolchain").expect("a name");
    let found = examine(Cursor::new(&bytes), &facts, &policy("*"), &CancellationToken::new());
    let refused = Reason::CoordinateMismatch {
        part: "module".into(),
        expected: "golang.org/toolchain".into(),
        found: "code.example/right-pad".into(),
    };
    assert_eq!(found.expect("a finding").finding.outcome, Outcome::fail(refused), "whatever a pattern says");
}

#[test]
fn a_declared_digest_that_differs_fails_and_is_named() {
    let sha512_of_nothing_like_it = format!("sha512-{}", Sha512([0; 64]).to_base64());
    for (mut sample, at, value, algorithm) in [
        (npm(), 0, sha512_of_nothing_like_it, Algorithm::Sha512),
        (npm(), 1, zeros(Algorithm::Sha1), Algorithm::Sha1),
        (cargo(), 0, zeros(Algorithm::Sha256), Algorithm::Sha256),
        (pypi(), 0, format!("sha256={}", zeros(Algorithm::Sha256)), Algorithm::Sha256),
        (pypi(), 1, format!("md5={}", zeros(Algorithm::Md5)), Algorithm::Md5),
    ] {
        sample.facts.claims[at].value = value;
        let Outcome { kind, reason } = outcome(&sample);
        assert_eq!(kind, OutcomeKind::Fail);
        let Reason::DigestMismatch { field, algorithm: found, declared, computed } = reason else {
            panic!("{reason:?}");
        };
        assert_eq!((field, found, declared), (sample.facts.claims[at].field, algorithm, zeros(algorithm)));
        assert_eq!(computed, sample.digest(algorithm));
    }
}

#[test]
fn a_declared_size_that_differs_fails() {
    let mut sample = pypi();
    let size = sample.facts.size;
    sample.facts.claims[2].value = (size + 1).to_string();
    assert_eq!(outcome(&sample), Outcome::fail(Reason::SizeMismatch { declared: size + 1, computed: size }));
}

#[test]
fn without_a_claim_that_suffices_it_is_held() {
    for mut sample in [npm(), cargo(), pypi()] {
        sample.facts.claims.clear();
        assert_eq!(outcome(&sample), Outcome::inconclusive(Reason::NoClaim));
    }
    let mut sample = cargo();
    sample.facts.claims[0].value.make_ascii_uppercase();
    let Outcome { kind, reason } = outcome(&sample);
    assert_eq!((kind, reason.code()), (OutcomeKind::Inconclusive, "claim_malformed"));
    let mut sample = pypi();
    sample.facts.claims.remove(0);
    let expected =
        Reason::WeakOnly { algorithms: vec![Algorithm::Md5], published_at: sample.facts.published_at };
    assert_eq!(outcome(&sample), Outcome::inconclusive(expected));
}

#[test]
fn weak_digests_suffice_only_where_and_when_the_policy_says_so() {
    let legacy = "[[rule]]\necosystem = \"npm\"\npackages = [\"left-pad\"]\nweak_digests = \"legacy\"\n";
    let policy = Policy::parse(legacy).expect("a policy");
    let other = Policy::parse(&legacy.replace("left-pad", "other")).expect("a policy");
    let old: Option<Timestamp> = Some("2014-03-01T00:00:00Z".parse().expect("a time"));
    let new: Option<Timestamp> = Some("2024-03-01T00:00:00Z".parse().expect("a time"));
    let algorithms = vec![Algorithm::Sha1];
    for (published_at, policy, accepted) in
        [(old, &policy, true), (new, &policy, false), (None, &policy, false), (old, &other, false)]
    {
        let Sample { bytes, mut facts } = npm();
        facts.claims.remove(0);
        facts.published_at = published_at;
        let found = examine(Cursor::new(&bytes), &facts, policy, &CancellationToken::new())
            .expect("a finding")
            .finding;
        let expected = if accepted {
            Outcome::pass(Reason::WeakAccepted { algorithms: algorithms.clone() })
        } else {
            Outcome::inconclusive(Reason::WeakOnly { algorithms: algorithms.clone(), published_at })
        };
        assert_eq!(found.outcome, expected, "{published_at:?}");
    }
}

#[test]
fn an_archive_that_says_it_is_something_else_fails() {
    for (sample, version, expected) in
        [(npm(), "1.3.1", "1.3.1"), (cargo(), "1.0.1", "1.0.1"), (pypi(), "2.0.1", "2.0.1")]
    {
        let Sample { bytes, mut facts } = sample;
        let real = facts.id.version.to_string();
        facts.id.version = Version::new(version).expect("a version");
        let file = facts.id.file.as_str().replace(&real, version);
        facts.id.file = FileName::new(file).expect("a name");
        let Outcome { kind, reason } = outcome(&Sample { bytes, facts });
        assert_eq!(kind, OutcomeKind::Fail);
        match reason {
            Reason::CoordinateMismatch { expected: found, .. } => {
                assert!(found.contains(expected), "{found}");
            }
            // A crate's directory carries the version, so another one is a path outside of it.
            Reason::ArchiveRejected { rule, .. } => assert_eq!(rule, ArchiveRule::Path),
            other => panic!("{other:?}"),
        }
    }
    let Sample { bytes, mut facts } = npm();
    facts.id.package = PackageName::new("right-pad").expect("a name");
    let expected = Reason::CoordinateMismatch {
        part: "name".into(),
        expected: "right-pad".into(),
        found: "left-pad".into(),
    };
    assert_eq!(outcome(&Sample { bytes, facts }), Outcome::fail(expected));
}

#[test]
fn an_ambiguous_archive_fails_even_when_its_digests_match_or_are_missing() {
    for mut bytes in [npm().bytes, cargo().bytes, pypi().bytes] {
        bytes.push(0);
        let sample =
            [npm(), cargo(), pypi()].into_iter().find(|s| bytes.starts_with(&s.bytes)).expect("one of them");
        let longer = sample.with_bytes(bytes);
        let mut undeclared = longer.clone();
        undeclared.facts.claims.clear();
        for sample in [longer, undeclared] {
            let Outcome { kind, reason } = outcome(&sample);
            assert_eq!(kind, OutcomeKind::Fail);
            assert!(
                matches!(reason, Reason::ArchiveRejected { rule: ArchiveRule::Compression, .. }),
                "{reason:?}"
            );
        }
    }
}

#[test]
fn other_bytes_than_the_artifacts_are_a_damaged_blob_and_never_a_verdict() {
    for Sample { bytes, facts } in [npm(), cargo(), pypi()] {
        let (mut flipped, mut longer) = (bytes.clone(), bytes.clone());
        flipped[bytes.len() / 2] ^= 1;
        longer.push(0);
        for damaged in [&flipped, &longer, &bytes[..bytes.len() - 1], &[]] {
            let found = judge(damaged, &facts).expect_err("damaged");
            assert!(
                matches!(found, ExamineError::Damaged { found } if found == Sha256::of(damaged)),
                "{found}"
            );
        }
    }
}

#[test]
fn a_row_that_contradicts_the_right_bytes_is_no_verdict_either() {
    let sample = cargo();
    let right = sample.facts.clone();
    for (facts, expected) in [
        (Facts { size: right.size + 1, ..right.clone() }, "size"),
        (Facts { sha512: Sha512::of("x"), ..right.clone() }, "sha512"),
        (Facts { chunk_root: Sha256::of("x"), ..right }, "chunk_root"),
    ] {
        let found = judge(&sample.bytes, &facts).expect_err("inconsistent");
        assert!(matches!(found, ExamineError::Row { field } if field == expected), "{found}");
    }
}

#[test]
fn a_check_that_nobody_waits_for_ends() {
    let Sample { bytes, facts } = npm();
    let stop = CancellationToken::new();
    stop.cancel();
    let found = examine(Cursor::new(&bytes), &facts, &Policy::default(), &stop).expect_err("stopped");
    assert!(matches!(found, ExamineError::Io(_)), "{found}");
}
