use touchstone_domain::{Ecosystem, HoldReason, HoldSet, Reason};

use super::*;
use crate::{
    RecallTarget,
    testing::{TestDb, id},
};

const HASH: &[CheckKind] = &[CheckKind::Hash];

#[tokio::test]
async fn status_facts_and_package_tell_the_same_story() {
    let db = TestDb::new().await;
    let left_pad = db.artifact("left-pad", HASH).await;
    assert_eq!(db.store.status(&id("left-pad", "1.0.1")).await.unwrap(), None);
    let status = db.store.status(&left_pad.new.id).await.unwrap().unwrap();
    assert_eq!((status.state(), status.reason()), (ArtifactState::Fetched, None));
    assert_eq!(status.gate.chunk_root, left_pad.new.chunks.root());

    let mut fail = left_pad.verdict(CheckKind::Hash, OutcomeKind::Fail);
    fail.outcome.reason = Reason::SizeMismatch { declared: u64::MAX, computed: 7 };
    db.judge(std::slice::from_ref(&fail)).await.unwrap();
    let status = db.store.status(&left_pad.new.id).await.unwrap().unwrap();
    let words = format!("hash check: the declared size is {} bytes, but the file has 7", u64::MAX);
    assert_eq!((status.state(), status.reason()), (ArtifactState::Rejected, Some(words.clone())));
    assert_eq!(status.findings, [Finding { check: CheckKind::Hash, outcome: fail.outcome }]);

    let package = db.store.package_artifacts(Ecosystem::Npm, &left_pad.new.id.package).await.unwrap();
    assert_eq!(package.len(), 1);
    assert_eq!((package[0].state, package[0].reason.as_ref()), (ArtifactState::Rejected, Some(&words)));
    assert_eq!(package[0].claims, left_pad.new.claims);
    assert_eq!(package[0].evidence, Some(left_pad.new.evidence[0].sha256));
    assert_eq!(package[0].sha256, left_pad.new.sha256);
    assert_eq!(db.store.package_artifacts(Ecosystem::Pypi, &left_pad.new.id.package).await.unwrap(), []);

    let facts = db.store.facts(&[left_pad.artifact, ArtifactDbId(999)]).await.unwrap();
    assert_eq!(facts.len(), 1);
    assert_eq!((facts[0].answered, facts[0].sha512), (CheckSet::of(CheckKind::Hash), left_pad.new.sha512));
    assert_eq!(facts[0].published_at, left_pad.new.published_at);
    assert_eq!(db.store.find_by_digest(left_pad.new.sha256, 9).await.unwrap(), [left_pad.artifact]);
    assert_eq!(db.store.find_by_digest(Sha256::of("other"), 9).await.unwrap(), []);
    let found = db.store.states(&[left_pad.artifact, ArtifactDbId(999)]).await.unwrap();
    assert_eq!(found, [(left_pad.artifact, ArtifactState::Rejected)]);
}

#[tokio::test]
async fn the_reason_is_never_a_check_that_was_excused_or_that_nobody_requires() {
    let db = TestDb::new().await;
    let a = db.tolerant("a").await;
    let mut weak = a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive);
    weak.outcome.reason = Reason::NoClaim;
    let excused = a.verdict(CheckKind::Attest, OutcomeKind::NotOffered);
    let observed = a.verdict(CheckKind::Peer, OutcomeKind::Inconclusive);
    db.judge(&[weak.clone(), excused, observed]).await.unwrap();
    let words = Some("hash check: the upstream declares no digest for it".to_owned());
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!(status.findings, [Finding { check: CheckKind::Hash, outcome: weak.outcome }]);
    assert_eq!((status.state(), status.reason()), (ArtifactState::Held, words.clone()));
    let package = db.store.package_artifacts(Ecosystem::Npm, &a.new.id.package).await.unwrap();
    assert_eq!((package[0].state, &package[0].reason), (ArtifactState::Held, &words));
}

#[tokio::test]
async fn a_recalled_artifact_says_so_in_the_operators_words() {
    let db = TestDb::new().await;
    let left_pad = db.artifact("left-pad", HASH).await;
    db.judge(&[left_pad.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(db.store.status(&left_pad.new.id).await.unwrap().unwrap().reason(), None);
    db.store.recall(&RecallTarget::Digest(left_pad.new.sha256), "malware", "ops").await.unwrap();
    let status = db.store.status(&left_pad.new.id).await.unwrap().unwrap();
    assert_eq!(status.gate.hold, HoldSet::of(HoldReason::Recalled));
    assert_eq!((status.state(), status.reason()), (ArtifactState::Revoked, Some("malware".into())));
    let package = db.store.package_artifacts(Ecosystem::Npm, &left_pad.new.id.package).await.unwrap();
    assert_eq!(package[0].reason.as_deref(), Some("malware"));
}

/// What a worker's stolen login may write in `verdict.reason`, beside one that is as it should be.
#[tokio::test]
async fn a_reason_that_cannot_be_read_is_in_nobodys_way() {
    let db = TestDb::new().await;
    let both = &[CheckKind::Hash, CheckKind::Attest];
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let huge = r#"{"code": "size_mismatch", "declared": 1e400, "computed": 7}"#;
    for (package, json, code) in
        [("deep", deep.as_str(), ""), ("bare", "1e400", ""), ("huge", huge, "size_mismatch")]
    {
        let a = db.artifact(package, both).await;
        let mut attest = a.verdict(CheckKind::Attest, OutcomeKind::Inconclusive);
        attest.outcome.reason = Reason::AttestationsOff;
        db.judge(&[attest.clone(), a.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await.unwrap();
        let update = format!(
            "ALTER TABLE verdict DISABLE TRIGGER append_only;
             UPDATE verdict SET reason = '{json}' WHERE outcome = 'fail' AND artifact_id = {}",
            a.artifact
        );
        db.execute(&update).await.unwrap();
        let reason = Reason::Unreadable { code: code.to_owned() };
        let words = format!("hash check: {reason}");

        let status = db.store.status(&a.new.id).await.unwrap().unwrap();
        let mut found: Vec<_> = status.findings.iter().map(|f| (f.check, f.outcome.reason.clone())).collect();
        found.sort_by_key(|(check, _)| *check);
        let expected = [(CheckKind::Hash, reason.clone()), (CheckKind::Attest, attest.outcome.reason)];
        assert_eq!(found, expected, "{package}");
        assert_eq!((status.state(), status.reason()), (ArtifactState::Rejected, Some(words.clone())));
        let listed = db.store.package_artifacts(Ecosystem::Npm, &a.new.id.package).await.unwrap();
        assert_eq!(listed[0].reason, Some(words), "{package}");
        let case = &db.store.cases(&[a.artifact], crate::Wanted::All).await.unwrap()[0];
        let failed = case.verdicts.iter().find(|stored| stored.verdict.check == CheckKind::Hash).unwrap();
        assert_eq!(failed.verdict.outcome, Outcome { kind: OutcomeKind::Fail, reason }, "{package}");
        assert_eq!(case.verdicts.len(), 2);
        let story = &db.store.stories_of(&[a.artifact]).await.unwrap()[0];
        assert_eq!(story.verdicts.len(), 2);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_left_out_and_is_in_nobodys_way() {
    let db = TestDb::new().await;
    let [left_pad, other] = [db.artifact("left-pad", HASH).await, db.artifact("other", HASH).await];
    db.execute("ALTER TABLE claim DISABLE TRIGGER append_only, DROP CONSTRAINT claim_known_check; UPDATE claim SET field = 'npm.unknown' WHERE ordinal = 0 AND artifact_id = 1")
        .await
        .unwrap();
    let facts = db.store.facts(&[left_pad.artifact, other.artifact]).await.unwrap();
    assert_eq!(facts.iter().map(|facts| facts.artifact).collect::<Vec<_>>(), [other.artifact]);
}
