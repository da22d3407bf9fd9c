//! What the hash check refuses although it is what the upstream declares: the client reads the check and its reason in the
//! body, in a header and in the status line.

use serde_json::{Value, json};
use touchstone_domain::{ArtifactState, Ecosystem, Policy};
use touchstone_testkit::{
    Fault, Package, Registry, TestMirror, crate_file, eventually, npm_package, sdist, wheel,
};

use super::{files::File, repeats::repeated};
use crate::protocol::raw::{Reply, ask, assert_refused};

/// The package under its own name, with the bytes of another.
fn disguised(mut package: Package, other: &Package) -> Package {
    package.bytes.clone_from(&other.bytes);
    package
}

/// The package with other bytes after its own: which of the two archives counts is a matter of opinion.
fn doubled(mut package: Package, other: &Package) -> Package {
    package.bytes.extend(&other.bytes);
    package
}

/// Asserts that the package is rejected for this, for good, and that it is not fetched again.
async fn assert_rejected(package: Package, purl: &'static str, reason: &str, detail: &str) {
    let registry = Registry::start().await;
    registry.publish(package.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let file = File::of(&package, purl);
    let title = format!("Rejected by the hash check: {reason}");
    for request in ["GET", "HEAD", "GET"] {
        let reply = ask(&mirror, request, &file.target, &[]).await;
        assert_refused(&reply, 403, "rejected", &title, &file.name);
        if request == "GET" {
            assert!(reply.text().contains(detail), "{purl}: {}", reply.text());
        }
    }
    assert_eq!(mirror.states(purl).await.get(&package.file), Some(&ArtifactState::Rejected), "{purl}");
    let fetches = registry.requests().iter().filter(|request| is_body(&request.path)).count();
    assert_eq!(fetches, 1, "{purl}");
}

fn is_body(path: &str) -> bool {
    ["/-/", "/files/", "/dl/"].iter().any(|part| path.contains(part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_of_another_package_is_rejected() {
    let (npm, other) = (npm_package("a", "1.0.0", &[], 9), npm_package("b", "1.0.0", &[], 9));
    assert_rejected(disguised(npm, &other), "pkg:npm/a@1.0.0", "coordinate_mismatch", "name").await;
    let (npm, other) = (npm_package("a", "1.0.0", &[], 9), npm_package("a", "1.0.1", &[], 9));
    assert_rejected(disguised(npm, &other), "pkg:npm/a@1.0.0", "coordinate_mismatch", "version").await;
    let (krate, other) = (crate_file("aa", "1.0.0", &[], 9), crate_file("aa", "1.0.1", &[], 9));
    assert_rejected(disguised(krate, &other), "pkg:cargo/aa@1.0.0", "coordinate_mismatch", "aa-1.0.0").await;
    let (wheel, other) = (wheel("aa", "1.0", &[], 9), wheel("aa", "1.1", &[], 9));
    assert_rejected(disguised(wheel, &other), "pkg:pypi/aa@1.0", "coordinate_mismatch", "1.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_two_readers_see_differently_is_rejected() {
    let (npm, other) = (npm_package("a", "1.0.0", &[], 9), npm_package("a", "1.0.0", &[], 10));
    assert_rejected(doubled(npm, &other), "pkg:npm/a@1.0.0", "archive_rejected", "compress").await;
    let (krate, other) = (crate_file("aa", "1.0.0", &[], 9), crate_file("aa", "1.0.0", &[], 10));
    assert_rejected(doubled(krate, &other), "pkg:cargo/aa@1.0.0", "archive_rejected", "compress").await;
    let (wheel, other) = (wheel("aa", "1.0", &[], 9), wheel("aa", "1.0", &[], 10));
    assert_rejected(doubled(wheel, &other), "pkg:pypi/aa@1.0", "archive_rejected", "").await;
}

/// Many real packages do, and every client takes the two for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tarball_may_hold_a_file_again_if_it_is_the_same() {
    let different = |again: &mut [u8]| again[512] ^= 1;
    let executable = |again: &mut [u8]| again[100..108].copy_from_slice(b"0000755\0");
    for (plain, purl, file, name) in [
        (npm_package("a", "1.0.0", &[], 9), "pkg:npm/a@1.0.0", "package/index.js", "package/./index.js"),
        (
            npm_package("a", "1.0.0", &[], 9),
            "pkg:npm/a@1.0.0",
            "package/package.json",
            "package/package.json",
        ),
        (crate_file("a", "1.0.0", &[], 9), "pkg:cargo/a@1.0.0", "a-1.0.0/Cargo.toml", "a-1.0.0/Cargo.toml"),
        (sdist("a", "1.0"), "pkg:pypi/a@1.0", "a-1.0/PKG-INFO", "a-1.0/PKG-INFO"),
    ] {
        let registry = Registry::start().await;
        let package = repeated(plain.clone(), file, name, |_| {});
        registry.publish(package.clone());
        let mirror = TestMirror::builder().registry(&registry).start().await;
        let reply = ask(&mirror, "GET", &File::of(&package, purl).target, &[]).await;
        assert_eq!((reply.status(), reply.body == package.bytes), (200, true), "{purl}: {}", reply.text());
        for changed in
            [repeated(plain.clone(), file, name, different), repeated(plain, file, name, executable)]
        {
            assert_rejected(changed, purl, "archive_rejected", "is there twice, and differs").await;
        }
    }
}

/// Which of them a client drops depends on the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_not_plain_is_rejected_but_for_dots_in_npm_packages() {
    for (name, detail) in [("package/.//index.js", "empty segment"), ("package/../index.js", "no name")] {
        let package = repeated(npm_package("a", "1.0.0", &[], 9), "package/index.js", name, |_| {});
        assert_rejected(package, "pkg:npm/a@1.0.0", "archive_rejected", detail).await;
    }
    let dotted =
        repeated(crate_file("a", "1.0.0", &[], 9), "a-1.0.0/Cargo.toml", "a-1.0.0/./Cargo.toml", |_| {});
    assert_rejected(dotted, "pkg:cargo/a@1.0.0", "archive_rejected", "no name").await;
    let dotted = repeated(sdist("a", "1.0"), "a-1.0/PKG-INFO", "a-1.0/./PKG-INFO", |_| {});
    assert_rejected(dotted, "pkg:pypi/a@1.0", "archive_rejected", "no name").await;
}

/// Whatever a newer version makes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rejected_is_judged_again_once_it_is_rechecked() {
    let registry = Registry::start().await;
    let plain = npm_package("a", "1.0.0", &[], 9);
    let package = repeated(plain, "package/index.js", "package/./index.js", |again| again[512] ^= 1);
    registry.publish(package);
    let mirror = TestMirror::builder().registry(&registry).start().await;
    assert_eq!(ask(&mirror, "GET", "/npm/a/-/a-1.0.0.tgz", &[]).await.status(), 403);
    let purl = "pkg:npm/a@1.0.0".parse().expect("a purl");
    let changes = mirror.store.recheck(&purl, &Policy::default(), false).await.expect("rechecked");
    assert_eq!(changes.iter().map(|change| change.was).collect::<Vec<_>>(), [ArtifactState::Rejected]);
    let epochs = eventually("it is judged again", || async {
        let story = mirror.store.stories(&purl, 1).await.expect("stories").pop().expect("a story");
        let epochs: Vec<_> = story.verdicts.iter().map(|found| found.verdict.epoch).collect();
        (story.state() == ArtifactState::Rejected).then_some(epochs)
    })
    .await;
    assert_eq!((epochs.iter().min(), epochs.iter().max()), (Some(&0), Some(&1)), "{epochs:?}");
}

/// A mirror of a registry that declares this, and nothing else, about its only npm package; and the answer for that.
async fn declared(dist: &Value, fault: Option<Fault>) -> (TestMirror, Reply, Package) {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 9);
    registry.publish(package.clone());
    let tarball = format!("{}left-pad/-/{}", registry.url(Ecosystem::Npm), package.file);
    let mut dist = dist.clone();
    dist["tarball"] = tarball.into();
    let packument = json!({
        "name": "left-pad", "dist-tags": { "latest": "1.3.0" }, "time": { "1.3.0": package.published },
        "versions": { "1.3.0": { "name": "left-pad", "version": "1.3.0", "dist": dist } },
    });
    registry.document("npm/left-pad", "application/json", packument.to_string());
    if let Some(fault) = fault {
        registry.fault(&package.file, fault);
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let reply = ask(&mirror, "GET", "/npm/left-pad/-/left-pad-1.3.0.tgz", &[]).await;
    (mirror, reply, package)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digests_that_are_weak_absent_or_malformed_hold() {
    let package = npm_package("left-pad", "1.3.0", &[], 9);
    let (integrity, shasum) = (package.integrity(), package.shasum());
    let short = format!("sha512-{}", &integrity[7 + 8..]);
    let sha1 = format!("sha1-{}", "A".repeat(27));
    for (dist, reason, detail) in [
        (json!({ "shasum": shasum }), "weak_only", "sha1"),
        (json!({}), "no_claim", ""),
        (json!({ "shasum": shasum, "integrity": "" }), "claim_malformed", "npm.integrity"),
        (json!({ "shasum": shasum, "integrity": "sha512-???" }), "claim_malformed", "npm.integrity"),
        (json!({ "shasum": shasum, "integrity": short }), "claim_malformed", "npm.integrity"),
        (json!({ "shasum": shasum, "integrity": sha1 }), "claim_malformed", "npm.integrity"),
        (
            json!({ "shasum": shasum, "integrity": format!("{integrity} sha513-AAAA") }),
            "claim_malformed",
            "npm.integrity",
        ),
        (json!({ "shasum": "xyz", "integrity": integrity }), "claim_malformed", "npm.shasum"),
    ] {
        let (mirror, reply, package) = declared(&dist, None).await;
        let title = format!("Held by the hash check: {reason}");
        assert_refused(&reply, 403, "held", &title, &dist.to_string());
        assert!(reply.text().contains(detail), "{dist}: {}", reply.text());
        let states = mirror.states("pkg:npm/left-pad@1.3.0").await;
        assert_eq!(states.get(&package.file), Some(&ArtifactState::Held), "{dist}");
    }
    let (_mirror, reply, package) =
        declared(&json!({ "shasum": shasum, "integrity": integrity }), None).await;
    assert_eq!((reply.status(), reply.body == package.bytes), (200, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weak_digest_that_differs_is_refused_although_the_strong_one_matches() {
    let package = npm_package("left-pad", "1.3.0", &[], 9);
    let dist = json!({ "shasum": "0".repeat(40), "integrity": package.integrity() });
    let (mirror, reply, _) = declared(&dist, None).await;
    let title = "Upstream sent wrong bytes: digest_mismatch";
    assert_refused(&reply, 502, "upstream_broken", title, "shasum");
    assert_eq!(mirror.incidents().await, ["upstream_mismatch"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_needs_a_strong_digest() {
    let package = npm_package("left-pad", "1.3.0", &[], 9);
    let weak = json!({ "shasum": package.shasum() });
    let (mirror, reply, _) = declared(&weak, Some(Fault::Lengthless)).await;
    assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", "lengthless");
    assert!(reply.text().contains("no length"), "{}", reply.text());
    assert!(mirror.states("pkg:npm/left-pad@1.3.0").await.is_empty());
    let strong = json!({ "integrity": package.integrity() });
    let (_mirror, reply, _) = declared(&strong, Some(Fault::Lengthless)).await;
    assert_eq!(reply.status(), 200);
}
