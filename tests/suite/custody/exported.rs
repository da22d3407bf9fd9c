//! `touchstone records` and the console's API on a running mirror, with PyPI's judges beside them.

use std::{fs, path::Path};

use serde_json::Value;
use touchstone_testkit::{MirrorProcesses, Registry, eventually, npm_package, wheel};
use touchstone_tests::clients::judge::Judge;

/// Exit code, and what was said.
fn command(mirror: &MirrorProcesses, arguments: &[&str]) -> (Option<i32>, String) {
    let output = mirror.command(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

/// Exports what a purl names, once promote has signed its layouts.
async fn export(mirror: &MirrorProcesses, purl: &str, directory: &Path) -> String {
    let directory = directory.to_str().expect("a path");
    eventually("records are complete", || async {
        let (code, said) = command(mirror, &["records", purl, "-o", directory, "--with-artifact"]);
        (code == Some(0)).then_some(said)
    })
    .await
}

async fn get(url: url::Url) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mirror_has_promoted_is_handed_out_and_stock_tools_accept_it() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(package.clone());
    let mirror = MirrorProcesses::start(&registry).await;
    let path = "npm/left-pad/-/left-pad-1.3.0.tgz";
    assert_eq!(get(mirror.url.join(path).expect("a path")).await.0, 200);
    let purl = "pkg:npm/left-pad@1.3.0";
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("records");
    let said = export(&mirror, purl, &out).await;
    assert!(said.contains("3 link(s), layout, serve record and 4 key(s) in "), "{said}");

    let judge = Judge::find();
    judge.chain(&out).expect("in-toto accepts the chain");
    judge.copy(&out).expect("the copy is the promoted artifact");
    let record = judge.record(&out).expect("securesystemslib accepts the record");
    let statement: Value = record.lines().find_map(|line| serde_json::from_str(line).ok()).expect("JSON");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], package.sha256().to_string());
    assert_eq!(statement["predicate"]["verificationResult"], "PASSED");
    let copy = out.join(&package.file);
    fs::write(&copy, b"something else").expect("written");
    judge.chain(&out).expect_err("another file");

    // Again: what is there is the same, but for the copy, which is somebody else's now.
    let out_text = out.to_str().expect("a path");
    let (code, said) = command(&mirror, &["records", purl, "-o", out_text, "--with-artifact"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is there already, and is something else"), "{said}");
    assert_eq!(command(&mirror, &["records", purl, "-o", out_text]).0, Some(0));

    // The same over the API, envelope by envelope.
    let api = mirror.console.join(&format!("api/v1/artifacts/{}/records", package.sha256())).expect("a path");
    let (status, body) = get(api).await;
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).expect("JSON");
    let records = &told["artifacts"][0];
    assert_eq!((&records["missing"], &records["purl"]), (&Value::Array(vec![]), &records["purl"]));
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(out.join(name)).expect(name)).expect("JSON")
    };
    assert_eq!(records["layout"], read("root.layout"));
    for kind in ["links", "vsa"] {
        let envelopes = records[kind].as_object().expect("envelopes");
        assert!(!envelopes.is_empty());
        for (name, envelope) in envelopes {
            assert_eq!(*envelope, read(name), "{name}");
        }
    }
    for (name, pem) in records["keys"].as_object().expect("keys") {
        assert_eq!(pem.as_str(), fs::read_to_string(out.join("keys").join(name)).ok().as_deref(), "{name}");
    }

    // And on one screen.
    let (_, story) = command(&mirror, &["why", purl]);
    let digits = |name: &str| {
        let names =
            fs::read_dir(out.join("keys")).expect("keys").map(|entry| entry.expect("an entry").file_name());
        let mut names = names.map(|name| name.into_string().expect("a name"));
        names
            .find_map(|file| Some(file.strip_prefix(&format!("{name}."))?.split('.').next()?.to_owned()))
            .expect(name)
    };
    for (kind, sentence) in [
        ("fetch", "signed by the fetch key {}, on record since "),
        ("hash", "signed by the hash key {}, and counted"),
        ("attest", "signed by the attest key {}, and counted"),
        ("promote", "signed by the promote key {}"),
    ] {
        let expected = sentence.replace("{}", &digits(kind));
        assert!(story.contains(&expected), "{expected}: {story}");
    }
    assert!(
        story.contains("for stock in-toto tools: touchstone records 'pkg:npm/left-pad@1.3.0' -o DIR"),
        "{story}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_promoted_is_not_handed_out_and_the_reason_is_said() {
    let registry = Registry::start().await;
    let package = npm_package("left-pad", "1.3.0", &[], 10);
    let files = [wheel("sample-project", "4.0.0", &[], 10), wheel("sample-project", "4.1.0", &[], 10)];
    for package in files.iter().chain([&package]) {
        registry.publish(package.clone());
    }
    let mirror = MirrorProcesses::start(&registry).await;
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("records");
    let out_text = out.to_str().expect("a path");
    let (code, said) = command(&mirror, &["records", "pkg:npm/left-pad@1.3.0", "-o", out_text]);
    assert_eq!(code, Some(1));
    assert!(said.contains("pkg:npm/left-pad@1.3.0 is not on record"), "{said}");

    let path = "npm/left-pad/-/left-pad-1.3.0.tgz";
    assert_eq!(get(mirror.url.join(path).expect("a path")).await.0, 200);
    assert_eq!(command(&mirror, &["recall", "pkg:npm/left-pad@1.3.0", "--reason", "malware"]).0, Some(0));
    let (code, said) = command(&mirror, &["records", "pkg:npm/left-pad@1.3.0", "-o", out_text]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("it is not promoted; `touchstone why 'pkg:npm/left-pad@1.3.0'` says why"),
        "{said}"
    );
    assert!(!out.exists(), "nothing was written");
    let story = eventually("the log has it", || async {
        let (_, story) = command(&mirror, &["why", "pkg:npm/left-pad@1.3.0"]);
        let revoked = story.lines().find(|line| line.starts_with("  revoked "))?;
        revoked.ends_with(" of the transparency log").then_some(story)
    })
    .await;
    assert!(story.contains("  record      sha256:") && !story.contains("touchstone records"), "{story}");
    let recalled = story.lines().find(|line| line.starts_with("  recalled ")).expect("a line");
    assert!(recalled.contains(", by ") && recalled.ends_with(": malware"), "{recalled}");

    // Several files: each in a directory of its own.
    for file in &files {
        let path = format!("pypi/files/-/sample-project/{}", file.file);
        assert_eq!(get(mirror.url.join(&path).expect("a path")).await.0, 200);
    }
    export(&mirror, "pkg:pypi/sample-project", &out).await;
    for file in &files {
        Judge::find().chain(&out.join(&file.file)).expect("a whole chain");
    }
    let nothing =
        mirror.console.join(&format!("api/v1/artifacts/{}/records", "0".repeat(64))).expect("a path");
    assert_eq!(get(nothing).await.0, 404);
    let wrong = mirror.console.join("api/v1/artifacts/zz/records").expect("a path");
    assert_eq!(get(wrong).await.0, 400);
}
