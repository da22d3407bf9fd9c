use jiff::Timestamp;
use touchstone_domain::{
    Algorithm, ArtifactDbId, CheckSet, ClaimField, HoldSet, Outcome, Reason, Requirement,
};

use super::*;

fn gate(deny: CheckSet, undecided: CheckSet) -> Gate {
    let requirement = Requirement::new(CheckSet::of(CheckKind::Hash), CheckSet::EMPTY).expect("a check");
    let (artifact, digest) = (ArtifactDbId(1), Sha256::of(b"bytes"));
    let (ok, hold) = (CheckSet::EMPTY, HoldSet::EMPTY);
    Gate { artifact, sha256: digest, chunk_root: digest, epoch: 1, requirement, ok, deny, undecided, hold }
}

fn verdict(epoch: i32, outcome: Outcome) -> RecordedVerdict {
    let verdict = Verdict {
        artifact: ArtifactDbId(1),
        sha256: Sha256::of(b"bytes"),
        chunk_root: None,
        epoch,
        check: CheckKind::Hash,
        check_revision: 1,
        policy_epoch: 1,
        outcome,
        evidence: vec![],
        trust: vec![],
        service: "hash".into(),
        software: "0.1.0".into(),
        decided_at: Timestamp::UNIX_EPOCH,
    };
    RecordedVerdict { verdict, recorded_at: Timestamp::UNIX_EPOCH }
}

#[test]
fn the_reason_is_that_of_the_verdict_that_denied_in_this_epoch() {
    let mismatch = |declared: &str| Reason::DigestMismatch {
        field: ClaimField::NpmIntegrity,
        algorithm: Algorithm::Sha512,
        declared: declared.into(),
        computed: "cc".into(),
    };
    let pass = Outcome::pass(Reason::DigestsMatch { claims: 1 });
    // The latest first.
    let verdicts = [
        verdict(1, pass.clone()),
        verdict(0, Outcome::fail(mismatch("aa"))),
        verdict(1, Outcome::fail(mismatch("bb"))),
    ];
    let hash = CheckSet::of(CheckKind::Hash);
    let none = CheckSet::EMPTY;
    assert_eq!(deciding(&gate(hash, none), &verdicts), Some(mismatch("bb").to_string()));
    assert_eq!(deciding(&gate(hash, none), &verdicts[..2]), None);
    assert_eq!(deciding(&gate(none, none), &verdicts), None);
}
