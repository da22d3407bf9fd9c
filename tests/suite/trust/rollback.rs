//! T-01, T-02, T-04: versions only go forward, a root follows its predecessor, and what was refused does no harm.

use touchstone_testkit::tuf::TufKey;

use super::{Place, version};

#[tokio::test]
async fn no_role_goes_back() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let first = place.repository.clone();
    place.repository.advance();
    place.refresh().await.expect("the second set");

    place.refuses(&first, "rollback detected for timestamp: trusted version 2 > new version 1").await;

    let mut lie = place.repository.clone();
    lie.timestamp.version += 1;
    lie.snapshot.version -= 1;
    lie.publish();
    place
        .refuses(&lie, "rollback detected for snapshot (via timestamp): trusted version 3 > new version 2")
        .await;

    for role in ["targets", super::ROLE] {
        let mut lie = place.repository.clone();
        lie.timestamp.version += 1;
        lie.snapshot.version += 1;
        let now = lie.role(role).role.version;
        lie.role(role).role.version -= 1;
        lie.publish();
        let words = format!(
            "rollback detected for {role}.json (via snapshot): trusted version {now} > new version {}",
            now - 1
        );
        place.refuses(&lie, &words).await;
    }
}

#[tokio::test]
async fn a_role_does_not_vanish() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let mut lie = place.repository.clone();
    lie.timestamp.version += 1;
    lie.snapshot.version += 1;
    lie.publish_edited(|role, signed| {
        if role == "snapshot" {
            signed["meta"].as_object_mut().expect("pins").remove("registry.example.json");
        }
    });
    let words =
        "integrity check failed: snapshot removes registry.example.json, which the trusted snapshot pins";
    place.refuses(&lie, words).await;
}

#[tokio::test]
async fn a_root_follows_its_predecessor_and_nobody_else() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");

    // The root of version 1 again, and that of version 3 at once.
    let mut lie = place.repository.clone();
    lie.replace_root(2, &place.repository.pin());
    place.refuses(&lie, "root version must increment by one: trusted 1, got 1").await;

    let mut lie = place.repository.clone();
    lie.root.version = 3;
    lie.sign_root(&lie.root.keys.clone());
    let third = {
        lie.publish();
        lie.files["3.root.json"].clone()
    };
    let mut lie = place.repository.clone();
    lie.replace_root(2, &third);
    place.refuses(&lie, "root version must increment by one: trusted 1, got 3").await;

    // The next version by strangers, and by the old keys without the new ones.
    let words = "signature threshold not met for role root: 0/2 valid signatures";
    let mut lie = place.repository.clone();
    let old = lie.root.keys.clone();
    lie.root.keys = vec![TufKey::ecdsa(), TufKey::ed25519()];
    lie.root.version = 2;
    for signers in [lie.root.keys.clone(), old] {
        lie.sign_root(&signers);
        lie.publish();
        place.refuses(&lie, words).await;
    }

    // The same step by both; what was signed by the keys before counts no more.
    place.repository.rotate(|repository| {
        repository.root.keys = vec![TufKey::ecdsa(), TufKey::ed25519()];
        repository.timestamp.keys = vec![TufKey::ed25519()];
        repository.timestamp.version += 1;
    });
    let renewed = place.refresh().await.expect("an honest rotation");
    assert_eq!(version(&renewed, "root"), 2);
    assert_eq!(place.refresh().await.map(|renewed| version(&renewed, "root")), Ok(2), "and it lasts");
}

#[tokio::test]
async fn what_was_refused_half_way_does_not_stand_in_the_way() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");

    // A timestamp that is good, for a snapshot that is not.
    let mut lie = place.repository.clone();
    lie.advance();
    let snapshot = lie.files.get_mut("2.snapshot.json").expect("a snapshot");
    let digit = snapshot.iter().rposition(u8::is_ascii_digit).expect("a digit");
    snapshot[digit] = if snapshot[digit] == b'9' { b'8' } else { b'9' };
    place.refuses(&lie, "integrity check failed: snapshot.json: sha256 mismatch").await;

    // Metadata that is good, for a target that is not, or is not there.
    let target = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        files.keys().find(|name| name.ends_with(".trusted_root.json")).expect("the target").clone()
    };
    let mut lie = place.repository.clone();
    super::mint(&mut lie);
    lie.advance();
    let honest = target(&place.repository.files);
    lie.files.remove(&honest);
    let name = target(&lie.files);
    lie.files.get_mut(&name).expect("the target")[0] ^= 1;
    place.refuses(&lie, "integrity check failed: trusted_root.json: sha256 mismatch").await;
    let mut lie = place.repository.clone();
    super::mint(&mut lie);
    lie.advance();
    let name = lie.files.keys().find(|name| name.ends_with(".keys.json")).expect("the target").clone();
    lie.files.remove(&name);
    let words = format!("transport error: target {} not found", name.replace("targets/", ""));
    place.refuses(&lie, &words).await;
}
