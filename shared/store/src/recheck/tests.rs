use std::slice::from_ref;

use touchstone_domain::{CheckKind, OutcomeKind, Verdict};

use super::*;
use crate::{
    Applied, RecallTarget, Wanted,
    testing::{TestDb, deltas, sign},
};

const HASH: &[CheckKind] = &[CheckKind::Hash];

fn purl(text: &str) -> Purl {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_was_held_is_judged_anew_by_the_policy_in_force() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let held = a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive);
    assert_eq!(db.judge(from_ref(&held)).await.unwrap()[0].state, ArtifactState::Held);
    assert_eq!(db.store.due(9, 8).await.unwrap(), [], "nobody asks again by himself");

    let policy = Policy::parse("[[rule]]\nweak_digests = \"legacy\"\n").unwrap();
    assert_eq!(db.store.recheck(&purl("pkg:npm/b"), &policy, false).await.unwrap(), []);
    let changes = db.store.recheck(&purl("pkg:npm/a"), &policy, false).await.unwrap();
    let (was, state) = (ArtifactState::Held, ArtifactState::Fetched);
    let ecosystem = touchstone_domain::Ecosystem::Npm;
    assert_eq!(changes, [Change { artifact: a.artifact, ecosystem, was, state }]);
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!((status.state(), status.gate.epoch, status.dispatches), (state, 1, 0));
    assert_eq!(status.policy_epoch, db.store.register_policy(&policy).await.unwrap());
    assert_eq!(status.findings, []);
    let due = db.store.due(9, 8).await.unwrap();
    assert_eq!((due[0].artifact, due[0].epoch, due[0].dispatch), (a.artifact, 1, 1));

    let pass = Verdict { epoch: 1, ..a.pass(CheckKind::Hash) };
    assert_eq!(db.judge(&[pass]).await.unwrap()[0].state, ArtifactState::Verifying);
    let unattested = Verdict { epoch: 1, ..a.verdict(CheckKind::Attest, OutcomeKind::NotOffered) };
    assert_eq!(db.judge(&[unattested]).await.unwrap()[0].state, ArtifactState::Servable);
    let record = db.store.serve_record(&a.new.id).await.unwrap().unwrap();
    assert_eq!(record.epoch, 1);
    let log = db.query("SELECT cause, state FROM gate_log ORDER BY id").await;
    let log: Vec<(&str, &str)> = log.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        log,
        [("verdict", "held"), ("recheck", "fetched"), ("verdict", "verifying"), ("verdict", "servable")]
    );
}

#[tokio::test]
async fn a_verdict_from_before_a_recheck_does_not_count() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.judge(&[a.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.unwrap();
    let pass = a.pass(CheckKind::Hash);
    db.store.record_verdicts(&sign(from_ref(&pass))).await.unwrap();
    let read_before = deltas(&db.store.cases(&[a.artifact], Wanted::New).await.unwrap());
    assert_eq!(read_before.len(), 2);

    let changes = db.store.recheck(&purl("pkg:npm/a@1.0.0"), &Policy::default(), false).await.unwrap();
    assert_eq!(changes[0].was, ArtifactState::Rejected);
    assert_eq!(db.store.apply(&read_before, &[], None).await.unwrap(), Applied::default());
    assert_eq!(db.judge(&[pass]).await.unwrap(), []);
    assert_eq!(db.store.states(&[a.artifact]).await.unwrap(), [(a.artifact, ArtifactState::Fetched)]);
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
}

#[tokio::test]
async fn what_is_served_is_rechecked_only_on_request_and_what_was_recalled_never() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    let policy = Policy::default();
    assert_eq!(db.store.recheck(&purl("pkg:npm/a"), &policy, false).await.unwrap(), []);
    assert!(db.store.serve_record(&a.new.id).await.unwrap().is_some());
    let changes = db.store.recheck(&purl("pkg:npm/a"), &policy, true).await.unwrap();
    assert_eq!((changes[0].was, changes[0].state), (ArtifactState::Servable, ArtifactState::Fetched));
    assert!(db.store.serve_record(&a.new.id).await.unwrap().is_none(), "it has to pass again first");

    db.store.recall(&RecallTarget::Purl(purl("pkg:npm/b")), "r", "ops").await.unwrap();
    assert_eq!(db.store.recheck(&purl("pkg:npm/b"), &policy, true).await.unwrap(), []);
    assert_eq!(db.store.states(&[b.artifact]).await.unwrap()[0].1, ArtifactState::Revoked);
}

#[tokio::test]
async fn a_recheck_takes_the_age_from_the_policy() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
    let aged = Policy::parse("[attestations]\nnpm = \"off\"\n[[rule]]\nmin_age = \"7d\"\n").unwrap();
    db.store.recheck(&purl("pkg:npm/a"), &aged, true).await.unwrap();
    let pass = |epoch| Verdict { epoch, ..a.pass(CheckKind::Hash) };
    assert_eq!(db.judge(&[pass(1)]).await.unwrap()[0].state, ArtifactState::Held);
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!(status.eligible_at, Some(status.fetched_at + jiff::SignedDuration::from_hours(7 * 24)));

    let unaged = Policy::parse("[attestations]\nnpm = \"off\"\n").unwrap();
    db.store.recheck(&purl("pkg:npm/a"), &unaged, false).await.unwrap();
    assert_eq!(db.judge(&[pass(2)]).await.unwrap()[0].state, ArtifactState::Servable);
    assert_eq!(db.store.status(&a.new.id).await.unwrap().unwrap().eligible_at, None);
}

#[tokio::test]
async fn a_recheck_tolerates_what_the_policy_in_force_tolerates() {
    let db = TestDb::new().await;
    let a = db.artifact("a", &[CheckKind::Hash, CheckKind::Attest]).await;
    let answers = |epoch| {
        let unattested = a.verdict(CheckKind::Attest, OutcomeKind::NotOffered);
        [a.pass(CheckKind::Hash), unattested].map(|verdict| Verdict { epoch, ..verdict })
    };
    assert_eq!(db.judge(&answers(0)).await.unwrap()[0].state, ArtifactState::Held);
    let modes = [
        ("ratchet", ArtifactState::Servable),
        ("require", ArtifactState::Held),
        ("off", ArtifactState::Servable),
    ];
    for (epoch, (mode, state)) in (1..).zip(modes) {
        let policy = Policy::parse(&format!("[attestations]\nnpm = \"{mode}\"\n")).unwrap();
        let requirement = policy.requirement(a.new.id.ecosystem, &a.new.id.package);
        db.store.recheck(&purl("pkg:npm/a"), &policy, true).await.unwrap();
        assert_eq!(db.store.status(&a.new.id).await.unwrap().unwrap().gate.requirement, requirement);
        assert_eq!(db.judge(&answers(epoch)).await.unwrap()[0].state, state, "{mode}");
    }
}
