//! What the upstream answers when it is asked for attestations (threats.md A-41): only a plain "there is none" is one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use touchstone_domain::{ArtifactState, Reason, SignatureNote};
use touchstone_testkit::{Fault, Package, TestMirror, eventually};
use touchstone_upstream::Limits;

use super::{World, attest_verdict, get, publisher, purl, story, target};
use crate::protocol::raw::ask;

/// The words of the attest check's latest attempt.
async fn attempt(mirror: &TestMirror, package: &Package) -> String {
    eventually("an attempt", || async {
        let story = story(mirror, package, &package.file).await;
        assert!(attest_verdict(&story).is_none(), "an outage is no verdict: {:?}", attest_verdict(&story));
        let attempts = story.attempts.iter().filter(|found| found.attempt.service == "attest");
        attempts.map(|found| found.attempt.detail.clone()).next()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_cannot_answer_is_asked_again_and_never_taken_for_absence() {
    let world = World::new().await;
    let limits = Limits { attempts_max: 1, read_timeout: Duration::from_secs(1), ..Limits::default() };
    let mirror = world.mirror().limits(limits).hold(Duration::from_millis(200)).start().await;
    let origin = world.registry.origin();
    let origin = origin.as_str().trim_end_matches('/');
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let faults = BTreeMap::from([
        ("status-403", (Fault::Status(403), format!("{origin} answered with status 403"))),
        ("status-500", (Fault::Status(500), format!("{origin} answered with status 500"))),
        ("status-503", (Fault::Status(503), format!("{origin} answered with status 503"))),
        ("silent", (Fault::Hold(Arc::clone(&gate)), format!("{origin} took longer than 1s to begin its answer"))),
        ("empty", (Fault::Bytes(vec![]), "the answer is empty".into())),
        ("page", (Fault::Html, "the answer is \"text/html\", not JSON".into())),
        (
            "elsewhere",
            (
                Fault::Redirect("http://attestations.example:1/x".into()),
                "refused to contact http://attestations.example:1: it is not a configured upstream or file host".into(),
            ),
        ),
        ("cut", (Fault::Truncate, "ended early".into())),
        ("short", (Fault::Cut, "the answer, of no announced length, ended early, after ".into())),
    ]);
    for (name, (fault, expected)) in &faults {
        let package = world.release(name, "1.0.0", &publisher());
        world.registry.fault_attestations(&package.file, fault.clone());
        // Until it is on record: on a busy machine even its listing may take longer than a request waits.
        eventually("it is fetched", || async {
            let reply = ask(&mirror, "GET", &target(&package), &[]).await;
            assert_eq!(reply.status(), 503, "{name}: {}", reply.text());
            (!mirror.states(&purl(&package)).await.is_empty()).then_some(())
        })
        .await;
        let detail = attempt(&mirror, &package).await;
        assert!(detail.starts_with("the attestations are not available: "), "{name}: {detail}");
        assert!(detail.contains(expected), "{name}: {detail}");
    }
    gate.add_permits(100);
    world.registry.honest();
    for name in faults.keys() {
        let purl = format!("pkg:npm/{name}@1.0.0");
        eventually("it is asked again", || async {
            let states = mirror.states(&purl).await;
            (states.values().next() == Some(&ArtifactState::Servable)).then_some(())
        })
        .await;
    }
    assert_eq!(mirror.incidents().await, ["egress_refused"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_and_not_given_is_withheld_and_what_is_not_listed_is_not_asked_for() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let listed = world.release("listed", "1.0.0", &publisher());
    world.registry.fault_attestations(&listed.file, Fault::Status(404));
    let withheld = get(&mirror, &listed).await;
    let Reason::AttestationIncomplete { problem, .. } = withheld.held() else {
        panic!("{}", withheld.outcome().reason)
    };
    assert_eq!((problem.as_str(), world.asked_for_attestations()), ("withheld", 1));

    let plain = world.publish("plain", "1.0.0", "org/plain");
    let unattested = get(&mirror, &plain).await;
    let registry_signature = SignatureNote::Verified;
    assert_eq!(unattested.served(), &Reason::Unattested { registry_signature });
    assert_eq!((unattested.verdict().evidence.len(), world.asked_for_attestations()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_none_is_refused() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(5 << 20));
    for (name, document, expected) in [
        ("torn", "{\"attestations\":".to_owned(), "malformed"),
        ("nothing", "{\"attestations\":[]}".to_owned(), "malformed"),
        ("twice", "{\"attestations\":[],\"attestations\":[]}".to_owned(), "duplicate_key"),
        ("large", large, "limit"),
    ] {
        let package = world.publish(name, "1.0.0", "org/name");
        world.registry.attest(&package.file, document);
        assert_eq!(get(&mirror, &package).await.refused(), expected, "{}", purl(&package));
    }
    assert_eq!(mirror.incidents().await, ["attestation_refused"; 4]);
}

/// A16 of ecosystems.md 14: what proved something goes on proving it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_withdrawn_later_is_judged_from_the_evidence() {
    let world = World::new().await;
    let mirror = world.mirror().start().await;
    let package = world.release("name", "1.0.0", &publisher());
    get(&mirror, &package).await.attested();
    world.registry.fault_attestations(&package.file, Fault::Status(404));
    let policy = touchstone_domain::Policy::default();
    mirror.store.recheck(&purl(&package).parse().expect("a purl"), &policy, true).await.expect("begun");
    eventually("it is judged again", || async {
        let story = story(&mirror, &package, &package.file).await;
        (story.gate.epoch == 1 && story.state() == ArtifactState::Servable).then_some(())
    })
    .await;
    let again = get(&mirror, &package).await;
    // For the same reason as before.
    assert_eq!(serde_json::json!(again.attested()), serde_json::json!({ "basis": "first_use" }));
    assert_eq!(
        mirror
            .store
            .identities(again.story.facts.id.ecosystem, &again.story.facts.id.package, 9)
            .await
            .expect("rows")
            .len(),
        1
    );
}
