use touchstone_domain::{CheckKind, CheckSet, KeyId, OutcomeKind, SignedBy, Verdict};

use super::*;
use crate::testing::{Facts, TestDb, key, sign, sign_by, signed};

const BOTH: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

async fn cases(db: &TestDb, of: &[&Facts], wanted: Wanted) -> Vec<Case> {
    let artifacts: Vec<_> = of.iter().map(|facts| facts.artifact).collect();
    db.store.cases(&artifacts, wanted).await.unwrap()
}

fn told(case: &Case) -> Vec<(CheckKind, OutcomeKind)> {
    case.verdicts.iter().map(|stored| (stored.verdict.check, stored.verdict.outcome.kind)).collect()
}

#[tokio::test]
async fn a_case_has_all_that_is_on_record_of_its_epoch() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", BOTH).await, db.artifact("b", BOTH).await];
    assert_eq!(cases(&db, &[&a, &b], Wanted::New).await, []);
    let quiet = cases(&db, &[&b, &a], Wanted::All).await;
    assert_eq!(quiet.iter().map(|case| case.gate.artifact).collect::<Vec<_>>(), [a.artifact, b.artifact]);

    let verdicts = [a.verdict(CheckKind::Attest, OutcomeKind::NotOffered), a.pass(CheckKind::Hash)];
    let answers = sign(&verdicts);
    db.store.record_verdicts(&answers).await.unwrap();
    let found = cases(&db, &[&a, &b], Wanted::New).await;
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    let stored = |(row, answer): (i64, &crate::SignedVerdict)| StoredVerdict {
        row,
        verdict: answer.verdict.clone(),
        signed: Some(answer.signed),
    };
    let expected = Case {
        gate: status.gate,
        policy_epoch: db.policy_epoch,
        id: a.new.id.clone(),
        sha512: a.new.sha512,
        size: a.new.size,
        upstream_url: a.new.upstream_url.clone(),
        first_seen: status.fetched_at,
        fetches: vec![a.new.fetch.envelope],
        verdicts: (1..).zip(&answers).map(stored).collect(),
    };
    assert_eq!(found, [expected]);
}

#[tokio::test]
async fn a_case_is_as_old_as_its_first_listing_or_else_its_row() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    let first_seen = async || cases(&db, &[&a], Wanted::All).await[0].first_seen;
    let fetched_at = db.store.status(&a.new.id).await.unwrap().unwrap().fetched_at;
    assert_eq!(first_seen().await, fetched_at);
    let id = &a.new.id;
    let other = [(touchstone_domain::Version::new("9.0.0").unwrap(), false)];
    db.store.first_seen(id.ecosystem, &id.package, &other).await.unwrap();
    assert_eq!(first_seen().await, fetched_at);
    let listed = [(id.version.clone(), false)];
    let seen = db.store.first_seen(id.ecosystem, &id.package, &listed).await.unwrap();
    assert_eq!(first_seen().await, seen[&id.version]);
}

#[tokio::test]
async fn with_one_new_verdict_the_whole_case_comes_along() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::New).await, []);
    assert_eq!(told(&cases(&db, &[&a], Wanted::All).await[0]), [(CheckKind::Hash, OutcomeKind::Pass)]);
    db.store.record_verdicts(&sign(&[a.pass(CheckKind::Attest)])).await.unwrap();
    let both = [(CheckKind::Hash, OutcomeKind::Pass), (CheckKind::Attest, OutcomeKind::Pass)];
    assert_eq!(told(&cases(&db, &[&a], Wanted::New).await[0]), both);

    db.execute("UPDATE gate SET epoch = 1, ok = 0").await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::New).await, [], "both are of an epoch that ended");
    assert_eq!(told(&cases(&db, &[&a], Wanted::All).await[0]), []);
}

#[tokio::test]
async fn what_cannot_be_decided_yet_is_left_out_if_so_wanted() {
    let db = TestDb::new().await;
    let [a, b, tolerant] =
        [db.artifact("a", BOTH).await, db.artifact("b", BOTH).await, db.tolerant("tolerant").await];
    let decided = async |facts: &Facts| match &cases(&db, &[facts], Wanted::Decided).await[..] {
        [] => vec![],
        [case] => told(case),
        more => panic!("{more:?}"),
    };
    let record = async |verdict: Verdict| {
        assert_eq!(db.store.record_verdicts(&sign(&[verdict])).await.unwrap().inserted, 1);
    };
    assert_eq!(decided(&a).await, []);
    record(a.pass(CheckKind::Hash)).await;
    assert_eq!(decided(&a).await, [], "the attest check has not answered");
    record(a.verdict(CheckKind::Attest, OutcomeKind::Inconclusive)).await;
    let answers = [(CheckKind::Hash, OutcomeKind::Pass), (CheckKind::Attest, OutcomeKind::Inconclusive)];
    assert_eq!(decided(&a).await, answers);
    db.execute("UPDATE gate SET ok = 1, undecided = 2 WHERE artifact_id = 1").await.unwrap();
    assert_eq!(decided(&a).await, [], "the gate knows");
    record(Verdict { check_revision: 9, ..a.pass(CheckKind::Attest) }).await;
    assert_eq!(decided(&a).await.len(), 3, "it approves after all");
    db.execute("UPDATE gate SET ok = 3 WHERE artifact_id = 1").await.unwrap();
    assert_eq!(decided(&a).await, []);
    record(a.verdict(CheckKind::Hash, OutcomeKind::Fail)).await;
    assert_eq!(decided(&a).await.len(), 4, "a failure counts at any time");
    db.execute("UPDATE gate SET deny = 1 WHERE artifact_id = 1").await.unwrap();
    assert_eq!(decided(&a).await, []);

    record(b.verdict(CheckKind::Attest, OutcomeKind::Fail)).await;
    assert_eq!(
        decided(&b).await,
        [(CheckKind::Attest, OutcomeKind::Fail)],
        "nobody waits for the other check"
    );
    record(tolerant.pass(CheckKind::Hash)).await;
    assert_eq!(decided(&tolerant).await, []);
    record(tolerant.verdict(CheckKind::Attest, OutcomeKind::NotOffered)).await;
    assert_eq!(decided(&tolerant).await.len(), 2);
    db.execute("UPDATE gate SET ok = 3").await.unwrap();
    assert_eq!(decided(&tolerant).await, [], "that was an approval");
}

#[tokio::test]
async fn the_latest_fetches_of_this_artifact_are_told() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", BOTH).await, db.artifact("b", BOTH).await];
    let again: Vec<SignedBy> = (0..5).map(|n| signed("fetch-again", &n.to_string())).collect();
    for fetch in &again {
        db.store.record_fetch(a.artifact, fetch).await.unwrap();
    }
    db.store.record_fetch(a.artifact, &again[0]).await.unwrap();
    db.store.record_fetch(ArtifactDbId(99), &again[0]).await.unwrap();
    assert_eq!(
        db.number("SELECT count(*) FROM fetched").await,
        7,
        "a repetition is none, and so is nobody's"
    );
    let found = cases(&db, &[&a, &b], Wanted::All).await;
    let latest: Vec<_> = again[1..].iter().rev().map(|fetch| fetch.envelope).collect();
    assert_eq!(found[0].fetches, latest);
    assert_eq!(found[1].fetches, [b.new.fetch.envelope]);
    let keys = db.store.status(&a.new.id).await.unwrap().unwrap().fetch_keys;
    assert_eq!(keys, vec![key("fetch-again"); 4]);
    let story = &db.store.stories_of(&[a.artifact]).await.unwrap()[0];
    let keys: Vec<KeyId> = story.fetches.iter().map(|(fetch, _)| fetch.key).collect();
    assert_eq!(keys, [vec![key("fetch-again"); 5], vec![key("fetch")]].concat());
    let ingested = db.store.ingest(&a.new).await.unwrap();
    assert!(matches!(ingested, crate::Ingested::Known { .. }));
    assert_eq!(db.number("SELECT count(*) FROM fetched").await, 7, "what is known is not fetched again");
}

/// Whoever may write verdicts of one check writes as many as there can be: those of another check are told all the same.
#[tokio::test]
async fn one_check_does_not_crowd_out_another_nor_hide_a_failure() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    let fail = a.verdict(CheckKind::Attest, OutcomeKind::Fail);
    db.store.record_verdicts(&sign(&[a.pass(CheckKind::Hash), fail])).await.unwrap();
    let flood: Vec<Verdict> =
        (2..102).map(|check_revision| Verdict { check_revision, ..a.pass(CheckKind::Attest) }).collect();
    db.store.record_verdicts(&sign(&flood)).await.unwrap();
    let found = told(&cases(&db, &[&a], Wanted::New).await[0]);
    assert_eq!(found.len(), 17);
    assert_eq!(found[..2], [(CheckKind::Attest, OutcomeKind::Fail), (CheckKind::Hash, OutcomeKind::Pass)]);

    // what is refused makes room
    let latest: Vec<_> = (3..103).map(|row| (row, "signature".to_owned(), String::new())).collect();
    db.store.record_refusals(&latest).await.unwrap();
    assert_eq!(told(&cases(&db, &[&a], Wanted::New).await[0]).len(), 2);
}

#[tokio::test]
async fn a_tolerated_absence_that_the_gate_knows_is_nothing_new() {
    let db = TestDb::new().await;
    let a = db.tolerant("a").await;
    let absent = sign_by("attest", &a.verdict(CheckKind::Attest, OutcomeKind::NotOffered));
    db.store.record_verdicts(&[absent]).await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::New).await.len(), 1);
    db.execute("UPDATE gate SET undecided = 2").await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::New).await.len(), 1, "it counts as an approval");
    db.execute("UPDATE gate SET ok = 2").await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::New).await, []);
    assert!(a.new.requirement.tolerated().contains_all(CheckSet::of(CheckKind::Attest)));
}

#[tokio::test]
async fn more_artifacts_than_a_call_takes_are_refused() {
    let db = TestDb::new().await;
    let all = vec![ArtifactDbId(1); ARTIFACTS_MAX + 1];
    let refused = db.store.cases(&all, Wanted::All).await;
    assert!(matches!(refused, Err(StoreError::Limit { what: "artifacts", .. })));
    assert_eq!(db.store.cases(&all[1..], Wanted::All).await.unwrap(), []);
}

#[tokio::test]
async fn a_refused_fetch_is_in_no_case_and_no_edge_counts_on_its_key() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    let again = signed("fetch-again", "a");
    db.store.record_fetch(a.artifact, &again).await.unwrap();
    let refused = |envelope, reason: &str| (a.artifact, envelope, "missing".to_owned(), reason.to_owned());
    let latest = [refused(again.envelope.sha256, "lost\0"), refused(again.envelope.sha256, "lost\0")];
    db.store.record_fetch_refusals(&latest).await.unwrap();
    db.store.record_fetch_refusals(&latest[..1]).await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::All).await[0].fetches, [a.new.fetch.envelope]);
    let status = async || db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!(status().await.fetch_keys, [a.new.fetch.key]);
    let told = db.store.incidents(9).await.unwrap();
    let told: Vec<_> = told.iter().map(|i| (i.kind.as_str(), i.detail["reason"].as_str(), i.count)).collect();
    assert_eq!(told, [("fetch_refused", Some("lost\u{fffd}"), 1)]);

    db.store.record_fetch_refusals(&[refused(a.new.fetch.envelope.sha256, "lost")]).await.unwrap();
    assert_eq!(cases(&db, &[&a], Wanted::All).await[0].fetches, []);
    assert_eq!(status().await.fetch_keys, []);
}

/// What a stolen login of an edge would write, to be in the way of all others.
#[tokio::test]
async fn an_artifact_that_nobody_can_read_is_refused_and_if_it_is_there_is_in_nobodys_way() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", &[CheckKind::Hash]).await, db.artifact("b", &[CheckKind::Hash]).await];
    db.execute("ALTER TABLE artifact DISABLE TRIGGER append_only").await.unwrap();
    let names = ["", "a b", "a\n", "é", ".", "..", "a/b", "a;b", "a%b", "a\\b", "a\u{7f}"];
    for (column, extra) in [("package", "a//b"), ("version", "a/"), ("file", "/")] {
        for name in names.iter().filter(|name| column != "package" || **name != "a/b").chain([&extra]) {
            let set =
                format!("UPDATE artifact SET {column} = E'{}' WHERE id = 1", name.replace('\\', "\\\\"));
            assert_eq!(
                db.execute(&set).await.unwrap_err().code().unwrap().code(),
                "23514",
                "{column} {name:?}"
            );
        }
        let all = "!''()*+,-.09:=@AZ[]_az~";
        db.execute(&format!("UPDATE artifact SET {column} = {column} || '{all}' WHERE id = 1"))
            .await
            .unwrap();
    }
    let cases = db.store.cases(&[a.artifact, b.artifact], Wanted::All).await.unwrap();
    assert_eq!(cases.len(), 2, "what Postgres takes can be read");
    for set in ["published_at = 'infinity'", "published_at = '10000-01-01'"] {
        let set = format!("UPDATE artifact SET {set} WHERE id = 1");
        assert_eq!(db.execute(&set).await.unwrap_err().code().unwrap().code(), "23514", "{set}");
    }

    db.execute("ALTER TABLE artifact DROP CONSTRAINT artifact_names_check; UPDATE artifact SET file = 'a b' WHERE id = 1")
        .await
        .unwrap();
    let both = [a.artifact, b.artifact];
    let cases = db.store.cases(&both, Wanted::All).await.unwrap();
    assert_eq!(cases.iter().map(|case| case.gate.artifact).collect::<Vec<_>>(), [b.artifact]);
    let facts = db.store.facts(&both).await.unwrap();
    assert_eq!(facts.iter().map(|facts| facts.artifact).collect::<Vec<_>>(), [b.artifact]);
    let changes = db.judge(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.artifact).collect::<Vec<_>>(), [b.artifact]);
    assert_eq!(db.number("SELECT count(*) FROM gate WHERE servable AND artifact_id = 1").await, 0);
}
