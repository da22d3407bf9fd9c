//! T-06: a threshold counts keys, not names of keys.

use serde_json::Value;
use touchstone_testkit::tuf::{TufKey, TufRepository};

use super::{Place, ROLE, version};

/// Changes the signatures of what is handed out.
fn resign(repository: &mut TufRepository, name: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let file = repository.files.get_mut(name).expect("a document");
    let mut document: Value = serde_json::from_slice(file).expect("JSON");
    change(document["signatures"].as_array_mut().expect("signatures"));
    *file = document.to_string().into_bytes();
}

#[tokio::test]
async fn one_key_with_two_ids_counts_for_nobody() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");

    for (role, key) in [("root", TufKey::ecdsa()), ("timestamp", TufKey::ed25519())] {
        let alias = key.alias();
        let mut lie = place.repository.clone();
        lie.rotate(|lie| {
            let role = if role == "root" { &mut lie.root } else { &mut lie.timestamp };
            (role.keys, role.threshold) = (vec![key.clone(), alias.clone()], 2);
        });
        let (one, other) = (key.id(), alias.id());
        let words = format!(
            "malformed metadata: 2.root.json: role {role} lists one key under two ids, {one} and {other}"
        );
        place.refuses(&lie, &words).await;
    }
    // Two keys, each of its own.
    place.repository.rotate(|repository| {
        (repository.timestamp.keys, repository.timestamp.threshold) =
            (vec![TufKey::ecdsa(), TufKey::ed25519()], 2);
        repository.timestamp.version += 1;
    });
    place.refresh().await.expect("two keys");
}

#[tokio::test]
async fn one_key_with_two_ids_counts_for_no_delegation_either() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let key = TufKey::ed25519();
    let mut lie = place.repository.clone();
    let role = &mut lie.role(ROLE).role;
    (role.keys, role.threshold) = (vec![key.clone(), key.alias()], 2);
    lie.advance();
    let words = format!(
        "malformed metadata: 2.targets.json: role {ROLE} lists one key under two ids, {} and {}",
        key.id(),
        key.alias().id()
    );
    place.refuses(&lie, &words).await;

    let role = &mut place.repository.role(ROLE).role;
    (role.keys, role.threshold) = (vec![key, TufKey::ecdsa()], 2);
    place.repository.advance();
    place.refresh().await.expect("two keys");
}

#[tokio::test]
async fn one_signature_twice_is_not_two() {
    let mut place = Place::start().await;
    place.repository.rotate(|repository| {
        (repository.timestamp.keys, repository.timestamp.threshold) =
            (vec![TufKey::ecdsa(), TufKey::ed25519()], 2);
    });
    place.refresh().await.expect("signed by both");
    place.repository.advance();
    let next = place.repository.clone();

    let mut lie = next.clone();
    resign(&mut lie, "timestamp.json", |signatures| {
        signatures.pop();
    });
    place.refuses(&lie, "signature threshold not met for role timestamp: 1/2 valid signatures").await;

    place.repository.advance();
    let mut lie = place.repository.clone();
    resign(&mut lie, "timestamp.json", |signatures| signatures[1] = signatures[0].clone());
    let id = lie.timestamp.keys[0].id().to_owned();
    place.refuses(&lie, &format!("duplicate signature key id {id} for role timestamp")).await;

    // Both by one key, under the names of two.
    place.repository.advance();
    let mut lie = place.repository.clone();
    resign(&mut lie, "timestamp.json", |signatures| {
        signatures[1]["sig"] = signatures[0]["sig"].clone();
    });
    place.refuses(&lie, "signature threshold not met for role timestamp: 1/2 valid signatures").await;

    // And by a key that the root does not name.
    place.repository.advance();
    let mut lie = place.repository.clone();
    lie.timestamp.keys[1] = TufKey::ed25519();
    lie.publish();
    place.refuses(&lie, "signature threshold not met for role timestamp: 1/2 valid signatures").await;
}

#[tokio::test]
async fn a_threshold_of_nothing_is_refused() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let mut lie = place.repository.clone();
    lie.rotate(|lie| (lie.timestamp.threshold, lie.timestamp.keys) = (0, vec![]));
    let words = "malformed metadata: role timestamp declares signature threshold 0; at least 1 is required";
    place.refuses(&lie, words).await;
}

#[tokio::test]
async fn json_with_two_readings_is_refused() {
    let place = Place::start().await;
    place.refresh().await.expect("the first set");
    let mut lie = place.repository.clone();
    lie.advance();
    place.server.serve(&lie);
    let honest = place.refresh_at(super::now()).await.expect("one version");
    assert_eq!(version(&honest, "timestamp"), 2);

    lie.advance();
    let timestamp = String::from_utf8(lie.files["timestamp.json"].clone()).expect("text");
    let twice = timestamp.replacen("\"version\":", "\"version\":9,\"version\":", 1);
    lie.files.insert("timestamp.json".to_owned(), twice.into_bytes());
    place.server.serve(&lie);
    let refused = place.refresh_at(super::now()).await.map(|_| ()).expect_err("two versions");
    assert!(
        refused.starts_with("the TUF repository is refused: malformed metadata: timestamp.json: "),
        "{refused}"
    );
    assert!(refused.contains("\"version\" stands twice"), "{refused}");
}
