//! Who signs a package goes on signing it (threats.md; ecosystems.md 4.1.6).

use serde_json::json;
use touchstone_domain::{IdentityField, Reason};
use touchstone_testkit::sigstore::Identity;

use super::{World, get, publisher};

/// Numbers decide before names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_repository_is_the_same_and_one_that_was_registered_again_is_not() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let original = publisher();
    get(&mirror, &world.release("name", "1.0.0", &original)).await.attested();
    let (repository, owner) = (original.value(15).expect("a number"), original.value(17).expect("a number"));
    let renamed = Identity::github("neworg/newname")
        .git_ref("refs/tags/v2")
        .repository_id(&repository)
        .owner_id(&owner);
    let release = get(&mirror, &world.release("name", "1.0.1", &renamed)).await;
    let was = json!({ "basis": "renamed", "since": "1.0.0", "was": "https://github.com/org/name" });
    assert_eq!(json!(release.attested()), was);

    let again = original.clone().repository_id("1");
    let release = get(&mirror, &world.release("name", "1.0.2", &again)).await;
    assert_eq!(release.changed(), IdentityField::RepositoryId);
    let transferred = original.clone().owner_id("1");
    assert_eq!(
        get(&mirror, &world.release("name", "1.0.3", &transferred)).await.changed(),
        IdentityField::OwnerId
    );
    assert_eq!(mirror.incidents().await, ["continuity_broken"; 2]);
    let after = get(&mirror, &world.release("name", "1.0.4", &renamed)).await;
    assert_eq!(json!(after.attested()), json!({ "basis": "continued", "since": "1.0.1" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_of_an_identity_holds_when_it_changes() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    get(&mirror, &world.release("name", "1.0.0", &publisher())).await.attested();
    let reusable = "https://github.com/shared/ci/.github/workflows/publish.yml@refs/heads/main";
    for (at, (identity, field)) in [
        (Identity::github("fork/name").git_ref("refs/tags/v1"), IdentityField::RepositoryId),
        (publisher().workflow("other.yml"), IdentityField::Workflow),
        (publisher().git_ref("refs/heads/x"), IdentityField::RefClass),
        (publisher().trigger("workflow_dispatch"), IdentityField::Trigger),
        (publisher().runner("self-hosted"), IdentityField::Runner),
        (publisher().names(&[reusable]), IdentityField::Signer),
    ]
    .into_iter()
    .enumerate()
    {
        let release = get(&mirror, &world.release("name", &format!("1.1.{at}"), &identity)).await;
        assert_eq!(release.changed(), field, "{}", release.outcome().reason);
    }
    assert_eq!(mirror.incidents().await, ["continuity_broken"; 6]);
    get(&mirror, &world.release("name", "1.2.0", &publisher())).await.attested();
}

/// A lower rank holds, by what the registry says of the publisher.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_rank_holds_and_a_higher_one_binds() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let trusted = |version: &str| {
        let package = world.release("name", version, &publisher());
        world.registry.describe(&package.file, "_npmUser", json!({ "trustedPublisher": { "id": "github" } }));
        package
    };
    get(&mirror, &world.release("name", "1.0.0", &publisher())).await.attested();
    get(&mirror, &trusted("1.0.1")).await.attested();
    assert_eq!(
        get(&mirror, &world.release("name", "1.0.2", &publisher())).await.changed(),
        IdentityField::Rank
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_build_is_rejected_from_the_first() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    for (name, identity, field) in [
        ("pr", publisher().trigger("pull_request"), IdentityField::Trigger),
        ("target", publisher().trigger("pull_request_target"), IdentityField::Trigger),
        ("comment", publisher().trigger("issue_comment"), IdentityField::Trigger),
        ("merge", publisher().git_ref("refs/pull/7/merge"), IdentityField::GitRef),
    ] {
        let release = get(&mirror, &world.release(name, "1.0.0", &identity)).await;
        let Reason::ForeignBuild { difference } = release.rejected() else {
            panic!("{}", release.outcome().reason)
        };
        assert_eq!(difference.field, field, "{name}");
        assert!(
            !mirror
                .store
                .has_identity(release.story.facts.id.ecosystem, &release.story.facts.id.package)
                .await
                .expect("asked")
        );
    }
    assert_eq!(mirror.incidents().await, ["attestation_refused"; 4]);
}
