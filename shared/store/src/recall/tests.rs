use serde_json::json;
use touchstone_domain::{ArtifactState, CheckKind, Policy, Sha256};

use super::*;
use crate::{
    Applied, IncidentKind, Ingested, NewIncident, Wanted,
    testing::{TestDb, deltas, id, new_artifact, sign},
};

const HASH: &[CheckKind] = &[CheckKind::Hash];

fn purl(text: &str) -> RecallTarget {
    RecallTarget::Purl(text.parse().unwrap())
}

#[tokio::test]
async fn a_recall_revokes_what_it_names_and_nothing_else() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(db.store.recall(&purl("pkg:npm/a@2.0.0"), "r", "ops").await.unwrap(), []);
    assert_eq!(db.store.recall(&purl("pkg:pypi/a"), "r", "ops").await.unwrap(), []);
    assert!(db.store.serve_record(&a.new.id).await.unwrap().is_some());

    let changes = db.store.recall(&purl("pkg:npm/a@1.0.0"), "r", "ops").await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].artifact, changes[0].was, changes[0].state),
        (a.artifact, ArtifactState::Servable, ArtifactState::Revoked)
    );
    assert!(db.store.serve_record(&a.new.id).await.unwrap().is_none());
    assert!(db.store.serve_record(&b.new.id).await.unwrap().is_some());
    assert_eq!(
        db.store.recall(&purl("pkg:npm/a"), "again", "ops").await.unwrap(),
        [],
        "it is revoked already"
    );
    assert_eq!(
        db.store.recall(&RecallTarget::Digest(b.new.sha256), "r", "ops").await.unwrap()[0].artifact,
        b.artifact
    );
}

#[tokio::test]
async fn a_late_pass_does_not_revive_what_was_recalled() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&sign(&[a.pass(CheckKind::Hash)])).await.unwrap();
    let late = deltas(&db.store.cases(&[a.artifact], Wanted::New).await.unwrap());
    assert_eq!(
        db.store.recall(&purl("pkg:npm/a"), "r", "ops").await.unwrap()[0].state,
        ArtifactState::Revoked
    );
    assert_eq!(db.store.apply(&late, &[]).await.unwrap(), Applied::default());
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
    assert_eq!(db.store.states(&[a.artifact]).await.unwrap(), [(a.artifact, ArtifactState::Revoked)]);
}

#[tokio::test]
async fn what_comes_after_its_recall_is_never_served() {
    let db = TestDb::new().await;
    let recalled = new_artifact(db.policy_epoch, "a", HASH);
    db.store.recall(&RecallTarget::Digest(recalled.sha256), "r", "ops").await.unwrap();
    db.store.recall(&purl("pkg:npm/b@1.0.0"), "r", "ops").await.unwrap();
    for (package, state) in
        [("a", ArtifactState::Revoked), ("b", ArtifactState::Revoked), ("c", ArtifactState::Servable)]
    {
        let artifact = db.artifact(package, HASH).await;
        let changes = db.judge(&[artifact.pass(CheckKind::Hash)]).await.unwrap();
        assert_eq!(changes[0].state, state, "{package}");
        let served = db.store.serve_record(&artifact.new.id).await.unwrap();
        assert_eq!(served.is_some(), state == ArtifactState::Servable, "{package}");
    }
}

/// A recall that is not committed yet is not visible: whoever applies waits for it, and looks afterwards.
#[tokio::test]
async fn an_application_waits_for_a_recall_under_way() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&sign(&[a.pass(CheckKind::Hash)])).await.unwrap();
    let pass = deltas(&db.store.cases(&[a.artifact], Wanted::New).await.unwrap());
    let mut other = db.raw().await;
    let recall = other.transaction().await.unwrap();
    recall
        .batch_execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('touchstone.recall', 0));
             INSERT INTO recall (ecosystem, package, reason, actor) VALUES ('npm', 'a', 'r', 'ops')",
        )
        .await
        .unwrap();
    let commit = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while db.number(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        recall.commit().await.unwrap();
    };
    let (changes, ()) = tokio::join!(db.store.apply(&pass, &[]), commit);
    assert_eq!(changes.unwrap().changes[0].state, ArtifactState::Revoked);
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
}

/// Ingest, verdict, application and recall of the same package, all at once: whatever the order, it ends revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recall_wins_every_race() {
    let db = TestDb::new().await;
    for round in 0..60 {
        let package = format!("race-{round}");
        let new = new_artifact(db.policy_epoch, &package, HASH);
        let intake = async {
            let Ingested::Inserted { artifact, epoch } = db.store.ingest(&new).await.unwrap() else {
                panic!()
            };
            let facts = crate::testing::Facts { artifact, epoch, new: new.clone() };
            db.judge(&[facts.pass(CheckKind::Hash)]).await.unwrap();
        };
        let target = purl(&format!("pkg:npm/{package}"));
        let recall = async {
            tokio::time::sleep(std::time::Duration::from_micros(round * 100)).await;
            db.store.recall(&target, "r", "ops").await.unwrap();
        };
        tokio::join!(intake, recall);
        let status = db.store.status(&id(&package, "1.0.0")).await.unwrap().unwrap();
        assert_eq!(status.state(), ArtifactState::Revoked, "{round}");
        assert!(db.store.serve_record(&new.id).await.unwrap().is_none());
    }
    let promoted = db.number("SELECT count(*) FROM promotion").await;
    assert!(promoted < 60, "some recalls came first: {promoted}");
}

/// Triggers write what the transparency log is to record, whatever the session says.
#[tokio::test]
async fn a_recall_an_incident_and_a_policy_are_events_of_the_log() {
    let db = TestDb::new().await;
    let event = async |n: usize| -> serde_json::Value {
        let rows = db.query("SELECT event FROM log_event ORDER BY id DESC").await;
        assert_eq!(rows.len(), n);
        rows[0].get(0)
    };
    let policy = Policy::default();
    let expected =
        json!({"event": "policy", "epoch": db.policy_epoch, "sha256": policy.digest().to_string()});
    assert_eq!(event(1).await, expected);
    db.store.register_policy(&policy).await.unwrap();

    db.store.recall(&purl("pkg:npm/a@1.0.0"), "malware", "ops").await.unwrap();
    let recalled = json!({"event": "recalled", "ecosystem": "npm", "package": "a", "version": "1.0.0", "file": null,
        "sha256": null, "reason": "malware", "actor": "ops"});
    assert_eq!(event(2).await, recalled);
    let digest = Sha256::of("a");
    db.store.recall(&RecallTarget::Digest(digest), "malware", "ops").await.unwrap();
    let recalled = json!({"event": "recalled", "ecosystem": null, "package": null, "version": null, "file": null,
        "sha256": digest.to_string(), "reason": "malware", "actor": "ops"});
    assert_eq!(event(3).await, recalled);

    let new = NewIncident::about(
        IncidentKind::BlobDamaged,
        &id("a", "1.0.0"),
        None,
        json!({"b": 1, "a": "\u{e9}"}),
    );
    for _ in 0..2 {
        db.store.record_incident(&new).await.unwrap();
    }
    let detail: String = db.query("SELECT detail::text FROM incident").await[0].get(0);
    let reported = json!({"event": "incident", "kind": "blob_damaged", "ecosystem": "npm", "package": "a",
        "version": "1.0.0", "file": "a-1.0.0.tgz", "detail": Sha256::of(&detail).to_string()});
    assert_eq!(event(4).await, reported, "it counts up, and is told once");

    db.execute(
        "SET session_replication_role = replica;
        INSERT INTO recall (ecosystem, package, reason, actor) VALUES ('npm', 'b', 'r', 'ops')",
    )
    .await
    .unwrap();
    assert_eq!(event(5).await["package"], "b");
    // the longest words that a recall may have, in the form that takes the most room
    let words = "\u{1}".repeat(4096);
    db.store.recall(&purl("pkg:npm/c"), &words, "ops").await.unwrap();
    assert_eq!(event(6).await["reason"], words);
}
