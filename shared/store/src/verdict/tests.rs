use std::slice::from_ref;

use touchstone_domain::{CheckKind, OutcomeKind, Reason, Sha256};

use super::*;
use crate::{
    Wanted,
    testing::{TestDb, sign, sign_by},
};

const HASH: &[CheckKind] = &[CheckKind::Hash];

/// The artifacts with something new, and the verdicts of their cases.
async fn fresh(db: &TestDb, artifacts: &[ArtifactDbId]) -> Vec<(ArtifactDbId, Vec<Verdict>)> {
    let cases = db.store.cases(artifacts, Wanted::New).await.unwrap();
    let told = |case: touchstone_custody::Case| {
        (case.gate.artifact, case.verdicts.into_iter().map(|stored| stored.verdict).collect())
    };
    cases.into_iter().map(told).collect()
}

#[tokio::test]
async fn a_verdict_is_recorded_once_and_read_back_as_it_was() {
    let db = TestDb::new().await;
    let left_pad = db.artifact("left-pad", HASH).await;
    let mut all: Vec<Verdict> = CheckKind::ALL.into_iter().map(|check| left_pad.pass(check)).collect();
    all[1].chunk_root = None;
    all[1].evidence = vec![Sha256::of("1"), Sha256::of("2")];
    all[1].trust = vec![Sha256::of("root"), Sha256::of("keys")];
    all[2].outcome = Outcome::fail(Reason::SizeMismatch { declared: u64::MAX, computed: 0 });
    all[3].outcome = Outcome::inconclusive(Reason::NoClaim);
    let recorded = db.store.record_verdicts(&sign(&all)).await.unwrap();
    assert_eq!(recorded, Recorded { inserted: 4, ..Recorded::default() });
    let again = [all[3].clone(), all[3].clone(), all[0].clone()];
    let recorded = db.store.record_verdicts(&sign(&again)).await.unwrap();
    assert_eq!(recorded, Recorded { duplicate: 3, ..Recorded::default() });

    let found = db.store.cases(&[left_pad.artifact], Wanted::New).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].gate.artifact, left_pad.artifact);
    let mut verdicts = found[0].verdicts.clone();
    verdicts.sort_by_key(|stored| stored.verdict.check.bit());
    let (read, signed): (Vec<Verdict>, Vec<_>) =
        verdicts.into_iter().map(|stored| (stored.verdict, stored.signed)).unzip();
    assert_eq!(read, all);
    assert_eq!(signed, sign(&all).into_iter().map(|verdict| Some(verdict.signed)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_verdict_about_something_else_is_refused_alone() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    let pass = a.pass(CheckKind::Hash);
    let batch = [
        Verdict { sha256: b.new.sha256, ..pass.clone() },
        pass.clone(),
        Verdict { artifact: ArtifactDbId(999), ..pass.clone() },
        Verdict { epoch: 1, ..pass.clone() },
        Verdict { epoch: -1, ..pass.clone() },
        Verdict { service: String::new(), ..pass.clone() },
        Verdict { evidence: vec![Sha256::of(""); 65], ..pass.clone() },
        Verdict { trust: vec![Sha256::of(""); 65], ..pass.clone() },
        Verdict { software: "x\0".into(), ..pass.clone() },
        Verdict { outcome: Outcome::fail(malformed(20_000)), ..pass.clone() },
    ];
    let recorded = db.store.record_verdicts(&sign(&batch)).await.unwrap();
    assert_eq!((recorded.inserted, recorded.duplicate), (1, 0));
    let mut refused: Vec<_> = recorded.refused.iter().map(|r| (r.index, r.reason)).collect();
    refused.sort_unstable_by_key(|(index, _)| *index);
    let (subject, bounds) = (VerdictRefusal::Subject, VerdictRefusal::Bounds);
    let expected = [
        (0, subject),
        (2, subject),
        (3, subject),
        (4, subject),
        (5, bounds),
        (6, bounds),
        (7, bounds),
        (8, bounds),
        (9, bounds),
    ];
    assert_eq!(refused, expected);
    assert_eq!(db.number("SELECT count(*) FROM verdict").await, 1);
    let limit = db.store.record_verdicts(&sign(&vec![pass; VERDICTS_MAX + 1])).await;
    assert!(matches!(limit, Err(StoreError::Limit { found: 257, limit: 256, .. })));
}

fn malformed(bytes: usize) -> Reason {
    let text = "\0".repeat(bytes);
    Reason::CoordinateMismatch {
        part: "name".into(),
        expected: "'; DROP TABLE verdict; --".into(),
        found: text,
    }
}

#[tokio::test]
async fn a_reason_with_hostile_text_is_stored_inert() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let fail = Verdict { outcome: Outcome::fail(malformed(2)), ..a.pass(CheckKind::Hash) };
    assert_eq!(db.store.record_verdicts(&sign(&[fail])).await.unwrap().inserted, 1);
    let found = fresh(&db, &[a.artifact]).await;
    let Reason::CoordinateMismatch { expected, found, .. } = &found[0].1[0].outcome.reason else { panic!() };
    assert_eq!((expected.as_str(), found.as_str()), ("'; DROP TABLE verdict; --", "\u{fffd}\u{fffd}"));
}

#[tokio::test]
async fn a_later_failure_is_a_row_of_its_own_and_is_found_until_it_counts() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(db.store.uncounted_failures(Duration::MAX, 9).await.unwrap(), []);
    let fail = a.verdict(CheckKind::Hash, OutcomeKind::Fail);
    assert_eq!(db.store.record_verdicts(&sign(from_ref(&fail))).await.unwrap().inserted, 1);
    assert_eq!(db.store.uncounted_failures(Duration::MAX, 9).await.unwrap(), [a.artifact]);
    let found = fresh(&db, &[a.artifact, b.artifact]).await;
    assert_eq!(found.len(), 1, "what the gate knows is not read again");
    assert_eq!(found[0].1, [a.pass(CheckKind::Hash), fail.clone()], "but the whole case of what is new");
    db.judge(&[fail]).await.unwrap();
    assert_eq!(db.store.uncounted_failures(Duration::MAX, 9).await.unwrap(), []);
    assert_eq!(fresh(&db, &[a.artifact]).await, []);
}

#[tokio::test]
async fn a_verdict_of_another_epoch_is_history_and_does_not_count() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.execute("UPDATE gate SET epoch = 1").await.unwrap();
    let fail = a.verdict(CheckKind::Hash, OutcomeKind::Fail);
    assert_eq!(db.store.record_verdicts(&sign(from_ref(&fail))).await.unwrap().inserted, 1);
    assert_eq!(fresh(&db, &[a.artifact]).await, []);
    assert_eq!(db.store.uncounted_failures(Duration::MAX, 9).await.unwrap(), []);
    let current = Verdict { epoch: 1, ..fail };
    assert_eq!(db.store.record_verdicts(&sign(from_ref(&current))).await.unwrap().inserted, 1);
    assert_eq!(fresh(&db, &[a.artifact]).await[0].1, [current]);
}

/// Writes another reason over that of an artifact's verdicts, as a newer version might have.
async fn rewrite(db: &TestDb, set: &str, artifact: ArtifactDbId) {
    let change = format!("UPDATE verdict SET {set} WHERE artifact_id = {artifact}");
    db.execute(&format!("ALTER TABLE verdict DISABLE TRIGGER append_only; {change}")).await.unwrap();
}

#[tokio::test]
async fn an_unreadable_verdict_does_not_keep_others_from_counting() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.store.record_verdicts(&sign(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)])).await.unwrap();
    db.execute("ALTER TABLE verdict DROP CONSTRAINT verdict_check_kind_check").await.unwrap();
    rewrite(&db, "check_kind = 'of_a_newer_version'", a.artifact).await;
    let found = fresh(&db, &[a.artifact, b.artifact]).await;
    assert_eq!(found, [(a.artifact, vec![]), (b.artifact, vec![b.pass(CheckKind::Hash)])]);
}

#[tokio::test]
async fn a_reason_of_a_newer_version_counts_by_its_outcome_and_is_told() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&sign(&[a.verdict(CheckKind::Hash, OutcomeKind::Fail)])).await.unwrap();
    rewrite(&db, r#"reason = '{"code": "of_a_newer_version", "planet": "mars"}'"#, a.artifact).await;
    let pass = a.pass(CheckKind::Hash);
    assert_eq!(db.judge(from_ref(&pass)).await.unwrap()[0].state, touchstone_domain::ArtifactState::Rejected);

    let words = "hash check: another version of touchstone gave the reason \"of_a_newer_version\", \
                 which this one cannot read";
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!(status.reason().as_deref(), Some(words));
    let listed = db.store.package_artifacts(a.new.id.ecosystem, &a.new.id.package).await.unwrap();
    assert_eq!(listed[0].reason.as_deref(), Some(words));
    let stories = db.store.stories_of(&[a.artifact]).await.unwrap();
    assert_eq!(stories[0].verdicts.len(), 2);
}

#[tokio::test]
async fn failures_from_before_the_time_that_is_asked_for_are_left_out() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&sign(&[a.verdict(CheckKind::Hash, OutcomeKind::Fail)])).await.unwrap();
    rewrite(&db, "recorded_at = now() - interval '2 hours'", a.artifact).await;
    assert_eq!(db.store.uncounted_failures(Duration::from_hours(1), 9).await.unwrap(), []);
    assert_eq!(db.store.uncounted_failures(Duration::from_hours(3), 9).await.unwrap(), [a.artifact]);
}

/// Rows of a verdict, with their keys, and whether each was refused.
async fn rows(db: &TestDb) -> Vec<(i64, i16, bool)> {
    let rows = db
        .query(
            "SELECT id, attempt, EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = id) FROM verdict ORDER BY id",
        )
        .await;
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// What somebody wrote in place of a verdict, without the key, is in its way only until it was looked at.
#[tokio::test]
async fn a_refused_row_is_in_nobodys_way() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let pass = a.pass(CheckKind::Hash);
    let mut forged = sign_by("hash", &pass);
    forged.signed.envelope.sha256 = Sha256::of("nothing");
    let genuine = sign_by("hash", &pass);
    let record = async |verdict: &SignedVerdict| db.store.record_verdicts(from_ref(verdict)).await.unwrap();
    let inserted = Recorded { inserted: 1, ..Recorded::default() };
    let duplicate = Recorded { duplicate: 1, ..Recorded::default() };
    assert_eq!(record(&forged).await, inserted);
    assert_eq!(record(&genuine).await, duplicate, "nobody has looked at the forged one");
    let other_key = sign_by("another", &pass);
    assert_eq!(record(&other_key).await, inserted, "another key's row is another one");
    assert_eq!(fresh(&db, &[a.artifact]).await[0].1.len(), 2);

    db.store.record_refusals(&[(1, "signature".into(), "it is not\0 signed".into())]).await.unwrap();
    assert_eq!(record(&genuine).await, inserted);
    assert_eq!(record(&genuine).await, duplicate);
    assert_eq!(rows(&db).await, [(1, 0, true), (3, 0, false), (5, 1, false)]);
    let case = &db.store.cases(&[a.artifact], Wanted::All).await.unwrap()[0];
    let signed: Vec<_> = case.verdicts.iter().map(|stored| (stored.row, stored.signed.unwrap())).collect();
    assert_eq!(signed, [(3, other_key.signed), (5, genuine.signed)]);

    db.store.record_refusals(&[(5, "key_revoked".into(), "r".into())]).await.unwrap();
    assert_eq!(record(&genuine).await, inserted);
    assert_eq!(rows(&db).await.last().unwrap().1, 2);
}

#[tokio::test]
async fn a_refusal_is_told_and_is_an_incident_once() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    let fail = a.verdict(CheckKind::Hash, OutcomeKind::Fail);
    db.store.record_verdicts(&sign(&[fail, b.pass(CheckKind::Hash)])).await.unwrap();
    assert_eq!(db.store.uncounted_failures(Duration::MAX, 9).await.unwrap(), [a.artifact]);
    let refused = [(1, "key_kind".to_owned(), "the key signs for attest".to_owned())];
    for _ in 0..2 {
        db.store.record_refusals(&refused).await.unwrap();
    }
    db.store.record_refusals(&[(1, "other".into(), "later words change nothing".into())]).await.unwrap();
    db.store.record_refusals(&[]).await.unwrap();
    assert_eq!(db.store.uncounted_failures(Duration::MAX, 9).await.unwrap(), []);
    assert_eq!(fresh(&db, &[a.artifact]).await, []);
    let incidents = db.store.incidents(9).await.unwrap();
    assert_eq!(incidents.len(), 1);
    let told = &incidents[0];
    assert_eq!((told.kind.as_str(), told.artifact, told.count), ("verdict_refused", Some(a.artifact), 1));
    assert_eq!(
        (told.detail["code"].as_str(), told.detail["check"].as_str()),
        (Some("key_kind"), Some("hash"))
    );

    let story = &db.store.stories_of(&[a.artifact]).await.unwrap()[0];
    let told = story.verdicts[0].refused.as_ref().map(|(code, reason)| (code.as_str(), reason.as_str()));
    assert_eq!(told, Some(("key_kind", "the key signs for attest")));
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!(status.findings, [], "what was refused was not found");
    let story = &db.store.stories_of(&[b.artifact]).await.unwrap()[0];
    assert_eq!((story.verdicts[0].refused.as_ref(), story.verdicts[0].signed.is_some()), (None, true));
}
