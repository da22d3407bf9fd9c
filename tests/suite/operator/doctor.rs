//! What `touchstone doctor` says of attestations: trust, the servers that documents come from, and the worker.

use std::{fs, path::Path};

use jiff::ToSpan as _;
use touchstone_domain::Ecosystem;
use touchstone_testkit::{
    MirrorProcesses, Port, Registry, Role, eventually, fresh_database, npm_package,
    sigstore::{Sigstore, clock},
    tuf::{TufRepository, TufServer},
};

use super::{http, make_keys, run, said};

/// The line of a test, and what the command returned.
fn line(directory: &Path, name: &str) -> (Option<i32>, String) {
    let (code, report, _) = run(directory, &["doctor"]);
    (code, found(&report, name))
}

fn found(report: &str, name: &str) -> String {
    let line = report.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    line.unwrap_or_else(|| panic!("{name}: {report}")).to_owned()
}

/// Who looks in another directory than they think is told so, and leaves nothing behind.
#[test]
fn doctor_makes_nothing_and_misses_an_installation() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path();
    let shown = directory.display();
    let (code, report, problem) = run(directory, &["doctor"]);
    assert_eq!((code, problem.as_str()), (Some(0), ""), "{report}");
    let expected = format!(
        "warn  configuration       neither a touchstone.toml nor the key ring {shown}/data/keys/keyring.json is there: here is no \
         installation, or none yet; run this where its touchstone.toml is, or name that with `-c FILE`"
    );
    assert_eq!(found(&report, "configuration"), expected);
    assert_eq!(found(&report, "blobs"), "ok    blobs               not there; standalone makes it");
    let none = "warn  upstream            none is configured, so nothing can be fetched; run `touchstone upstreams discover --write`";
    assert_eq!(found(&report, "upstream"), none);
    assert_eq!(fs::read_dir(directory).expect("a directory").count(), 0, "{report}");

    make_keys(directory);
    let ring =
        format!("ok    configuration       no file; there is a key ring, {shown}/data/keys/keyring.json");
    assert_eq!(line(directory, "configuration"), (Some(0), ring));
    fs::create_dir(directory.join("data/blobs")).expect("made");
    let empty = format!(
        "warn  blobs               {shown}/data/blobs is empty: no role has used it yet, or what belongs there is not mounted"
    );
    assert_eq!(line(directory, "blobs"), (Some(0), empty));
    assert_eq!(fs::read_dir(directory.join("data/blobs")).expect("a directory").count(), 0);
    fs::create_dir(directory.join("data/blobs/sha256")).expect("made");
    let good = format!("ok    blobs               {shown}/data/blobs");
    assert_eq!(line(directory, "blobs"), (Some(0), good));
    fs::remove_dir_all(directory.join("data/blobs")).expect("removed");
    fs::write(directory.join("data/blobs"), "").expect("written");
    let file = format!("FAIL  blobs               {shown}/data/blobs is no directory");
    assert_eq!(line(directory, "blobs"), (Some(1), file));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_whose_signatures_count_and_what_is_wrong_with_them() {
    let place = tempfile::tempdir().expect("a directory");
    let (directory, database) = (place.path(), fresh_database().await);
    let configure = |trust: &str| {
        let text = format!("[database]\nurl = '{database}'\n[trust]\n{trust}\n");
        fs::write(directory.join("touchstone.toml"), text).expect("written");
    };
    fs::write(directory.join("root.json"), Sigstore::new().trusted_root_json()).expect("written");
    configure("sigstore_root = 'root.json'");
    make_keys(directory);
    let embedded = "npm_keys embedded; nothing expires by itself";
    let good = format!("ok    trust               sigstore_root file, {embedded}");
    assert_eq!(line(directory, "trust"), (Some(0), good));

    fs::write(directory.join("root.json"), "{").expect("written");
    let (code, bad) = line(directory, "trust");
    assert!(bad.starts_with("FAIL  trust               `trust.sigstore_root`: "), "{bad}");
    assert!(code == Some(1) && bad.contains("root.json is refused: "), "{bad}");

    let repository = TufRepository::new(clock());
    fs::write(directory.join("tuf_root.json"), repository.pin()).expect("written");
    configure("tuf_root = 'tuf_root.json'");
    let nothing = "FAIL  trust               no attestation can be verified, and what requires one stays pending: \
                   `trust.tuf_root` is set, and nothing was refreshed or imported yet; `touchstone trust refresh` or \
                   `import` does";
    assert_eq!(line(directory, "trust"), (Some(1), nothing.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_when_stored_trust_expires() {
    let place = tempfile::tempdir().expect("a directory");
    let (directory, database) = (place.path(), fresh_database().await);
    make_keys(directory);
    let now = clock();
    let mut repository = TufRepository::new(now - 96.hours());
    let sigstore = Sigstore::new();
    repository.target("targets", "trusted_root.json", &sigstore.trusted_root_json());
    for (left, start, words) in [
        (1000, "ok    ", "; current until "),
        (48, "warn  ", " (timestamp); `touchstone trust refresh` or `import` renews it"),
        (-1, "warn  ", "; `touchstone trust refresh` or `import` renews it"),
    ] {
        repository.timestamp.expires = now + left.hours();
        repository.advance();
        fs::write(directory.join("tuf_root.json"), repository.pin()).expect("written");
        let text = format!("[database]\nurl = '{database}'\n[trust]\ntuf_root = 'tuf_root.json'\n");
        fs::write(directory.join("touchstone.toml"), text).expect("written");
        let copy = tempfile::tempdir().expect("a directory");
        repository.write(copy.path(), touchstone_testkit::tuf::Layout::Folders);
        let path = copy.path().to_str().expect("a path");
        let (code, _, problem) = run(directory, &["trust", "import", path]);
        assert_eq!(code, Some(0), "{problem}");
        let (code, trust) = line(directory, "trust");
        assert!(trust.starts_with(start) && trust.contains("sigstore_root tuf, "), "{left}: {trust}");
        assert!(code == Some(0) && trust.contains(words), "{left}: {trust}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_asks_the_servers_that_trust_and_attestations_come_from() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path();
    let registry = Registry::start().await;
    let server = TufServer::start(&{
        let mut repository = TufRepository::new(clock());
        repository.publish();
        repository
    })
    .await;
    let port = Port::take();
    let closed = format!("http://{}/", port.address());
    let elsewhere = registry.url(Ecosystem::Npm);
    let configure = |tuf: &str, npm: &str, pypi: &str| {
        let text = format!(
            "[trust]\ntuf_url = '{tuf}'\n[upstream.npm]\nurl = '{elsewhere}'\nattestations_url = '{npm}'\n\
             [upstream.pypi]\nurl = '{}'\nprovenance_url = '{pypi}'\n",
            registry.url(Ecosystem::Pypi)
        );
        fs::write(directory.join("touchstone.toml"), text).expect("written");
    };
    let origin = |url: &str| url::Url::parse(url).expect("an address").origin().ascii_serialization();

    configure(server.url().as_str(), elsewhere.as_str(), elsewhere.as_str());
    let (code, report, _) = run(directory, &["doctor"]);
    assert_eq!(code, Some(0), "{report}");
    let has = format!("ok    trust.tuf_url       {} has timestamp.json", origin(server.url().as_str()));
    assert_eq!(found(&report, "trust.tuf_url"), has);
    for name in ["attestations.npm", "attestations.pypi"] {
        let answers = format!("ok    {name:<20}{} answers", origin(elsewhere.as_str()));
        assert!(found(&report, name).starts_with(&answers), "{report}");
    }

    configure(elsewhere.as_str(), &closed, &closed);
    let (code, report, _) = run(directory, &["doctor"]);
    assert_eq!(code, Some(1), "{report}");
    let next =
        "trust is not refreshed; correct `trust.tuf_url`, or import a copy with `touchstone trust import`";
    let lacks = format!("FAIL  trust.tuf_url       {elsewhere} has no timestamp.json; {next}");
    assert_eq!(found(&report, "trust.tuf_url"), lacks);
    for (name, key) in [("npm", "attestations_url"), ("pypi", "provenance_url")] {
        let why = format!(
            "attestations cannot be fetched, and what has any stays pending; correct `upstream.{name}.{key}`: cannot reach {}",
            origin(&closed)
        );
        let test = found(&report, &format!("attestations.{name}"));
        assert!(test.starts_with("FAIL  ") && test.contains(&why), "{report}");
    }

    configure(&closed, elsewhere.as_str(), elsewhere.as_str());
    let (code, report, _) = run(directory, &["doctor"]);
    let away = format!("FAIL  trust.tuf_url       {next}: cannot reach {}", origin(&closed));
    assert!(code == Some(1) && found(&report, "trust.tuf_url").starts_with(&away), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_misses_the_worker_that_artifacts_wait_for() {
    let registry = Registry::start().await;
    registry.publish(npm_package("left-pad", "1.3.0", &[], 10));
    let mut mirror = MirrorProcesses::start(&registry).await;
    let report = || said(mirror.command(&["doctor"]));
    eventually("the worker asks for work", || async {
        let (code, report, _) = report();
        let there = "ok    check.attest        a worker is there; nothing waits";
        (code == Some(0) && found(&report, "check.attest") == there).then_some(())
    })
    .await;
    mirror.kill(Role::Attest(0));
    let url = mirror.url.join("npm/left-pad/-/left-pad-1.3.0.tgz").expect("a path");
    assert_eq!(http().get(url.clone()).send().await.expect("an answer").status(), 503);
    let (code, text, _) = said(mirror.command(&["doctor"]));
    let missed = found(&text, "check.attest");
    let start =
        "FAIL  check.attest        no worker is there, and 1 artifact(s) wait for one, the first since ";
    assert!(missed.starts_with(start) && missed.ends_with("Z; start `touchstone attest`"), "{text}");
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(found(&text, "check.hash"), "ok    check.hash          a worker is there; nothing waits");

    mirror.spawn(Role::Attest(0));
    eventually("the worker has caught up", || async {
        (http().get(url.clone()).send().await.ok()?.status() == 200).then_some(())
    })
    .await;
    let (code, text, _) = said(mirror.command(&["doctor"]));
    assert_eq!(code, Some(0), "{text}");
}
