use std::slice::from_ref;

use touchstone_domain::{CheckKind, Outcome, OutcomeKind, Reason, Verdict};

use super::*;
use crate::{
    RecallTarget,
    testing::{Facts, TestDb},
};

const BOTH: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

/// The attest check's answer that a waiver lets pass until so many seconds from now.
async fn waived(db: &TestDb, of: &Facts, seconds: i32) -> Verdict {
    let ends = format!("SELECT now() + interval '{seconds} seconds'");
    let expires = db.query(&ends).await[0].get(0);
    let finding = Box::new(Reason::AttestationsOff);
    let reason = Reason::Waived { reason: "known".into(), expires, finding };
    Verdict { outcome: Outcome::pass(reason), ..of.pass(CheckKind::Attest) }
}

/// Waits until the clock of Postgres has gone on for so many seconds.
async fn pass_time(db: &TestDb, seconds: f64) {
    db.query(&format!("SELECT pg_sleep({seconds})")).await;
}

async fn state(db: &TestDb, of: &Facts) -> (ArtifactState, i32) {
    let status = db.store.status(&of.new.id).await.unwrap().unwrap();
    (status.state(), status.gate.epoch)
}

#[tokio::test]
async fn what_a_waiver_passed_is_out_of_service_from_its_end() {
    let db = TestDb::new().await;
    let [short, long] = [db.artifact("short", BOTH).await, db.artifact("long", BOTH).await];
    for (of, seconds) in [(&short, 1), (&long, 3600)] {
        let waived = waived(&db, of, seconds).await;
        db.judge(&[of.pass(CheckKind::Hash), waived]).await.unwrap();
        assert_eq!(state(&db, of).await, (ArtifactState::Servable, 0));
    }
    let before = db.store.status(&short.new.id).await.unwrap().unwrap();
    assert_eq!(db.store.reopen_waived(9).await.unwrap(), [], "neither has ended");
    pass_time(&db, 1.0).await;
    assert_eq!(db.store.reopen_waived(0).await.unwrap(), [], "no more than was asked for");
    let changes = db.store.reopen_waived(9).await.unwrap();
    let (was, now) = (ArtifactState::Servable, ArtifactState::Fetched);
    let ecosystem = short.new.id.ecosystem;
    assert_eq!(changes, [Change { artifact: short.artifact, ecosystem, was, state: now }]);
    assert!(db.store.serve_record(&short.new.id).await.unwrap().is_none());
    assert!(db.store.serve_record(&long.new.id).await.unwrap().is_some());
    assert_eq!(db.store.reopen_waived(9).await.unwrap(), [], "once");

    let after = db.store.status(&short.new.id).await.unwrap().unwrap();
    assert_eq!(
        (after.gate.epoch, after.gate.requirement, after.policy_epoch),
        (1, before.gate.requirement, before.policy_epoch)
    );
    let rows = db.query("SELECT cause, was, state, epoch FROM gate_log ORDER BY id DESC LIMIT 1").await;
    let last: (&str, &str, &str, i32) = (rows[0].get(0), rows[0].get(1), rows[0].get(2), rows[0].get(3));
    assert_eq!(last, ("recheck", "servable", "fetched", 1));
    let due = db.store.due(9, 8).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].artifact, due[0].epoch, due[0].missing),
        (short.artifact, 1, before.gate.requirement.required())
    );

    let held = short.verdict(CheckKind::Attest, OutcomeKind::Inconclusive);
    let again = [short.pass(CheckKind::Hash), held].map(|verdict| Verdict { epoch: 1, ..verdict });
    assert_eq!(db.judge(&again).await.unwrap()[0].state, ArtifactState::Held);
    assert_eq!(db.store.reopen_waived(9).await.unwrap(), []);
}

/// A worker whose clock is behind goes on waiving; it is asked again, and not in every sweep.
#[tokio::test]
async fn an_answer_from_after_the_end_is_asked_for_again_but_not_at_once() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    let late = waived(&db, &a, -5).await;
    db.judge(&[a.pass(CheckKind::Hash), late]).await.unwrap();
    assert_eq!(db.store.reopen_waived(9).await.unwrap(), []);
    let age = "ALTER TABLE verdict DISABLE TRIGGER append_only;
        UPDATE verdict SET recorded_at = now() - interval '61 seconds'";
    db.execute(age).await.unwrap();
    // it is recorded before the end now, so the end is moved as well
    let end =
        "UPDATE verdict SET reason = jsonb_set(reason, '{expires}', to_jsonb(now() - interval '62 seconds'))
        WHERE reason ->> 'code' = 'waived'";
    db.execute(end).await.unwrap();
    assert_eq!(db.store.reopen_waived(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_waiver_does_not_serve_stays_as_it_is() {
    let db = TestDb::new().await;
    let [recalled, rejected, observed, pending] = [
        db.artifact("recalled", BOTH).await,
        db.artifact("rejected", BOTH).await,
        db.artifact("observed", &[CheckKind::Hash]).await,
        db.artifact("pending", BOTH).await,
    ];
    let mut verdicts = vec![rejected.verdict(CheckKind::Hash, OutcomeKind::Fail)];
    verdicts.extend([&recalled, &observed].map(|of| of.pass(CheckKind::Hash)));
    for of in [&recalled, &rejected, &observed, &pending] {
        verdicts.push(waived(&db, of, 1).await);
    }
    db.judge(&verdicts).await.unwrap();
    let purl = RecallTarget::Purl((&recalled.new.id).into());
    db.store.recall(&purl, "r", "ops").await.unwrap();
    pass_time(&db, 1.0).await;
    let reopened: Vec<_> =
        db.store.reopen_waived(9).await.unwrap().iter().map(|change| (change.artifact, change.was)).collect();
    assert_eq!(reopened, [(pending.artifact, ArtifactState::Verifying)], "it would have been served");
    assert_eq!(state(&db, &recalled).await, (ArtifactState::Revoked, 0));
    assert_eq!(state(&db, &rejected).await, (ArtifactState::Rejected, 0));
    assert_eq!(state(&db, &observed).await, (ArtifactState::Servable, 0), "nothing was asked of the check");
}

#[tokio::test]
async fn two_sweepers_reopen_once() {
    let db = TestDb::new().await;
    for n in 0..20 {
        let of = db.artifact(&format!("a{n}"), BOTH).await;
        let waived = waived(&db, &of, 1).await;
        db.judge(&[of.pass(CheckKind::Hash), waived]).await.unwrap();
    }
    pass_time(&db, 1.0).await;
    let sweeps = futures::future::try_join_all((0..4).map(|_| db.store.reopen_waived(9))).await.unwrap();
    let rest = db.store.reopen_waived(99).await.unwrap();
    assert!(sweeps.iter().all(|changes| changes.len() <= 9));
    assert_eq!(sweeps.concat().len() + rest.len(), 20);
    assert_eq!(db.number("SELECT count(*) FROM gate WHERE epoch = 1").await, 20);
    assert_eq!(db.number("SELECT count(*) FROM gate_log WHERE cause = 'recheck'").await, 20);
}

fn refused(of: &Facts, kind: OutcomeKind, trust: &[Sha256]) -> Verdict {
    let reason = Reason::AttestationRefused {
        document: "provenance".into(),
        problem: "certificate".into(),
        detail: "nobody knows it".into(),
    };
    let trust = trust.to_vec();
    Verdict { outcome: Outcome { kind, reason }, trust, ..of.pass(CheckKind::Attest) }
}

#[tokio::test]
async fn what_nobody_known_had_signed_is_judged_again_by_new_trust_and_by_the_same_never() {
    let db = TestDb::new().await;
    let [root, keys, new_root, new_keys] = ["root", "keys", "new root", "new keys"].map(Sha256::of);
    let reopen = async |trust: &[Sha256]| db.store.reopen_unknown_authorities(trust, 9).await.unwrap();
    let names = ["both", "signature", "failed", "other", "python"];
    let mut artifacts = vec![];
    for name in names {
        artifacts.push(db.artifact(name, BOTH).await);
    }
    let [both, signature, failed, other, python] = <[Facts; 5]>::try_from(artifacts).ok().unwrap();
    let inconclusive = OutcomeKind::Inconclusive;
    let mut by_keys = refused(&signature, inconclusive, &[keys]);
    by_keys.outcome.reason =
        Reason::RegistrySignatureRefused { problem: "unknown_key".into(), detail: "it is".into() };
    let mut of_another_kind = refused(&other, inconclusive, &[root, keys]);
    of_another_kind.outcome.reason = Reason::AttestationsOff;
    let verdicts = [
        refused(&both, inconclusive, &[keys, root]),
        by_keys,
        refused(&failed, OutcomeKind::Fail, &[keys, root]),
        of_another_kind,
        refused(&python, inconclusive, &[root]),
    ];
    for (of, verdict) in [&both, &signature, &failed, &other, &python].into_iter().zip(&verdicts) {
        db.judge(&[of.pass(CheckKind::Hash), verdict.clone()]).await.unwrap();
    }
    assert_eq!(state(&db, &both).await, (ArtifactState::Held, 0));
    assert_eq!(reopen(&[root, keys]).await, 0, "it is what they were judged by");
    assert_eq!(reopen(&[new_root, keys]).await, 2, "those that rest on the root");
    for (of, expected) in [(&both, ArtifactState::Fetched), (&python, ArtifactState::Fetched)] {
        assert_eq!(state(&db, of).await, (expected, 1));
    }
    assert_eq!(reopen(&[new_root, keys]).await, 0, "once");
    assert_eq!(reopen(&[new_root, new_keys]).await, 1);
    assert_eq!(state(&db, &signature).await, (ArtifactState::Fetched, 1));
    assert_eq!(state(&db, &failed).await, (ArtifactState::Rejected, 0));
    assert_eq!(state(&db, &other).await, (ArtifactState::Held, 0));
    assert!(db.store.reopen_unknown_authorities(&[root; TRUST_MAX + 1], 9).await.is_err());

    let again = Verdict { epoch: 1, ..refused(&both, inconclusive, &[new_root, keys]) };
    let hash = Verdict { epoch: 1, ..both.pass(CheckKind::Hash) };
    db.judge(&[hash, again]).await.unwrap();
    assert_eq!(reopen(&[new_root, keys]).await, 0, "it came out the same, by this very trust");
    let pass = Verdict { epoch: 1, ..both.pass(CheckKind::Attest) };
    assert_eq!(db.judge(from_ref(&pass)).await.unwrap()[0].state, ArtifactState::Servable);
    assert_eq!(reopen(&[new_root, new_keys]).await, 0, "what passed is not held");
}

/// Both selections are answered by their indexes.
#[tokio::test]
async fn the_selections_have_their_indexes() {
    let db = TestDb::new().await;
    let client = db.raw().await;
    client.batch_execute("SET enable_seqscan = off").await.unwrap();
    for (condition, index) in [
        ("reason ->> 'code' = 'waived' AND check_kind = 'attest' AND outcome = 'pass'", "verdict_waived"),
        (
            "outcome = 'inconclusive' AND reason ->> 'code' IN ('attestation_refused', 'registry_signature_refused')",
            "verdict_unknown_authority",
        ),
    ] {
        let explain = format!("EXPLAIN SELECT DISTINCT artifact_id, epoch FROM verdict WHERE {condition}");
        let plan: Vec<String> =
            client.query(&explain, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
    }
}
