use touchstone_domain::{ArtifactState, CheckKind, CheckSet, OutcomeKind, Verdict};

use super::*;
use crate::{
    NewPromotion, RecallTarget, Wanted,
    testing::{Facts, TestDb, deltas, key, sign_by, signed},
};

const HASH: &[CheckKind] = &[CheckKind::Hash];
const BOTH: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

async fn state(db: &TestDb, of: &Facts) -> (ArtifactState, i32) {
    let status = db.store.status(&of.new.id).await.unwrap().unwrap();
    (status.state(), status.gate.epoch)
}

async fn causes(db: &TestDb) -> Vec<(String, String, i64)> {
    let rows = db
        .query(
            "SELECT cause, state, count(*) FROM gate_log WHERE cause NOT IN ('verdict', 'recall') GROUP BY cause, state",
        )
        .await;
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Promotes by these keys.
async fn promoted(db: &TestDb, name: &str, checker: &str, rests_on: &[&str], promoter: &str) -> Facts {
    let of = db.artifact(name, HASH).await;
    db.store.record_verdicts(&[sign_by(checker, &of.pass(CheckKind::Hash))]).await.unwrap();
    let cases = db.store.cases(&[of.artifact], Wanted::New).await.unwrap();
    let promotion = NewPromotion {
        artifact: of.artifact,
        epoch: 0,
        serial: db.store.next_serials(1).await.unwrap()[0],
        policy_epoch: db.policy_epoch,
        rests_on: rests_on.iter().map(|name| key(name)).collect(),
        promoted_at: Timestamp::UNIX_EPOCH,
        signed: signed(promoter, name),
    };
    db.store.apply(&deltas(&cases), &[promotion], None).await.unwrap();
    assert_eq!(state(db, &of).await, (ArtifactState::Servable, 0));
    of
}

#[tokio::test]
async fn what_rests_on_a_revoked_key_is_out_of_service_and_nothing_else() {
    let db = TestDb::new().await;
    let fetched = promoted(&db, "fetched", "hash", &["lost", "hash"], "promote").await;
    let checked = promoted(&db, "checked", "lost", &["fetch", "other"], "promote").await;
    let signed_for = promoted(&db, "signed", "hash", &["fetch", "hash"], "lost").await;
    let other = promoted(&db, "other", "hash", &["fetch", "hash"], "promote").await;
    let pending = db.artifact("pending", BOTH).await;
    db.store.record_verdicts(&[sign_by("lost", &pending.pass(CheckKind::Hash))]).await.unwrap();
    let untouched = db.artifact("untouched", BOTH).await;
    db.store.record_fetch(untouched.artifact, &signed("lost", "fetch")).await.unwrap();
    let recalled = promoted(&db, "recalled", "lost", &["lost"], "lost").await;
    db.store.recall(&RecallTarget::Purl((&recalled.new.id).into()), "r", "ops").await.unwrap();

    for (name, limit, expected) in [("lost", 9, 2), ("lost", 1, 1), ("other", 9, 1), ("unknown", 9, 0)] {
        assert_eq!(db.store.served_by_key(key(name), limit).await.unwrap(), expected, "{name}");
    }
    assert_eq!(db.store.reopen_key(key("unknown"), 2).await.unwrap(), []);
    assert_eq!(db.store.reopen_key(key("lost"), 0).await.unwrap(), []);
    let changes = db.store.reopen_key(key("lost"), 2).await.unwrap();
    let reopened: Vec<_> = changes.iter().map(|change| change.artifact).collect();
    let expected = [&fetched, &checked, &signed_for, &pending];
    assert_eq!(reopened, expected.map(|of| of.artifact), "two at a time, and all of them");
    for of in expected {
        assert_eq!(state(&db, of).await, (ArtifactState::Fetched, 1));
        assert_eq!(db.store.serve_record(&of.new.id).await.unwrap(), None);
    }
    assert_eq!(state(&db, &other).await, (ArtifactState::Servable, 0));
    assert_eq!(state(&db, &untouched).await, (ArtifactState::Fetched, 0), "nothing was decided by it");
    assert_eq!(state(&db, &recalled).await, (ArtifactState::Revoked, 0));
    assert_eq!(causes(&db).await, [("key".into(), "fetched".into(), 4)]);
    assert_eq!(db.store.due(9, 9).await.unwrap().len(), 4, "their checks are due at once");
    assert_eq!(db.store.reopen_key(key("lost"), 2).await.unwrap(), [], "it converges");
}

#[tokio::test]
async fn a_refused_row_of_a_revoked_key_reopens_nothing() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    db.store.record_verdicts(&[sign_by("lost", &a.pass(CheckKind::Hash))]).await.unwrap();
    db.store.record_refusals(&[(1, "key_revoked".into(), "r".into())]).await.unwrap();
    assert_eq!(db.store.reopen_key(key("lost"), 9).await.unwrap(), []);
    let other_epoch = Verdict { check_revision: 2, ..a.pass(CheckKind::Hash) };
    db.store.record_verdicts(&[sign_by("lost", &other_epoch)]).await.unwrap();
    assert_eq!(db.store.reopen_key(key("lost"), 9).await.unwrap().len(), 1);
    assert_eq!(db.store.reopen_key(key("lost"), 9).await.unwrap(), [], "that one is of an epoch that ended");
}

/// Two promotes at once, while others count: every gate is reopened once.
#[tokio::test]
async fn two_calls_reopen_once() {
    let db = TestDb::new().await;
    for n in 0..20 {
        promoted(&db, &format!("a{n}"), "lost", &["fetch", "lost"], "promote").await;
    }
    let calls =
        futures::future::try_join_all((0..4).map(|_| db.store.reopen_key(key("lost"), 3))).await.unwrap();
    assert_eq!(calls.concat().len(), 20);
    assert_eq!(db.number("SELECT count(*) FROM gate WHERE epoch = 1").await, 20);
    assert_eq!(causes(&db).await, [("key".into(), "fetched".into(), 20)]);
}

#[tokio::test]
async fn a_gate_that_says_more_than_signed_rows_is_reopened() {
    let db = TestDb::new().await;
    let [flipped, partly, refused, absent, honest] = [
        db.artifact("flipped", HASH).await,
        db.artifact("partly", BOTH).await,
        db.artifact("refused", BOTH).await,
        db.tolerant("absent").await,
        db.artifact("honest", BOTH).await,
    ];
    let verdicts = [
        flipped.pass(CheckKind::Hash),
        refused.pass(CheckKind::Hash),
        absent.verdict(CheckKind::Attest, OutcomeKind::NotOffered),
        honest.pass(CheckKind::Hash),
    ];
    db.judge(&verdicts[1..]).await.unwrap();
    db.store.record_verdicts(&[sign_by("hash", &verdicts[0])]).await.unwrap();
    let forge = "UPDATE gate SET ok = 1 WHERE artifact_id = 1; UPDATE gate SET ok = 2 WHERE artifact_id = 2";
    db.execute(forge).await.unwrap();
    db.store.record_refusals(&[(1, "signature".into(), "r".into())]).await.unwrap();
    let all = [&flipped, &partly, &refused, &absent, &honest];
    assert_eq!(db.store.unpromoted(9).await.unwrap(), [flipped.artifact]);
    assert_eq!(db.store.reopen_unapproved(&[honest.artifact, absent.artifact]).await.unwrap(), []);
    let changes = db.store.reopen_unapproved(&all.map(|of| of.artifact)).await.unwrap();
    let reopened: Vec<_> = changes.iter().map(|change| (change.artifact, change.was)).collect();
    let expected = [
        (flipped.artifact, ArtifactState::Servable),
        (partly.artifact, ArtifactState::Verifying),
        (refused.artifact, ArtifactState::Verifying),
    ];
    assert_eq!(reopened, expected);
    assert_eq!(causes(&db).await, [("unsigned".into(), "fetched".into(), 3)]);
    assert_eq!(db.store.reopen_unapproved(&all.map(|of| of.artifact)).await.unwrap(), [], "it converges");
    assert_eq!(state(&db, &honest).await, (ArtifactState::Verifying, 0));
}

/// The promotion of whoever has the lock is seen by whoever waits for it.
#[tokio::test]
async fn what_is_just_being_promoted_is_not_reopened() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&[sign_by("hash", &a.pass(CheckKind::Hash))]).await.unwrap();
    let mut other = db.raw().await;
    let promoting = other.transaction().await.unwrap();
    promoting
        .batch_execute(
            "UPDATE gate SET ok = 1;
             INSERT INTO promotion (artifact_id, epoch, policy_epoch, sha256, size, chunk_root, key, envelope, pack, pack_offset,
                                    pack_size)
             SELECT id, 0, 1, sha256, size, chunk_root, sha256, sha256, sha256, 0, 1 FROM artifact",
        )
        .await
        .unwrap();
    let commit = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while db.number(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        promoting.commit().await.unwrap();
    };
    let artifacts = [a.artifact];
    let (changes, ()) = tokio::join!(db.store.reopen_unapproved(&artifacts), commit);
    assert_eq!(changes.unwrap(), []);
    assert_eq!(state(&db, &a).await, (ArtifactState::Servable, 0));
}

#[tokio::test]
async fn a_newer_policy_asks_anew_and_an_older_one_does_not() {
    let db = TestDb::new().await;
    let [a, b, recalled] =
        [db.artifact("a", HASH).await, db.artifact("b", HASH).await, db.artifact("recalled", HASH).await];
    db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash), recalled.pass(CheckKind::Hash)])
        .await
        .unwrap();
    db.store.recall(&RecallTarget::Purl((&recalled.new.id).into()), "r", "ops").await.unwrap();
    let named = [a.artifact, recalled.artifact];
    let policy = Policy::parse("[[rule]]\necosystem = \"npm\"\nrequire = [\"hash\", \"attest\"]\n").unwrap();
    let same = Policy::default();
    assert_eq!(db.store.reopen_policy(&named, &same).await.unwrap(), [], "it is the policy of the gates");
    let changes = db.store.reopen_policy(&named, &policy).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.artifact).collect::<Vec<_>>(), [a.artifact]);
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!(
        (status.gate.epoch, status.policy_epoch),
        (1, db.store.register_policy(&policy).await.unwrap())
    );
    let expected: CheckSet = BOTH.iter().copied().collect();
    assert_eq!(status.gate.requirement.required(), expected);
    assert_eq!(causes(&db).await, [("policy".into(), "fetched".into(), 1)]);
    assert_eq!(db.store.reopen_policy(&named, &policy).await.unwrap(), [], "once");
    assert_eq!(
        db.store.reopen_policy(&named, &same).await.unwrap(),
        [],
        "the older policy is not the newer one"
    );
    assert_eq!(state(&db, &b).await, (ArtifactState::Servable, 0), "nobody named it");
}
