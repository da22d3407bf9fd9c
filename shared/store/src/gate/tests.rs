use std::slice::from_ref;

use touchstone_domain::{CheckKind, OutcomeKind, Sha256, Verdict};

use super::*;
use crate::{
    Ingested, StoreError, Wanted,
    testing::{Facts, TestDb, deltas, key, new_artifact, sign, signed},
};

mod race;
mod swallowed;

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

    let served = db.store.serve_record(&a.new.id).await.unwrap().unwrap();
    assert_eq!((served.sha256, served.sha512, served.size), (a.new.sha256, a.new.sha512, a.new.size));
    assert_eq!((served.artifact, served.epoch, served.sealed), (a.artifact, 0, 0));
    assert_eq!((served.chunk_root, &served.chunks), (a.new.chunks.root(), &a.new.chunks));
    assert_eq!(served.signed, signed("promote", &format!("the record of {} in 0", a.artifact)));
    let written = db
        .query(
            "SELECT serial, policy_epoch, to_json(promoted_at)::text, octet_length(rests_on) FROM promotion",
        )
        .await;
    assert_eq!(written.len(), 1);
    let (serial, policy, at, keys): (i64, i32, String, i32) =
        (written[0].get(0), written[0].get(1), written[0].get(2), written[0].get(3));
    assert_eq!((serial, policy, keys), (served.serial, db.policy_epoch, 3 * 32));
    assert_eq!(at, r#""2026-11-22T04:08:41.5+00:00""#, "promote's clock, and not that of Postgres");

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
        assert_eq!(db.store.cases(&[a.artifact], Wanted::New).await.unwrap(), [], "{kind} has counted");
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

/// What promote would write for an artifact.
async fn promotion(db: &TestDb, of: &Facts, epoch: i32) -> NewPromotion {
    NewPromotion {
        artifact: of.artifact,
        epoch,
        serial: db.store.next_serials(1).await.unwrap()[0],
        policy_epoch: db.policy_epoch,
        rests_on: vec![key("fetch"), key("hash")],
        promoted_at: jiff::Timestamp::UNIX_EPOCH,
        signed: signed("promote", &format!("{} in {epoch}", of.artifact)),
    }
}

async fn recorded(db: &TestDb, verdicts: &[Verdict]) -> Vec<GateDelta> {
    db.store.record_verdicts(&sign(verdicts)).await.unwrap();
    let artifacts: Vec<_> = verdicts.iter().map(|verdict| verdict.artifact).collect();
    deltas(&db.store.cases(&artifacts, Wanted::New).await.unwrap())
}

#[tokio::test]
async fn the_last_pass_is_not_added_without_a_promotion_of_its_epoch() {
    let db = TestDb::new().await;
    let a = db.artifact("a", BOTH).await;
    let both = recorded(&db, &[a.pass(CheckKind::Hash), a.pass(CheckKind::Attest)]).await;
    let ok = async || db.number("SELECT ok FROM gate").await;
    let applied = async |deltas: &[GateDelta], promotions: &[NewPromotion]| {
        let Applied { changes, unapproved } = db.store.apply(deltas, promotions, None).await.unwrap();
        (changes.into_iter().map(|change| change.state).collect::<Vec<_>>(), unapproved)
    };
    assert_eq!(
        applied(&both[..1], &[]).await,
        (vec![ArtifactState::Verifying], vec![]),
        "one of two is added"
    );
    assert_eq!(applied(&both, &[]).await, (vec![], vec![a.artifact]));
    let other_epoch = promotion(&db, &a, 1).await;
    assert_eq!(
        applied(&both, from_ref(&other_epoch)).await,
        (vec![], vec![]),
        "the epoch of the promotion is taken"
    );
    let b = db.artifact("b", BOTH).await;
    let other = promotion(&db, &b, 0).await;
    assert_eq!(applied(&both, from_ref(&other)).await, (vec![], vec![a.artifact]), "it is another's");
    assert_eq!(ok().await, 2);
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);

    let late = recorded(&db, &[a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive)]).await;
    let (changes, unapproved) = applied(&[both.clone(), late].concat(), &[]).await;
    assert_eq!((changes, unapproved), (vec![ArtifactState::Held], vec![a.artifact]));
    assert_eq!(
        db.number("SELECT undecided FROM gate WHERE artifact_id = 1").await,
        1,
        "what does not approve is added"
    );

    let fit = promotion(&db, &a, 0).await;
    assert_eq!(applied(&both, from_ref(&fit)).await, (vec![ArtifactState::Servable], vec![]));
    let again = promotion(&db, &a, 0).await;
    assert_eq!(applied(&both, from_ref(&again)).await, (vec![], vec![]), "it has one");
    let served = db.store.serve_record(&a.new.id).await.unwrap().unwrap();
    assert_eq!((served.serial, served.signed), (fit.serial, fit.signed));
    assert_eq!(db.number("SELECT count(*) FROM gate_log WHERE state = 'servable'").await, 1);
}

#[tokio::test]
async fn a_promotion_of_what_is_not_servable_is_not_written() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", BOTH).await, db.artifact("b", HASH).await];
    let hash = recorded(&db, &[a.pass(CheckKind::Hash)]).await;
    let early = promotion(&db, &a, 0).await;
    assert_eq!(
        db.store.apply(&hash, &[early], None).await.unwrap().changes[0].state,
        ArtifactState::Verifying
    );
    let failed =
        recorded(&db, &[b.pass(CheckKind::Hash), b.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await;
    let denied = promotion(&db, &b, 0).await;
    assert_eq!(
        db.store.apply(&failed, &[denied], None).await.unwrap().changes[0].state,
        ArtifactState::Rejected
    );
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
}

#[tokio::test]
async fn a_servable_gate_is_given_the_promotion_that_it_lacks() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    db.execute("UPDATE gate SET ok = 1").await.unwrap();
    assert_eq!(db.store.unpromoted(9).await.unwrap(), [a.artifact]);
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!((status.state(), status.promoted), (ArtifactState::Servable, false));
    let servable = ArtifactState::Servable;
    let healed = Change { artifact: a.artifact, ecosystem: Ecosystem::Npm, was: servable, state: servable };
    let missing = promotion(&db, &a, 0).await;
    assert_eq!(db.store.apply(&[], from_ref(&missing), None).await.unwrap().changes, [healed]);
    assert_eq!(db.store.apply(&[], &[missing], None).await.unwrap().changes, [], "once");
    assert_eq!(db.store.unpromoted(9).await.unwrap(), []);
    let status = db.store.status(&a.new.id).await.unwrap().unwrap();
    assert_eq!((status.promoted, status.fetch_keys), (true, vec![key("fetch")]));
    assert!(db.store.serve_record(&a.new.id).await.unwrap().is_some());
    assert_eq!(db.number("SELECT count(*) FROM gate_log").await, 1);
}

#[tokio::test]
async fn a_delta_for_another_epoch_changes_nothing() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let stale = recorded(&db, &[a.pass(CheckKind::Hash)]).await;
    let old = promotion(&db, &a, 0).await;
    db.execute("UPDATE gate SET epoch = 1").await.unwrap();
    assert_eq!(db.store.apply(&stale, &[old], None).await.unwrap(), Applied::default());
    assert_eq!(db.number("SELECT ok FROM gate").await, 0);

    let current =
        recorded(&db, &[Verdict { epoch: 1, ..a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive) }]).await;
    let both = [stale, current].concat();
    let applied = db.store.apply(&both, &[], None).await.unwrap();
    assert_eq!(applied.changes[0].state, ArtifactState::Held, "the stale one is left out");
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
    assert_eq!(db.store.aged(9).await.unwrap(), []);
    let early = promotion(&db, &young, 0).await;
    assert_eq!(db.store.release_aged(&[young.artifact], &[early], None).await.unwrap(), []);
    assert_eq!(db.store.serve_record(&young.new.id).await.unwrap(), None);

    db.execute("UPDATE gate SET eligible_at = now()").await.unwrap();
    assert_eq!(db.store.aged(9).await.unwrap(), [young.artifact]);
    assert_eq!(
        db.store.release_aged(&[young.artifact], &[], None).await.unwrap(),
        [],
        "nobody signed for it"
    );
    assert_eq!(db.number("SELECT hold FROM gate WHERE artifact_id = 1").await, 1);
    assert_eq!(db.store.aged(9).await.unwrap(), [], "it is looked at again in a minute");
    db.execute("UPDATE gate SET eligible_at = now()").await.unwrap();
    let (one, other) = tokio::join!(db.release_aged(), db.release_aged());
    let released = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(released.len(), 1);
    assert_eq!((released[0].artifact, released[0].state), (young.artifact, ArtifactState::Servable));
    assert!(db.store.serve_record(&young.new.id).await.unwrap().is_some());
    assert_eq!(db.number("SELECT count(*) FROM gate_log WHERE cause = 'age'").await, 1);
}

/// Puts checkpoints on record, and what they are known by.
async fn sealed(db: &TestDb, sizes: &[u64]) -> Vec<KnownSeal> {
    let mut known = vec![];
    for size in sizes {
        let root = Sha256::of(format!("a tree of {size}"));
        let row = format!("INSERT INTO log_seal VALUES ({size}, '\\x{root}', '\\x00')");
        db.execute(&row).await.unwrap();
        known.push(KnownSeal { size: *size, root });
    }
    known
}

/// Promotions are for the database whose log was compared: an older backup lacks its last checkpoint, and another log has another.
#[tokio::test]
async fn nothing_is_promoted_in_a_database_that_lacks_the_known_checkpoint() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    db.execute("UPDATE gate SET hold = 1, eligible_at = now() WHERE artifact_id = 2").await.unwrap();
    let both = recorded(&db, &[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await;
    let (of_a, of_b) = (promotion(&db, &a, 0).await, promotion(&db, &b, 0).await);
    assert_eq!(db.store.apply(&both[1..], &[], None).await.unwrap().changes.len(), 1);
    let known = sealed(&db, &[3, 5]).await;
    let lost = KnownSeal { size: 7, ..known[1] };
    let forked = KnownSeal { root: Sha256::of("another tree"), ..known[0] };
    for (other, size) in [(lost, 7), (forked, 3)] {
        let applied = db.store.apply(&both[..1], from_ref(&of_a), Some(other)).await;
        assert!(matches!(applied, Err(StoreError::OtherLog { size: found }) if found == size), "{applied:?}");
        let released = db.store.release_aged(&[b.artifact], from_ref(&of_b), Some(other)).await;
        assert!(matches!(released, Err(StoreError::OtherLog { size: found }) if found == size));
    }
    assert_eq!(db.number("SELECT count(*) FROM promotion").await, 0);
    assert_eq!(db.number("SELECT count(*) FROM gate WHERE servable").await, 0, "all of it is refused");
    assert_eq!(db.store.apply(&[], &[], Some(lost)).await.unwrap(), Applied::default());

    // the last checkpoint, and an older one of the same log
    let applied = db.store.apply(&both[..1], &[of_a], Some(known[1])).await.unwrap();
    assert_eq!(applied.changes[0].state, ArtifactState::Servable);
    let released = db.store.release_aged(&[b.artifact], &[of_b], Some(known[0])).await.unwrap();
    assert_eq!(released[0].state, ArtifactState::Servable);
    let denied = recorded(&db, &[a.verdict(CheckKind::Hash, OutcomeKind::Fail)]).await;
    let rejected = db.store.apply(&denied, &[], Some(lost)).await.unwrap();
    assert_eq!(rejected.changes[0].state, ArtifactState::Rejected, "a failure permits nothing");
}

#[tokio::test]
async fn a_transaction_that_loses_a_deadlock_runs_again() {
    let db = TestDb::new().await;
    let [a, b] = [db.artifact("a", HASH).await, db.artifact("b", HASH).await];
    let both = recorded(&db, &[a.pass(CheckKind::Hash), b.pass(CheckKind::Hash)]).await;
    let promotions = [promotion(&db, &a, 0).await, promotion(&db, &b, 0).await];

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
    let (changes, ()) = tokio::join!(db.store.apply(&both, &promotions, None), crossing);
    assert_eq!(changes.unwrap().changes.len(), 2);
}

#[tokio::test]
async fn more_deltas_than_a_transaction_takes_are_refused() {
    let db = TestDb::new().await;
    let a = db.artifact("a", HASH).await;
    let one = recorded(&db, &[a.verdict(CheckKind::Hash, OutcomeKind::Inconclusive)]).await;
    let refused = db.store.apply(&vec![one[0]; DELTAS_MAX + 1], &[], None).await;
    assert!(matches!(refused, Err(StoreError::Limit { what: "deltas", .. })));
    let fit = promotion(&db, &a, 0).await;
    let refused = db.store.apply(&[], &vec![fit; DELTAS_MAX + 1], None).await;
    assert!(matches!(refused, Err(StoreError::Limit { what: "promotions", .. })));
    assert_eq!(db.store.apply(&vec![one[0]; DELTAS_MAX], &[], None).await.unwrap().changes.len(), 1);
    assert_eq!(db.store.apply(&[], &[], None).await.unwrap(), Applied::default());
}

/// What becomes of a hold when it ends and something is still missing.
#[tokio::test]
async fn an_age_ends_without_a_promotion_where_there_is_nothing_to_promote() {
    let db = TestDb::new().await;
    let mut new = new_artifact(db.policy_epoch, "young", BOTH);
    new.eligible_at = Some(jiff::Timestamp::MAX);
    let Ingested::Inserted { artifact, epoch } = db.store.ingest(&new).await.unwrap() else { panic!() };
    let young = Facts { artifact, epoch, new };
    db.judge(&[young.pass(CheckKind::Hash)]).await.unwrap();
    db.execute("UPDATE gate SET eligible_at = now()").await.unwrap();
    assert_eq!(db.release_aged().await.unwrap(), []);
    assert_eq!(db.number("SELECT hold FROM gate").await, 0);
    assert_eq!(db.judge(&[young.pass(CheckKind::Attest)]).await.unwrap()[0].state, ArtifactState::Servable);
}

#[tokio::test]
async fn numbers_of_promotions_grow_and_are_given_once() {
    let db = TestDb::new().await;
    let calls = futures::future::try_join_all((0..4).map(|_| db.store.next_serials(100))).await.unwrap();
    assert!(calls.iter().all(|call| call.len() == 100 && call.is_sorted()));
    let mut all = calls.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 400);
    assert_eq!(db.store.next_serials(0).await.unwrap(), Vec::<i64>::new());
    assert!(db.store.next_serials(1).await.unwrap()[0] > all[399]);
}
