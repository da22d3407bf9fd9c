//! Recalls hold at once, on every edge, and for what comes later.

use touchstone_custody::LogEntry;
use touchstone_domain::{ArtifactState, Purl, Sha256};
use touchstone_store::{RecallTarget, Store, StoreOptions};
use touchstone_testkit::{MirrorProcesses, Registry, Role, TestMirror, npm_package, wheel};

use super::{json, listed, refusal};
use crate::custody::world::Owner;

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
    let held = recall(&mirror, purl("pkg:npm/left-pad@1.3.0"), "malware").await;
    assert!(held <= 1, "{held}; promote's sweeper may have been quicker");
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
        (vec!["recall", "deadbeef", "--reason", "x"], "error: \"deadbeef\" is neither a SHA-256, of 64 "),
        (vec!["recall", "pkg:npm/left-pad", "--reason", "x"], "error: pkg:npm/left-pad names no version, "),
    ] {
        let output = mirror.command(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(problem), "{output:?}");
    }
    assert_eq!(get(tarball).await.status(), 200);

    let sha256 = package.sha256().to_string();
    let store = Store::connect(StoreOptions {
        url: mirror.servers.postgres.url(),
        pool_size: 1,
        application_name: "test".into(),
    });
    let store = store.await.expect("connected");
    let typo = "warning: nothing on record matches pkg:pypi/Sample_Project@4.0.0. The recall is in force for what comes, ";
    for (target, said, warning) in [
        ("pkg:pypi/Sample_Project@4.0.0", "0 artifact(s) are revoked now, 0 of them had been served", typo),
        (sha256.as_str(), "1 artifact(s) are revoked now, 1 of them had been served", ""),
    ] {
        let output = mirror.command(&["recall", target, "--reason", "malware"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(stderr.starts_with(warning) && stderr.is_empty() == warning.is_empty(), "{stderr}");
        let expected =
            format!("recalled {target}: {said}; what comes later is revoked as well\nit is entry ");
        let index = stdout.strip_prefix(&expected).expect(&stdout);
        let index = index.strip_suffix(" of the transparency log, which edges follow\n").expect(&stdout);
        let leaf = store.leaves(index.parse().expect("a number"), 1).await.expect("leaves").remove(0);
        let entry = LogEntry::parse(&leaf.entry).expect("an entry").recalled();
        let target = target.replace("Sample_Project", "sample-project");
        let recalled = target.parse().map_or_else(|_| purl(&target), RecallTarget::Digest);
        assert_eq!(entry, Some(recalled));
    }
    let wheel = "pypi/files/-/sample-project/sample_project-4.0.0-py3-none-any.whl";
    for path in [tarball, wheel] {
        let (status, code, body) = refusal(get(path).await).await;
        assert_eq!((status, code.as_str()), (403, "revoked"), "{path}");
        assert!(body.contains("was recalled: malware."), "{body}");
    }
    let again = |target: &str, more: &[&str]| {
        let output = mirror.command(&[&["recall", target, "--reason", "again", "--no-wait"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let already = format!("{sha256} was recalled already, at 20");
    let said = again(&sha256, &[]);
    assert!(said.starts_with(&already) && said.contains(": 1 artifact(s) are revoked now, 1 of"), "{said}");
    let said = again("pkg:npm/left-pad", &["--all-versions"]);
    assert!(said.starts_with("recalled pkg:npm/left-pad: 1 artifact(s) are revoked now, 1 of"), "{said}");
    let said = again("pkg:npm/left-pad@2.0.0", &[]);
    assert!(
        said.starts_with("pkg:npm/left-pad@2.0.0 was recalled already, at 20"),
        "with all the others: {said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_that_a_recall_is_in_force_and_not_in_the_log_yet() {
    let registry = Registry::start().await;
    for name in ["left-pad", "right-pad"] {
        registry.publish(npm_package(name, "1.3.0", &[], 10));
    }
    let mut mirror = MirrorProcesses::start(&registry).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let edge = mirror.url.clone();
    let status = async |name: &str| {
        let url = edge.join(&format!("npm/{name}/-/{name}-1.3.0.tgz")).expect("a path");
        client.get(url).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((status("left-pad").await, status("right-pad").await), (200, 200));
    mirror.kill(Role::Promote);
    let recall = |name: &str, more: &[&str]| {
        let target = format!("pkg:npm/{name}@1.3.0");
        let output = mirror.command(&[&["recall", &target, "--reason", "malware"], more].concat());
        assert_eq!(output.status.code(), Some(0), "it is in force: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let owner = Owner::at(&mirror.servers.postgres.url()).await;
    owner.run("ALTER TABLE gate ADD CONSTRAINT locked CHECK (hold = 0)").await;
    let output = mirror.command(&["recall", "pkg:npm/left-pad@1.3.0", "--reason", "malware"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let problem = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        problem.starts_with("error: the recall is on record, but what it names may not be held yet; "),
        "{problem}"
    );
    assert!(
        problem.contains("give the recall again, which is harmless: the statement recall.hold_purl failed: "),
        "{problem}"
    );
    owner.run("ALTER TABLE gate DROP CONSTRAINT locked").await;
    let said = recall("left-pad", &[]);
    let expected = "; it is on record once more: 1 artifact(s) are revoked now, 1 of them had been served; what comes later is revoked as well\n\
        IT IS NOT IN THE TRANSPARENCY LOG after 10s: it is in force, but only for as long as the database says so. See whether promote runs";
    assert!(
        said.starts_with("pkg:npm/left-pad@1.3.0 was recalled already, at 20") && said.contains(expected),
        "{said}"
    );
    let said = recall("right-pad", &["--no-wait"]);
    assert!(said.contains("\nnobody waited for the transparency log to have it"), "{said}");
    assert_eq!((status("left-pad").await, status("right-pad").await), (403, 403));
}
