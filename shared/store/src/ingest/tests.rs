use touchstone_domain::{CHUNK_BYTES, CheckKind};

use super::*;
use crate::testing::{TestDb, id, new_artifact};

const HASH: &[CheckKind] = &[CheckKind::Hash];

fn inserted(ingested: &Ingested) -> ArtifactDbId {
    match ingested {
        Ingested::Inserted { artifact, epoch: 0 } => *artifact,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_digest_stays_and_a_second_one_is_an_incident() {
    let db = TestDb::new().await;
    let first = new_artifact(db.policy_epoch, "left-pad", HASH);
    let artifact = inserted(&db.store.ingest(&first).await.unwrap());
    let again = db.store.ingest(&first).await.unwrap();
    assert_eq!(again, Ingested::Known { artifact, epoch: 0, state: ArtifactState::Fetched });
    assert_eq!(db.store.incidents(9).await.unwrap(), []);

    let mut second = new_artifact(db.policy_epoch, "other", HASH);
    second.id = first.id.clone();
    for _ in 0..2 {
        let diverged = db.store.ingest(&second).await.unwrap();
        assert_eq!(diverged, Ingested::Diverged { artifact, on_record: first.sha256 });
    }
    let incidents = db.store.incidents(9).await.unwrap();
    assert_eq!(incidents.len(), 1);
    assert_eq!((incidents[0].kind.as_str(), incidents[0].count), ("second_digest", 2));
    assert_eq!(incidents[0].detail["on_record"], first.sha256.to_string());
    assert_eq!(incidents[0].detail["offered"], second.sha256.to_string());
    assert_eq!(incidents[0].artifact, Some(artifact));

    let facts = db.store.facts(&[artifact]).await.unwrap().remove(0);
    assert_eq!((facts.sha256, facts.claims, facts.evidence), (first.sha256, first.claims, first.evidence));
    assert_eq!(db.number("SELECT count(*) FROM artifact").await, 1);
}

#[tokio::test]
async fn a_batch_follows_the_same_rules_in_the_order_given() {
    let db = TestDb::new().await;
    let [a, b, c] = ["a", "b", "c"].map(|package| new_artifact(db.policy_epoch, package, HASH));
    let known = inserted(&db.store.ingest(&b).await.unwrap());
    let mut swapped = c.clone();
    swapped.sha256 = a.sha256;
    let done = db.store.ingest_many(&[c.clone(), b.clone(), a, c.clone(), swapped]).await.unwrap();
    let artifact = inserted(&done[0]);
    assert_eq!(done[1], Ingested::Known { artifact: known, epoch: 0, state: ArtifactState::Fetched });
    assert_ne!(inserted(&done[2]), artifact);
    assert_eq!(done[3], Ingested::Known { artifact, epoch: 0, state: ArtifactState::Fetched });
    assert_eq!(done[4], Ingested::Diverged { artifact, on_record: c.sha256 });
    assert_eq!(db.store.ingest_many(&[]).await.unwrap(), []);
    let limit = db.store.ingest_many(&vec![c; INGEST_MAX + 1]).await;
    assert!(matches!(limit, Err(StoreError::Limit { found: 1025, limit: 1024, .. })));
}

#[tokio::test]
async fn edges_that_race_for_a_coordinate_agree() {
    let db = TestDb::new().await;
    for round in 0..20 {
        let one = new_artifact(db.policy_epoch, &format!("race-{round}"), HASH);
        let mut other = new_artifact(db.policy_epoch, "other", HASH);
        other.id = one.id.clone();
        let offers: Vec<_> = (0..8).map(|n| if n % 2 == 0 { &one } else { &other }).collect();
        let done =
            futures::future::try_join_all(offers.iter().map(|new| db.store.ingest(new))).await.unwrap();
        let winners: Vec<_> = done.iter().filter(|i| matches!(i, Ingested::Inserted { .. })).collect();
        assert_eq!(winners.len(), 1, "{done:?}");
        let status = db.store.status(&one.id).await.unwrap().unwrap();
        for (offer, ingested) in offers.iter().zip(&done) {
            match ingested {
                Ingested::Inserted { artifact, .. } | Ingested::Known { artifact, .. } => {
                    assert_eq!((*artifact, offer.sha256), (status.artifact(), status.gate.sha256));
                }
                Ingested::Diverged { artifact, on_record } => {
                    assert_eq!((*artifact, *on_record), (status.artifact(), status.gate.sha256));
                    assert_ne!(offer.sha256, *on_record);
                }
            }
        }
    }
    assert_eq!(db.number("SELECT count(*) FROM artifact").await, 20);
}

#[tokio::test]
async fn chunk_lists_of_every_length_fit_the_table_and_no_others() {
    let db = TestDb::new().await;
    for size in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1] {
        let mut new = new_artifact(db.policy_epoch, &format!("size-{size}"), HASH);
        new.chunks = ChunkList::of(&vec![7; size]);
        new.size = size as u64;
        inserted(&db.store.ingest(&new).await.unwrap());
        new.id = id("wrong", "1.0.0");
        new.size += 1;
        let refused = db.store.ingest(&new).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Invalid { what: "artifact", .. }), "{refused}");
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_as_a_whole_and_for_good() {
    let db = TestDb::new().await;
    let good = new_artifact(db.policy_epoch, "good", HASH);
    type Change = fn(&mut NewArtifact);
    let changes: [(&str, Change); 5] = [
        ("22021", |new| new.claims[0].value = "a\0b".into()),
        ("23514", |new| new.claims[1].value = "x".repeat(8193)),
        ("23514", |new| new.upstream_url = String::new()),
        ("23514", |new| new.evidence[0].url = "x".repeat(8193)),
        ("23502", |new| new.policy_epoch = 999),
    ];
    for (code, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let error = db.store.ingest(&bad).await.unwrap_err();
        assert!(!error.is_transient());
        let StoreError::Statement { statement: "artifact.ingest", source } = error else { panic!("{error}") };
        assert_eq!(source.code().unwrap().code(), code);
        assert_eq!(db.number("SELECT count(*) FROM artifact").await, 0);
    }
    let mut huge = good.clone();
    huge.evidence[0].size = u64::MAX;
    assert!(matches!(db.store.ingest(&huge).await, Err(StoreError::Invalid { what: "number", .. })));
    inserted(&db.store.ingest(&good).await.unwrap());
}

#[tokio::test]
async fn hostile_text_is_only_text() {
    let db = TestDb::new().await;
    let text = "'); DROP TABLE artifact; -- $1 \\ \" ${x} %s \u{202e}";
    let mut new = new_artifact(db.policy_epoch, "left-pad'--", HASH);
    new.claims[0].value = text.into();
    new.upstream_url = text.into();
    new.evidence[0].url = text.into();
    let artifact = inserted(&db.store.ingest(&new).await.unwrap());
    let facts = db.store.facts(&[artifact]).await.unwrap().remove(0);
    assert_eq!((facts.id, facts.upstream_url), (new.id, text.to_owned()));
    assert_eq!((facts.claims, facts.evidence), (new.claims, new.evidence));
}
