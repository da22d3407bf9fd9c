use serde_json::json;
use touchstone_domain::{CheckKind, OutcomeKind};

use super::*;
use crate::{AttemptClass, IncidentKind, NewDeadLetter, NewIncident, RecallTarget, testing::TestDb};

#[tokio::test]
async fn a_story_tells_everything_and_only_about_its_artifact() {
    let db = TestDb::new().await;
    let a = db.artifact("a", &[CheckKind::Hash]).await;
    let b = db.artifact("b", &[CheckKind::Hash]).await;
    db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    let fail = a.verdict(CheckKind::Hash, OutcomeKind::Fail);
    db.judge(std::slice::from_ref(&fail)).await.unwrap();
    let attempt = Attempt {
        artifact: a.artifact,
        epoch: 0,
        check: CheckKind::Hash,
        delivery: 1,
        class: AttemptClass::Poison,
        detail: "panicked".into(),
        service: "hash".into(),
    };
    db.store.record_attempt(&attempt).await.unwrap();
    let letter = NewDeadLetter {
        stream: "LIVE".into(),
        consumer: "hash".into(),
        stream_seq: 1,
        deliveries: 8,
        check: None,
        artifact: Some(a.artifact),
        epoch: Some(0),
        detail: "poison".into(),
    };
    db.store.record_dead_letter(&letter).await.unwrap();
    let incident = NewIncident::about(IncidentKind::BlobDamaged, &a.new.id, None, json!({}));
    db.store.record_incident(&incident).await.unwrap();
    db.store.recall(&RecallTarget::Digest(a.new.sha256), "malware", "ops").await.unwrap();

    let stories = db.store.stories(&"pkg:npm/a@1.0.0".parse().unwrap(), 9).await.unwrap();
    assert_eq!(stories.len(), 1);
    let story = &stories[0];
    assert_eq!((story.state(), story.facts.id.clone()), (ArtifactState::Revoked, a.new.id.clone()));
    let verdicts: Vec<_> = story.verdicts.iter().map(|recorded| recorded.verdict.clone()).collect();
    assert_eq!(verdicts, [fail, a.pass(CheckKind::Hash)]);
    let log: Vec<_> =
        story.log.iter().map(|t| (t.was.as_str(), t.state.as_str(), t.cause.as_str())).collect();
    let expected = [
        ("rejected", "revoked", "recall"),
        ("servable", "rejected", "verdict"),
        ("fetched", "servable", "verdict"),
    ];
    assert_eq!(log, expected);
    assert_eq!(story.promotions.len(), 1);
    assert_eq!(story.promotions[0].sha256, a.new.sha256);
    assert_eq!(story.attempts[0].attempt, attempt);
    assert_eq!(story.dead_letters[0].letter, letter);
    assert_eq!(story.incidents[0].kind, "blob_damaged");
    assert_eq!((story.recalls.len(), story.dispatch_due), (1, None));
    let RecallOfIt { reason, actor, at } = &story.recalls[0];
    assert_eq!((reason.as_str(), actor.as_str()), ("malware", "ops"));
    assert!(*at <= story.log[0].at && *at >= story.log[1].at, "{:?}", story.log);

    let other = &db.store.stories(&"pkg:npm/b".parse().unwrap(), 9).await.unwrap()[0];
    assert_eq!(
        (other.verdicts.len(), other.log.len(), other.attempts.len(), other.incidents.len()),
        (1, 1, 0, 0)
    );
    assert_eq!(db.store.stories(&"pkg:npm/c".parse().unwrap(), 9).await.unwrap(), []);

    let counts = db.store.counts(8).await.unwrap();
    let states: Vec<_> = counts.artifacts.iter().map(|(_, state, number)| (*state, *number)).collect();
    assert!(states.contains(&(ArtifactState::Revoked, 1)) && states.contains(&(ArtifactState::Servable, 1)));
    assert_eq!((counts.oldest_pending, counts.stuck, counts.dead_letters, counts.incidents), (None, 0, 0, 1));
    db.artifact("c", &[CheckKind::Hash]).await;
    db.execute("UPDATE gate SET dispatch_n = 8 WHERE pending").await.unwrap();
    let counts = db.store.counts(8).await.unwrap();
    assert_eq!((counts.oldest_pending.is_some(), counts.stuck), (true, 1));
}
