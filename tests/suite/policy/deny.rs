//! The deny list holds at once, for what is cached as for what is not.

use std::fs;

use touchstone_testkit::{MirrorProcesses, Registry, Role, TestMirror, crate_file, npm_package, wheel};

use super::{PYPI_JSON, json, listed, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_is_not_fetched() {
    let registry = Registry::start().await;
    for version in ["3.3.5", "3.3.6"] {
        registry.publish(npm_package("event-stream", version, &[], 10));
    }
    let policy = "[[deny]]\necosystem = \"npm\"\npackage = \"Event-*\"\nversions = [\"3.3.6\"]\nreason = \"steals coins\"\n";
    let mirror = TestMirror::builder().registry(&registry).policy(policy).start().await;
    for path in ["npm/event-stream/-/event-stream-3.3.6.tgz", "npm/-/npm/v1/attestations/event-stream@3.3.6"]
    {
        let (status, code, body) = refusal(mirror.get(path).await).await;
        assert_eq!((status, code.as_str()), (403, "denied"), "{path}");
        assert!(body.contains("is on the deny list of this mirror: steals coins."), "{body}");
    }
    assert_eq!(registry.requests(), vec![]);
    assert_eq!(mirror.get("npm/event-stream/-/event-stream-3.3.5.tgz").await.status(), 200);
    let packument = json(mirror.get("npm/event-stream").await).await;
    assert_eq!(listed(&packument), (vec!["3.3.5"], "3.3.5"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cached_is_denied_with_the_next_start_of_the_edge_and_allowed_again() {
    let registry = Registry::start().await;
    let left = npm_package("left-pad", "1.3.0", &[], 10);
    let wheels = ["1.0.0", "1.1.0"].map(|version| wheel("sample-project", version, &[], 10));
    let krate = crate_file("left_pad", "0.1.0", &[], 10);
    for package in [&left, &wheels[0], &wheels[1], &krate] {
        registry.publish(package.clone());
    }
    let paths = [
        "npm/left-pad/-/left-pad-1.3.0.tgz".to_owned(),
        format!("pypi/files/{}/sample-project/{}", wheels[0].sha256(), wheels[0].file),
        format!("cargo/crates/left_pad/0.1.0/{}/download", krate.sha256()),
        format!("pypi/files/{}/sample-project/{}", wheels[1].sha256(), wheels[1].file),
    ];
    let mut mirror = MirrorProcesses::start(&registry).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get = async |mirror: &MirrorProcesses, path: &str, accept: &str| {
        let url = mirror.url.join(path).expect("a path");
        client.get(url).header("accept", accept).send().await.expect("an answer")
    };
    for path in &paths {
        assert_eq!(get(&mirror, path, "*/*").await.status(), 200, "{path}");
    }

    let policy = format!(
        "[[deny]]\necosystem = \"npm\"\npackage = \"left-pad\"\nreason = \"all of it\"\n\n\
         [[deny]]\nsha256 = \"{}\"\nreason = \"these bytes\"\n\n\
         [[deny]]\necosystem = \"cargo\"\npackage = \"left-pad\"\nversions = [\"0.1.0\"]\nreason = \"this version\"\n",
        wheels[0].sha256()
    );
    let file = mirror.config.with_file_name("policy.toml");
    fs::write(&file, policy).expect("written");
    let before = fs::read_to_string(&mirror.config).expect("read");
    fs::write(&mirror.config, format!("{before}\n[policy]\nfile = {file:?}\n")).expect("written");
    assert!(mirror.stop(Role::Edge), "{:?}", mirror.log(Role::Edge));
    mirror.spawn(Role::Edge);
    mirror.ready().await;

    for (path, reason) in paths.iter().zip(["all of it", "these bytes", "this version"]) {
        let (status, code, body) = refusal(get(&mirror, path, "*/*").await).await;
        assert_eq!((status, code.as_str()), (403, "denied"), "{path}");
        assert!(body.contains(&format!("is on the deny list of this mirror: {reason}.")), "{body}");
    }
    assert_eq!(get(&mirror, &paths[3], "*/*").await.status(), 200, "the other wheel");
    let (status, _, body) = refusal(get(&mirror, "npm/left-pad", "*/*").await).await;
    assert_eq!(status, 403);
    assert!(body.contains("the newest is denied by mirror policy: all of it"), "{body}");
    let index = json(get(&mirror, "pypi/simple/sample-project/", PYPI_JSON).await).await;
    assert_eq!(index["files"][0]["yanked"], "denied by mirror policy: these bytes");
    assert_eq!(index["files"][1]["yanked"], false);
    let lines = get(&mirror, "cargo/le/ft/left_pad", "*/*").await.text().await.expect("a body");
    assert!(lines.contains("\"yanked\":true"), "{lines}");

    fs::write(&mirror.config, before).expect("written");
    assert!(mirror.stop(Role::Edge));
    mirror.spawn(Role::Edge);
    mirror.ready().await;
    for path in &paths {
        assert_eq!(get(&mirror, path, "*/*").await.status(), 200, "{path}");
    }
}
