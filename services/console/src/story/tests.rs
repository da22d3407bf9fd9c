use jiff::Timestamp;
use touchstone_domain::{
    Algorithm, ArtifactDbId, CheckSet, ClaimField, HoldSet, Outcome, Reason, Requirement,
};

use touchstone_domain::{Ecosystem, EnvelopeRef, KeyId, SignedBy};
use touchstone_store::{SumdbHead, SumdbStopKind};

use super::*;
use crate::fix::tests::{module_story, story};

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
    RecordedVerdict { verdict, recorded_at: Timestamp::UNIX_EPOCH, signed: None, refused: None }
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
    let mut told = Told { stories: vec![waits], ..Told::default() };
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
        let mut told = Told { stories: told.stories.clone(), stops: told.stops.clone(), ..Told::default() };
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

fn signed(text: &str) -> SignedBy {
    let envelope = Sha256::of(text);
    SignedBy {
        key: KeyId(envelope),
        envelope: EnvelopeRef { sha256: envelope, pack: envelope, offset: 0, size: 1 },
    }
}

#[test]
fn each_verdict_tells_who_signed_it_and_whether_it_counted_or_why_not() {
    let mut story = story(Outcome::pass(Reason::Trivial), CheckSet::EMPTY);
    let (good, forged) = (signed("good"), signed("forged"));
    story.verdicts[0].signed = Some(good);
    let refusal = ("key_kind".to_owned(), "the key signs for hash, not for attest".to_owned());
    let forgery = RecordedVerdict {
        signed: Some(forged),
        refused: Some(refusal.clone()),
        verdict: Verdict { outcome: Outcome::fail(Reason::Undeclared), ..story.verdicts[0].verdict.clone() },
        ..story.verdicts[0].clone()
    };
    // The latest comes first.
    story.verdicts.insert(0, forgery);
    let check = |story: &Story| {
        let told = Told { stories: vec![story.clone()], ..Told::default() };
        told.json()["artifacts"][0]["checks"][1].clone()
    };
    let told = check(&story);
    assert_eq!(
        (&told["kind"], &told["outcome"], &told["counted"]),
        (&"attest".into(), &"pass".into(), &true.into())
    );
    assert_eq!((&told["key"], &told["envelope"]), (&json!(good.key), &json!(good.envelope.sha256)));
    let refused = json!([{
        "outcome": "fail", "key": forged.key, "code": refusal.0, "reason": refusal.1, "at": Timestamp::UNIX_EPOCH,
    }]);
    assert_eq!(told["refused"], refused);

    // Without the genuine one: the forgery is shown, and said to count for nothing.
    story.verdicts.remove(1);
    (story.gate.ok, story.gate.deny) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Attest));
    let told = check(&story);
    assert_eq!(
        (&told["outcome"], &told["counted"], &told["key"]),
        (&"fail".into(), &false.into(), &json!(forged.key))
    );
    assert_eq!(deciding(&story.gate, &story.verdicts), None, "a refused verdict is no reason");

    // A verdict that promote has not looked at.
    story.verdicts[0].refused = None;
    assert_eq!(check(&story)["counted"], true);
    story.gate.deny = CheckSet::EMPTY;
    let told = check(&story);
    assert_eq!((&told["counted"], &told["refused"]), (&false.into(), &json!([])));
}

#[test]
fn a_promotion_tells_its_record_where_it_is_logged_and_how_to_get_all_records() {
    let mut story = story(Outcome::pass(Reason::Trivial), CheckSet::EMPTY);
    let told = |story: &Story| {
        let policies = HashMap::from([(1, Sha256::of("policy"))]);
        Told { stories: vec![story.clone()], policies, ..Told::default() }.json()["artifacts"][0].clone()
    };
    assert_eq!((&told(&story)["record"], &told(&story)["records"]), (&Value::Null, &Value::Null));
    let record = signed("record");
    story.fetches = vec![(signed("fetch"), Timestamp::UNIX_EPOCH)];
    story.promotions = vec![Promotion {
        serial: 7,
        epoch: 0,
        policy_epoch: 1,
        sha256: story.facts.sha256,
        promoted_at: Timestamp::UNIX_EPOCH,
        signed: Some(record),
        log_index: Some(12),
    }];
    let answer = told(&story);
    let expected = json!({
        "sha256": record.envelope.sha256, "key": record.key, "serial": 7, "policy_epoch": 1, "log_index": 12,
    });
    assert_eq!(answer["record"], expected);
    assert_eq!(answer["records"], format!("/api/v1/artifacts/{}/records", story.facts.sha256));
    assert_eq!((&answer["policy_sha256"], &answer["epoch"]), (&json!(Sha256::of("policy")), &0.into()));
    assert_eq!(answer["fetches"][0]["key"], json!(signed("fetch").key));

    // One from before promotions were signed, or of an epoch that is over.
    story.promotions[0].signed = None;
    assert_eq!((&told(&story)["record"], &told(&story)["records"]), (&Value::Null, &Value::Null));
    (story.promotions[0].signed, story.gate.epoch) = (Some(record), 1);
    assert_eq!((&told(&story)["record"], &told(&story)["promoted_at"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_waits_for_a_key_that_does_not_count_tells_how_to_get_one() {
    let mut waits = story(Outcome::pass(Reason::Trivial), CheckSet::EMPTY);
    waits.gate.ok = CheckSet::EMPTY;
    waits.verdicts.retain(|found| found.verdict.check != CheckKind::Hash);
    assert_eq!((waits.state().is_pending(), awaited(&waits)), (true, vec![CheckKind::Hash]));
    let blocked = vec![KeyKind::Hash, KeyKind::Attest, KeyKind::Promote];
    let mut told = Told { stories: vec![waits], blocked, ..Told::default() };
    assert_eq!(told.needs_keys(&told.stories[0]), [KeyKind::Hash, KeyKind::Promote]);
    let expected = json!([
        { "what": "the hash key in use does not count, so nothing is checked with it: run `touchstone keys rotate hash`, then start the \
                   worker again; `touchstone incidents` says why", "policy": null },
        { "what": "the promote key in use does not count, so nothing is promoted: run `touchstone keys rotate promote`, then start \
                   promote again; `touchstone incidents` says why", "policy": null },
    ]);
    assert_eq!(told.json()["artifacts"][0]["fixes"], expected);

    // Nothing waits any more.
    told.stories[0].gate.deny = CheckSet::of(CheckKind::Hash);
    assert!(!told.stories[0].state().is_pending());
    assert_eq!(told.needs_keys(&told.stories[0]), []);
}

#[test]
fn a_recalled_artifact_tells_who_recalled_it_and_when() {
    let mut story = story(Outcome::pass(Reason::Trivial), CheckSet::EMPTY);
    let (at, reason) = (Timestamp::UNIX_EPOCH, "malware".to_owned());
    story.recalls = vec![RecallOfIt { reason, actor: "ada".into(), at }];
    let told = Told { stories: vec![story], ..Told::default() }.json()["artifacts"][0].clone();
    assert_eq!(told["recalls"], json!([{ "reason": "malware", "actor": "ada", "at": at }]));
    assert_eq!(told["reason"], "malware");
}
