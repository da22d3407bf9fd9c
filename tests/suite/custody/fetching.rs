//! Fetches are signed, and what no signed fetch counts for is fetched again.

use std::time::Duration;

use touchstone_custody::{FetchStatement, KeyKind};
use touchstone_domain::{KeyId, SignedBy};
use touchstone_records::RecordStore;
use touchstone_store::Story;
use touchstone_testkit::{
    Package, Registry, TestMirror, TestMirrorBuilder, custody::TestKeys, eventually, npm_package,
};

use super::world::{Owner, Refused, id, path, row};

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

    // Whoever cannot sign either does not fetch in vain, again and again.
    mirror.keys.revoke(own, "lost", &touchstone_runtime::SystemClock);
    assert_pending(&mirror, &package).await;
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
    let keys = [mirror.keys.id(KeyKind::Fetch), before.keys.id(KeyKind::Fetch)];
    assert_eq!(fetch_keys(&mirror, &package).await, keys);
}
