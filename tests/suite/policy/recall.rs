//! Recalls hold at once, on every edge, and for what comes later.

use touchstone_domain::{ArtifactState, Purl, Sha256};
use touchstone_store::RecallTarget;
use touchstone_testkit::{MirrorProcesses, Registry, TestMirror, npm_package, wheel};

use super::{json, listed, refusal};

async fn recall(mirror: &TestMirror, target: RecallTarget, reason: &str) -> usize {
    mirror.store.recall(&target, reason, "test").await.expect("recalled").len()
}

fn purl(text: &str) -> RecallTarget {
    RecallTarget::Purl(text.parse::<Purl>().expect("a purl"))
}

async fn assert_revoked(mirror: &TestMirror, path: &str, reason: &str) {
    let (status, code, body) = refusal(mirror.get(path).await).await;
    assert_eq!((status, code.as_str()), (403, "revoked"), "{path}");
    assert!(body.contains(&format!("was recalled: {reason}. Choose another version.")), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recalled_version_is_refused_and_hidden_and_its_neighbours_are_not() {
    let registry = Registry::start().await;
    for version in ["1.2.0", "1.3.0"] {
        registry.publish(npm_package("left-pad", version, &[], 10));
    }
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let path = |version: &str| format!("npm/left-pad/-/left-pad-{version}.tgz");
    for version in ["1.2.0", "1.3.0"] {
        assert_eq!(mirror.get(&path(version)).await.status(), 200);
    }
    assert_eq!(recall(&mirror, purl("pkg:npm/left-pad@1.3.0"), "malware").await, 1);
    assert_revoked(&mirror, &path("1.3.0"), "malware").await;
    let ranged = mirror.request(&path("1.3.0")).header("range", "bytes=0-3").send().await;
    assert_eq!(ranged.expect("an answer").status(), 403);
    assert_eq!(mirror.get(&path("1.2.0")).await.status(), 200);
    assert_eq!(listed(&json(mirror.get("npm/left-pad").await).await), (vec!["1.2.0"], "1.2.0"));
    let states = mirror.states("pkg:npm/left-pad").await;
    assert_eq!(states["left-pad-1.3.0.tgz"], ArtifactState::Revoked);
    assert_eq!(states["left-pad-1.2.0.tgz"], ArtifactState::Servable);
    assert_eq!(recall(&mirror, purl("pkg:npm/left-pad@1.3.0"), "again").await, 0, "nothing changes twice");
    assert_revoked(&mirror, &path("1.3.0"), "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_a_recall_is_recalled_too() {
    let registry = Registry::start().await;
    for version in ["1.0.0", "1.1.0"] {
        registry.publish(npm_package("left-pad", version, &[], 10));
        registry.publish(npm_package("right-pad", version, &[], 10));
    }
    let wheel = wheel("sample-project", "4.0.0", &[], 10);
    registry.publish(wheel.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (target, reason) in [
        (purl("pkg:npm/left-pad"), "the package"),
        (purl("pkg:npm/right-pad@1.1.0"), "the version"),
        (RecallTarget::Digest(wheel.sha256()), "the bytes"),
        (RecallTarget::Digest(Sha256([0; 32])), "others"),
    ] {
        assert_eq!(recall(&mirror, target, reason).await, 0, "{reason}");
    }
    assert_revoked(&mirror, "npm/left-pad/-/left-pad-1.0.0.tgz", "the package").await;
    assert_revoked(&mirror, "npm/left-pad/-/left-pad-1.1.0.tgz", "the package").await;
    assert_revoked(&mirror, "npm/right-pad/-/right-pad-1.1.0.tgz", "the version").await;
    assert_eq!(mirror.get("npm/right-pad/-/right-pad-1.0.0.tgz").await.status(), 200);
    let path = format!("pypi/files/{}/sample-project/{}", wheel.sha256(), wheel.file);
    assert_revoked(&mirror, &path, "the bytes").await;
    let (status, _, body) = refusal(mirror.get("npm/left-pad").await).await;
    assert_eq!(status, 403);
    assert!(body.contains("the newest is recalled by the mirror: the package"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_recalls_at_once() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(package.clone());
    registry.publish(wheel("sample-project", "4.0.0", &[], 10));
    let mirror = MirrorProcesses::start(&registry).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get = async |path: &str| {
        client.get(mirror.url.join(path).expect("a path")).send().await.expect("an answer")
    };
    let tarball = "npm/left-pad/-/left-pad-1.3.0.tgz";
    assert_eq!(get(tarball).await.status(), 200);
    for (arguments, problem) in [
        (vec!["recall", "left-pad", "--reason", "x"], "error: "),
        (vec!["recall", "pkg:npm/left-pad@1.3.0", "--reason", " "], "error: --reason is empty"),
    ] {
        let output = mirror.command(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(problem), "{output:?}");
    }
    assert_eq!(get(tarball).await.status(), 200);

    let sha256 = package.sha256().to_string();
    for (target, said) in [
        ("pkg:pypi/Sample_Project@4.0.0", "0 artifact(s) revoked, 0 of them had been served"),
        (sha256.as_str(), "1 artifact(s) revoked, 1 of them had been served"),
    ] {
        let output = mirror.command(&["recall", target, "--reason", "malware"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let expected = format!("recalled {target}: {said}; artifacts that come later are held\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    let wheel = "pypi/files/-/sample-project/sample_project-4.0.0-py3-none-any.whl";
    for path in [tarball, wheel] {
        let (status, code, body) = refusal(get(path).await).await;
        assert_eq!((status, code.as_str()), (403, "revoked"), "{path}");
        assert!(body.contains("was recalled: malware."), "{body}");
    }
}
