//! A worker whose own key is revoked: what waits for it says so, and how that ends.

use std::{fs, time::Duration};

use serde_json::Value;
use touchstone_testkit::{MirrorProcesses, Registry, Role, eventually, npm_package};

use super::{http, said};

const PURL: &str = "pkg:npm/left-pad@1.3.0";
const TARBALL: &str = "npm/left-pad/-/left-pad-1.3.0.tgz";
const FIX: &str = "  fix         the hash key in use does not count, so nothing is checked with it: run `touchstone keys rotate hash`, then start \
                   the worker again; `touchstone incidents` says why\n";

fn why(mirror: &MirrorProcesses) -> String {
    said(mirror.command(&["why", PURL])).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_key_says_so_and_how_that_ends() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mut mirror = MirrorProcesses::start(&registry).await;
    let keys = said(mirror.command(&["keys", "list", "--json"])).1;
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    let hash = keys["keys"].as_array().expect("a list").iter().find(|key| key["kind"] == "hash");
    let key = hash.expect("a hash key")["id"].as_str().expect("a number");
    let revoked = said(mirror.command(&["keys", "revoke", key, "--reason", "stolen"]));
    assert_eq!(revoked.0, Some(0), "{}", revoked.2);
    let listed = eventually("people are told", || async {
        let (_, listed, _) = said(mirror.command(&["incidents"]));
        listed.contains("signing_blocked").then_some(listed)
    })
    .await;
    let (_number, rest) = listed.split_once("  ").expect("a number");
    assert!(rest.starts_with("signing_blocked  {"), "it is about no package: {listed}");

    let url = mirror.url.join(TARBALL).expect("a path");
    let left = http().get(url.clone()).timeout(Duration::from_millis(500)).send().await;
    assert!(left.is_err_and(|error| error.is_timeout()), "nobody checks it");
    let story = eventually("it waits for hash alone", || async {
        Some(why(&mirror)).filter(|story| story.contains(": waiting for hash; "))
    })
    .await;
    assert!(story.contains(": waiting for hash; nothing goes on until a key counts again\n"), "{story}");
    assert!(story.contains(FIX), "{story}");

    assert_eq!(said(mirror.command(&["keys", "rotate", "hash"])).0, Some(0));
    eventually("promote knows the new key", || async {
        let log = fs::read_to_string(mirror.log(Role::Promote)).expect("a log");
        (log.matches("the key ring changed").count() == 2).then_some(())
    })
    .await;
    for role in [Role::Hash(0), Role::Hash(1)] {
        mirror.kill(role);
        mirror.spawn(role);
    }
    eventually("it is served", || async {
        let answer = http().get(url.clone()).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    assert!(!why(&mirror).contains("  fix "), "{}", why(&mirror));
    eventually("the incident is over", || async {
        said(mirror.command(&["incidents"])).1.eq("nothing is open\n").then_some(())
    })
    .await;
}
