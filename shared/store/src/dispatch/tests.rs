use std::collections::HashSet;

use touchstone_domain::{CheckKind, OutcomeKind};

use super::*;
use crate::testing::TestDb;

const BOTH: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

#[tokio::test]
async fn only_pending_artifacts_are_due_and_each_time_later() {
    let db = TestDb::new().await;
    let waiting = db.artifact("waiting", BOTH).await;
    let [passed, denied, held] = [
        db.artifact("passed", BOTH).await,
        db.artifact("denied", BOTH).await,
        db.artifact("held", BOTH).await,
    ];
    db.judge(&[
        waiting.pass(CheckKind::Hash),
        passed.pass(CheckKind::Hash),
        passed.pass(CheckKind::Attest),
        denied.verdict(CheckKind::Attest, OutcomeKind::Fail),
        held.pass(CheckKind::Hash),
        held.verdict(CheckKind::Attest, OutcomeKind::NotOffered),
    ])
    .await
    .unwrap();
    assert_eq!(db.store.due(9, 3).await.unwrap(), [], "for the first five seconds the event is trusted");

    let mut waits = Vec::new();
    for dispatch in 1..=14 {
        db.execute("UPDATE gate SET dispatch_due = now()").await.unwrap();
        let due = db.store.due(9, 3).await.unwrap();
        let expected = Due {
            artifact: waiting.artifact,
            ecosystem: Ecosystem::Npm,
            epoch: 0,
            dispatch,
            missing: CheckSet::of(CheckKind::Attest),
            stuck: dispatch >= 3,
        };
        assert_eq!(due, [expected]);
        assert_eq!(db.store.due(9, 3).await.unwrap(), []);
        waits.push(
            db.number("SELECT extract(epoch FROM max(dispatch_due) - now())::bigint FROM gate WHERE pending")
                .await,
        );
    }
    for (n, wait) in waits.iter().enumerate() {
        let full = (5 * (2 << n)).min(3600);
        assert!((full * 79 / 100..=full * 121 / 100).contains(wait), "{n}: {wait} of {full}");
    }
    db.execute("UPDATE gate SET dispatch_due = now(), dispatch_n = 32767").await.unwrap();
    assert_eq!(db.store.due(9, 3).await.unwrap()[0].dispatch, i16::MAX);
}

#[tokio::test]
async fn two_sweepers_share_the_work_and_a_busy_row_is_left_alone() {
    let db = TestDb::new().await;
    let mut all = HashSet::new();
    for n in 0..40 {
        all.insert(db.artifact(&format!("p{n}"), BOTH).await.artifact);
    }
    db.execute("UPDATE gate SET dispatch_due = now() - interval '1 s'").await.unwrap();
    let mut busy = db.raw().await;
    let lock = busy.transaction().await.unwrap();
    let row = lock.query_one("SELECT artifact_id FROM gate LIMIT 1 FOR UPDATE", &[]).await.unwrap();
    let locked = ArtifactDbId(row.get(0));

    let sweep = || async { (db.store.due(13, 9).await.unwrap(), db.store.due(13, 9).await.unwrap()) };
    let ((a, b), (c, d)) = tokio::join!(sweep(), sweep());
    let taken: Vec<_> = [a, b, c, d].concat().iter().map(|due| due.artifact).collect();
    assert_eq!(taken.len(), 39);
    let distinct: HashSet<_> = taken.into_iter().chain([locked]).collect();
    assert_eq!(distinct, all);
    lock.rollback().await.unwrap();
    assert_eq!(db.store.due(13, 9).await.unwrap()[0].artifact, locked);
}
