//! A worker whose own key does not count signs nothing, takes nothing, and goes on once the key counts.

use std::sync::Arc;

use touchstone_custody::{KeyEntry, KeyKind, KeyRing, Revoked, Signer as _};

use super::{
    signing::{signed, until},
    *,
};
use crate::tests::world::FlakySigner;

/// What is changed in the ring of the worker's own key.
type Change = fn(&mut Vec<KeyEntry>);

/// The changes after which the key does not count at midnight of the 23rd.
const REFUSED: [(&str, Change); 5] = [
    ("revoked", |keys| {
        keys[0].revoked = Some(Revoked { at: keys[0].not_before, reason: "stolen".into() });
    }),
    ("its window is over", |keys| keys[0].not_after = Some("2026-11-22T23:59:59Z".parse().expect("a date"))),
    ("its window is to come", |keys| keys[0].not_before = "2026-11-23T00:00:01Z".parse().expect("a date")),
    ("of another kind", |keys| keys[0].kind = KeyKind::Attest),
    ("unknown", Vec::clear),
];

/// Changes that leave it a key that counts.
const ACCEPTED: [(&str, Change); 2] = [
    ("another one is revoked", |keys| {
        let revoked = Revoked { at: keys[0].not_before, reason: "stolen".into() };
        let public = FlakySigner::of_seed(KeyKind::Hash, 8).public();
        keys.push(KeyEntry { public, revoked: Some(revoked), ..keys[0].clone() });
    }),
    ("its window ends now", |keys| keys[0].not_after = Some("2026-11-23T00:00:00Z".parse().expect("a date"))),
];

fn changed(world: &World, change: Change) {
    let mut entries = world.signer.ring().entries().to_vec();
    change(&mut entries);
    world.ring.send_replace(Arc::new(KeyRing::new(entries).expect("a ring")));
}

/// An artifact that is being looked at while the ring changes, by a worker with all the time that it wants.
async fn changed_in_hand(world: &mut World, change: Change) -> ArtifactDbId {
    world.check_timeout = PATIENCE;
    let check = Scripted::new();
    world.work(check.clone(), 1).await;
    let artifact = world.fetched("waits").await;
    until(|| check.calls.load(Ordering::SeqCst) == 1).await;
    changed(world, change);
    check.permits.add_permits(2);
    artifact
}

#[tokio::test]
async fn a_verdict_by_a_key_that_ceased_to_count_is_not_recorded_and_its_message_comes_again() {
    for (what, change) in REFUSED {
        let mut world = World::new().await;
        let artifact = changed_in_hand(&mut world, change).await;
        let mut consumer = world.bus.consume(CheckKind::Hash, 1).await.expect("a consumer");
        let again = timeout(PATIENCE, consumer.next_batch(1)).await.expect("it comes again");
        assert_eq!((again[0].event.artifact, again[0].deliveries), (artifact, 2), "{what}");
        let story = world.story(artifact, |_| true).await;
        assert!(story.verdicts.is_empty() && world.packs().is_empty(), "{what}: nothing is signed");
        assert!(story.attempts.is_empty(), "{what}: no fault of the artifact");

        changed(&world, |_| ());
        again[0].nak(Duration::from_millis(1)).await.expect("connected");
        consumer.hand_back().await;
        let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
        signed(&world, &story).await;
    }
}

#[tokio::test]
async fn a_verdict_by_a_key_that_goes_on_to_count_is_recorded() {
    for (what, change) in ACCEPTED {
        let mut world = World::new().await;
        let artifact = changed_in_hand(&mut world, change).await;
        let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
        signed(&world, &story).await;
        world.shutdown.soft.cancel();
        world.ended().await;
        assert_eq!(world.pending().await, [], "{what}");
    }
}

#[tokio::test]
async fn people_are_told_for_as_long_as_the_key_does_not_count() {
    let mut world = World::new().await;
    let store = world.store.clone();
    let open = async || -> Vec<(String, String)> {
        let found = store.incidents(9).await.expect("read");
        let told = |detail: &serde_json::Value| {
            format!(
                "{}: {}",
                detail["kind"].as_str().expect("a kind"),
                detail["problem"].as_str().expect("a problem")
            )
        };
        found.into_iter().map(|incident| (incident.kind, told(&incident.detail))).collect()
    };
    let told = async |expected: &[&str]| {
        let expected: Vec<_> =
            expected.iter().map(|problem| ("signing_blocked".to_owned(), (*problem).to_owned())).collect();
        while open().await != expected {
            tokio::task::yield_now().await;
        }
    };
    changed(&world, Vec::clear);
    world.work(Scripted::new(), 1).await;
    timeout(PATIENCE, told(&["hash: it is not in the key ring"])).await.expect("told");
    changed(&world, |_| ());
    timeout(PATIENCE, told(&[])).await.expect("settled");
    changed(&world, |keys| keys[0].not_after = Some("2026-11-22T23:59:59Z".parse().expect("a date")));
    timeout(PATIENCE, told(&["hash: its window has not begun, or is over"])).await.expect("told");

    // The next process, whose key counts, settles it.
    world.shutdown.soft.cancel();
    world.ended().await;
    changed(&world, |_| ());
    world.shutdown = touchstone_runtime::Shutdown::new();
    world.work(Scripted::new(), 1).await;
    timeout(PATIENCE, told(&[])).await.expect("settled");
}

#[tokio::test]
async fn a_worker_whose_key_does_not_count_leaves_messages_to_others_until_it_does() {
    let mut world = World::new().await;
    changed(&world, Vec::clear);
    let check = Scripted::new();
    world.work(check.clone(), 4).await;
    let artifact = world.fetched("passes").await;
    // Fails if the worker has one of the deliveries.
    wear_out(&world, 4).await;
    changed(&world, |_| ());
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    signed(&world, &story).await;
    assert_eq!(check.calls.load(Ordering::SeqCst), 1, "no check ran for nothing");
}
