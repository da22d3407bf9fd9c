//! What is done about judgements, and what is worth one.

use touchstone_custody::{NotSigned, StoredVerdict};
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, Ecosystem, FileName, HoldReason, HoldSet, Outcome,
    OutcomeKind, PackageName, Reason, Requirement, Sha256, Sha512, Verdict, Version,
};

use super::*;

const HASH: CheckSet = CheckSet::of(CheckKind::Hash);
const ATTEST: CheckSet = CheckSet::of(CheckKind::Attest);
const POLICY_EPOCH: i32 = 5;

/// An artifact of which hash and attest are required, with rows of these answers.
fn case(answers: &[(CheckKind, OutcomeKind)]) -> Case {
    let checks = HASH.union(ATTEST);
    let gate = Gate {
        artifact: ArtifactDbId(1),
        sha256: Sha256::of("bytes"),
        chunk_root: Sha256::of("root"),
        epoch: 0,
        requirement: Requirement::new(checks, checks).expect("members"),
        ok: CheckSet::EMPTY,
        deny: CheckSet::EMPTY,
        undecided: CheckSet::EMPTY,
        hold: HoldSet::EMPTY,
    };
    let stored = |(check, kind): &(CheckKind, OutcomeKind)| StoredVerdict {
        row: 1,
        verdict: Verdict {
            artifact: gate.artifact,
            sha256: gate.sha256,
            chunk_root: Some(gate.chunk_root),
            epoch: 0,
            check: *check,
            check_revision: 1,
            policy_epoch: POLICY_EPOCH,
            outcome: Outcome { kind: *kind, reason: Reason::Trivial },
            evidence: vec![],
            trust: vec![],
            service: check.as_str().into(),
            software: "test".into(),
            decided_at: "2026-11-23T00:00:00Z".parse().expect("a time"),
        },
        signed: None,
    };
    Case {
        gate,
        policy_epoch: POLICY_EPOCH,
        id: ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new("left-pad").expect("a name"),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new("left-pad-1.0.0.tgz").expect("a file"),
        },
        sha512: Sha512::of("bytes"),
        size: 5,
        upstream_url: "https://registry.example/".into(),
        first_seen: "2026-11-23T00:00:00Z".parse().expect("a time"),
        fetches: vec![],
        verdicts: answers.iter().map(stored).collect(),
    }
}

fn judged(case: &Case, approval: Withheld) -> Judged {
    let delta = |stored: &StoredVerdict| count(&stored.verdict, &case.gate).expect("it counts");
    Judged {
        deltas: case.verdicts.iter().map(delta).collect(),
        refused: vec![],
        refused_fetches: vec![],
        missing: CheckSet::EMPTY,
        unbacked: CheckSet::EMPTY,
        approval: Err(approval),
    }
}

#[test]
fn a_doorbell_judges_what_may_be_decided_and_the_sweeper_judges_whatever_there_is() {
    use OutcomeKind::{Fail, Inconclusive, NotOffered, Pass};
    let (hash, attest) = (CheckKind::Hash, CheckKind::Attest);
    for (answers, decided) in [
        (&[][..], false),
        (&[(hash, Pass)][..], false),
        (&[(hash, Inconclusive)][..], false),
        (&[(hash, Fail)][..], true),
        (&[(hash, Pass), (attest, Pass)][..], true),
        (&[(hash, Pass), (attest, NotOffered)][..], true),
        (&[(hash, Inconclusive), (attest, NotOffered)][..], true),
        (&[(hash, Pass), (CheckKind::Peer, Pass)][..], false),
    ] {
        let case = case(answers);
        assert_eq!(is_worth_judging(&case, Look::Decided), decided, "{answers:?}");
        assert_eq!(is_worth_judging(&case, Look::All), !answers.is_empty(), "{answers:?}");
    }
    let mut odd = case(&[(hash, Pass)]);
    odd.verdicts[0].verdict.sha256 = Sha256::of("other");
    assert!(is_worth_judging(&odd, Look::Decided), "people are told at once");
    let mut known = case(&[(hash, Pass), (attest, Pass)]);
    known.gate.ok = HASH.union(ATTEST);
    assert!(!is_worth_judging(&known, Look::Decided), "nothing is new");
    let mut failed = case(&[(hash, Fail)]);
    failed.gate.deny = HASH;
    assert!(!is_worth_judging(&failed, Look::Decided));
    let mut flipped = case(&[]);
    flipped.gate.ok = HASH;
    assert!(is_worth_judging(&flipped, Look::All), "bits without a row");
}

#[test]
fn what_asking_again_would_not_help_waits_and_what_asks_for_more_begins_anew() {
    let case = case(&[(CheckKind::Hash, OutcomeKind::Pass), (CheckKind::Attest, OutcomeKind::Pass)]);
    let course = |approval, policy_epoch| of(&case, &judged(&case, approval), policy_epoch);
    let fetch = Withheld::Fetch(NotSigned::Unsigned);
    assert_eq!(course(fetch.clone(), POLICY_EPOCH), Course::Wait(fetch));
    assert_eq!(course(Withheld::NotAdmitted, POLICY_EPOCH), Course::Wait(Withheld::NotAdmitted));
    let missing = CheckSet::of(CheckKind::Sumdb);
    let more = Withheld::Policy { missing };
    assert_eq!(course(more.clone(), POLICY_EPOCH - 1), Course::Wait(more.clone()));
    assert_eq!(course(more.clone(), POLICY_EPOCH), Course::Reopen(Why::Lowered { missing }));
    assert_eq!(course(more, POLICY_EPOCH + 1), Course::Reopen(Why::Policy { missing }));
    let later = "2026-11-24T00:00:00Z".parse().expect("a time");
    for counted in [
        Withheld::Age(later),
        Withheld::Checks { missing: HASH },
        Withheld::Rejected { denied: HASH },
        Withheld::Held(HoldSet::of(HoldReason::Recalled)),
    ] {
        assert_eq!(course(counted, POLICY_EPOCH), Course::Count);
    }
}

#[test]
fn approvals_that_no_signature_backs_begin_anew_unless_the_gate_is_decided() {
    let course = |ok: CheckSet, unbacked: CheckSet, approval: Withheld| {
        let mut case = case(&[]);
        case.gate.ok = ok;
        let judged = Judged { unbacked, ..judged(&case, approval) };
        of(&case, &judged, POLICY_EPOCH)
    };
    let checks = Withheld::Checks { missing: HASH };
    assert_eq!(course(HASH, HASH, checks.clone()), Course::Reopen(Why::Unbacked { checks: HASH }));
    let peer = CheckSet::of(CheckKind::Peer);
    assert_eq!(course(peer, peer, checks.clone()), Course::Count, "nothing rests on it");
    assert_eq!(course(HASH, HASH, Withheld::Rejected { denied: ATTEST }), Course::Count);
    assert_eq!(
        course(HASH.union(ATTEST), HASH, checks),
        Course::Count,
        "the sweeper looks at gates that say servable"
    );
}

#[test]
fn only_deltas_that_add_something_are_applied() {
    let mut case = case(&[(CheckKind::Hash, OutcomeKind::Pass)]);
    let delta = count(&case.verdicts[0].verdict, &case.gate).expect("it counts");
    assert!(adds(&case.gate, &delta));
    case.gate.ok = HASH;
    assert!(!adds(&case.gate, &delta));
}
