//! What is remembered of a version when it is first listed: since when, and whether with attestations.

use touchstone_domain::{Ecosystem, PackageName, Version};
use touchstone_store::Seen;
use touchstone_testkit::{Registry, TestMirror, npm_package, sdist, wheel};

async fn seen(mirror: &TestMirror, ecosystem: Ecosystem, package: &str, version: &str) -> Option<Seen> {
    let (package, version) = (PackageName::new(package), Version::new(version));
    let seen = mirror.store.seen(ecosystem, &package.expect("a name"), &version.expect("a version")).await;
    seen.expect("the database answers")
}

async fn listed_with(mirror: &TestMirror, ecosystem: Ecosystem, package: &str, version: &str) -> bool {
    seen(mirror, ecosystem, package, version).await.expect("seen").listed_attested
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_remembered_with_its_attestations_at_first_sight() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.0.0", &[], 10));
    registry.publish(npm_package("left-pad", "1.1.0", &[], 10));
    registry.attest("left-pad-1.1.0.tgz", "{}");
    let mirror = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(seen(&mirror, Ecosystem::Npm, "left-pad", "1.0.0").await, None);
    assert_eq!(mirror.get("npm/left-pad").await.status(), 200);
    assert!(!listed_with(&mirror, Ecosystem::Npm, "left-pad", "1.0.0").await);
    assert!(listed_with(&mirror, Ecosystem::Npm, "left-pad", "1.1.0").await);
    let first = seen(&mirror, Ecosystem::Npm, "left-pad", "1.1.0").await;

    // What the upstream says afterwards changes neither, and is what a new version is remembered with.
    registry.strip("left-pad-1.1.0.tgz");
    registry.attest("left-pad-1.0.0.tgz", "{}");
    registry.publish(npm_package("left-pad", "1.2.0", &[], 10));
    assert_eq!(mirror.get("npm/left-pad").await.status(), 200);
    assert!(!listed_with(&mirror, Ecosystem::Npm, "left-pad", "1.0.0").await);
    assert_eq!(seen(&mirror, Ecosystem::Npm, "left-pad", "1.1.0").await, first);
    assert!(!listed_with(&mirror, Ecosystem::Npm, "left-pad", "1.2.0").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pypi_version_has_attestations_when_all_its_files_have() {
    let registry = Registry::start().await;
    for version in ["1.0", "2.0"] {
        registry.publish(wheel("sample-project", version, &[], 10));
        registry.publish(sdist("sample-project", version));
        registry.attest(&format!("sample_project-{version}-py3-none-any.whl"), "{}");
    }
    registry.attest("sample_project-2.0.tar.gz", "{}");
    let mirror = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(mirror.get("pypi/simple/sample-project/").await.status(), 200);
    assert!(!listed_with(&mirror, Ecosystem::Pypi, "sample-project", "1.0").await);
    assert!(listed_with(&mirror, Ecosystem::Pypi, "sample-project", "2.0").await);
}
