use jiff::Timestamp;
use touchstone_domain::{
    Algorithm, ArtifactDbId, CheckSet, ClaimField, HoldSet, Outcome, Reason, Requirement,
};

use touchstone_domain::Ecosystem;
use touchstone_store::{SumdbHead, SumdbStopKind};

use super::*;
use crate::fix::tests::module_story;

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

fn stop(kind: SumdbStopKind) -> (String, SumdbStop) {
    let head = |size, note: &str| SumdbHead { size, root: Sha256::of(note), note: note.into() };
    let (ours, theirs) = (head(9, "ours"), head(8, "theirs"));
    let at = "2026-11-22T12:00:00.5Z".parse().expect("a time");
    ("sum.example+1".to_owned(), SumdbStop { kind, ours, theirs, detail: "a fact".into(), at })
}

#[test]
fn a_module_that_waits_tells_that_its_database_is_stopped_since_when_and_what_ends_that() {
    let mut waits = module_story("code.example/tool", Outcome::pass(Reason::SumdbPrivate));
    waits.gate.ok = CheckSet::of(CheckKind::Hash);
    waits.verdicts.remove(0);
    let mut told = Told { stories: vec![waits], identities: vec![], stops: vec![] };
    assert_eq!(
        (told.json()["artifacts"][0]["reason"].clone(), told.waits_for(&told.stories[0])),
        (Value::Null, None)
    );
    for (kind, what, end) in [
        (SumdbStopKind::Fork, "two signed trees contradict each other", "touchstone trust resume"),
        (SumdbStopKind::Rollback, "its latest tree is smaller than one that it signed before", "by itself"),
        (SumdbStopKind::Freeze, "its latest tree does not grow", "by itself"),
    ] {
        told.stops = vec![stop(SumdbStopKind::Freeze), stop(kind)];
        let answer = told.json();
        let expected = format!(
            "the checksum database sum.example+1 is stopped since 2026-11-22T12:00:00Z ({kind}): {what}; \
             ours has 9 records, theirs 8"
        );
        assert_eq!(answer["artifacts"][0]["reason"], expected);
        let stopped = &answer["stopped"][1];
        assert_eq!((&stopped["kind"], &stopped["reason"]), (&kind.as_str().into(), &expected.into()));
        assert_eq!((&stopped["ours"]["note"], &stopped["theirs"]["size"]), (&"ours".into(), &8.into()));
        assert!(stopped["fix"].as_str().is_some_and(|fix| fix.contains(end)), "{stopped}");
    }

    // What does not wait for the check does not wait for the database.
    for changed in [CheckSet::of(CheckKind::Hash).union(CheckSet::of(CheckKind::Sumdb)), CheckSet::EMPTY] {
        let mut told = Told { stories: told.stories.clone(), identities: vec![], stops: told.stops.clone() };
        let story = &mut told.stories[0];
        (story.gate.ok, story.gate.deny) = (changed, CheckSet::of(CheckKind::Hash).minus(changed));
        assert!(!story.state().is_pending(), "{:?}", story.state());
        assert_eq!(told.waits_for(&told.stories[0]), None);
    }
    let story = &mut told.stories[0];
    let hash = CheckSet::of(CheckKind::Hash);
    (story.facts.id.ecosystem, story.gate.ok) = (Ecosystem::Npm, CheckSet::EMPTY);
    story.gate.requirement = Requirement::new(hash, hash).expect("a check");
    assert_eq!(told.waits_for(&told.stories[0]), None, "{:?}", told.stories[0].state());
}
