//! The ways out: `touchstone recheck` for what is held, `touchstone incidents` for what is open.

use std::{fmt::Write as _, fs};

use touchstone_domain::Policy;
use touchstone_testkit::{Fault, MirrorProcesses, Registry, Role, eventually, npm_package};

use super::{http, said};

const TARBALL: &str = "npm/weak-pad/-/weak-pad-1.0.0.tgz";

async fn status(mirror: &MirrorProcesses) -> u16 {
    let url = mirror.url.join(TARBALL).expect("a path");
    http().get(url).send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_served_after_the_policy_was_changed_and_it_was_rechecked() {
    let registry = Registry::start().await;
    let package = npm_package("weak-pad", "1.0.0", &[], 10);
    registry.publish(package.clone());
    let (shasum, origin) = (package.shasum(), registry.origin());
    let weak = format!(
        r#"{{"name":"weak-pad","dist-tags":{{"latest":"1.0.0"}},"time":{{"1.0.0":"2015-01-02T03:04:05Z"}},"versions":{{"1.0.0":{{
            "name":"weak-pad","version":"1.0.0","dist":{{"shasum":"{shasum}","tarball":"{origin}{TARBALL}"}}}}}}}}"#
    );
    registry.document("npm/weak-pad", "application/json", weak);
    let mut mirror = MirrorProcesses::start(&registry).await;
    assert_eq!(status(&mirror).await, 403);
    let recheck = |mirror: &MirrorProcesses, purl: &str| said(mirror.command(&["recheck", purl]));
    assert_eq!(
        recheck(&mirror, "pkg:npm/other"),
        (
            Some(1),
            String::new(),
            "pkg:npm/other is not on record: nobody has asked this mirror for it, or its fetch failed\n"
                .into()
        )
    );

    let policy = mirror.config.with_file_name("policy.toml");
    fs::write(&policy, "[[rule]]\necosystem = \"npm\"\nweak_digests = \"legacy\"\n").expect("written");
    let mut config = fs::read_to_string(&mirror.config).expect("read");
    writeln!(config, "\n[policy]\nfile = \"{}\"", policy.display()).expect("appended");
    fs::write(&mirror.config, config).expect("written");
    for role in [Role::Hash(0), Role::Hash(1), Role::Promote, Role::Edge] {
        mirror.kill(role);
        mirror.spawn(role);
    }
    mirror.ready().await;
    assert_eq!(status(&mirror).await, 403, "a new policy alone asks nobody again");

    let (code, text, problem) = recheck(&mirror, "pkg:npm/weak-pad@1.0.0");
    assert_eq!(code, Some(0), "{problem}");
    let digest = Policy::parse(&fs::read_to_string(&policy).expect("read")).expect("a policy").digest();
    let expected = format!(
        "rechecking 1 artifact(s) of pkg:npm/weak-pad@1.0.0, 0 of them were served\nthey are checked by policy sha256:{digest}; promote \
         passes them only if it was started with the same: `touchstone why` shows the outcome\n"
    );
    assert_eq!(text, expected);
    eventually("it is served", || async { (status(&mirror).await == 200).then_some(()) }).await;
    let (code, story, _) = said(mirror.command(&["why", "pkg:npm/weak-pad@1.0.0"]));
    assert_eq!(code, Some(0));
    for words in [
        "promoted    number 1 under policy 2, ".to_owned(),
        format!("policy      number 2, sha256:{digest}; epoch 1 of the gate\n"),
    ] {
        assert!(story.contains(&words), "{words}: {story}");
    }
    let nothing = "nothing to recheck: no artifact of pkg:npm/weak-pad is held or rejected; --all also rechecks what is served or pending\n";
    assert_eq!(recheck(&mirror, "pkg:npm/weak-pad"), (Some(0), nothing.into(), String::new()));
    let recall = ["recall", "pkg:npm/weak-pad@1.0.0", "--reason", "malware", "--no-wait"];
    assert_eq!(said(mirror.command(&recall)).0, Some(0));
    let for_ever = "nothing to recheck: pkg:npm/weak-pad was recalled, for ever; nothing brings it back\n";
    assert_eq!(recheck(&mirror, "pkg:npm/weak-pad"), (Some(0), for_ever.into(), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_are_listed_until_they_are_settled() {
    let registry = Registry::start().await;
    let package = npm_package("weak-pad", "1.0.0", &[], 10);
    registry.publish(package.clone());
    let mirror = MirrorProcesses::start(&registry).await;
    let incidents = |arguments: &[&str]| said(mirror.command(&[&["incidents"], arguments].concat()));
    assert_eq!(incidents(&[]), (Some(0), "nothing is open\n".into(), String::new()));
    registry.fault(&package.file, Fault::Tamper);
    assert_eq!(status(&mirror).await, 502);
    let (code, listed, _) = incidents(&[]);
    assert_eq!(code, Some(0));
    let (number, rest) = listed.split_once("  ").expect("a number");
    assert!(rest.starts_with("upstream_mismatch  npm weak-pad@1.0.0  {"), "{listed}");

    let letter = format!("L{number}");
    for (which, expected) in [
        ("seven", "\"seven\" is neither a number, L and a number, nor `all`"),
        (letter.as_str(), " is not open; `touchstone incidents` lists what is"),
    ] {
        let (code, _, problem) = incidents(&["resolve", which]);
        assert_eq!(code, Some(1));
        assert!(problem.contains(expected), "{problem}");
    }
    assert_eq!(incidents(&["resolve", number]), (Some(0), "1 settled\n".into(), String::new()));
    assert_eq!(incidents(&[]).1, "nothing is open\n");
    assert_eq!(incidents(&["resolve", "all"]).1, "0 settled\n");
}
