//! The path of design.md section 2, from a cold request to the bytes.

use touchstone_domain::{ArtifactState, Ecosystem};
use touchstone_testkit::{Module, Registry, TestMirror, crate_file, npm_package, wheel};

/// A cold request is fetched, checked, promoted and served; the second one needs no upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_artifact_is_fetched_checked_promoted_and_served() {
    let registry = Registry::start().await;
    let npm = npm_package("left-pad", "1.3.0", &[], 10);
    let wheel = wheel("sample-project", "4.0.0", &[], 10);
    let krate = crate_file("left_pad", "0.1.0", &[], 10);
    for package in [&npm, &wheel, &krate] {
        registry.publish(package.clone());
    }
    let module = Module::new("code.example/left-pad", "v1.3.0");
    let zip = module.zip();
    registry.publish_module(module.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let paths = [
        (format!("npm/left-pad/-/{}", npm.file), npm.file.as_str(), &npm.bytes[..], "pkg:npm/left-pad@1.3.0"),
        (
            format!("pypi/files/{}/sample-project/{}", wheel.sha256(), wheel.file),
            &wheel.file,
            &wheel.bytes,
            "pkg:pypi/sample-project@4.0.0",
        ),
        (
            format!("cargo/crates/left_pad/0.1.0/{}/download", krate.sha256()),
            &krate.file,
            &krate.bytes,
            "pkg:cargo/left_pad@0.1.0",
        ),
        (
            "go/code.example/left-pad/@v/v1.3.0.zip".to_owned(),
            "v1.3.0.zip",
            &zip,
            "pkg:golang/code.example/left-pad@v1.3.0",
        ),
    ];
    for (path, file, bytes, purl) in &paths {
        let answer = mirror.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.bytes().await.expect("body"), *bytes, "{path}");
        assert_eq!(mirror.states(purl).await.get(*file), Some(&ArtifactState::Servable), "{purl}");
    }
    registry.set_down(true);
    for (path, _, bytes, _) in &paths {
        assert_eq!(mirror.get(path).await.bytes().await.expect("body"), *bytes, "{path}");
    }
    assert_eq!(Ecosystem::ALL.len(), paths.len());
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
}
