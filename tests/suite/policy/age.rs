//! Minimum ages: what is young is hidden and held, and released when its time has come.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use touchstone_domain::{ArtifactState, Ecosystem, PackageName, Version};
use touchstone_runtime::{Clock, ManualClock, SystemClock};
use touchstone_testkit::{Registry, TestMirror, crate_file, eventually, npm_package, wheel};

use super::{PYPI_JSON, header, json, listed, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_young_version_is_held_hidden_and_released_in_time() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(package.clone());
    let mirror =
        TestMirror::builder().registry(&registry).policy("[[rule]]\nmin_age = \"2s\"\n").start().await;
    let (status, code, body) = refusal(mirror.get("npm/left-pad").await).await;
    assert_eq!((status, code.as_str()), (403, "held"));
    assert!(body.contains("the newest is held by mirror policy: minimum age, until 20"), "{body}");
    let tarball = "npm/left-pad/-/left-pad-1.3.0.tgz";
    let held = mirror.get(tarball).await;
    let reason = header(&held, "x-touchstone-reason").to_owned();
    let until = reason.strip_prefix("Held until ").and_then(|rest| rest.strip_suffix(", minimum age"));
    let until: jiff::Timestamp = until.unwrap_or_else(|| panic!("{reason}")).parse().expect("a timestamp");
    let (status, code, body) = refusal(held).await;
    assert_eq!((status, code.as_str()), (403, "held"));
    assert!(
        body.contains(&format!("is younger than the mirror's policy allows. It may be served from {until}")),
        "{body}"
    );
    assert!(
        until > SystemClock.now() - Duration::from_secs(2)
            && until <= SystemClock.now() + Duration::from_secs(2)
    );
    assert_eq!(mirror.states("pkg:npm/left-pad@1.3.0").await[&package.file], ArtifactState::Held);

    let served = eventually("the artifact is released", || async {
        let answer = mirror.get(tarball).await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    assert!(SystemClock.now() >= until);
    assert_eq!(served.bytes().await.expect("a body"), package.bytes);
    assert_eq!(listed(&json(mirror.get("npm/left-pad").await).await), (vec!["1.3.0"], "1.3.0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_find_an_older_version_while_a_newer_one_is_young() {
    let registry = Registry::start().await;
    for (version, published) in [("1.2.0", "2024-01-02T03:04:05Z"), ("1.3.0", "2999-01-02T03:04:05Z")] {
        registry.publish(npm_package("left-pad", version, &[], 10).published(published));
        registry.publish(wheel("sample-project", version, &[], 10).published(published));
    }
    let policy = "[[rule]]\nmin_age = \"1s\"\n";
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    let packument = eventually("the old version is listed", || async {
        let answer = mirror.get("npm/left-pad").await;
        if answer.status() == 200 { Some(json(answer).await) } else { None }
    })
    .await;
    assert_eq!(listed(&packument), (vec!["1.2.0"], "1.2.0"));
    assert_eq!(mirror.get("npm/left-pad/-/left-pad-1.2.0.tgz").await.status(), 200);
    let (status, code, body) = refusal(mirror.get("npm/left-pad/-/left-pad-1.3.0.tgz").await).await;
    assert_eq!((status, code.as_str()), (403, "held"));
    assert!(body.contains("It may be served from 2999-01-02T03:04:06Z"), "{body}");

    let index: Value = eventually("the old wheel is listed", || async {
        let answer = mirror.request("pypi/simple/sample-project/").header("accept", PYPI_JSON).send().await;
        let index = json(answer.expect("an answer")).await;
        (index["files"][0]["yanked"] == false).then_some(index)
    })
    .await;
    assert_eq!(index["files"][1]["yanked"], "held by mirror policy: minimum age, until 2999-01-02T03:04:06Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_follow_the_clock_and_exempt_packages_do_not_wait() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    registry.publish(npm_package("@trusted/tool", "1.0.0", &[], 10));
    registry.publish(crate_file("left_pad", "0.1.0", &[], 10));
    let policy = "[[rule]]\necosystem = \"npm\"\npackages = [\"@trusted/*\"]\nmin_age = \"0s\"\n\n[[rule]]\nmin_age = \"7d\"\n";
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let mirror = TestMirror::builder().registry(&registry).policy(policy).clock(clock.clone()).start().await;
    let lines = || async { mirror.get("cargo/le/ft/left_pad").await.text().await.expect("a body") };
    assert_eq!(mirror.get("npm/@trusted/tool").await.status(), 200);
    assert_eq!(mirror.get("npm/@trusted/tool/-/tool-1.0.0.tgz").await.status(), 200);
    let first = refusal(mirror.get("npm/left-pad").await).await;
    assert_eq!((first.0, first.1.as_str()), (403, "held"));
    assert!(lines().await.contains("\"yanked\":true"));
    clock.advance(Duration::from_hours(6 * 24));
    assert_eq!(refusal(mirror.get("npm/left-pad").await).await, first, "it counts from the first sight");
    clock.advance(Duration::from_hours(2 * 24));
    assert_eq!(listed(&json(mirror.get("npm/left-pad").await).await), (vec!["1.3.0"], "1.3.0"));
    assert!(lines().await.contains("\"yanked\":false"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_a_minimum_age_on_hides_nothing_that_is_served() {
    let registry = Registry::start().await;
    for version in ["1.2.0", "1.3.0"] {
        registry.publish(npm_package("left-pad", version, &[], 10));
    }
    let before = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(listed(&json(before.get("npm/left-pad").await).await), (vec!["1.2.0", "1.3.0"], "1.3.0"));
    let tarball = "npm/left-pad/-/left-pad-1.2.0.tgz";
    assert_eq!(before.get(tarball).await.status(), 200);
    let listed_by = SystemClock.now();

    let policy = "[[rule]]\nmin_age = \"7d\"\n";
    let after = TestMirror::builder().registry(&registry).policy(policy).beside(&before).start().await;
    assert_eq!(listed(&json(after.get("npm/left-pad").await).await), (vec!["1.2.0"], "1.2.0"));
    assert_eq!(after.get(tarball).await.status(), 200);
    let (status, code, _) = refusal(after.get("npm/left-pad/-/left-pad-1.3.0.tgz").await).await;
    assert_eq!((status, code.as_str()), (403, "held"));

    let package = PackageName::new("left-pad").expect("a name");
    let versions = ["1.2.0", "1.3.0"].map(|version| (Version::new(version).expect("a version"), false));
    let seen = after.store.first_seen(Ecosystem::Npm, &package, &versions).await.expect("an answer");
    for (version, _) in &versions {
        assert!(seen[version] < listed_by, "{version:?} was sighted before a minimum age was asked for");
    }
}
