//! The transparency log: what happened is sealed once and published, and a database that says otherwise is noticed, named, and
//! brought back.

mod newer;
mod restored;
mod rewritten;
mod stalled;
mod witness;

use std::{fs, path::Path, process::Command};

use touchstone_custody::{KeyKind, LogEntry};
use touchstone_runtime::SystemClock;
use touchstone_testkit::{
    Fault, Package, Registry, TestMirror, custody::TestKeys, eventually, npm_package, touchstone_binary,
};
use touchstone_translog::{LogKeys, LogReader};

use super::world::{Owner, path, published, sealed};

/// Runs a command of an operator of this mirror: exit code, standard output, standard error.
fn touchstone(mirror: &TestMirror, arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let ring = directory.path().join("keyring.json");
    fs::write(&ring, mirror.keys.ring().borrow().to_json()).expect("written");
    let output = Command::new(touchstone_binary())
        .current_dir(directory.path())
        .env_remove("TOUCHSTONE_CONFIG")
        .env("RUST_LOG", "off")
        .env("TOUCHSTONE__DATABASE__URL", &mirror.database_url)
        .env("TOUCHSTONE__CUSTODY__ENVIRONMENT", "test")
        .env("TOUCHSTONE__CUSTODY__KEYRING", &ring)
        .env("TOUCHSTONE__LOG__DIR", &mirror.log_dir)
        .env("TOUCHSTONE__BLOBS__URL", format!("file://{}", mirror.blobs_dir.display()))
        .args(arguments)
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The entries of a published log, verified.
fn entries(mirror: &TestMirror, dir: &Path) -> Vec<LogEntry> {
    let keys = LogKeys::of(&mirror.keys.ring().borrow(), "test").expect("keys");
    let reader = LogReader::open(dir).expect("a directory");
    let head = reader.head(&keys).expect("signed").expect("published");
    let entry =
        |read: Result<(u64, Vec<u8>), _>| LogEntry::parse(&read.expect("verified").1).expect("an entry");
    reader.iterate(&head, 0, u64::MAX).map(entry).collect()
}

/// The purls that were promoted, by a log.
fn promoted(entries: &[LogEntry]) -> Vec<&str> {
    entries
        .iter()
        .filter_map(|entry| match entry {
            LogEntry::Promoted { purl, .. } => Some(purl.as_str()),
            _ => None,
        })
        .collect()
}

/// Waits for an incident of this kind whose problem says this.
async fn incident(mirror: &TestMirror, kind: &str, problem: &str) {
    eventually(&format!("an incident {kind} says {problem:?}"), || async {
        let incidents = mirror.store.latest_incidents(100).await.expect("incidents");
        let told = incidents.iter().any(|incident| {
            incident.kind == kind
                && incident.detail["problem"].as_str().is_some_and(|said| said.contains(problem))
        });
        told.then_some(())
    })
    .await;
}

async fn served(mirror: &TestMirror, package: &Package) {
    eventually(&format!("{} is served", package.file), || async {
        let response = mirror.get(&path(package)).await;
        (response.status() == 200).then_some(())
    })
    .await;
}

/// Stops the roles of a mirror, and waits until they did.
async fn stop(mirror: &TestMirror) {
    mirror.shutdown.soft.cancel();
    mirror.shutdown.drained().await;
}

/// Copies a directory, as a backup does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Each once, and of these packages alone.
fn assert_one_rejection_and_one_incident(log: &[LogEntry], rejected: &Package, contradicted: &Package) {
    let purl = |package: &Package| format!("pkg:npm/{}@1.0.0?file_name={}", package.name, package.file);
    let told: Vec<(&str, &str, &str)> = log
        .iter()
        .filter_map(|entry| match entry {
            LogEntry::Ended { purl, state, cause, .. } if state == "rejected" => {
                Some((state.as_str(), cause.as_str(), purl.as_str()))
            }
            LogEntry::Incident { kind, purl, .. } => Some(("incident", kind.as_str(), purl.as_str())),
            LogEntry::Ended { .. }
            | LogEntry::Promoted { .. }
            | LogEntry::Recalled { .. }
            | LogEntry::Key { .. }
            | LogEntry::Policy { .. }
            | LogEntry::Recovered { .. } => None,
        })
        .collect();
    let (rejected, contradicted) = (purl(rejected), purl(contradicted));
    let mut expected =
        vec![("rejected", "verdict", rejected.as_str()), ("incident", "upstream_mismatch", &contradicted)];
    let mut sorted = told;
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_sealed_once_and_whoever_reads_it_can_verify_it() {
    let registry = Registry::start().await;
    let packages: Vec<Package> =
        (0..12).map(|n| npm_package(&format!("package-{n}"), "1.0.0", &[], 10)).collect();
    for package in &packages {
        registry.publish(package.clone());
    }
    let bad = Package { bytes: packages[0].bytes.clone(), ..npm_package("impostor", "1.0.0", &[], 10) };
    let other = npm_package("other", "1.0.0", &[], 10);
    for package in [&bad, &other] {
        registry.publish(package.clone());
    }
    registry.fault(&other.file, Fault::Tamper);
    let mirror = TestMirror::builder().registry(&registry).promoters(2).start().await;
    for package in &packages {
        served(&mirror, package).await;
    }
    assert_eq!(mirror.get(&path(&bad)).await.status(), 403, "it is rejected");
    assert_eq!(mirror.get(&path(&other)).await.status(), 502, "it is an incident");
    let recalled = touchstone_store::RecallTarget::Digest(packages[0].sha256());
    mirror.store.recall(&recalled, "stolen token", "ada").await.expect("recalled");
    sealed(&mirror).await;
    let owner = Owner::of(&mirror).await;

    eventually("the log has the rejection and the incident", || async {
        let sealed = r#"SELECT count(*) FROM log_leaf WHERE convert_from(entry, 'UTF8') LIKE '%"state":"rejected"%'
            OR convert_from(entry, 'UTF8') LIKE '%"event":"incident"%'"#;
        (owner.number(sealed).await >= 2).then_some(())
    })
    .await;
    sealed(&mirror).await;
    let log = entries(&mirror, &mirror.log_dir);
    assert_one_rejection_and_one_incident(&log, &bad, &other);
    let mut purls = promoted(&log);
    purls.sort_unstable();
    let mut expected: Vec<String> = packages
        .iter()
        .map(|package| format!("pkg:npm/{}@1.0.0?file_name={}", package.name, package.file))
        .collect();
    expected.sort_unstable();
    assert_eq!(purls, expected, "each promotion once, though two promote");
    let ended = |entry: &&LogEntry| matches!(entry, LogEntry::Ended { state, cause, .. } if state == "revoked" && cause == "recall");
    assert_eq!(log.iter().filter(ended).count(), 1);
    let sha256 = Some(packages[0].sha256());
    let is_recall = |entry: &&LogEntry| {
        matches!(entry, LogEntry::Recalled { purl: None, sha256: of, reason, actor, .. }
            if *of == sha256 && reason == "stolen token" && actor == "ada")
    };
    assert_eq!(log.iter().filter(is_recall).count(), 1);
    let keys =
        log.iter().filter(|entry| matches!(entry, LogEntry::Key { change, .. } if change == "added")).count();
    assert_eq!(keys, 7, "every key of the ring");
    assert!(log.iter().any(|entry| matches!(entry, LogEntry::Policy { .. })));
    assert_eq!(owner.number("SELECT count(*) FROM log_leaf").await, i64::try_from(log.len()).expect("small"));

    let (code, report, problem) = touchstone(&mirror, &["log", "verify"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(
        report.contains("every entry leads to the root\n") && report.contains("      12 promotions\n"),
        "{report}"
    );
    assert!(report.contains("the database agrees: entries, rows, records and what they rest on"), "{report}");
    let (code, page, problem) = touchstone(&mirror, &["log", "show"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(page.starts_with("log         touchstone/test\n"), "{page}");
    assert!(page.contains(&format!("published   {} entries, root ", published(&mirror))), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_and_not_published_is_published_at_the_next_start() {
    let registry = Registry::start().await;
    let (first, second) = (npm_package("first", "1.0.0", &[], 10), npm_package("second", "1.0.0", &[], 10));
    registry.publish(first.clone());
    registry.publish(second.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    served(&mirror, &first).await;
    sealed(&mirror).await;
    let (places, kept) = (tempfile::tempdir().expect("a directory"), published(&mirror));
    copy(&mirror.log_dir, &places.path().join("kept"));
    served(&mirror, &second).await;
    sealed(&mirror).await;
    let size = published(&mirror);
    assert!(size > kept);
    stop(&mirror).await;
    // The process died after the commit. Of the files, some were written already; the checkpoint was not.
    let at_death = places.path().join("kept");
    for file in ["checkpoint", "tile/0/000.p", "tile/entries/000.p"] {
        let target = mirror.log_dir.join(file);
        if target.is_dir() {
            fs::remove_dir_all(&target).expect("removed");
            copy(&at_death.join(file), &target);
        } else {
            fs::copy(at_death.join(file), target).expect("copied");
        }
    }
    fs::write(mirror.log_dir.join(format!("tile/0/000.p/{size}")), b"half").expect("written");
    assert_eq!(published(&mirror), kept);
    let again = TestMirror::builder().registry(&registry).beside(&mirror).start().await;
    eventually("the rest is published", || async { (published(&again) >= size).then_some(()) }).await;
    assert_eq!(promoted(&entries(&again, &again.log_dir)).len(), 2);
    served(&again, &second).await;
    assert!(
        !again.incidents().await.iter().any(|kind| kind.starts_with("log") || kind.starts_with("database"))
    );

    // A directory that is gone as a whole is written again as well.
    stop(&again).await;
    fs::remove_dir_all(&mirror.log_dir).expect("removed");
    let last = TestMirror::builder().registry(&registry).beside(&mirror).start().await;
    eventually("all is published", || async { (published(&last) >= size).then_some(()) }).await;
    assert_eq!(promoted(&entries(&last, &last.log_dir)).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_verifies_by_itself_and_a_changed_one_does_not() {
    let registry = Registry::start().await;
    let package = npm_package("package", "1.0.0", &[], 10);
    registry.publish(package.clone());
    let places = tempfile::tempdir().expect("a directory");
    let witness = places.path().join("witness");
    let mirror = TestMirror::builder().registry(&registry).witness_dir(witness.clone()).start().await;
    served(&mirror, &package).await;
    sealed(&mirror).await;
    stop(&mirror).await;
    let dir = witness.to_str().expect("UTF-8");
    let verify = || touchstone(&mirror, &["log", "verify", "--offline", "--dir", dir]);
    let (code, report, problem) = verify();
    assert_eq!(code, Some(0), "{problem}");
    assert!(
        report.contains("1 promotions\nevery entry leads to the root\nnot compared, since --offline: the rows of the database"),
        "{report}"
    );

    let size = published(&mirror);
    let bundle = witness.join(format!("tile/entries/000.p/{size}"));
    let honest = fs::read(&bundle).expect("a bundle");
    let mut changed = honest.clone();
    let at = changed.windows(8).position(|word| word == b"promoted").expect("a promotion");
    changed[at..at + 8].copy_from_slice(b"demoted!");
    fs::write(&bundle, changed).expect("written");
    let (code, _, problem) = verify();
    assert_eq!(code, Some(1));
    assert!(
        problem.contains("THE LOG DOES NOT HOLD: entry ")
            && problem.contains("is not the one that the tree has"),
        "{problem}"
    );
    fs::write(&bundle, honest).expect("written");

    let checkpoint = witness.join("checkpoint");
    let note = fs::read_to_string(&checkpoint).expect("a checkpoint");
    let other = note.replace(&format!("\n{size}\n"), &format!("\n{}\n", size - 1));
    fs::write(&checkpoint, other).expect("written");
    let (code, _, problem) = verify();
    assert_eq!(code, Some(1));
    assert!(problem.contains("does not verify"), "{problem}");
    fs::write(&checkpoint, note).expect("written");
    assert_eq!(verify().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_log_key_signs_again_what_a_revoked_one_had_signed() {
    let registry = Registry::start().await;
    let (first, second) = (npm_package("first", "1.0.0", &[], 10), npm_package("second", "1.0.0", &[], 10));
    registry.publish(first.clone());
    registry.publish(second.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    served(&mirror, &first).await;
    sealed(&mirror).await;
    stop(&mirror).await;
    let size = published(&mirror);
    let keys = TestKeys::new(1);
    for kind in KeyKind::ALL {
        keys.add(kind, 0);
    }
    keys.revoke(mirror.keys.id(KeyKind::Log), "stolen", &SystemClock);
    let again = TestMirror::builder().registry(&registry).beside(&mirror).keys(keys).start().await;
    served(&again, &first).await;
    served(&again, &second).await;
    sealed(&again).await;
    assert!(published(&again) > size);
    assert_eq!(promoted(&entries(&again, &again.log_dir)).len(), 2);
    let (code, _, problem) = touchstone(&again, &["log", "verify"]);
    assert_eq!(code, Some(0), "{problem}");
}
