use serde_json::json;
use touchstone_domain::{ArtifactState, CheckKind, Policy, Sha256};

use super::*;
use crate::{
    Applied, IncidentKind, Ingested, LogSeal, LogSource, NewIncident, NewLogLeaf, Wanted,
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
async fn what_is_held_is_told_whoever_held_it_and_however_often() {
    let db = TestDb::new().await;
    let [served, waiting, other] =
        [db.artifact("a", HASH).await, db.artifact("b", HASH).await, db.artifact("c", HASH).await];
    db.judge(&[served.pass(CheckKind::Hash), other.pass(CheckKind::Hash)]).await.unwrap();
    let held = |of: &crate::testing::Facts, was_served| [Held { artifact: of.artifact, was_served }];
    for (target, expected) in [
        (purl("pkg:npm/a@1.0.0"), held(&served, true)),
        (RecallTarget::Digest(waiting.new.sha256), held(&waiting, false)),
    ] {
        db.store.record_recall(&target, "r", "ops").await.unwrap();
        assert_eq!(db.store.held(&target).await.unwrap(), []);
        // the sweeper is quicker than the command
        assert_eq!(db.store.hold_recalled(std::time::Duration::MAX, 9).await.unwrap().len(), 1);
        assert_eq!(db.store.hold(&target).await.unwrap(), []);
        assert_eq!(db.store.held(&target).await.unwrap(), expected);
        db.store.recall(&target, "again", "ops").await.unwrap();
        assert_eq!(db.store.held(&target).await.unwrap(), expected);
    }
    for none in [purl("pkg:npm/a@2.0.0"), purl("pkg:npm/c"), RecallTarget::Digest(other.new.sha256)] {
        assert_eq!(db.store.held(&none).await.unwrap(), [], "{none:?}");
    }
    assert_eq!(db.store.held(&purl("pkg:npm/a")).await.unwrap(), held(&served, true));
}

#[tokio::test]
async fn a_recall_was_recalled_before_if_an_earlier_one_names_all_that_it_names() {
    let db = TestDb::new().await;
    let before = async |target: &RecallTarget| {
        let recorded = db.store.record_recall(target, "r", "ops").await.unwrap();
        db.store.recalled_before(target, recorded).await.unwrap()
    };
    let [first, second] = [Sha256([1; 32]), Sha256([2; 32])].map(RecallTarget::Digest);
    for new in [
        purl("pkg:pypi/a@1.0.0?file_name=a.whl"),
        purl("pkg:pypi/a@1.0.0"),
        purl("pkg:pypi/a@2.0.0"),
        purl("pkg:pypi/a"),
        purl("pkg:npm/a@1.0.0"),
        first.clone(),
        second,
    ] {
        assert_eq!(before(&new).await, None, "{new:?}");
    }
    let times = async |target: &RecallTarget| before(target).await.unwrap();
    let whole = times(&purl("pkg:pypi/a")).await;
    assert_eq!(times(&purl("pkg:pypi/a")).await, whole, "the first one counts");
    assert_eq!(times(&purl("pkg:pypi/a@3.0.0")).await, whole);
    assert!(times(&purl("pkg:pypi/a@1.0.0?file_name=a.whl")).await < times(&purl("pkg:pypi/a@1.0.0")).await);
    assert!(times(&first).await > whole);
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
    assert_eq!(db.store.apply(&late, &[], None).await.unwrap(), Applied::default());
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

/// Whoever has a gate locked delays its hold, and neither the record nor, once he lets go, the hold.
#[tokio::test]
async fn a_recall_is_on_record_while_its_gates_are_locked_and_is_swept_up() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    let mut other = db.raw().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute(&format!("SELECT FROM gate WHERE artifact_id = {} FOR UPDATE", a.artifact))
        .await
        .unwrap();
    let sweep = async || db.store.hold_recalled(std::time::Duration::from_mins(1), 9).await.unwrap();
    let meanwhile = async {
        while db.number("SELECT count(*) FROM recall").await == 0 {}
        assert_eq!(db.number("SELECT count(*) FROM log_event WHERE event ->> 'event' = 'recalled'").await, 1);
        assert_eq!(sweep().await, [], "it does not wait");
        lock.commit().await.unwrap();
    };
    let target = purl("pkg:npm/a");
    let (held, ()) = tokio::join!(db.store.recall(&target, "r", "ops"), meanwhile);
    assert_eq!(held.unwrap().len(), 1);
    for (facts, state) in [(&a, ArtifactState::Revoked), (&b, ArtifactState::Servable)] {
        let found = db.store.states(&[facts.artifact]).await.unwrap();
        assert_eq!(found, [(facts.artifact, state)]);
    }
    assert_eq!(sweep().await, []);
}

#[tokio::test]
async fn the_leaf_of_a_recall_is_found_once_it_is_sealed() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let first = db.store.record_recall(&purl("pkg:npm/a"), "r", "ops").await.unwrap();
    let other = db.store.record_recall(&RecallTarget::Digest(a.new.sha256), "r", "ops").await.unwrap();
    let index = async |recall| db.store.log_index_of_recall(recall).await.unwrap();
    assert_eq!((index(first).await, index(other).await), (None, None));

    // the first row is of the policy
    let rows = db.query("SELECT id, event ->> 'event' FROM log_event ORDER BY id").await;
    assert_eq!(rows.iter().map(|row| row.get(1)).collect::<Vec<&str>>(), ["policy", "recalled", "recalled"]);
    let leaf = |row: usize| NewLogLeaf {
        source: LogSource::Event.as_str(),
        source_id: rows[row].get(0),
        entry: b"{}".to_vec(),
    };
    let seal = |size| LogSeal { size, root: Sha256::of("root"), note: b"note".to_vec() };
    assert!(db.store.append_leaves(0, &[leaf(0), leaf(2)], &seal(2)).await.unwrap());
    assert_eq!((index(first).await, index(other).await), (None, Some(1)));
    assert!(db.store.append_leaves(2, &[leaf(1)], &seal(3)).await.unwrap());
    assert_eq!((index(first).await, index(other).await), (Some(2), Some(1)));
}

#[tokio::test]
async fn a_recall_that_the_database_swallows_is_an_error() {
    let db = TestDb::new().await;
    db.query("CREATE RULE swallow AS ON INSERT TO recall DO INSTEAD NOTHING").await;
    let refused = db.store.recall(&purl("pkg:npm/a"), "r", "ops").await.unwrap_err();
    assert!(refused.to_string().contains("recall"), "{refused}");
    db.query("DROP RULE swallow ON recall").await;
    db.query("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'").await;
    db.query("CREATE TRIGGER swallow BEFORE INSERT ON recall FOR EACH ROW EXECUTE FUNCTION swallow()").await;
    let refused = db.store.recall(&purl("pkg:npm/a"), "r", "ops").await.unwrap_err();
    let expected =
        "recall cannot be stored: the database swallowed it; somebody changed its triggers or rules";
    assert_eq!(refused.to_string(), expected);
    assert_eq!(db.number("SELECT count(*) FROM recall").await, 0);
}

#[tokio::test]
async fn a_sweep_holds_what_recalls_name_and_looks_as_far_back_as_it_is_told() {
    let db = TestDb::new().await;
    let all = [db.artifact("a", HASH).await, db.artifact("b", HASH).await, db.artifact("c", HASH).await];
    for facts in &all {
        db.judge(&[facts.pass(CheckKind::Hash)]).await.unwrap();
    }
    let [a, b, c] = all;
    db.store.record_recall(&RecallTarget::Digest(a.new.sha256), "r", "ops").await.unwrap();
    db.store.record_recall(&purl("pkg:npm/b@1.0.0"), "r", "ops").await.unwrap();
    db.store.record_recall(&purl("pkg:npm/c@2.0.0"), "r", "ops").await.unwrap();
    let sweep = async |age| db.store.hold_recalled(age, 1).await.unwrap();
    assert_eq!(sweep(std::time::Duration::ZERO).await, []);
    let mut held = vec![];
    for age in [std::time::Duration::from_mins(10), std::time::Duration::MAX] {
        held.extend(sweep(age).await);
    }
    let (was, state) = (ArtifactState::Servable, ArtifactState::Revoked);
    let change = |artifact| Change { artifact, ecosystem: touchstone_domain::Ecosystem::Npm, was, state };
    assert_eq!(held, [change(a.artifact), change(b.artifact)]);
    assert_eq!(sweep(std::time::Duration::MAX).await, []);
    assert!(db.store.serve_record(&c.new.id).await.unwrap().is_some());
}

/// A role that may take any advisory lock, and read gates, keeps nobody waiting.
#[tokio::test]
async fn a_worker_cannot_lock_promotion_recalls_and_the_log_away() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let hash = db.login("touchstone_hash").await;
    for name in ["touchstone.recall", "touchstone.log", "touchstone.log.leader"] {
        let lock = format!("SELECT pg_advisory_lock(hashtextextended('{name}', 0))");
        hash.batch_execute(&lock).await.unwrap();
    }
    for lock in ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"] {
        for table in ["gate", "turn", "artifact", "verdict", "recall"] {
            let refused = hash.batch_execute(&format!("SELECT FROM {table} {lock}")).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "42501", "{table} {lock}");
        }
    }
    assert_eq!(db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap()[0].state, ArtifactState::Servable);
    assert_eq!(db.store.recall(&purl("pkg:npm/a"), "r", "ops").await.unwrap().len(), 1);
    assert!(db.store.lead_log().await.unwrap().is_some());
    let leaf = NewLogLeaf { source: "log_event", source_id: 1, entry: b"{}".to_vec() };
    let seal = LogSeal { size: 1, root: Sha256::of("root"), note: b"note".to_vec() };
    assert!(db.store.append_leaves(0, &[leaf], &seal).await.unwrap());
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
