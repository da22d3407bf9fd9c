//! What the policy makes of it: off, observe, ratchet, require; pins and waivers.

use std::{sync::Arc, time::Duration};

use touchstone_domain::{
    ArtifactState, Basis, Discontinuity, IdentityField, OutcomeKind, Policy, Reason, SignatureNote,
};
use touchstone_runtime::ManualClock;
use touchstone_testkit::{Package, TestMirror, eventually, sigstore::Identity};

use super::{World, get, publisher, purl, story};

fn npm(mode: &str) -> String {
    format!("[attestations]\nnpm = \"{mode}\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_looks_at_nothing() {
    let world = World::new().await;
    let mirror = world.mirror().policy(&npm("off")).start().await;
    let package = world.release("name", "1.0.0", &publisher());
    world.registry.sign(&package.file, vec![serde_json::json!({ "keyid": "SHA256:x", "sig": "MEUC" })]);
    let release = get(&mirror, &package).await;
    assert_eq!(release.reply.status(), 200);
    let story = eventually("it says so", || async {
        let story = story(&mirror, &package, &package.file).await;
        super::attest_verdict(&story).is_some().then_some(story)
    })
    .await;
    let verdict = super::attest_verdict(&story).expect("just found");
    assert_eq!(
        (verdict.outcome.kind, &verdict.outcome.reason),
        (OutcomeKind::NotOffered, &Reason::AttestationsOff)
    );
    assert_eq!((world.asked_for_attestations(), verdict.trust.len()), (0, 0));
}

/// It says honestly what it found, and nothing follows from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observe_decides_nothing() {
    let world = World::new().await;
    let mirror = world.mirror().policy(&npm("observe")).start().await;
    let broken = |version: &str| {
        let package = world.release("name", version, &publisher());
        let broken =
            world.document(&package, &publisher()).publish(|bundle| bundle.signature(|s| s[20] ^= 1));
        world.registry.attest(&package.file, broken.json());
        package
    };
    for (package, kind, code) in [
        (world.release("name", "1.0.0", &publisher()), OutcomeKind::Pass, "attested"),
        (
            world.release("name", "1.0.1", &Identity::github("fork/name")),
            OutcomeKind::Inconclusive,
            "discontinued",
        ),
        (world.publish("name", "1.0.2", "org/name"), OutcomeKind::Inconclusive, "discontinued"),
        (broken("1.0.3"), OutcomeKind::Fail, "attestation_refused"),
        (world.release("name", "1.0.4", &publisher()), OutcomeKind::Pass, "attested"),
    ] {
        assert_eq!(get(&mirror, &package).await.reply.status(), 200, "{}", package.version);
        let found = eventually("the attest check answers", || async {
            let story = story(&mirror, &package, &package.file).await;
            super::attest_verdict(&story).cloned()
        })
        .await;
        assert_eq!((found.outcome.kind, found.outcome.reason.code()), (kind, code), "{}", package.version);
        assert_eq!(mirror.states(&purl(&package)).await[&package.file], ArtifactState::Servable);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn require_serves_nothing_without() {
    let world = World::new().await;
    let mirror = world.mirror().policy(&npm("require")).start().await;
    let registry_signature = SignatureNote::Verified;
    let plain = get(&mirror, &world.publish("plain", "1.0.0", "org/plain")).await;
    assert_eq!(plain.held(), &Reason::Unattested { registry_signature });
    assert_eq!(world.asked_for_attestations(), 1, "it is asked for, though nothing lists it");
    get(&mirror, &world.release("name", "1.0.0", &publisher())).await.attested();
}

/// A change of policy decides what is fetched afterwards, and what is stored when it is checked again. Promote judges by its own
/// policy, so the one before is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_ratchet_to_require() {
    let world = World::new().await;
    let ratchet = world.mirror().start().await;
    let (plain, attested) =
        (world.publish("plain", "1.0.0", "org/plain"), world.release("name", "1.0.0", &publisher()));
    get(&ratchet, &plain).await.served();
    get(&ratchet, &attested).await.attested();

    ratchet.stop().await;
    let require = world.mirror().policy(&npm("require")).beside(&ratchet).start().await;
    get(&require, &plain).await.served();
    let fetched_afterwards = world.publish("plain", "1.0.1", "org/plain");
    let registry_signature = SignatureNote::Verified;
    assert_eq!(get(&require, &fetched_afterwards).await.held(), &Reason::Unattested { registry_signature });

    let policy = Policy::parse(&npm("require")).expect("a policy");
    for (package, state) in [(&plain, ArtifactState::Held), (&attested, ArtifactState::Servable)] {
        require.store.recheck(&purl(package).parse().expect("a purl"), &policy, true).await.expect("begun");
        rechecked(&require, package, state).await;
    }
    assert_eq!(get(&require, &plain).await.held(), &Reason::Unattested { registry_signature });
    get(&require, &attested).await.attested();

    // And back.
    require.stop().await;
    let back = world.mirror().beside(&ratchet).start().await;
    back.store
        .recheck(&purl(&plain).parse().expect("a purl"), &Policy::default(), true)
        .await
        .expect("begun");
    rechecked(&back, &plain, ArtifactState::Servable).await;
    get(&back, &plain).await.served();
}

async fn rechecked(mirror: &TestMirror, package: &Package, state: ArtifactState) {
    eventually("it is checked again", || async {
        let story = story(mirror, package, &package.file).await;
        (story.gate.epoch > 0 && story.state() == state).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_outweighs_the_ledger() {
    let world = World::new().await;
    let pin = |more: &str| {
        format!(
            "[[pin]]\necosystem = \"npm\"\npackages = [\"pinned\"]\nissuer = \"https://token.actions.githubusercontent.com\"\n\
             repository = \"https://github.com/org/name\"\n{more}"
        )
    };
    let mirror =
        world.mirror().policy(&pin("triggers = [\"push\", \"pull_request_target\"]\n")).start().await;
    let others = get(&mirror, &world.release("pinned", "1.0.0", &Identity::github("fork/name"))).await;
    let Discontinuity::NotPinned { difference } = others.discontinued() else {
        panic!("{}", others.outcome().reason)
    };
    assert_eq!(difference.field, IdentityField::Repository);
    let absent = get(&mirror, &world.publish("pinned", "1.0.1", "org/name")).await;
    assert_eq!(absent.discontinued(), &Discontinuity::PinUnmet);
    for (version, identity) in
        [("1.0.2", publisher()), ("1.0.3", publisher().trigger("pull_request_target").workflow("x.yml"))]
    {
        let release = get(&mirror, &world.release("pinned", version, &identity)).await;
        assert_eq!(release.attested(), &Basis::Pinned, "{version}");
    }
    let trigger = get(&mirror, &world.release("pinned", "1.0.4", &publisher().trigger("pull_request"))).await;
    let Discontinuity::NotPinned { difference } = trigger.discontinued() else {
        panic!("{}", trigger.outcome().reason)
    };
    assert_eq!(difference.field, IdentityField::Trigger);
}

/// A waiver is for these bytes, ends when it says, and never excuses what does not verify.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiver_lets_these_bytes_pass_until_it_ends() {
    let world = World::new().await;
    let fork = Identity::github("fork/name");
    let first = world.release("name", "1.0.0", &publisher());
    let held = [
        world.release("name", "1.0.1", &fork),
        world.publish("name", "1.0.2", "org/name"),
        world.release("name", "1.0.3", &fork),
    ];
    let broken = world.release("name", "1.0.4", &publisher());
    let document =
        world.document(&broken, &publisher()).provenance(|bundle| bundle.signature(|s| s[20] ^= 1));
    world.registry.attest(&broken.file, document.json());
    let clock = Arc::new(ManualClock::new(world.sigstore.now));
    let expires = world.sigstore.now + jiff::Span::new().hours(1);
    let waiver = |package: &Package| {
        let sha256 = package.sha256();
        format!("[[waiver]]\nsha256 = \"{sha256}\"\nreason = \"we asked them\"\nexpires = \"{expires}\"\n")
    };
    let waivers = held.iter().chain([&broken]).map(waiver).collect::<Vec<_>>().concat();
    let mirror = world.mirror().policy(&waivers).clock(Arc::clone(&clock) as Arc<_>).start().await;
    get(&mirror, &first).await.attested();
    for (package, code) in [(&held[0], "discontinued"), (&held[1], "discontinued")] {
        let release = get(&mirror, package).await;
        let Reason::Waived { reason, expires: until, finding } = release.served() else {
            panic!("{}", release.outcome().reason)
        };
        assert_eq!((reason.as_str(), *until, finding.code()), ("we asked them", expires, code));
    }
    assert_eq!(get(&mirror, &broken).await.refused(), "signature");
    let (ecosystem, package) =
        (first.ecosystem, touchstone_domain::PackageName::new("name").expect("a name"));
    assert_eq!(
        mirror.store.identities(ecosystem, &package, 9).await.expect("rows").len(),
        1,
        "nobody else got on the ledger"
    );

    clock.advance(Duration::from_hours(2));
    assert_eq!(get(&mirror, &held[2]).await.changed(), IdentityField::RepositoryId);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiver_also_helps_where_attestations_are_required() {
    let world = World::new().await;
    let (plain, other) =
        (world.publish("plain", "1.0.0", "org/plain"), world.publish("plain", "1.0.1", "org/plain"));
    let waiver = format!(
        "{}[[waiver]]\nsha256 = \"{}\"\nreason = \"reviewed\"\nexpires = \"2099-01-01\"\n",
        npm("require"),
        plain.sha256()
    );
    let mirror = world.mirror().policy(&waiver).start().await;
    let release = get(&mirror, &plain).await;
    let Reason::Waived { finding, .. } = release.served() else { panic!("{}", release.outcome().reason) };
    assert_eq!(finding.code(), "unattested");
    assert_eq!(get(&mirror, &other).await.held().code(), "unattested");
}
