//! Promise 5: one coordinate, one digest. What was first stays for ever; another is an incident.

mod race;

use serde_json::Value;
use touchstone_domain::Sha256;
use touchstone_testkit::{Fault, Package, Registry, TestMirror, crate_file, npm_package, wheel};

use crate::{
    faults::files::File,
    protocol::raw::{ask, assert_refused},
};

const SECOND: &str = "Second digest for a known version";
const PINNED: &str = "Another digest than this version has";

/// The same coordinate with different bytes, by its filler.
fn editions(filler: usize) -> [(Package, &'static str); 3] {
    [
        (npm_package("left-pad", "1.3.0", &[], filler), "pkg:npm/left-pad@1.3.0"),
        (wheel("sample", "4.0.0", &[], filler), "pkg:pypi/sample@4.0.0"),
        (crate_file("pad_left", "0.1.0", &[], filler), "pkg:cargo/pad_left@0.1.0"),
    ]
}

async fn world() -> (Registry, TestMirror, Vec<(Package, File)>) {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let mut first = vec![];
    for (package, purl) in editions(1_000) {
        registry.publish(package.clone());
        let file = File::of(&package, purl);
        assert_served(&mirror, &file).await;
        first.push((package, file));
    }
    (registry, mirror, first)
}

async fn assert_served(mirror: &TestMirror, file: &File) {
    let reply = ask(mirror, "GET", &file.target, &[]).await;
    assert_eq!(reply.line, "HTTP/1.1 200 OK", "{}: {}", file.name, reply.text());
    assert!(reply.body == file.bytes, "{}: other bytes were served", file.name);
}

/// What the mirror's index declares for the packages of [`editions`].
async fn declared(mirror: &TestMirror) -> [String; 3] {
    let index = async |target: &str, accept: &str| {
        let reply = ask(mirror, "GET", target, &[("Accept", accept)]).await;
        assert_eq!(reply.status(), 200, "{target}: {}", reply.text());
        serde_json::from_slice::<Value>(&reply.body).expect("JSON")
    };
    let npm = index("/npm/left-pad", "*/*").await;
    let pypi = index("/pypi/simple/sample/", "application/vnd.pypi.simple.v1+json").await;
    let cargo = index("/cargo/pa/d_/pad_left", "*/*").await;
    [&npm["versions"]["1.3.0"]["dist"]["integrity"], &pypi["files"][0]["hashes"]["sha256"], &cargo["cksum"]]
        .map(|value| value.as_str().unwrap_or("none").to_owned())
}

fn honest(packages: [&Package; 3]) -> [String; 3] {
    let [npm, wheel, krate] = packages;
    [npm.integrity(), wheel.sha256().to_string(), krate.sha256().to_string()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bytes_stay_served_and_listed() {
    let (registry, mirror, first) = world().await;
    let expected = honest([&first[0].0, &first[1].0, &first[2].0]);
    assert_eq!(declared(&mirror).await, expected);
    assert_eq!(mirror.incidents().await, Vec::<String>::new());
    for (package, _) in editions(2_000) {
        registry.publish(package);
    }
    assert_eq!(declared(&mirror).await, expected);
    for (package, file) in &first {
        assert_served(&mirror, file).await;
        let purl = file.purl.parse().expect("a purl");
        let incidents = mirror.store.incidents_about(&purl, 10).await.expect("incidents");
        let [incident] = incidents.as_slice() else { panic!("{}: {incidents:?}", file.name) };
        assert_eq!(incident.kind, "second_digest", "{}", file.name);
        assert_eq!(incident.detail["sha256"], package.sha256().to_string(), "{}", file.name);
        let problem = incident.detail["problem"].as_str().unwrap_or_default();
        assert!(problem.starts_with("the upstream's metadata changed: "), "{}: {problem}", file.name);
        let stories = mirror.store.stories(&purl, 10).await.expect("stories");
        assert_eq!(stories.len(), 1, "{}: one coordinate, one row", file.name);
        assert_eq!(stories[0].incidents.len(), 1, "{}: `why` tells of it", file.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_copy_is_replaced_by_the_same_bytes_only() {
    let (registry, mirror, first) = world().await;
    for (second, _) in editions(2_000) {
        registry.publish(second);
    }
    declared(&mirror).await;
    for (package, file) in &first {
        std::fs::remove_file(mirror.blob_path(package.sha256())).expect("the blob");
        let before = bodies(&registry);
        let reply = ask(&mirror, "GET", &file.target, &[]).await;
        assert_refused(&reply, 403, "diverged", SECOND, &file.name);
        assert!(reply.text().contains(&package.sha256().to_string()), "{}: {}", file.name, reply.text());
        // npm declares no SHA-256, so only the bytes can tell.
        let fetched = usize::from(package.ecosystem == touchstone_domain::Ecosystem::Npm);
        assert_eq!(bodies(&registry) - before, fetched, "{}", file.name);
        let purl = file.purl.parse().expect("a purl");
        let incidents = mirror.store.incidents_about(&purl, 10).await.expect("incidents");
        let offered = |problem: &str| problem.starts_with("the upstream offers sha256:");
        let found = incidents
            .iter()
            .any(|i| i.kind == "second_digest" && i.detail["problem"].as_str().is_some_and(offered));
        assert!(found, "{}: {incidents:?}", file.name);
    }
    for (package, _) in &first {
        registry.publish(package.clone());
    }
    declared(&mirror).await;
    for (_, file) in &first {
        assert_served(&mirror, file).await;
    }
    let healed = mirror.incidents().await.iter().filter(|kind| *kind == "blob_healed").count();
    assert_eq!(healed, first.len());
}

/// What is on record does not become unknown because it was lost here and is gone there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_copy_of_what_the_upstream_dropped_is_no_404() {
    let (registry, mirror, first) = world().await;
    for (package, file) in &first {
        let newer = match package.ecosystem {
            touchstone_domain::Ecosystem::Npm => npm_package(&package.name, "9.0.0", &[], 9),
            touchstone_domain::Ecosystem::Pypi => wheel(&package.name, "9.0.0", &[], 9),
            touchstone_domain::Ecosystem::Cargo => crate_file(&package.name, "9.0.0", &[], 9),
            touchstone_domain::Ecosystem::Go => panic!("none is made here"),
        };
        registry.unpublish(&package.name);
        registry.publish(newer);
        assert_served(&mirror, file).await;
        std::fs::remove_file(mirror.blob_path(package.sha256())).expect("the blob");
    }
    ask(&mirror, "GET", "/npm/left-pad", &[]).await;
    ask(&mirror, "GET", "/pypi/simple/sample/", &[]).await;
    ask(&mirror, "GET", "/cargo/pa/d_/pad_left", &[]).await;
    for (_, file) in &first {
        let reply = ask(&mirror, "GET", &file.target, &[]).await;
        assert_refused(&reply, 502, "upstream_broken", "Upstream answered wrongly", &file.name);
        assert!(reply.text().contains("the stored copy is lost"), "{}: {}", file.name, reply.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_names_another_digest_is_refused_without_a_fetch() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    for (package, purl) in editions(1_000).into_iter().skip(1) {
        registry.publish(package.clone());
        let (file, before) = (File::of(&package, purl), bodies(&registry));
        let right = package.sha256().to_string();
        let wrong = file.target.replace(&right, &Sha256::of(b"other").to_string());
        let reply = ask(&mirror, "GET", &wrong, &[]).await;
        assert_refused(&reply, 403, "diverged", PINNED, &wrong);
        assert!(reply.text().contains(&right), "{}", reply.text());
        assert_eq!(bodies(&registry), before, "{purl}");
        assert!(mirror.states(purl).await.is_empty(), "{purl}");
        assert_served(&mirror, &file).await;
        assert_refused(&ask(&mirror, "GET", &wrong, &[]).await, 403, "diverged", PINNED, &wrong);
        assert_served(&mirror, &file).await;
    }
    assert_eq!(mirror.incidents().await, Vec::<String>::new(), "asking is not offering");
}

/// Those who ask for the right bytes do not share the refusal of those who do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_pins_do_not_refuse_the_right_ones() {
    let registry = Registry::start().await;
    let package = crate_file("pad_left", "0.1.0", &[], 1_000);
    registry.publish(package.clone());
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    registry.fault(&package.file, Fault::Hold(std::sync::Arc::clone(&gate)));
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let file = File::of(&package, "pkg:cargo/pad_left@0.1.0");
    let wrong = file.target.replace(&package.sha256().to_string(), &Sha256::of(b"other").to_string());
    let asked = async |target: &str| ask(&mirror, "GET", target, &[]).await;
    let release = async {
        let refused = asked(&wrong).await;
        gate.add_permits(1);
        refused
    };
    let (first, refused, last) = tokio::join!(asked(&file.target), release, asked(&file.target));
    assert_refused(&refused, 403, "diverged", PINNED, "the wrong pin");
    assert_eq!((first.status(), last.status()), (200, 200));
    assert!(first.body == package.bytes && last.body == package.bytes);
    assert_eq!(bodies(&registry), 1);
}

/// The METADATA beside a wheel is a file of its own: it stays, and is no longer offered for a wheel with another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_changed_is_kept_and_no_longer_offered() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder().registry(&registry).start().await;
    let (one, two) = (wheel("sample", "4.0.0", &[], 10), wheel("sample", "4.0.0", &[("evil", "")], 10));
    let metadata = one.metadata.clone().expect("a wheel has metadata");
    registry.publish(one.clone());
    let sidecar = format!("/pypi/files/{}/sample/{}.metadata", one.sha256(), one.file);
    let offered = async || {
        let accept = [("Accept", "application/vnd.pypi.simple.v1+json")];
        let index = ask(&mirror, "GET", "/pypi/simple/sample/", &accept).await;
        serde_json::from_slice::<Value>(&index.body).expect("JSON")["files"][0]["core-metadata"].clone()
    };
    assert_eq!(ask(&mirror, "GET", &sidecar, &[]).await.body, metadata);
    assert_eq!(offered().await["sha256"], Sha256::of(&metadata).to_string());
    registry.publish(two);
    assert_eq!(offered().await, false);
    assert_eq!(ask(&mirror, "GET", &sidecar, &[]).await.body, metadata);
    assert_eq!(mirror.incidents().await, ["second_digest"]);
}

/// How many artifact bodies the registry was asked for.
fn bodies(registry: &Registry) -> usize {
    let body = |path: &str| ["/-/", "/files/", "/dl/"].iter().any(|part| path.contains(part));
    registry.requests().iter().filter(|request| body(&request.path)).count()
}
