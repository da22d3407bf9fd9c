use serde_json::json;
use touchstone_domain::{ArtifactState, CheckKind, OutcomeKind, Sha256};

use super::*;
use crate::{
    IncidentKind, NewIncident, RecallTarget,
    testing::{Facts, TestDb},
};

async fn served(db: &TestDb, package: &str) -> Facts {
    let of = db.artifact(package, &[CheckKind::Hash]).await;
    db.judge(&[of.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(state(db, &of).await, (ArtifactState::Servable, 0));
    of
}

async fn state(db: &TestDb, of: &Facts) -> (ArtifactState, i32) {
    let status = db.store.status(&of.new.id).await.unwrap().unwrap();
    (status.state(), status.gate.epoch)
}

/// An edge says that it could not read the record.
async fn report(db: &TestDb, of: &Facts, kind: IncidentKind) {
    let about = NewIncident::about(kind, &of.new.id, Some(of.artifact), json!({}));
    db.store.record_incident(&about).await.unwrap();
}

/// In the order of their numbers.
async fn reported(db: &TestDb) -> Vec<ArtifactDbId> {
    let found = db.store.reported_missing(9).await.unwrap();
    let mut artifacts: Vec<_> = found.iter().map(|one| one.artifact).collect();
    artifacts.sort_unstable();
    artifacts
}

#[tokio::test]
async fn only_open_reports_about_the_promotion_in_force_are_told() {
    let db = TestDb::new().await;
    let [a, b, other, pending] = [
        served(&db, "a").await,
        served(&db, "b").await,
        served(&db, "other").await,
        db.artifact("pending", &[CheckKind::Hash]).await,
    ];
    for of in [&a, &b, &pending] {
        report(&db, of, IncidentKind::RecordMissing).await;
    }
    report(&db, &other, IncidentKind::ServeRecordRefused).await;
    assert_eq!(reported(&db).await, [a.artifact, b.artifact]);
    let found = db.store.reported_missing(9).await.unwrap();
    let row = db.store.serve_record(&a.new.id).await.unwrap().unwrap();
    let in_force = RecordInForce { artifact: a.artifact, epoch: 0, record: row.signed.envelope };
    assert!(found.contains(&in_force), "{found:?}");

    // by others before
    db.store.resolve_incidents(None).await.unwrap();
    assert_eq!(reported(&db).await, []);
    report(&db, &b, IncidentKind::RecordMissing).await;
    assert_eq!(reported(&db).await, [b.artifact]);
    db.execute("UPDATE incident SET last_at = last_at - interval '1 hour'").await.unwrap();
    assert_eq!(reported(&db).await, [], "it was about another promotion");
}

#[tokio::test]
async fn a_report_that_is_dated_ahead_is_in_the_way_of_no_other() {
    let db = TestDb::new().await;
    let [ahead, genuine] = [served(&db, "ahead").await, served(&db, "genuine").await];
    for of in [&ahead, &genuine] {
        report(&db, of, IncidentKind::RecordMissing).await;
    }
    let date =
        |days: u32| format!("UPDATE incident SET last_at = now() + '{days} days' WHERE package = 'ahead'");
    db.execute(&date(9000)).await.unwrap();
    let mut found = std::collections::BTreeSet::new();
    while found.len() < 2 {
        let one = db.store.reported_missing(1).await.unwrap();
        assert_eq!(one.len(), 1);
        found.insert(one[0].artifact);
    }
    // what is promoted after it was first reported was not reported
    db.execute("UPDATE incident SET at = at - interval '1 hour'").await.unwrap();
    assert_eq!(reported(&db).await, [genuine.artifact]);
    db.execute(&date(0)).await.unwrap();
    assert_eq!(reported(&db).await, [ahead.artifact, genuine.artifact]);
}

#[tokio::test]
async fn what_is_lost_is_reopened_once_and_only_while_it_is_in_force() {
    let db = TestDb::new().await;
    let [lost, other, recalled, failed] = [
        served(&db, "lost").await,
        served(&db, "other").await,
        served(&db, "recalled").await,
        served(&db, "failed").await,
    ];
    for of in [&lost, &other, &recalled, &failed] {
        report(&db, of, IncidentKind::RecordMissing).await;
    }
    let mut all = db.store.reported_missing(9).await.unwrap();
    assert_eq!(all.len(), 4);
    db.store.recall(&RecallTarget::Purl((&recalled.new.id).into()), "r", "ops").await.unwrap();
    db.judge(&[failed.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.unwrap();
    for one in all.iter_mut().filter(|one| one.artifact == other.artifact) {
        one.record.sha256 = Sha256::of("another promotion's");
    }

    let changes = db.store.reopen_lost(&all).await.unwrap();
    let reopened: Vec<_> = changes.iter().map(|change| (change.artifact, change.was, change.state)).collect();
    assert_eq!(reopened, [(lost.artifact, ArtifactState::Servable, ArtifactState::Fetched)]);
    assert_eq!(state(&db, &lost).await, (ArtifactState::Fetched, 1));
    assert_eq!(state(&db, &other).await, (ArtifactState::Servable, 0));
    assert_eq!(state(&db, &recalled).await, (ArtifactState::Revoked, 0));
    assert_eq!(state(&db, &failed).await, (ArtifactState::Rejected, 0));
    assert_eq!(db.store.reopen_lost(&all).await.unwrap(), [], "it converges");
    assert_eq!(reported(&db).await, [other.artifact]);
    assert_eq!(db.store.reopen_lost(&[]).await.unwrap(), []);
}
