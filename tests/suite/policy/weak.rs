//! Versions for which the registry declares nothing but a broken digest.

use serde_json::Value;
use touchstone_domain::{ArtifactState, Ecosystem};
use touchstone_testkit::{Registry, TestMirror, npm_package};

use super::refusal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weak_digests_hold_unless_the_policy_accepts_them_for_old_versions() {
    let registry = Registry::start().await;
    for (version, published) in [("1.0.0", "2015-01-02T03:04:05Z"), ("2.0.0", "2024-01-02T03:04:05Z")] {
        registry.publish(npm_package("left-pad", version, &[], 10).published(published));
    }
    let url = registry.url(Ecosystem::Npm).join("left-pad").expect("a path");
    let answer = reqwest::Client::builder().no_proxy().build().expect("a client").get(url).send().await;
    let document = answer.expect("an answer").text().await.expect("a body");
    let mut document: Value = serde_json::from_str(&document).expect("JSON");
    for version in ["1.0.0", "2.0.0"] {
        let dist = document["versions"][version]["dist"].as_object_mut().expect("an object");
        dist.remove("integrity").expect("declared");
    }
    registry.document("npm/left-pad", "application/json", document.to_string());
    for (policy, states) in [
        ("", [ArtifactState::Held, ArtifactState::Held]),
        ("[[rule]]\nweak_digests = \"legacy\"\n", [ArtifactState::Servable, ArtifactState::Held]),
    ] {
        let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
        for (version, state) in ["1.0.0", "2.0.0"].into_iter().zip(states) {
            let answer = mirror.get(&format!("npm/left-pad/-/left-pad-{version}.tgz")).await;
            let found = mirror.states(&format!("pkg:npm/left-pad@{version}")).await;
            assert_eq!(found[&format!("left-pad-{version}.tgz")], state, "{policy} {version}");
            if state == ArtifactState::Servable {
                assert_eq!(answer.status(), 200);
                continue;
            }
            let (status, code, body) = refusal(answer).await;
            assert_eq!((status, code.as_str()), (403, "held"));
            let expected = "the hash check found that only weak digests are declared (sha1); published";
            assert!(body.contains(expected) && body.contains("weak_only"), "{body}");
        }
    }
}
