use std::slice::from_ref;

use touchstone_domain::{CheckKind, OutcomeKind, PromotedArtifact};

use super::*;
use crate::{
    Ingested, StoreError,
    testing::{Facts, TestDb, deltas, new_artifact},
};

mod race;

const HASH: &[CheckKind] = &[CheckKind::Hash];
const BOTH: &[CheckKind] = &[CheckKind::Hash, CheckKind::Attest];

#[tokio::test]
async fn the_last_required_pass_promotes_and_its_record_serves() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    let change = |was, state| Change { artifact: a.artifact, ecosystem: Ecosystem::Npm, was, state };
    let first = db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(first, [change(ArtifactState::Fetched, ArtifactState::Verifying)]);
    assert_eq!(db.store.serve_record(&a.new.id).await.unwrap(), None);
    let last = db.judge(&[a.pass(CheckKind::Attest)]).await.unwrap();
    assert_eq!(last, [change(ArtifactState::Verifying, ArtifactState::Servable)]);
    assert_eq!(db.judge(&[a.pass(CheckKind::Attest)]).await.unwrap(), [], "a repetition changes nothing");

    let (record, chunks) = db.store.serve_record(&a.new.id).await.unwrap().unwrap();
    assert_eq!((record.sha256, record.sha512, record.size), (a.new.sha256, a.new.sha512, a.new.size));
    assert_eq!((record.artifact, record.policy_epoch, record.epoch), (a.artifact, db.policy_epoch, 0));
    PromotedArtifact::bind(record, &a.new.id, chunks).unwrap();
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 1);

    let late = db.judge(&[a.verdict(CheckKind::Attest, OutcomeKind::Fail)]).await.unwrap();
    assert_eq!(late, [change(ArtifactState::Servable, ArtifactState::Rejected)]);
    assert_eq!(db.store.serve_record(&a.new.id).await.unwrap(), None);
    assert_eq!(db.judge(&[a.pass(CheckKind::Hash), a.pass(CheckKind::Attest)]).await.unwrap(), []);
    assert_eq!(db.number("SELECT count(*) FROM gate_log").await, 3);
}

#[tokio::test]
async fn a_servable_gate_without_its_promotion_serves_nothing() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.execute("UPDATE gate SET ok = 1").await.unwrap();
    assert_eq!(db.store.states(&[a.artifact]).await.unwrap()[0].1, ArtifactState::Servable);
    assert_eq!(db.store.serve_record(&a.new.id).await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_that_is_no_pass_holds() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    let mut other_list = b.pass(CheckKind::Hash);
    other_list.chunk_root = None;
    let changes = db.judge(&[a.verdict(CheckKind::Hash, OutcomeKind::NotOffered), other_list]).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].artifact, changes[0].state), (a.artifact, ArtifactState::Held));
    assert_eq!(db.judge(&[a.pass(CheckKind::Hash)]).await.unwrap()[0].state, ArtifactState::Servable);
}

#[tokio::test]
async fn a_check_that_finds_nothing_offered_is_excused_where_that_is_tolerated_and_nothing_else_is() {
    let db = TestDb::new().await;
    for (n, (kind, state)) in [
        (OutcomeKind::Pass, ArtifactState::Servable),
        (OutcomeKind::NotOffered, ArtifactState::Servable),
        (OutcomeKind::Inconclusive, ArtifactState::Held),
        (OutcomeKind::Fail, ArtifactState::Rejected),
    ]
    .into_iter()
    .enumerate()
    {
        let a = db.tolerant(&format!("tolerant-{n}")).await;
        let changes = db.judge(&[a.pass(CheckKind::Hash), a.verdict(CheckKind::Attest, kind)]).await.unwrap();
        assert_eq!(changes.last().map(|change| change.state), Some(state), "{kind}");
        assert_eq!(db.store.verdicts_to_count(&[a.artifact]).await.unwrap(), [], "{kind} has counted");
        assert_eq!(db.store.serve_record(&a.new.id).await.unwrap().is_some(), state.is_servable());

        let b = db.artifact(&format!("strict-{n}"), BOTH).await;
        let changes = db.judge(&[b.pass(CheckKind::Hash), b.verdict(CheckKind::Attest, kind)]).await.unwrap();
        let strict = if kind == OutcomeKind::NotOffered { ArtifactState::Held } else { state };
        assert_eq!(changes.last().map(|change| change.state), Some(strict), "{kind}");
    }
    let a = db.tolerant("other-check").await;
    let unhashed = [a.verdict(CheckKind::Hash, OutcomeKind::NotOffered), a.pass(CheckKind::Attest)];
    assert_eq!(
        db.judge(&unhashed).await.unwrap()[0].state,
        ArtifactState::Held,
        "the hash check is not excused"
    );
}

#[tokio::test]
async fn a_delta_for_another_epoch_changes_nothing() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&[a.pass(CheckKind::Hash)]).await.unwrap();
    let stale = deltas(&db.store.verdicts_to_count(&[a.artifact]).await.unwrap());
    db.execute("UPDATE gate SET epoch = 1").await.unwrap();
    assert_eq!(db.store.apply(&stale).await.unwrap(), []);
    assert_eq!(db.number("SELECT ok FROM gate").await, 0);

    let now =
        touchstone_domain::Verdict { epoch: 1, ..a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive) };
    db.store.record_verdicts(from_ref(&now)).await.unwrap();
    let current = deltas(&db.store.verdicts_to_count(&[a.artifact]).await.unwrap());
    let both = [stale, current].concat();
    assert_eq!(
        db.store.apply(&both).await.unwrap()[0].state,
        ArtifactState::Held,
        "the stale one is left out"
    );
}

#[tokio::test]
async fn what_is_too_young_is_held_until_its_time() {
    let db = TestDb::new().await;
    let mut new = new_artifact(db.policy_epoch, "young", HASH);
    new.eligible_at = Some(jiff::Timestamp::MAX);
    let Ingested::Inserted { artifact, epoch } = db.store.ingest(&new).await.unwrap() else { panic!() };
    let young = Facts { artifact, epoch, new };
    let mut old = new_artifact(db.policy_epoch, "old", HASH);
    old.eligible_at = Some(jiff::Timestamp::UNIX_EPOCH);
    let Ingested::Inserted { artifact, epoch } = db.store.ingest(&old).await.unwrap() else { panic!() };
    let old = Facts { artifact, epoch, new: old };

    let changes = db.judge(&[young.pass(CheckKind::Hash), old.pass(CheckKind::Hash)]).await.unwrap();
    assert_eq!(
        changes.iter().map(|c| c.state).collect::<Vec<_>>(),
        [ArtifactState::Held, ArtifactState::Servable]
    );
    assert_eq!(db.store.release_aged(9).await.unwrap(), []);
    assert_eq!(db.store.serve_record(&young.new.id).await.unwrap(), None);

    db.execute("UPDATE gate SET eligible_at = now()").await.unwrap();
    let (one, other) = tokio::join!(db.store.release_aged(9), db.store.release_aged(9));
    let released = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(released.len(), 1);
    assert_eq!((released[0].artifact, released[0].state), (young.artifact, ArtifactState::Servable));
    assert!(db.store.serve_record(&young.new.id).await.unwrap().is_some());
    assert_eq!(db.number("SELECT count(*) FROM gate_log WHERE cause = 'age'").await, 1);
}

#[tokio::test]
async fn a_transaction_that_loses_a_deadlock_runs_again() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.store.record_verdicts(&[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await.unwrap();
    let both = deltas(&db.store.verdicts_to_count(&[a.artifact, b.artifact]).await.unwrap());

    let mut other = db.raw().await;
    other.batch_execute("SET deadlock_timeout = '10s'").await.unwrap();
    let lock = other.transaction().await.unwrap();
    let select = "SELECT FROM gate WHERE artifact_id = $1 FOR UPDATE";
    lock.execute(select, &[&b.artifact.0]).await.unwrap();
    let crossing = async {
        // once `apply` waits for b, ask for a: `apply` notices the deadlock first, after a second
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while db.number(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        lock.execute(select, &[&a.artifact.0]).await.unwrap();
        lock.commit().await.unwrap();
    };
    let (changes, ()) = tokio::join!(db.store.apply(&both), crossing);
    assert_eq!(changes.unwrap().len(), 2);
}

#[tokio::test]
async fn more_deltas_than_a_transaction_takes_are_refused() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.store.record_verdicts(&[a.pass(CheckKind::Hash)]).await.unwrap();
    let one = deltas(&db.store.verdicts_to_count(&[a.artifact]).await.unwrap());
    let refused = db.store.apply(&vec![one[0]; DELTAS_MAX + 1]).await;
    assert!(matches!(refused, Err(StoreError::Limit { what: "deltas", .. })));
    assert_eq!(db.store.apply(&vec![one[0]; DELTAS_MAX]).await.unwrap().len(), 1);
    assert_eq!(db.store.apply(&[]).await.unwrap(), []);
}
