//! What is asked for in any order, judged again, or over.

use serde_json::json;
use touchstone_domain::{ArtifactState, Basis, IdentityField, Policy, Purl, Reason, SignatureNote};
use touchstone_runtime::{Clock, SystemClock};
use touchstone_store::{RecallTarget, Story};
use touchstone_testkit::{Package, TestMirror, eventually, sigstore::Identity};

use super::{World, attest_verdict, get, list, publisher, purl, story};

fn parsed(package: &Package) -> Purl {
    purl(package).parse().expect("a purl")
}

/// Waits for the answer of an epoch.
async fn in_state(mirror: &TestMirror, package: &Package, epoch: i32, state: ArtifactState) -> Story {
    eventually("it is decided", || async {
        let story = story(mirror, package, &package.file).await;
        let answered = attest_verdict(&story).is_some();
        (answered && story.gate.epoch == epoch && story.state() == state).then_some(story)
    })
    .await
}

/// What the attest check said in the present epoch.
fn said(story: &Story) -> &Reason {
    &attest_verdict(story).expect("the attest check answered").outcome.reason
}

/// An old version is asked for after a new one, and the workflow was another then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_requests_does_not_matter_for_what_was_listed_before() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let then = publisher().workflow("then.yml").trigger("workflow_dispatch").git_ref("refs/heads/main");
    let [stranger, old, new] = [
        world.release("name", "1.1.0", &Identity::github("fork/name")),
        world.release("name", "1.2.0", &then),
        world.release("name", "1.3.0", &publisher()),
    ];
    list(&mirror, &new).await;
    assert_eq!(get(&mirror, &new).await.attested(), &Basis::FirstUse);
    let earlier = json!({ "basis": "earlier", "since": "1.3.0" });
    assert_eq!(json!(get(&mirror, &old).await.attested()), earlier);
    assert_eq!(get(&mirror, &stranger).await.changed(), IdentityField::RepositoryId);

    let newly = world.release("name", "1.2.9", &then);
    assert_eq!(get(&mirror, &newly).await.changed(), IdentityField::Workflow);
    let fork = world.release("name", "1.2.8", &Identity::github("fork/name"));
    assert_eq!(get(&mirror, &fork).await.changed(), IdentityField::RepositoryId);
    let next = get(&mirror, &world.release("name", "1.3.1", &publisher())).await;
    assert_eq!(json!(next.attested()), json!({ "basis": "continued", "since": "1.3.0" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hijacked_first_release_that_was_recalled_is_nobodys_baseline() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let hijacked = world.release("name", "1.0.0", &Identity::github("mallory/name"));
    get(&mirror, &hijacked).await.attested();
    get(&mirror, &world.publish("name", "1.0.1", "org/name")).await.discontinued();
    mirror.store.recall(&RecallTarget::Purl(parsed(&hijacked)), "hijacked", "ops").await.expect("recalled");

    let registry_signature = SignatureNote::Verified;
    let plain = get(&mirror, &world.publish("name", "1.0.2", "org/name")).await;
    assert_eq!(plain.served(), &Reason::Unattested { registry_signature });
    let honest = get(&mirror, &world.release("name", "1.0.3", &publisher())).await;
    assert_eq!(honest.attested(), &Basis::FirstUse);
    let mallory = world.release("name", "1.0.4", &Identity::github("mallory/name"));
    assert_eq!(get(&mirror, &mallory).await.changed(), IdentityField::RepositoryId);
}

/// Not only as many, but the same words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_judged_again_is_accepted_for_the_same_reason() {
    let world = World::new().await;
    let mirror = world.mirror().attest_workers(3).start().await;
    let old = world.release("name", "1.0.0", &publisher().workflow("then.yml"));
    let [first, next] = ["1.1.0", "1.1.1"].map(|version| world.release("name", version, &publisher()));
    list(&mirror, &first).await;
    let packages = [&first, &next, &old];
    let mut reasons = vec![];
    for package in packages {
        reasons.push(get(&mirror, package).await.served().clone());
    }
    for epoch in 1..4 {
        let name = "pkg:npm/name".parse().expect("a purl");
        mirror.store.recheck(&name, &Policy::default(), true).await.expect("begun");
        for (package, reason) in packages.into_iter().zip(&reasons) {
            let story = in_state(&mirror, package, epoch, ArtifactState::Servable).await;
            assert_eq!(said(&story), reason, "{}", package.version);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_waiver_let_pass_is_held_again_when_it_ends() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    get(&mirror, &world.release("name", "1.0.0", &publisher())).await.attested();
    let fork = world.release("name", "1.0.1", &Identity::github("fork/name"));
    let held = get(&mirror, &fork).await;
    assert_eq!(held.changed(), IdentityField::RepositoryId);

    mirror.stop().await;
    let expires = SystemClock.now() + jiff::Span::new().seconds(8);
    let document = format!(
        "[[waiver]]\nsha256 = \"{}\"\nreason = \"we asked them\"\nexpires = \"{expires}\"\n",
        fork.sha256()
    );
    let policy = Policy::parse(&document).expect("a policy");
    // Promote approves by no policy but its own.
    let mirror = world.mirror().policy(&document).beside(&mirror).start().await;
    mirror.store.recheck(&parsed(&fork), &policy, false).await.expect("begun");
    let waived = in_state(&mirror, &fork, 1, ArtifactState::Servable).await;
    assert!(matches!(said(&waived), Reason::Waived { .. }), "{}", said(&waived));
    assert_eq!(get(&mirror, &fork).await.reply.status(), 200);

    let story = in_state(&mirror, &fork, 2, ArtifactState::Held).await;
    assert_eq!(said(&story), &held.outcome().reason);
    assert_eq!(story.facts.policy_epoch, waived.facts.policy_epoch);
    assert_eq!(get(&mirror, &fork).await.changed(), IdentityField::RepositoryId, "and the edge knows");
}
