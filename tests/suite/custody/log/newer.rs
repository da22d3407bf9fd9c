//! A newer version has sealed what this one does not know.

use std::path::Path;

use touchstone_testkit::{Registry, TestMirror, npm_package};
use touchstone_translog::{LogKeys, LogReader, LogWriter};

use super::{copy, served, stop, touchstone};
use crate::custody::world::sealed;

/// Publishes one more entry, as whoever has the log's key can.
fn publish(mirror: &TestMirror, dir: &Path, entry: &str) -> u64 {
    let keys = LogKeys::of(&mirror.keys.ring().borrow(), "test").expect("keys");
    let head = LogReader::open(dir).expect("a log").head(&keys).expect("signed").expect("published");
    let mut writer = LogWriter::open(dir, Some(&head)).expect("opens");
    let size = head.head().size;
    writer.append(size, &[entry.as_bytes().to_vec()]).expect("appended");
    let note = mirror.keys.log_key().sign(&writer.head().checkpoint_text(keys.origin())).expect("signed");
    writer.publish(&keys.verify(&note).expect("it counts")).expect("published");
    size
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_newer_version_are_passed_on_and_put_back_and_malformed_ones_are_not() {
    let registry = Registry::start().await;
    let [early, later] = ["early", "later"].map(|name| npm_package(name, "1.0.0", &[], 10));
    registry.publish(early.clone());
    registry.publish(later.clone());
    let mirror = TestMirror::builder().registry(&registry).start().await;
    served(&mirror, &early).await;
    sealed(&mirror).await;
    stop(&mirror).await;

    // the same, with an event that is known and lacks what it must have
    let place = tempfile::tempdir().expect("a directory");
    let malformed = place.path().join("log");
    copy(&mirror.log_dir, &malformed);
    let index = publish(&mirror, &malformed, r#"{"event":"policy","epoch":7}"#);
    let of_malformed = ["log", "verify", "--offline", "--dir", malformed.to_str().expect("UTF-8")];
    let (code, _, problem) = touchstone(&mirror, &of_malformed);
    assert_eq!(code, Some(1), "{problem}");
    assert!(problem.contains(&format!("entry {index}: entry of the statement is refused")), "{problem}");

    publish(&mirror, &mirror.log_dir, r#"{"event":"scrubbed","blobs":7,"at":"2026-11-23T00:00:00Z"}"#);
    let (code, report, problem) = touchstone(&mirror, &["log", "verify", "--offline"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(report.contains("1 events that this version does not know\n"), "{report}");
    let (code, report, problem) = touchstone(&mirror, &["log", "recover", "--reason", "the disk broke"]);
    assert_eq!(code, Some(0), "{problem}");
    assert!(report.contains("lacked 1 of them"), "{report}");
    let said = "1 of the entries are of a newer version: whatever they ask for was not done";
    assert!(report.contains(said), "{report}");

    let again = TestMirror::builder().beside(&mirror).registry(&registry).start().await;
    served(&again, &later).await;
    served(&again, &early).await;
    sealed(&again).await;
    let (code, _, problem) = touchstone(&again, &["log", "verify"]);
    assert_eq!(code, Some(0), "{problem}");
}
