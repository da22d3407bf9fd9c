//! What is no rejection that was taken back, though the transparency log does not have it; and what hides none.

use std::time::Duration;

use touchstone_domain::{ArtifactDbId, ArtifactState, CheckKind, OutcomeKind, Sha256};
use touchstone_store::{RecallTarget, StoreError};

use super::{
    rejections::{LATER, UNDO, look, looks, rejected, told},
    world::World,
};
use crate::{
    count::{Look, verdicts},
    judge::CountError,
};

/// A statement that waits for a lock, and is given up.
const GIVES_UP: &str = "RAISE 'too long' USING ERRCODE = '57014'";
/// A server that is told to end the session while it commits.
const ENDS: &str = "PERFORM pg_terminate_backend(pg_backend_pid())";

/// Lets this happen, from now on, when a gate changes or, if it is `deferred`, when the change is committed.
async fn hinder(world: &World, what: &str, deferred: bool) {
    let function = format!(
        "CREATE FUNCTION hinder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NULL; END $$"
    );
    let (kind, when) = if deferred { ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED") } else { ("", "") };
    let trigger = format!(
        "CREATE {kind} TRIGGER hinder AFTER UPDATE ON gate {when} FOR EACH ROW EXECUTE FUNCTION hinder()"
    );
    world.rows(&function).await;
    world.rows(&trigger).await;
}

/// Ends that, and has the pool notice which connection the server has ended: it was used last, so it is taken first.
async fn mend(world: &World) {
    world.rows("DROP FUNCTION hinder CASCADE").await;
    for _ in 0..9 {
        match world.promote.store.incidents(1).await {
            Err(error) if error.is_transient() => {}
            answered => return drop(answered.expect("read")),
        }
    }
    panic!("every connection is closed");
}

async fn counted(world: &World, artifact: ArtifactDbId) -> Result<(), CountError> {
    verdicts(&world.promote, &[artifact], Look::All).await.map(|_| ())
}

/// An artifact of which a check fails, when the log was read once.
async fn failing(world: &World, check: CheckKind) -> ArtifactDbId {
    let (_promote, mut sealer) = world.beside();
    let artifact = world.fetched("1.0.0").await;
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    world.rung(artifact).await;
    world.sealed(&mut sealer).await;
    look(&world.promote, world, Duration::ZERO).await.expect("looked");
    world.answer(artifact, check, OutcomeKind::Fail).await;
    artifact
}

#[tokio::test]
async fn a_failure_that_rejects_nothing_is_no_rejection() {
    for (what, deferred) in [(GIVES_UP, false), (ENDS, true)] {
        let world = World::with("[attestations]\nnpm = \"observe\"\n").await;
        let artifact = failing(&world, CheckKind::Attest).await;
        hinder(&world, what, deferred).await;
        counted(&world, artifact).await.expect_err("it is hindered");
        mend(&world).await;
        counted(&world, artifact).await.expect("counted");
        looks(&world.promote, &world, Duration::ZERO..LATER).await;
        assert_eq!((told(&world).await, world.state(artifact).await), (vec![], ArtifactState::Servable));
    }
}

#[tokio::test]
async fn a_rejection_that_postgres_undid_is_none() {
    let world = World::new().await;
    let artifact = failing(&world, CheckKind::Attest).await;
    hinder(&world, GIVES_UP, false).await;
    for n in 0..20 {
        counted(&world, artifact).await.expect_err("it is hindered");
        look(&world.promote, &world, Duration::from_secs(10) * n).await.expect("looked");
    }
    assert_eq!(told(&world).await, []);
    mend(&world).await;
    let target = RecallTarget::Digest(Sha256::of("1.0.0"));
    world.promote.store.recall(&target, "malware", "ada").await.expect("recalled");
    counted(&world, artifact).await.expect("counted");
    looks(&world.promote, &world, LATER..3 * LATER).await;
    assert_eq!((told(&world).await, world.state(artifact).await), (vec![], ArtifactState::Revoked));
}

#[tokio::test]
async fn one_of_which_postgres_did_not_say_whether_it_was_committed_is_watched_until_it_is_sealed() {
    for is_tried_again in [true, false] {
        let world = World::new().await;
        let artifact = failing(&world, CheckKind::Attest).await;
        hinder(&world, ENDS, true).await;
        let error = counted(&world, artifact).await.expect_err("it is hindered");
        assert!(
            matches!(&error, CountError::Store(StoreError::Unconfirmed { transaction: "gate.apply", .. })),
            "{error:?}"
        );
        mend(&world).await;
        if is_tried_again {
            counted(&world, artifact).await.expect("counted");
            let (_promote, mut sealer) = world.beside();
            world.sealed(&mut sealer).await;
        }
        looks(&world.promote, &world, Duration::ZERO..LATER).await;
        let told = told(&world).await;
        let problem = "the transparency log lacks its rejection, of which the database did not say whether it was committed";
        assert!(told.iter().all(|one| one.detail["problem"] == problem), "{told:?}");
        assert_eq!(told.len(), usize::from(!is_tried_again));
    }
}

#[tokio::test]
async fn a_process_that_was_stopped_for_some_minutes_tells_nothing() {
    let world = World::new().await;
    rejected(&world).await;
    look(&world.promote, &world, Duration::ZERO).await.expect("looked");
    look(&world.promote, &world, LATER).await.expect("looked");
    assert_eq!(told(&world).await, [], "nobody had the time to seal it");
    looks(&world.promote, &world, LATER..2 * LATER).await;
    assert_eq!(told(&world).await.len(), 1, "now somebody had");
}

#[tokio::test]
async fn a_halt_now_and_then_does_not_hide_that_one_is_kept_from_the_log() {
    let world = World::new().await;
    let artifact = rejected(&world).await;
    for undo in ["UPDATE gate_log SET xid = '3' WHERE state = 'rejected'", UNDO[0], UNDO[1]] {
        world.superuser(undo).await;
    }
    for n in 0..4 {
        let minute = Duration::from_mins(1) * n;
        looks(&world.promote, &world, minute..minute + Duration::from_secs(40)).await;
        world.halt.send_replace(Some("what waits is not sealed".into()));
        look(&world.promote, &world, minute + Duration::from_secs(50)).await.expect("looked");
        world.halt.send_replace(None);
    }
    assert_eq!((told(&world).await.len(), world.facts(artifact).await.epoch), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_that_two_batches_reject_at_once_are_remembered() {
    let world = World::new().await;
    let mut artifacts = vec![];
    for n in 0..30 {
        let artifact = world.fetched(&format!("1.0.{n}")).await;
        world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
        let (one, other) = tokio::join!(counted(&world, artifact), counted(&world, artifact));
        one.and(other).expect("counted");
        artifacts.push(artifact);
    }
    for undo in UNDO {
        world.superuser(undo).await;
    }
    look(&world.promote, &world, Duration::ZERO).await.expect("looked");
    let mut found: Vec<_> = world
        .promote
        .store
        .incidents(99)
        .await
        .expect("read")
        .into_iter()
        .filter_map(|one| one.artifact)
        .collect();
    found.sort();
    assert_eq!(found, artifacts, "each is gone");
}

#[tokio::test]
async fn one_that_was_perhaps_committed_and_recalled_since_is_told_by_nobody() {
    let world = World::new().await;
    let artifact = failing(&world, CheckKind::Attest).await;
    hinder(&world, ENDS, true).await;
    counted(&world, artifact).await.expect_err("it is hindered");
    mend(&world).await;
    let target = RecallTarget::Digest(Sha256::of("1.0.0"));
    world.promote.store.recall(&target, "malware", "ada").await.expect("recalled");
    counted(&world, artifact).await.expect("counted");
    looks(&world.promote, &world, Duration::ZERO..2 * LATER).await;
    assert_eq!(told(&world).await, [], "there is nothing to be checked again");
    assert!(!world.promote.rejections.is_empty());
    let (_promote, mut sealer) = world.beside();
    world.sealed(&mut sealer).await;
    look(&world.promote, &world, 3 * LATER).await.expect("looked");
    assert!(world.promote.rejections.is_empty(), "the log recalls it");
}

#[tokio::test]
async fn a_comparison_that_fails_every_other_time_hides_nothing() {
    let world = World::new().await;
    let (promote, mut sealer) = world.beside();
    world.sealed(&mut sealer).await;
    sealer.cycle().await;
    let artifact = world.served("1.0.0").await;
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    verdicts(&promote, &[artifact], Look::All).await.expect("counted");
    for undo in UNDO {
        world.superuser(undo).await;
    }
    for (from, to) in [("log_seal", "hidden"), ("hidden", "log_seal")] {
        world.rows(&format!("ALTER TABLE {from} RENAME TO {to}")).await;
        sealer.cycle().await;
        assert_eq!(promote.is_halted(), to == "hidden");
    }
    assert_eq!((told(&world).await.len(), world.facts(artifact).await.epoch), (1, 1));
}
