//! Which rows are a baseline: those of artifacts that are neither rejected nor recalled, and of those the ones that bind.

use touchstone_domain::{Absence, OutcomeKind, Policy, Purl, Sha256, Verdict, judge_absent};

use super::*;
use crate::RecallTarget;

/// Judges the release without an attestation, newly listed.
async fn absent(db: &TestDb, release: &Release) -> Result<(), Discontinuity> {
    let absence = Absence { listed_with: false, first_seen: None };
    judge_absent(&history_of(db, release).await, major(&release.id), absence, &|_| false)
}

/// Puts the hash check's answer on record and counts it.
async fn hashed(db: &TestDb, release: &Release, epoch: i32, kind: OutcomeKind) {
    let facts = db.store.facts(&[release.artifact]).await.unwrap().remove(0);
    let verdict = Verdict {
        artifact: release.artifact,
        sha256: facts.sha256,
        chunk_root: Some(facts.chunk_root),
        epoch,
        check: CheckKind::Hash,
        check_revision: 1,
        policy_epoch: db.policy_epoch,
        outcome: touchstone_domain::Outcome { kind, reason: touchstone_domain::Reason::Trivial },
        evidence: vec![],
        trust: vec![Sha256::of("trust")],
        service: "hash".into(),
        software: "test".into(),
        decided_at: Timestamp::UNIX_EPOCH,
    };
    db.judge(&[verdict]).await.unwrap();
}

async fn recall(db: &TestDb, release: &Release) {
    let file = Some(release.id.file.clone());
    let target = RecallTarget::Purl(Purl { file, ..(&release.id).into() });
    assert_eq!(db.store.recall(&target, "hijacked", "ops").await.unwrap().len(), 1);
}

async fn is_known(db: &TestDb) -> bool {
    db.store.has_identity(NPM, &id("widget", "1").package).await.unwrap()
}

async fn three(db: &TestDb) -> [Release; 3] {
    [
        release(db, "widget", "1.0.0").await,
        release(db, "widget", "1.1.0").await,
        release(db, "widget", "1.2.0").await,
    ]
}

fn changed(since: &str, field: IdentityField, expected: &str, found: &str) -> Judged {
    let difference = Difference { field, expected: expected.into(), found: found.into() };
    Err(Discontinuity::Changed { since: version(since), difference })
}

#[tokio::test]
async fn a_recalled_first_release_leaves_the_package_as_if_it_had_never_been() {
    let db = TestDb::new().await;
    let [hijacked, next, honest] = three(&db).await;
    settle(&db.store, &hijacked, &of("66")).await.unwrap();
    let downgrade = absent(&db, &next).await;
    assert!(matches!(downgrade, Err(Discontinuity::Downgrade { .. })), "{downgrade:?}");
    assert!(is_known(&db).await);

    recall(&db, &hijacked).await;
    assert!(!is_known(&db).await);
    assert_eq!(absent(&db, &next).await, Ok(()));
    assert_eq!(settle(&db.store, &honest, &of("1")).await, Ok(Basis::FirstUse));
    assert_eq!(settle(&db.store, &next, &of("66")).await, {
        changed("1.2.0", IdentityField::RepositoryId, "1", "66")
    });
    assert_eq!(rows(&db).await.len(), 2, "what was is on record");
}

#[tokio::test]
async fn a_rejected_release_is_nobodys_baseline_until_it_is_checked_again() {
    let db = TestDb::new().await;
    let [damaged, next, honest] = three(&db).await;
    settle(&db.store, &damaged, &of("66")).await.unwrap();
    for kind in [OutcomeKind::Inconclusive, OutcomeKind::Pass] {
        hashed(&db, &damaged, 0, kind).await;
        assert!(is_known(&db).await, "{kind} is no rejection");
    }
    hashed(&db, &damaged, 0, OutcomeKind::Fail).await;
    assert!(!is_known(&db).await);
    assert_eq!(absent(&db, &next).await, Ok(()));
    assert_eq!(settle(&db.store, &honest, &of("1")).await, Ok(Basis::FirstUse));

    let purl = (&damaged.id).into();
    assert_eq!(db.store.recheck(&purl, &Policy::default(), false).await.unwrap().len(), 1);
    assert_eq!(settle(&db.store, &damaged, &of("66")).await, Ok(Basis::FirstUse), "by its own row");
    assert_eq!(settle(&db.store, &next, &of("1")).await, Ok(continued("1.2.0")), "and by nobody else's");
    assert_eq!(rows(&db).await.len(), 3);
}

#[tokio::test]
async fn recalling_one_attested_release_leaves_the_others_as_the_baseline() {
    let db = TestDb::new().await;
    let [one, two, three] = three(&db).await;
    settle(&db.store, &one, &of("1")).await.unwrap();
    settle(&db.store, &two, &of("1")).await.unwrap();
    recall(&db, &two).await;
    assert_eq!(settle(&db.store, &three, &of("66")).await, {
        changed("1.0.0", IdentityField::RepositoryId, "1", "66")
    });
    let downgrade = absent(&db, &three).await;
    assert!(matches!(downgrade, Err(Discontinuity::Downgrade { .. })), "{downgrade:?}");
    assert_eq!(settle(&db.store, &three, &of("1")).await, Ok(continued("1.0.0")));
    recall(&db, &one).await;
    let history = history_of(&db, &release(&db, "widget", "1.3.0").await).await;
    assert_eq!(history[0].versions, [version("1.2.0")]);
}

/// The files of a version each have their row: one of them may be rejected for itself.
#[tokio::test]
async fn recalling_one_file_leaves_the_other_files_of_its_version() {
    let db = TestDb::new().await;
    let one = release(&db, "widget", "1.0.0").await;
    let mut new = new_artifact(db.policy_epoch, "widget", &[CheckKind::Hash]);
    new.id = ArtifactId { file: FileName::new("widget-1.0.0.zip").unwrap(), ..one.id.clone() };
    let Ingested::Inserted { artifact, .. } = db.store.ingest(&new).await.unwrap() else { panic!() };
    let other_file = Release { artifact, id: new.id };
    for file in [&one, &other_file] {
        settle(&db.store, file, &of("1")).await.unwrap();
    }
    recall(&db, &one).await;
    let next = release(&db, "widget", "1.1.0").await;
    assert_eq!(settle(&db.store, &next, &of("66")).await, {
        changed("1.0.0", IdentityField::RepositoryId, "1", "66")
    });
}

fn by(workflow: &str) -> Observed {
    let mut observed = of("1");
    observed.identity.workflow = Some(workflow.into());
    observed
}

#[tokio::test]
async fn the_order_of_requests_does_not_matter_for_what_was_listed_before() {
    let db = TestDb::new().await;
    let [old, backport, new] = [
        release(&db, "widget", "1.2.0").await,
        release(&db, "widget", "1.2.9").await,
        release(&db, "widget", "1.3.0").await,
    ];
    let before = Some(Timestamp::UNIX_EPOCH);
    assert_eq!(settle_listed(&db.store, &new, &by("new.yml"), before).await, Ok(Basis::FirstUse));
    let earlier = Basis::Earlier { since: version("1.3.0") };
    for _ in 0..2 {
        assert_eq!(settle_listed(&db.store, &old, &by("old.yml"), before).await, Ok(earlier.clone()));
    }
    assert_eq!(
        rows(&db).await,
        [("1.3.0".to_owned(), Basis::FirstUse), ("1.2.0".to_owned(), earlier.clone())]
    );
    let bound = "SELECT count(*) FROM identity WHERE binding";
    assert_eq!(db.number(bound).await, 1);

    let workflow = changed("1.3.0", IdentityField::Workflow, "new.yml", "old.yml");
    assert_eq!(settle(&db.store, &backport, &by("old.yml")).await, workflow, "it was not listed before");
    let history = history_of(&db, &backport).await;
    assert_eq!(history[0].versions, [version("1.3.0"), version("1.2.0")], "both were attested");
    let next = release(&db, "widget", "1.3.1").await;
    assert_eq!(settle_listed(&db.store, &next, &by("old.yml"), before).await, workflow);
    assert_eq!(settle(&db.store, &next, &by("new.yml")).await, Ok(continued("1.3.0")));
    for (release, since) in [(&old, "1.3.1"), (&backport, "1.3.1")] {
        let stranger = settle_listed(&db.store, release, &of("66"), before).await;
        assert_eq!(stranger, changed(since, IdentityField::RepositoryId, "1", "66"));
    }

    // with nothing left that binds, the earlier one is the first
    for release in [&new, &next] {
        recall(&db, release).await;
    }
    assert_eq!(history_of(&db, &backport).await, []);
    assert_eq!(settle(&db.store, &old, &by("old.yml")).await, Ok(Basis::FirstUse));
    assert_eq!(settle(&db.store, &backport, &by("old.yml")).await, Ok(continued("1.2.0")));
    assert_eq!(db.number(bound).await, 4);
}
