//! What is on record of a release, and what `touchstone why` says of it.

use std::process::Command;

use touchstone_domain::{CheckKind, Evidence, EvidenceKind, Verdict};
use touchstone_store::Story;
use touchstone_testkit::{TestMirror, touchstone_binary};

use super::Release;

/// Everything on record about it.
pub(super) async fn story(mirror: &TestMirror, release: Release) -> Story {
    let purl = release.purl.parse().expect("a purl");
    let mut stories = mirror.store.stories(&purl, 2).await.expect("stories");
    assert_eq!(stories.len(), 1, "{release:?}");
    stories.remove(0)
}

/// What the attest check said of it.
pub(super) fn attest_verdict(story: &Story) -> &Verdict {
    let found = story.verdicts.iter().find(|recorded| recorded.verdict.check == CheckKind::Attest);
    &found.unwrap_or_else(|| panic!("no verdict of the attest check: {story:?}")).verdict
}

/// The attestations on record, which must be the verdict's evidence.
pub(super) fn attestations(story: &Story) -> &Evidence {
    let found = story.facts.evidence.iter().find(|evidence| evidence.kind == EvidenceKind::Attestations);
    let evidence = found.unwrap_or_else(|| panic!("no attestations on record: {story:?}"));
    assert!(attest_verdict(story).evidence.contains(&evidence.sha256), "the verdict rests on them");
    evidence
}

/// `touchstone why`: its exit code, and what it says.
pub(super) fn why(mirror: &TestMirror, release: Release) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("touchstone.toml");
    let text = format!("data_dir = \"data\"\n[database]\nurl = \"{}\"\n", mirror.database_url);
    std::fs::write(&config, text).expect("written");
    let mut command = Command::new(touchstone_binary());
    command.current_dir(directory.path()).env("RUST_LOG", "off").arg("--config").arg(&config);
    let output = command.args(["why", release.purl]).output().expect("the command runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), said)
}
