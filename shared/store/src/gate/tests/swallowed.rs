//! A change that somebody keeps out of `gate_log`, and so out of the transparency log, does not happen.

use touchstone_domain::{Policy, Reason};

use super::*;
use crate::{RecallTarget, Store};

/// What a superuser may put before the table.
const SWALLOW: &str = "
    CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER swallow BEFORE INSERT ON gate_log FOR EACH ROW EXECUTE FUNCTION swallow();
    ALTER TABLE gate_log ENABLE ALWAYS TRIGGER swallow;";

/// All that a change changes.
async fn written(db: &TestDb) -> String {
    let rows = db
        .query(
            "SELECT (SELECT jsonb_agg(to_jsonb(gate) ORDER BY artifact_id) FROM gate)::text
                 || (SELECT count(*) FROM promotion) || '/' || (SELECT count(*) FROM gate_log)",
        )
        .await;
    rows[0].get(0)
}

fn swallowed(error: &StoreError) -> bool {
    let words = "the stored gate_log is inconsistent: 1 changes are to be logged, and 0 were; somebody changed its triggers or rules";
    error.to_string() == words
}

#[tokio::test]
async fn neither_a_promotion_nor_its_end_is_kept_out_of_the_log() {
    let db = TestDb::new().await;
    let [a, b, c] =
        [db.artifact("a", HASH).await, db.artifact("b", HASH).await, db.artifact("c", HASH).await];
    db.judge(&[b.pass(CheckKind::Hash), c.pass(CheckKind::Hash)]).await.unwrap();
    let passed = recorded(&db, &[a.pass(CheckKind::Hash)]).await;
    let failed = recorded(&db, &[b.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await;
    let fit = promotion(&db, &a, 0).await;
    let recall = RecallTarget::Digest(c.new.sha256);
    let policy = Policy::default();
    let recheck = async |store: &Store| store.recheck(&(&c.new.id).into(), &policy, true).await;
    db.execute(SWALLOW).await.unwrap();
    let before = written(&db).await;
    let refused = [
        db.store.apply(&passed, from_ref(&fit), None).await.unwrap_err(),
        db.store.apply(&failed, &[], None).await.unwrap_err(),
        recheck(&db.store).await.unwrap_err(),
        db.store.hold(&recall).await.unwrap_err(),
    ];
    assert!(refused.iter().all(swallowed), "{refused:?}");
    assert_eq!(written(&db).await, before);

    db.execute("DROP TRIGGER swallow ON gate_log").await.unwrap();
    let state = |changes: Vec<Change>| changes.iter().map(|change| change.state).collect::<Vec<_>>();
    let promoted = db.store.apply(&passed, from_ref(&fit), None).await.unwrap().changes;
    assert_eq!(state(promoted), [ArtifactState::Servable]);
    let rejected = db.store.apply(&failed, &[], None).await.unwrap().changes;
    assert_eq!(state(rejected), [ArtifactState::Rejected]);
    assert_eq!(state(recheck(&db.store).await.unwrap()), [ArtifactState::Fetched]);
    assert_eq!(state(db.store.hold(&recall).await.unwrap()), [ArtifactState::Revoked]);
    let logged = db.query("SELECT state FROM gate_log ORDER BY id OFFSET 2").await;
    let logged: Vec<String> = logged.iter().map(|row| row.get(0)).collect();
    assert_eq!(logged, ["servable", "rejected", "fetched", "revoked"]);
}

/// The one change that a function of the database makes.
#[tokio::test]
async fn what_attest_has_judged_anew_is_not_kept_out_of_the_log() {
    let db = TestDb::new().await;
    let a = db.artifact("a", &[CheckKind::Attest]).await;
    let mut held = a.verdict(CheckKind::Attest, OutcomeKind::Inconclusive);
    let [document, problem, detail] = ["d", "p", "x"].map(str::to_owned);
    held.outcome.reason = Reason::AttestationRefused { document, problem, detail };
    held.trust = vec![Sha256::of("old")];
    db.judge(&[held]).await.unwrap();
    db.execute(SWALLOW).await.unwrap();
    let before = written(&db).await;
    let reopen = async || db.store.reopen_unknown_authorities(&[Sha256::of("new")], 9).await;
    let StoreError::Statement { source, .. } = reopen().await.unwrap_err() else { panic!() };
    let error = source.as_db_error().unwrap();
    assert_eq!(
        (error.code().code(), error.message()),
        ("23001", "1 gates are reopened, and 0 of them are logged")
    );
    assert_eq!(written(&db).await, before);
    db.execute("DROP TRIGGER swallow ON gate_log").await.unwrap();
    assert_eq!(reopen().await.unwrap(), 1);
    assert_eq!(db.number("SELECT count(*) FROM gate_log").await, 2);
}

/// A servable gate that is given its promotion late is logged as well.
#[tokio::test]
async fn a_late_promotion_is_not_kept_out_of_the_log() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.execute("UPDATE gate SET ok = 1").await.unwrap();
    let missing = promotion(&db, &a, 0).await;
    db.execute(SWALLOW).await.unwrap();
    let refused = db.store.apply(&[], from_ref(&missing), None).await.unwrap_err();
    assert!(swallowed(&refused), "{refused}");
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
    db.execute("DROP TRIGGER swallow ON gate_log").await.unwrap();
    assert_eq!(db.store.apply(&[], from_ref(&missing), None).await.unwrap().changes.len(), 1);
    assert_eq!(
        db.store.apply(&[], &[missing], None).await.unwrap().changes,
        [],
        "it has one, and logs nothing"
    );
    assert_eq!(db.number("SELECT count(*) FROM gate_log").await, 1);
}
