use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{Outcome, Reason};

fn gate(required: &[CheckKind]) -> Gate {
    let checks: CheckSet = required.iter().copied().collect();
    Gate {
        artifact: ArtifactDbId(1),
        sha256: Sha256::of(b"bytes"),
        chunk_root: Sha256::of(b"root"),
        epoch: 3,
        requirement: Requirement::new(checks, checks).expect("not empty"),
        ok: CheckSet::EMPTY,
        deny: CheckSet::EMPTY,
        undecided: CheckSet::EMPTY,
        hold: HoldSet::EMPTY,
    }
}

fn verdict(gate: &Gate, check: CheckKind, kind: OutcomeKind) -> Verdict {
    Verdict {
        artifact: gate.artifact,
        sha256: gate.sha256,
        chunk_root: Some(gate.chunk_root),
        epoch: gate.epoch,
        check,
        check_revision: 1,
        policy_epoch: 1,
        outcome: Outcome { kind, reason: Reason::Trivial },
        evidence: vec![],
        trust: vec![],
        service: check.to_string(),
        software: "test".into(),
        decided_at: Timestamp::UNIX_EPOCH,
    }
}

fn counted(gate: &Gate, check: CheckKind, kind: OutcomeKind) -> Gate {
    let mut after = *gate;
    after.apply(&count(&verdict(gate, check, kind), gate).expect("counts"));
    after
}

#[test]
fn a_pass_of_every_required_check_promotes() {
    let start = gate(&[CheckKind::Hash, CheckKind::Attest]);
    assert_eq!(start.state(), ArtifactState::Fetched);
    let half = counted(&start, CheckKind::Hash, OutcomeKind::Pass);
    assert_eq!(half.state(), ArtifactState::Verifying);
    assert_eq!(half.missing(), CheckSet::of(CheckKind::Attest));
    let done = counted(&half, CheckKind::Attest, OutcomeKind::Pass);
    assert_eq!(done.state(), ArtifactState::Servable);
    let Decision::Promote(grant) = decide(&done) else { panic!("not promoted") };
    assert_eq!((grant.sha256(), grant.chunk_root(), grant.epoch()), (done.sha256, done.chunk_root, 3));
}

#[test]
fn whatever_is_not_a_pass_does_not_approve() {
    let start = gate(&[CheckKind::Hash]);
    for (kind, state) in [
        (OutcomeKind::Fail, ArtifactState::Rejected),
        (OutcomeKind::NotOffered, ArtifactState::Held),
        (OutcomeKind::Inconclusive, ArtifactState::Held),
    ] {
        let after = counted(&start, CheckKind::Hash, kind);
        assert_eq!(after.state(), state);
        assert!(!matches!(decide(&after), Decision::Promote(_)));
    }
    let other = counted(&start, CheckKind::Peer, OutcomeKind::Pass);
    assert_eq!(other.state(), ArtifactState::Verifying);
}

#[test]
fn a_denial_outlives_a_pass_and_a_hold_outlives_both() {
    let mut passed = counted(&gate(&[CheckKind::Hash]), CheckKind::Hash, OutcomeKind::Pass);
    assert_eq!(counted(&passed, CheckKind::Hash, OutcomeKind::Fail).state(), ArtifactState::Rejected);
    passed.hold = HoldSet::of(HoldReason::Age);
    assert_eq!(passed.state(), ArtifactState::Held);
    passed.hold = HoldSet::of(HoldReason::Recalled);
    assert_eq!(passed.state(), ArtifactState::Revoked);
    passed.hold = HoldSet::from_mask(1 << 40);
    assert!(!passed.is_servable(), "an unknown hold bit holds");
}

#[test]
fn verdicts_about_something_else_do_not_count() {
    let start = gate(&[CheckKind::Hash]);
    let pass = verdict(&start, CheckKind::Hash, OutcomeKind::Pass);
    let other = Sha256::of(b"other");
    let cases = [
        (
            Verdict { artifact: ArtifactDbId(2), ..pass.clone() },
            NotCounted::OtherArtifact { expected: ArtifactDbId(1), found: ArtifactDbId(2) },
        ),
        (
            Verdict { sha256: other, ..pass.clone() },
            NotCounted::OtherBytes { expected: start.sha256, found: other },
        ),
        (Verdict { epoch: 2, ..pass.clone() }, NotCounted::StaleEpoch { expected: 3, found: 2 }),
        (Verdict { epoch: 4, ..pass.clone() }, NotCounted::StaleEpoch { expected: 3, found: 4 }),
        (
            Verdict { chunk_root: None, ..pass.clone() },
            NotCounted::ChunkRoot { expected: start.chunk_root, found: None },
        ),
    ];
    for (verdict, reason) in cases {
        assert_eq!(count(&verdict, &start), Err(reason));
    }
    assert!(count(&pass, &start).is_ok());
}

#[test]
fn an_empty_requirement_does_not_exist() {
    assert_eq!(Requirement::new(CheckSet::EMPTY, CheckSet::of(CheckKind::Hash)), None);
}

#[test]
fn a_requirement_tolerates_only_what_it_requires_and_never_everything() {
    let [hash, attest, peer] = [CheckKind::Hash, CheckKind::Attest, CheckKind::Peer].map(CheckSet::of);
    let both = Requirement::new(hash.union(attest), CheckSet::EMPTY).expect("not empty");
    let tolerating = |set| both.tolerating(set).map(Requirement::tolerated);
    assert_eq!(both.tolerated(), CheckSet::EMPTY);
    assert_eq!(tolerating(attest), Some(attest));
    assert_eq!(tolerating(attest.union(peer)), Some(attest));
    assert_eq!(tolerating(peer), Some(CheckSet::EMPTY));
    assert_eq!(tolerating(hash.union(attest)), None);
    assert_eq!(Requirement::new(attest, attest).and_then(|only| only.tolerating(attest)), None);
    assert_eq!(
        both.tolerating(attest).and_then(|r| r.tolerating(CheckSet::EMPTY)),
        Some(both),
        "the last word counts"
    );
}

#[test]
fn absence_is_excused_where_it_is_tolerated_and_nothing_else_is() {
    let mut tolerant = gate(&[CheckKind::Hash, CheckKind::Attest]);
    let strict = tolerant;
    tolerant.requirement =
        strict.requirement.tolerating(CheckSet::of(CheckKind::Attest)).expect("the hash check approves");
    for (kind, tolerated, otherwise) in [
        (OutcomeKind::Pass, ArtifactState::Servable, ArtifactState::Servable),
        (OutcomeKind::NotOffered, ArtifactState::Servable, ArtifactState::Held),
        (OutcomeKind::Inconclusive, ArtifactState::Held, ArtifactState::Held),
        (OutcomeKind::Fail, ArtifactState::Rejected, ArtifactState::Rejected),
    ] {
        let after = |start: &Gate| {
            counted(&counted(start, CheckKind::Hash, OutcomeKind::Pass), CheckKind::Attest, kind).state()
        };
        assert_eq!((after(&tolerant), after(&strict)), (tolerated, otherwise), "{kind}");
        // nothing else approves for it: the hash check still has to answer, and is not itself excused
        let alone = counted(&tolerant, CheckKind::Attest, kind);
        assert!(!alone.is_servable(), "{kind}");
        let unhashed = counted(&alone, CheckKind::Hash, OutcomeKind::NotOffered);
        assert!(!unhashed.is_servable(), "{kind}");
    }
    let excused = counted(&tolerant, CheckKind::Attest, OutcomeKind::NotOffered);
    let denied = counted(&excused, CheckKind::Attest, OutcomeKind::Fail);
    assert_eq!(denied.state(), ArtifactState::Rejected, "a later failure still rejects");
}

proptest! {
    /// Whatever the order and however often verdicts arrive, the end state is the same, and it is servable only if
    /// every required check passed, or found nothing where that is tolerated, and none of those with a veto failed.
    #[test]
    fn order_and_repetition_never_matter(
        required in 1_i64..16,
        tolerated in 0_i64..16,
        verdicts in proptest::collection::vec((0_usize..4, 0_usize..4, any::<bool>()), 0..24),
        seed in any::<proptest::sample::Index>(),
    ) {
        let mut start = gate(&[CheckKind::Hash]);
        let checks = CheckSet::from_mask(required);
        let requirement = Requirement::new(checks, checks).expect("not empty");
        start.requirement = requirement.tolerating(CheckSet::from_mask(tolerated)).unwrap_or(requirement);
        let mut forward = start;
        let mut rotated = start;
        let turn = if verdicts.is_empty() { 0 } else { seed.index(verdicts.len()) };
        let deltas: Vec<GateDelta> = verdicts
            .iter()
            .filter_map(|(check, kind, stale)| {
                let mut v = verdict(&start, CheckKind::ALL[*check], OutcomeKind::ALL[*kind]);
                v.epoch -= i32::from(*stale);
                count(&v, &start).ok()
            })
            .collect();
        for delta in &deltas {
            forward.apply(delta);
            forward.apply(delta);
        }
        for delta in deltas.iter().cycle().skip(turn).take(deltas.len() * 2) {
            rotated.apply(delta);
        }
        prop_assert_eq!(forward, rotated);
        let answered = |kind: usize| -> CheckSet {
            let hits = verdicts.iter().filter(|(_, k, stale)| *k == kind && !*stale);
            hits.map(|(check, _, _)| CheckKind::ALL[*check]).collect()
        };
        let absent = answered(2).intersection(start.requirement.tolerated());
        let expected = answered(0).union(absent).contains_all(checks) && answered(1).intersection(checks).is_empty();
        prop_assert_eq!(forward.is_servable(), expected);
        prop_assert_eq!(matches!(decide(&forward), Decision::Promote(_)), expected);
    }
}
