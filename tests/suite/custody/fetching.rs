//! Fetches are signed, and what no signed fetch counts for is fetched again.

use std::time::Duration;

use touchstone_custody::{FetchStatement, KeyKind};
use touchstone_domain::{KeyId, SignedBy};
use touchstone_records::RecordStore;
use touchstone_runtime::{Clock as _, SystemClock};
use touchstone_store::Story;
use touchstone_testkit::{
    Package, Registry, TestMirror, TestMirrorBuilder, custody::TestKeys, eventually, npm_package,
};

use super::world::{Owner, Refused, id, path, row};

/// The title of what is refused since it could not be signed.
const CANNOT_SIGN: &str = "Mirror's fetch key does not count, tell the operators";

/// An edge alone, which does not wait long.
fn edge(registry: &Registry) -> TestMirrorBuilder {
    let builder = TestMirror::builder().registry(registry).hold(Duration::from_millis(200));
    builder.promoters(0).hash_workers(0).attest_workers(0).sumdb_workers(0)
}

async fn story(mirror: &TestMirror, package: &Package) -> Story {
    let status = mirror.store.status(&id(package)).await.expect("an answer").expect("on record");
    mirror.store.stories_of(&[status.artifact()]).await.expect("an answer").remove(0)
}

/// The keys of the fetches on record, the latest first.
async fn fetch_keys(mirror: &TestMirror, package: &Package) -> Vec<KeyId> {
    mirror.store.status(&id(package)).await.expect("an answer").expect("on record").fetch_keys
}

async fn assert_pending(mirror: &TestMirror, package: &Package) {
    let refused = Refused::of(mirror.get(&path(package)).await).await;
    assert_eq!((refused.status, refused.code.as_str()), (503, "pending"), "{refused:?}");
}

/// What was signed, once its signature counts by the mirror's own ring.
async fn verified(mirror: &TestMirror, signed: &SignedBy) -> FetchStatement {
    let records = RecordStore::new(mirror.blobs.clone());
    let envelope = records.read(&[signed.envelope]).await.remove(0).expect("it is there");
    let ring = mirror.keys.ring().borrow().clone();
    let found = FetchStatement::verify(&envelope, &ring).expect("it counts");
    assert_eq!(found.key(), signed.key);
    found.statement().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_is_signed_and_says_what_was_fetched_from_where_and_when() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.0.0", &[], 1000);
    registry.publish(package.clone());
    let mirror = edge(&registry).start().await;
    assert_pending(&mirror, &package).await;
    let story = story(&mirror, &package).await;
    let [(signed, _)] = &story.fetches[..] else { panic!("{:?}", story.fetches) };
    let statement = verified(&mirror, signed).await;
    let versions = [(id(&package).version, false)];
    let seen =
        mirror.store.first_seen(package.ecosystem, &id(&package).package, &versions).await.expect("known");
    let facts = &story.facts;
    let expected = FetchStatement {
        environment: "test".into(),
        id: id(&package),
        sha256: facts.sha256,
        sha512: facts.sha512,
        size: facts.size,
        chunk_root: facts.chunk_root,
        upstream_url: facts.upstream_url.clone(),
        published_at: facts.published_at,
        first_seen: seen[&id(&package).version],
        fetched_at: statement.fetched_at,
        evidence: facts.evidence.iter().map(|evidence| evidence.sha256).collect(),
        software: statement.software.clone(),
    };
    assert_eq!(statement, expected);
    assert!(facts.evidence.len() == 1 && statement.software.starts_with("touchstone/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_without_a_fetch_that_counts_is_fetched_again_once() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.0.0", &[], 1000);
    registry.publish(package.clone());
    let mirror = edge(&registry).start().await;
    let own = mirror.keys.id(KeyKind::Fetch);
    assert_pending(&mirror, &package).await;
    assert_pending(&mirror, &package).await;
    assert_eq!((registry.asked_for(&package.file), fetch_keys(&mirror, &package).await), (1, vec![own]));

    // As of what was fetched before fetches were signed.
    let owner = Owner::of(&mirror).await;
    owner.disable_triggers().await;
    owner.run("DELETE FROM fetched").await;
    assert_pending(&mirror, &package).await;
    assert_pending(&mirror, &package).await;
    assert_eq!((registry.asked_for(&package.file), fetch_keys(&mirror, &package).await), (2, vec![own]));
    let story = story(&mirror, &package).await;
    assert_eq!(verified(&mirror, &story.fetches[0].0).await.sha256, story.facts.sha256);
    assert!(!mirror.incidents().await.contains(&"blob_healed".to_owned()), "the copy was whole");

    // Whoever cannot sign either does not fetch in vain, again and again, and says so.
    mirror.keys.revoke(own, "lost", &SystemClock);
    let refused = Refused::of(mirror.get(&path(&package)).await).await;
    refused.says(
        503,
        "unavailable",
        CANNOT_SIGN,
        &format!("the key {own} was revoked: lost. Nothing is fetched"),
    );
    assert_eq!(registry.asked_for(&package.file), 2);

    // Another edge, whose ring has its own key only.
    let another = edge(&registry).beside(&mirror).keys(TestKeys::new(2)).start().await;
    let theirs = another.keys.id(KeyKind::Fetch);
    assert_pending(&another, &package).await;
    assert_pending(&another, &package).await;
    assert_eq!(registry.asked_for(&package.file), 3);
    assert_eq!(fetch_keys(&mirror, &package).await, [theirs, own]);

    owner.run("DELETE FROM fetched").await;
    registry.unpublish(&package.name);
    registry.publish(npm_package("left-pad", "2.0.0", &[], 1000));
    let late = edge(&registry).beside(&mirror).keys(TestKeys::new(2)).start().await;
    let refused = eventually("the listing of before is not used any more", || async {
        let refused = Refused::of(late.get(&path(&package)).await).await;
        (!refused.body.contains("the upstream lists it")).then_some(refused)
    })
    .await;
    refused.says(
        502,
        "upstream_broken",
        "Upstream answered wrongly",
        "no signed record of its fetch counts, and it cannot be fetched again: the upstream no longer has it",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_whose_key_has_ended_fetches_nothing_new_and_serves_what_was_promoted() {
    let registry = Registry::start().await;
    let packages = ["left-pad", "right-pad"].map(|name| npm_package(name, "1.0.0", &[], 1000));
    for package in &packages {
        registry.publish(package.clone());
    }
    let [old, new] = packages;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(mirror.get(&path(&old)).await.status(), 200);
    let own = mirror.keys.id(KeyKind::Fetch);
    mirror.keys.change(|entries| {
        let mut own = entries.iter_mut().filter(|entry| entry.public.id() == own);
        own.next().expect("its key").not_after = Some(SystemClock.now());
    });
    for _ in 0..2 {
        let refused = Refused::of(mirror.get(&path(&new)).await).await;
        let problem = format!("the key {own} does not count for what is dated ");
        refused.says(503, "unavailable", CANNOT_SIGN, &problem);
        let what_to_do = "until an operator runs `touchstone keys rotate fetch` and starts the edge again";
        assert!(refused.body.contains(what_to_do), "{refused:?}");
    }
    assert_eq!(registry.asked_for(&new.file), 0);
    assert_eq!(mirror.get(&path(&old)).await.status(), 200);
    // Lost bytes come back all the same: the record of their fetch is there.
    std::fs::remove_file(mirror.blob_path(old.sha256())).expect("removed");
    let response = mirror.get(&path(&old)).await;
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.expect("a body") == old.bytes);
    assert_eq!((registry.asked_for(&old.file), fetch_keys(&mirror, &old).await), (2, vec![own]));

    // What was fetched with it after its end, in whatever way, is fetched again by whoever has a key that counts.
    mirror.keys.change(|entries| entries.retain(|entry| entry.public.id() != own));
    let refused = Refused::of(mirror.get(&path(&new)).await).await;
    refused.says(503, "unavailable", CANNOT_SIGN, &format!("the key {own} is not in the key ring"));
    let keys = TestKeys::new(2);
    keys.add(KeyKind::Log, 0);
    let rotated = edge(&registry).beside(&mirror).keys(keys).start().await;
    let theirs = rotated.keys.id(KeyKind::Fetch);
    assert_pending(&rotated, &new).await;
    assert_eq!((registry.asked_for(&new.file), fetch_keys(&mirror, &new).await), (1, vec![theirs]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_with_a_key_that_had_ended_is_fetched_again() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.0.0", &[], 1000);
    registry.publish(package.clone());
    let before = edge(&registry).start().await;
    let own = before.keys.id(KeyKind::Fetch);
    assert_pending(&before, &package).await;
    let keys = TestKeys::new(2);
    keys.add(KeyKind::Fetch, 0);
    keys.change(|entries| {
        let mut own = entries.iter_mut().filter(|entry| entry.public.id() == own);
        own.next().expect("its key").not_after = Some("2020-01-02T00:00:00Z".parse().expect("a date"));
    });
    let mirror = edge(&registry).beside(&before).keys(keys).start().await;
    assert_pending(&mirror, &package).await;
    assert_pending(&mirror, &package).await;
    assert_eq!(registry.asked_for(&package.file), 2);
    assert_eq!(fetch_keys(&mirror, &package).await, [mirror.keys.id(KeyKind::Fetch), own]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_lacked_a_fetch_that_counts_is_served_once_it_was_fetched_again() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.0.0", &[], 1000);
    registry.publish(package.clone());
    let before = edge(&registry).start().await;
    assert_pending(&before, &package).await;
    // A whole mirror that does not know the key of that edge.
    let mirror =
        TestMirror::builder().registry(&registry).beside(&before).keys(TestKeys::new(2)).start().await;
    let owner = Owner::of(&mirror).await;
    let artifact = row(&owner, &package).await;
    eventually("every check has answered", || async {
        let answers =
            format!("SELECT count(DISTINCT check_kind) FROM verdict WHERE artifact_id = {artifact}");
        (owner.number(&answers).await == 2).then_some(())
    })
    .await;
    assert_eq!(owner.number("SELECT count(*) FROM promotion").await, 0);

    let response = mirror.get(&path(&package)).await;
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.expect("a body") == package.bytes);
    assert_eq!(registry.asked_for(&package.file), 2);
    // Promote has refused the other fetch, once.
    assert_eq!(fetch_keys(&mirror, &package).await, [mirror.keys.id(KeyKind::Fetch)]);
    assert_eq!(owner.number("SELECT count(*) FROM fetched").await, 2);
}
