//! `touchstone why`: the story of an artifact, for people and for programs.

use std::time::Duration;

use serde_json::Value;
use touchstone_custody::LogEntry;
use touchstone_domain::Sha256;
use touchstone_store::{Store, StoreOptions};
use touchstone_testkit::{MirrorProcesses, Package, Registry, Role, eventually, npm_package, wheel};

use super::{http, said};

/// What the console says of a purl.
async fn told(mirror: &MirrorProcesses, purl: &str) -> Value {
    let mut url = mirror.console.join("api/v1/artifacts").expect("a path");
    url.query_pairs_mut().append_pair("purl", purl);
    let body = http().get(url).send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&body).expect("JSON")
}

/// A purl, the exit code, the state and what is said of it.
const STATES: [(&str, i32, &str, &str); 6] = [
    ("pkg:npm/left-pad@1.3.0", 0, "servable", "it is served"),
    ("pkg:npm/left-pad@1.4.0", 2, "rejected", "it will not be served; choose another version"),
    ("pkg:npm/left-pad@1.5.0", 2, "revoked", "recalled: malware"),
    (
        "pkg:npm/weak-pad",
        2,
        "held",
        "a required check did not approve it; change the policy, restart, and run `touchstone recheck \
             pkg:npm/weak-pad@1.0.0`",
    ),
    ("pkg:pypi/Sample_Project@4.0.0.0", 1, "", ""),
    ("pkg:pypi/Sample_Project@4.0.0", 0, "fetched", "waiting for hash, attest; try again in a few seconds"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_tells_every_state_with_its_exit_code_and_what_to_do() {
    let registry = Registry::start().await;
    let good = npm_package("left-pad", "1.3.0", &[], 10);
    let bad = Package { bytes: good.bytes.clone(), ..npm_package("left-pad", "1.4.0", &[], 10) };
    let recalled = npm_package("left-pad", "1.5.0", &[], 10);
    let wheel = wheel("sample-project", "4.0.0", &[], 10);
    for package in [&good, &bad, &recalled, &wheel] {
        registry.publish(package.clone());
    }
    let weak = r#"{"name":"weak-pad","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"weak-pad","version":"1.0.0","dist":{"shasum":"SHASUM","tarball":"URL"}}}}"#;
    let held = npm_package("weak-pad", "1.0.0", &[], 10);
    registry.publish(held.clone());
    let tarball = format!("{}npm/weak-pad/-/weak-pad-1.0.0.tgz", registry.origin());
    let weak = weak.replace("SHASUM", &held.shasum()).replace("URL", &tarball);
    registry.document("npm/weak-pad", "application/json", weak);
    let mut mirror = MirrorProcesses::start(&registry).await;
    let get = async |path: &str| {
        http().get(mirror.url.join(path).expect("a path")).send().await.expect("an answer")
    };
    for (path, status) in [
        ("npm/left-pad/-/left-pad-1.3.0.tgz", 200),
        ("npm/left-pad/-/left-pad-1.4.0.tgz", 403),
        ("npm/left-pad/-/left-pad-1.5.0.tgz", 200),
        ("npm/weak-pad/-/weak-pad-1.0.0.tgz", 403),
    ] {
        assert_eq!(get(path).await.status(), status, "{path}");
    }
    assert!(mirror.command(&["recall", "pkg:npm/left-pad@1.5.0", "--reason", "malware"]).status.success());
    mirror.kill(Role::Hash(0));
    mirror.kill(Role::Hash(1));
    mirror.kill(Role::Attest(0));
    let url = mirror.url.join(&format!("pypi/files/-/sample-project/{}", wheel.file)).expect("a path");
    let left = http().get(url).timeout(Duration::from_millis(500)).send().await;
    assert!(left.is_err_and(|error| error.is_timeout()), "the client goes away, and the fetch goes on");
    eventually("the wheel is fetched", || async {
        let artifacts = told(&mirror, "pkg:pypi/sample-project").await;
        artifacts["artifacts"].as_array().is_some_and(|list| !list.is_empty()).then_some(())
    })
    .await;

    for (purl, code, state, sentence) in STATES {
        let (found, story, problem) = said(mirror.command(&["why", purl]));
        assert_eq!(found, Some(code), "{purl}: {story}{problem}");
        let (found_json, story_json, _) = said(mirror.command(&["why", purl, "--json"]));
        assert_eq!(found_json, Some(code), "{purl}");
        let json: Value = serde_json::from_str(&story_json).expect("JSON");
        assert_eq!(json, told(&mirror, purl).await, "{purl}");
        if code == 1 {
            assert_eq!((story.as_str(), json["artifacts"].as_array().map(Vec::len)), ("", Some(0)));
            let nobody = "is not on record: nobody has asked this mirror for it, or its fetch failed";
            assert!(problem.contains(nobody), "{problem}");
            continue;
        }
        assert!(story.contains(&format!("  state       {state}: {sentence}\n")), "{story}");
        assert_eq!(json["artifacts"][0]["state"], state);
        let fix = "  fix         to accept weak digests for its age, before all other rules\n                  [[rule]]\n";
        assert_eq!(story.contains(fix), state == "held", "{story}");
        let again = format!(
            "  fix         after a change of the policy: restart, and run `touchstone recheck {purl}@1.0.0`\n"
        );
        assert_eq!(story.contains(&again), state == "held", "{story}");
    }
    let (code, _, problem) = said(mirror.command(&["why", "left-pad"]));
    assert_eq!(code, Some(1));
    assert!(problem.contains("error: not a package URL such as pkg:npm/left-pad@1.3.0"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_names_bytes_claims_checks_incidents_and_the_policy() {
    let registry = Registry::start().await;
    let good = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(good.clone());
    let mirror = MirrorProcesses::start(&registry).await;
    let path = "npm/left-pad/-/left-pad-1.3.0.tgz";
    registry.fault(&good.file, touchstone_testkit::Fault::Tamper);
    let url = mirror.url.join(path).expect("a path");
    assert_eq!(http().get(url.clone()).send().await.expect("an answer").status(), 502);
    let (code, story, _) = said(mirror.command(&["why", "pkg:npm/left-pad@1.3.0"]));
    assert_eq!(code, Some(1));
    assert!(story.starts_with("incident upstream_mismatch: "), "{story}");

    registry.honest();
    assert_eq!(http().get(url).send().await.expect("an answer").status(), 200);
    let (_, story, _) = said(mirror.command(&["why", "pkg:npm/left-pad@1.3.0"]));
    for expected in [
        "pkg:npm/left-pad@1.3.0\n".to_owned(),
        format!("  sha256      {}\n", good.sha256()),
        format!("  size        {} bytes\n", good.bytes.len()),
        format!(" from {}npm/left-pad/-/left-pad-1.3.0.tgz\n", registry.origin()),
        "  published   2024-01-02T03:04:05Z, by the upstream's word\n".to_owned(),
        format!("= {}\n", good.integrity()),
        format!("= {}\n", good.shasum()),
        format!("bytes) from {}npm/left-pad\n", registry.origin()),
        "  hash check  pass: the bytes match 1 declared strong digest(s) (hash touchstone/".to_owned(),
        "\n              required\n              on metadata_entry sha256:".to_owned(),
        "\n  attest check not_offered: it has no attestation; registry signature absent (attest touchstone/"
            .to_owned(),
        "\n              required, absence tolerated\n              on metadata_entry sha256:".to_owned(),
        "  promoted    number 1 under policy 1, ".to_owned(),
        format!("  policy      number 1, sha256:{}; epoch 0 of the gate\n", Sha256::of("")),
    ] {
        assert!(story.contains(&expected), "{expected}: {story}");
    }
    let told = told(&mirror, "pkg:npm/left-pad@1.3.0").await;
    let artifact = &told["artifacts"][0];
    assert_eq!(artifact["purl"], "pkg:npm/left-pad@1.3.0");
    assert_eq!(artifact["file"], good.file);
    assert_eq!(artifact["sha256"], good.sha256().to_string());
    assert_eq!(artifact["size"], good.bytes.len());
    assert_eq!(artifact["reason"], Value::Null);
    assert_eq!(artifact["policy_epoch"], 1);
    for time in ["first_seen", "promoted_at"] {
        assert!(artifact[time].as_str().is_some_and(|at| at.starts_with("20")), "{time}");
    }
    assert_eq!(artifact["sha512"].as_str().map(str::len), Some(128));
    let check = &artifact["checks"][0];
    assert_eq!(
        (&check["kind"], &check["requirement"], &check["outcome"]),
        (&"hash".into(), &"required".into(), &"pass".into())
    );
    assert_eq!(check["reason"], "the bytes match 1 declared strong digest(s)");
    assert!(check["verifier"].as_str().is_some_and(|v| v.starts_with("hash touchstone/")), "{check}");
    assert!(check["at"].is_string(), "{check}");
    assert_eq!(check["absence_tolerated"], false);
    assert_eq!(check["evidence"][0]["kind"], "metadata_entry");
    let attest = &artifact["checks"][1];
    assert_eq!(
        (&attest["kind"], &attest["requirement"], &attest["outcome"], &attest["code"]),
        (&"attest".into(), &"required".into(), &"not_offered".into(), &"unattested".into())
    );
    assert_eq!(attest["absence_tolerated"], true);
    assert_eq!((&artifact["fixes"], &told["identities"]), (&Value::Array(vec![]), &Value::Array(vec![])));
}

/// Who signed, and where it stands in the transparency log: the entry there is this promotion, by this record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_names_who_signed_and_the_entry_of_the_log() {
    let registry = Registry::start().await;
    let good = npm_package("left-pad", "1.3.0", &[], 10);
    registry.publish(good.clone());
    let mirror = MirrorProcesses::start(&registry).await;
    let url = mirror.url.join("npm/left-pad/-/left-pad-1.3.0.tgz").expect("a path");
    assert_eq!(http().get(url).send().await.expect("an answer").status(), 200);
    let purl = "pkg:npm/left-pad@1.3.0";
    let story = eventually("the log has it", || async {
        let (_, story, _) = said(mirror.command(&["why", purl]));
        story.contains(" of the transparency log\n").then_some(story)
    })
    .await;
    let keys: Value =
        serde_json::from_str(&said(mirror.command(&["keys", "list", "--json"])).1).expect("JSON");
    let key = |kind: &str| {
        let of_kind = keys["keys"].as_array().expect("a list").iter().find(|key| key["kind"] == kind);
        of_kind.expect(kind)["id"].as_str().expect("a number").to_owned()
    };
    for kind in ["fetch", "hash", "attest", "promote"] {
        let line = format!("signed by the {kind} key {}", &key(kind)[..8]);
        assert!(story.contains(&line), "{line}: {story}");
    }
    let told = told(&mirror, purl).await;
    let record = &told["artifacts"][0]["record"];
    let index = record["log_index"].as_u64().expect("an index");
    let digest = record["sha256"].as_str().expect("a digest");
    let line = format!("  record      sha256:{digest}, entry {index} of the transparency log\n");
    assert!(story.contains(&line), "{line}: {story}");
    assert_eq!(record["key"], key("promote"));
    let options =
        StoreOptions { url: mirror.servers.postgres.url(), pool_size: 1, application_name: "test".into() };
    let database = Store::connect(options).await.expect("connected");
    let leaf = database.leaves(index, 1).await.expect("leaves").remove(0);
    let LogEntry::Promoted { purl, sha256, record, .. } = LogEntry::parse(&leaf.entry).expect("an entry")
    else {
        panic!("entry {index} is no promotion");
    };
    assert_eq!(purl, "pkg:npm/left-pad@1.3.0?file_name=left-pad-1.3.0.tgz");
    assert_eq!((sha256, record.to_string().as_str()), (good.sha256(), digest));
}
