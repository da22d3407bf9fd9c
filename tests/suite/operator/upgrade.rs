//! An upgrade from a version that signed nothing: the new version is started in the same data directory, and that is all.

mod before;

use std::fs;

use rustix::process::Signal;
use touchstone_runtime::servers::recorded_url;
use touchstone_testkit::{Package, Registry, eventually, npm_package};

use super::{http, run, standalone::Standalone};
use before::{Database, Listing, Was};

fn path(package: &Package) -> String {
    format!("npm/{}/-/{}", package.name, package.file)
}

/// Status, `x-touchstone-reason` and body.
async fn get(standalone: &Standalone, path: &str) -> (u16, String, Vec<u8>) {
    let answer = http().get(standalone.url.join(path).expect("a path")).send().await.expect("an answer");
    let reason = answer.headers().get("x-touchstone-reason");
    let reason = reason.map(|reason| reason.to_str().expect("text").to_owned()).unwrap_or_default();
    (answer.status().as_u16(), reason, answer.bytes().await.expect("a body").to_vec())
}

/// What a command prints; it must end well.
fn told(standalone: &Standalone, arguments: &[&str]) -> String {
    let (code, said, problem) = run(standalone.path(), arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}{problem}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_signed_is_served_again_once_it_was_fetched_and_checked_again() {
    let registry = Registry::start().await;
    let [served, changed, rejected, recalled, fetched] =
        ["left-pad", "right-pad", "bad-pad", "gone-pad", "slow-pad"]
            .map(|name| npm_package(name, "1.3.0", &[], 10));
    let all = [&served, &changed, &rejected, &recalled, &fetched];
    for package in all {
        registry.publish(package.clone());
    }
    let mut listings = vec![];
    for package in all {
        let url = registry.url(package.ecosystem).join(&package.name).expect("a path");
        let answer = http().get(url.clone()).send().await.expect("an answer");
        let document = answer.bytes().await.expect("a body").to_vec();
        listings.push(Listing { url: url.into(), document });
    }
    registry.publish(npm_package("right-pad", "1.3.0", &[], 11));
    let mut standalone = Standalone::new(&registry);
    let data = standalone.path().join("data");
    let artifacts = [
        (&served, Was::Served),
        (&changed, Was::Served),
        (&rejected, Was::Rejected),
        (&recalled, Was::Recalled),
        (&fetched, Was::Fetched),
    ];
    let rows = before::make(&data, &artifacts, &listings).await;
    assert!(!data.join("keys").exists() && !data.join("log").exists());

    registry.set_down(true);
    standalone.start().await;
    let away = get(&standalone, &path(&served)).await;
    assert_eq!((away.0, away.1.as_str()), (502, "Upstream cannot be reached"), "nobody signed for it");
    let listed = get(&standalone, "npm/left-pad").await;
    assert_eq!(listed.0, 200, "{}", listed.1);

    registry.set_down(false);
    for package in [&served, &fetched] {
        // The registry is asked again some seconds after it was down.
        let bytes = eventually("it is served again", || async {
            let (status, _, bytes) = get(&standalone, &path(package)).await;
            (status == 200).then_some(bytes)
        })
        .await;
        assert!(bytes == package.bytes, "{}: other bytes", package.name);
        assert_eq!(registry.asked_for(&package.file), 1, "{} is fetched again", package.name);
    }
    for (package, title, detail) in [
        (&changed, "Second digest for a known version", format!("sha256:{}", changed.sha256())),
        (&rejected, "Rejected by the hash check: size_mismatch", "declared size is 1 bytes".to_owned()),
        (&recalled, "Recalled by the mirror's operators", "was recalled: malware".to_owned()),
    ] {
        is_refused(&standalone, package, title, &detail).await;
    }
    let incidents = told(&standalone, &["incidents"]);
    let kinds: Vec<_> = incidents.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(kinds, ["second_digest", "second_digest"], "the one from before, and one: {incidents}");
    the_story_is_whole(&standalone, &served).await;
    let database = Database::connect(&recorded_url(&data.join("servers/postgres")).expect("it runs")).await;
    for row in &rows {
        assert!(database.has(row).await, "lost: {row:?}");
    }

    assert_eq!(standalone.end(Signal::TERM), Some(0));
    registry.set_down(true);
    standalone.start().await;
    let (status, _, bytes) = get(&standalone, &path(&served)).await;
    assert!(status == 200 && bytes == served.bytes, "it stays: {status}");
    let ring = fs::read(data.join("keys/keyring.json")).expect("a ring");
    assert!(!ring.is_empty());
}

async fn is_refused(standalone: &Standalone, package: &Package, title: &str, detail: &str) {
    let (status, reason, body) = get(standalone, &path(package)).await;
    assert_eq!((status, reason.as_str()), (403, title), "{}", package.name);
    let body = String::from_utf8(body).expect("text");
    assert!(body.contains(detail), "{}: {body}", package.name);
}

/// Its first promotion that nobody signed, and the one that counts, with its place in the log.
async fn the_story_is_whole(standalone: &Standalone, package: &Package) {
    let purl = format!("pkg:npm/{}@{}", package.name, package.version);
    let story = eventually("the promotion is in the log", || async {
        let story = told(standalone, &["why", &purl]);
        story.contains(" of the transparency log\n").then_some(story)
    })
    .await;
    for line in [
        "  state       servable: it is served\n".to_owned(),
        format!("  sha256      {}\n", package.sha256()),
        "  promoted    number 1 under policy 1, ".to_owned(),
        "signed by the fetch key ".to_owned(),
        "signed by the promote key ".to_owned(),
    ] {
        assert!(story.contains(&line), "{line}: {story}");
    }
    let report = told(standalone, &["log", "verify"]);
    assert!(
        report.ends_with("the database agrees: entries, rows, records and what they rest on\n"),
        "{report}"
    );
    let report = told(standalone, &["doctor"]);
    for line in [
        "custody.keys        fetch, hash, attest, sumdb, peer, promote, log count\n",
        "database            5 artifact(s)",
    ] {
        assert!(report.contains(&format!("ok    {line}")), "{report}");
    }
}
