//! What is not served is not offered: hidden for npm, yanked with the reason for PyPI, yanked for Cargo.

use serde_json::Value;
use touchstone_domain::{Ecosystem, Purl};
use touchstone_store::RecallTarget;
use touchstone_testkit::{Package, Registry, TestMirror, crate_file, npm_package, wheel};

use super::{NPM_ABBREVIATED, PYPI_JSON, json, refusal, text, upstream};

/// The same bytes under another coordinate: the hash check rejects it, since the archive says what it is.
fn impostor(mut package: Package, of: &Package) -> Package {
    package.bytes.clone_from(&of.bytes);
    package
}

async fn recall(mirror: &TestMirror, purl: &str) {
    let purl: Purl = purl.parse().expect("a purl");
    mirror.store.recall(&RecallTarget::Purl(purl), "malware found", "test").await.expect("recalled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_hides_what_is_refused_and_repairs_the_tags() {
    let registry = Registry::start().await;
    let evil = npm_package("evil", "6.6.6", &[], 10);
    for version in ["1.0.0", "1.2.0", "1.3.0", "1.4.0", "2.0.0-rc.1"] {
        registry.publish(npm_package("left-pad", version, &[], 10));
    }
    registry.publish(impostor(npm_package("left-pad", "1.5.0", &[], 10), &evil));
    // 1.4.0 declares only a SHA-1, and is held.
    let mut document: Value =
        serde_json::from_str(&upstream(&registry, Ecosystem::Npm, "left-pad", "application/json").await)
            .expect("JSON");
    let dist = document["versions"]["1.4.0"]["dist"].as_object_mut().expect("an object");
    dist.remove("integrity").expect("declared");
    document["dist-tags"] =
        serde_json::json!({ "latest": "1.5.0", "old": "1.0.0", "bad": "1.3.0", "next": "2.0.0-rc.1" });
    registry.document("npm/left-pad", "application/json", document.to_string());
    let policy = "[[deny]]\necosystem = \"npm\"\npackage = \"left-pad\"\nversions = [\"1.3.0\"]\nreason = \"broken\"\n";
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;

    let before = json(mirror.get("npm/left-pad").await).await;
    let versions = |packument: &Value| -> Vec<String> {
        packument["versions"].as_object().expect("versions").keys().cloned().collect()
    };
    assert_eq!(versions(&before), ["1.0.0", "1.2.0", "1.4.0", "1.5.0", "2.0.0-rc.1"], "1.3.0 is denied");
    assert_eq!(
        before["dist-tags"],
        serde_json::json!({ "latest": "1.5.0", "old": "1.0.0", "next": "2.0.0-rc.1" })
    );
    for (version, expected) in
        [("1.0.0", 200), ("1.2.0", 200), ("1.3.0", 403), ("1.4.0", 403), ("1.5.0", 403)]
    {
        let tarball = format!("npm/left-pad/-/left-pad-{version}.tgz");
        assert_eq!(mirror.get(&tarball).await.status(), expected, "{version}");
    }
    recall(&mirror, "pkg:npm/left-pad@1.2.0").await;

    let full = json(mirror.get("npm/left-pad").await).await;
    assert_eq!(versions(&full), ["1.0.0", "2.0.0-rc.1"]);
    let tags = serde_json::json!({ "latest": "1.0.0", "old": "1.0.0", "next": "2.0.0-rc.1" });
    assert_eq!(full["dist-tags"], tags);
    let times: Vec<&String> = full["time"].as_object().expect("times").keys().collect();
    assert_eq!(times, ["1.0.0", "2.0.0-rc.1", "created"]);
    let short = mirror.request("npm/left-pad").header("accept", NPM_ABBREVIATED).send().await;
    let short = json(short.expect("an answer")).await;
    assert_eq!((versions(&short), &short["dist-tags"]), (versions(&full), &tags));
    assert_eq!(json(mirror.get("npm/left-pad/latest").await).await["version"], "1.0.0");
    for (version, reason) in [
        ("1.2.0", "recalled by the mirror: malware found"),
        ("1.3.0", "denied by mirror policy: broken"),
        ("1.4.0", "held by the mirror: hash check: only weak digests are declared (sha1)"),
        ("1.5.0", "rejected by the mirror: hash check: the archive's name is"),
    ] {
        let (status, code, body) = refusal(mirror.get(&format!("npm/left-pad/{version}")).await).await;
        assert_eq!((status, code.as_str()), (403, "held"), "{version}");
        assert!(body.contains(reason), "{version}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_says_why_when_no_version_is_left() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.0.0", &[], 10));
    registry.publish(npm_package("left-pad", "1.1.0", &[], 10));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for version in ["1.0.0", "1.1.0"] {
        assert_eq!(mirror.get("npm/left-pad").await.status(), 200);
        let tarball = format!("npm/left-pad/-/left-pad-{version}.tgz");
        assert_eq!(mirror.get(&tarball).await.status(), 200);
        recall(&mirror, &format!("pkg:npm/left-pad@{version}")).await;
    }
    for (path, accept) in
        [("npm/left-pad", "*/*"), ("npm/left-pad", NPM_ABBREVIATED), ("npm/left-pad/latest", "*/*")]
    {
        let answer = mirror.request(path).header("accept", accept).send().await.expect("an answer");
        let (status, code, body) = refusal(answer).await;
        assert_eq!((status, code.as_str()), (403, "held"), "{path}");
        let expected = "every version of npm package left-pad is refused; the newest is recalled by the mirror: malware found";
        assert!(body.contains(expected), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pypi_yanks_what_is_refused_and_says_why() {
    let registry = Registry::start().await;
    let evil = wheel("evil", "6.6.6", &[], 10);
    let wheels =
        ["1.0.0", "1.1.0", "1.2.0", "1.3.0"].map(|version| wheel("sample-project", version, &[], 10));
    let wheels = wheels.map(|w| if w.version == "1.3.0" { impostor(w, &evil) } else { w });
    for wheel in &wheels {
        registry.publish(wheel.clone());
    }
    let policy = format!("[[deny]]\nsha256 = \"{}\"\nreason = \"<b>broken</b>\"\n", wheels[1].sha256());
    let mirror = TestMirror::builder().registry(&registry).policy(&policy).start().await;
    for (wheel, expected) in wheels.iter().zip([200, 403, 200, 403]) {
        let path = format!("pypi/files/{}/sample-project/{}", wheel.sha256(), wheel.file);
        assert_eq!(mirror.get(&path).await.status(), expected, "{}", wheel.version);
    }
    recall(&mirror, "pkg:pypi/sample-project@1.2.0").await;

    let index = mirror.request("pypi/simple/sample-project/").header("accept", PYPI_JSON).send().await;
    let index = json(index.expect("an answer")).await;
    let yanked: Vec<&Value> =
        index["files"].as_array().expect("files").iter().map(|f| &f["yanked"]).collect();
    assert_eq!(yanked[0], &Value::Bool(false));
    let reasons: Vec<&str> = yanked[1..].iter().map(|y| y.as_str().expect("a reason")).collect();
    assert_eq!(reasons[0], "denied by mirror policy: <b>broken</b>");
    assert_eq!(reasons[1], "recalled by the mirror: malware found");
    assert!(reasons[2].starts_with("rejected by the mirror: hash check: "), "{}", reasons[2]);
    let page = text(mirror.get("pypi/simple/sample-project/").await).await;
    assert_eq!(page.matches("data-yanked=").count(), 3);
    let escaped = "data-yanked=\"denied by mirror policy: &lt;b&gt;broken&lt;/b&gt;\"";
    assert!(page.contains(escaped) && !page.contains("<b>"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cargo_yanks_what_is_refused_and_changes_nothing_else() {
    let registry = Registry::start().await;
    let evil = crate_file("evil", "6.6.6", &[], 10);
    let crates = ["0.1.0", "0.2.0", "0.3.0", "0.4.0"].map(|version| crate_file("left_pad", version, &[], 10));
    let crates = crates.map(|c| if c.version == "0.4.0" { impostor(c, &evil) } else { c });
    for package in &crates {
        registry.publish(package.clone());
    }
    let policy = "[[deny]]\necosystem = \"cargo\"\npackage = \"Left-Pad\"\nversions = [\"0.2.0\"]\nreason = \"broken\"\n";
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    for (package, expected) in crates.iter().zip([200, 403, 200, 403]) {
        let path = format!("cargo/crates/left_pad/{}/{}/download", package.version, package.sha256());
        assert_eq!(mirror.get(&path).await.status(), expected, "{}", package.version);
    }
    recall(&mirror, "pkg:cargo/left_pad@0.3.0").await;
    let theirs = upstream(&registry, Ecosystem::Cargo, "le/ft/left_pad", "text/plain").await;
    let expected: Vec<String> = theirs
        .lines()
        .enumerate()
        .map(
            |(at, line)| {
                if at == 0 { line.to_owned() } else { line.replace("\"yanked\":false", "\"yanked\":true") }
            },
        )
        .collect();
    let ours = text(mirror.get("cargo/le/ft/left_pad").await).await;
    assert_eq!(ours.lines().collect::<Vec<_>>(), expected);
    assert_eq!(ours.matches("\"yanked\":true").count(), 3);
}
