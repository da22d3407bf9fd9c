//! Promote on a real Postgres, message by message: beside each promotion, the same with one thing changed.

mod heal;
mod keys;
mod layouts;
mod lost;
mod no_alarm;
mod refused;
mod rejections;
mod swapped;
mod versions;
mod witness;
mod world;

use std::time::Duration;

use touchstone_custody::KeyKind;
use touchstone_domain::{ArtifactState, CheckKind, CheckSet, OutcomeKind, Policy, Requirement};
use touchstone_runtime::Clock as _;

use crate::{count::BATCH_MAX, release};
use world::{ATTEST, HASH, World, id, time};

#[tokio::test]
async fn what_every_check_signs_is_promoted_with_a_record_that_edges_accept() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched, "a doorbell leaves partial answers alone");
    world.swept(artifact).await;
    assert_eq!(world.state(artifact).await, ArtifactState::Verifying);
    world.answer(artifact, CheckKind::Attest, OutcomeKind::NotOffered).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);

    let record = world.serve_record("1.0.0").await.expect("promoted");
    assert_eq!((record.id(), record.epoch(), record.serial()), (&id("1.0.0"), 0, 1));
    assert_eq!(record.key(), world.keys.id(KeyKind::Promote));
    assert_eq!(record.policy(), (world.promote.policy_epoch, world.promote.policy.digest()));
    assert_eq!(record.promoted_at(), time("2026-11-23T00:00:00Z"));
    let rests_on: Vec<_> = record.rests_on().iter().map(|step| (step.check, step.key)).collect();
    let key = |kind| world.keys.id(kind);
    let expected = [
        (None, key(KeyKind::Fetch)),
        (Some(CheckKind::Hash), key(KeyKind::Hash)),
        (Some(CheckKind::Attest), key(KeyKind::Attest)),
    ];
    assert_eq!(rests_on, expected);
    assert_eq!((world.refused().await, world.incidents().await), (vec![], vec![]));
}

#[tokio::test]
async fn repeated_and_reordered_doorbells_promote_once() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    for check in [CheckKind::Attest, CheckKind::Hash] {
        world.answer(artifact, check, OutcomeKind::Pass).await;
        assert_eq!(world.answer(artifact, check, OutcomeKind::Pass).await, 0, "it is on record already");
        for _ in 0..3 {
            world.rung(artifact).await;
            world.swept(artifact).await;
        }
    }
    assert_eq!(world.state(artifact).await, ArtifactState::Servable);
    assert_eq!(world.rows("SELECT FROM promotion").await.len(), 1);
    assert_eq!(world.rows("SELECT FROM gate_log WHERE state = 'servable'").await.len(), 1);
}

#[tokio::test]
async fn two_promotes_at_once_promote_each_artifact_once() {
    let world = World::new().await;
    let mut artifacts = vec![];
    for version in 0..20 {
        let artifact = world.fetched(&format!("1.{version}.0")).await;
        world.passed(artifact).await;
        artifacts.push(artifact);
    }
    let count = || crate::count::verdicts(&world.promote, &artifacts, crate::count::Look::Decided);
    let (one, other, third) = tokio::join!(count(), count(), count());
    one.and(other).and(third).expect("counted");
    for artifact in artifacts {
        assert_eq!(world.state(artifact).await, ArtifactState::Servable);
    }
    assert_eq!(world.rows("SELECT FROM promotion").await.len(), 20);
}

#[tokio::test]
async fn a_late_failure_takes_out_of_service_and_a_forged_one_does_not() {
    let world = World::new().await;
    let artifact = world.served("1.0.0").await;
    let failed = world.statement(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    world.record(&failed, KeyKind::Attest).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
    assert_eq!(world.refused().await, ["key_kind"]);
    assert_eq!(world.incidents().await, [("verdict_refused".into(), "key_kind".into())]);
    let failures = world.promote.store.uncounted_failures(Duration::MAX, 10).await.expect("read");
    assert_eq!(failures, [], "it is not looked at again and again");

    world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    let failures = world.promote.store.uncounted_failures(Duration::MAX, 10).await.expect("read");
    assert_eq!(failures, [artifact]);
    assert_eq!(world.rung(artifact).await, ArtifactState::Rejected);
    assert_eq!(world.serve_record("1.0.0").await, None);
}

#[tokio::test]
async fn forged_verdicts_do_not_count_and_the_genuine_ones_do() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    let hash = world.statement(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    world.record(&hash, KeyKind::Attest).await;
    world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.refused().await, ["key_kind"]);
    let counted = world.swept(artifact).await;
    assert_eq!(counted.missing[&artifact], HASH, "the check is asked again");
    assert_eq!(world.facts(artifact).await.answered, ATTEST, "and it does not think that it has answered");
    assert_eq!(
        world.incidents().await,
        [("verdict_refused".into(), "key_kind".into())],
        "people are told once"
    );
    assert_eq!(world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await, 1, "it answers again");
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn a_verdict_of_another_artifact_or_installation_does_not_count() {
    let world = World::new().await;
    let (artifact, other) = (world.fetched("1.0.0").await, world.fetched("1.0.1").await);
    world.passed(artifact).await;
    world.passed(other).await;
    world
        .superuser(&format!(
            "UPDATE verdict SET envelope = theirs.envelope, pack = theirs.pack, pack_offset = theirs.pack_offset, \
             pack_size = theirs.pack_size FROM verdict AS theirs \
             WHERE verdict.artifact_id = {artifact} AND theirs.artifact_id = {other} \
               AND verdict.check_kind = 'hash' AND theirs.check_kind = 'hash'"
        ))
        .await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.rung(other).await, ArtifactState::Servable);
    let mut foreign = world.statement(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    foreign.environment = "staging".into();
    foreign.verdict.check_revision = 2;
    assert_eq!(world.record(&foreign, KeyKind::Hash).await, 1);
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.refused().await, ["differs", "differs"]);
}

#[tokio::test]
async fn a_row_that_a_superuser_turned_from_fail_to_pass_does_not_count() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
    world.superuser("UPDATE verdict SET outcome = 'pass' WHERE outcome = 'fail'").await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.refused().await, ["differs"]);
}

#[tokio::test]
async fn what_waits_for_its_age_is_signed_when_the_time_has_come_by_our_own_clock() {
    let world = World::with("[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n").await;
    let artifact = world.fetched("1.0.0").await;
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Held);
    let early = "UPDATE gate SET eligible_at = now() - interval '1 second'";
    world.superuser(early).await;
    release::aged(&world.promote, 10).await.expect("released");
    assert_eq!(world.state(artifact).await, ArtifactState::Held, "the row is not believed");
    assert_eq!(world.serve_record("1.0.0").await, None);
    assert_eq!(world.promote.store.aged(10).await.expect("read"), [], "and it holds up no other for a while");

    world.clock.advance(Duration::from_hours(48) - Duration::from_secs(1));
    world.superuser(early).await;
    release::aged(&world.promote, 10).await.expect("released");
    assert_eq!(world.state(artifact).await, ArtifactState::Held);
    assert_eq!(world.promote.store.aged(10).await.expect("read"), [artifact], "it is a matter of seconds");
    world.clock.advance(Duration::from_secs(1));
    release::aged(&world.promote, 10).await.expect("released");
    assert_eq!(world.state(artifact).await, ArtifactState::Servable);
    let record = world.serve_record("1.0.0").await.expect("promoted");
    assert_eq!(record.promoted_at(), time("2026-11-25T00:00:00Z"));
}

#[tokio::test]
async fn neither_an_edge_nor_a_row_alone_makes_a_version_older() {
    let mut world = World::with("[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n").await;
    let long_ago = world.clock.now() - Duration::from_hours(48);
    world.seen = Some(long_ago);
    let by_edge = world.fetched("1.0.0").await;
    let by_both = world.fetched("1.0.1").await;
    world.seen = None;
    let by_row = world.fetched("1.0.2").await;
    for artifact in [by_row, by_both] {
        world
            .superuser(&format!("UPDATE artifact SET fetched_at = '{long_ago}' WHERE id = {}", artifact.0))
            .await;
    }
    world.superuser("UPDATE gate SET hold = 0").await;
    for artifact in [by_edge, by_row, by_both] {
        world.passed(artifact).await;
    }
    assert_ne!(world.rung(by_edge).await, ArtifactState::Servable);
    assert_ne!(world.rung(by_row).await, ArtifactState::Servable);
    assert_eq!(world.rung(by_both).await, ArtifactState::Servable);
    world.clock.advance(Duration::from_hours(48));
    assert_eq!(world.rung(by_edge).await, ArtifactState::Servable);
    assert_eq!(world.rung(by_row).await, ArtifactState::Servable);
}

#[tokio::test]
async fn what_is_dated_ahead_is_asked_for_again_and_refused_with_its_reason() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    let mut ahead = world.statement(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    ahead.verdict.decided_at += Duration::from_secs(301);
    world.record(&ahead, KeyKind::Hash).await;
    world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.refused().await, ["ahead"]);
    assert_eq!(world.incidents().await, [("verdict_refused".into(), "ahead".into())]);
    assert_eq!(world.swept(artifact).await.missing[&artifact], HASH);
    assert_eq!(world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await, 1);
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn an_age_that_a_superuser_waived_is_kept_all_the_same() {
    let world = World::with("[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n").await;
    let artifact = world.fetched("1.0.0").await;
    world.superuser("UPDATE gate SET hold = 0").await;
    world.passed(artifact).await;
    assert_ne!(world.rung(artifact).await, ArtifactState::Servable);
    assert_eq!(world.serve_record("1.0.0").await, None);
    world.clock.advance(Duration::from_hours(48));
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn what_comes_of_age_before_its_checks_answer_is_released_without_a_record() {
    let world = World::with("[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n").await;
    let artifact = world.fetched("1.0.0").await;
    world.superuser("UPDATE gate SET eligible_at = now() - interval '1 second'").await;
    release::aged(&world.promote, 10).await.expect("released");
    assert_eq!(world.promote.store.aged(10).await.expect("read"), []);
    assert_eq!(world.state(artifact).await, ArtifactState::Fetched);
    world.clock.advance(Duration::from_hours(48));
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn a_requirement_that_a_superuser_lowered_begins_anew_under_our_own() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.superuser("UPDATE gate SET required = 1, veto = 1, tolerated = 0").await;
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    let facts = world.facts(artifact).await;
    assert_eq!((facts.epoch, facts.answered), (1, CheckSet::EMPTY));
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched, "both are required again");
    world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
    assert_eq!(world.serve_record("1.0.0").await.expect("promoted").epoch(), 1);
}

#[tokio::test]
async fn a_newer_policy_of_our_own_reopens_and_an_older_one_waits() {
    let mut world = World::with("[attestations]\nnpm = \"off\"\n").await;
    let requirement = Requirement::new(HASH, HASH).expect("a member");
    let artifact = world.fetched_under("1.0.0", requirement).await;
    let newer = world.fetched_under("1.0.1", requirement).await;
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    world.policy("").await;
    let asked = world.facts(artifact).await.policy_epoch;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    let facts = world.facts(artifact).await;
    assert_eq!((facts.epoch, facts.policy_epoch), (1, asked + 1));
    assert_eq!(world.swept(artifact).await.missing, [].into(), "there is nothing to judge yet");

    world
        .superuser(&format!("UPDATE gate SET policy_epoch = {} WHERE artifact_id = {newer}", asked + 2))
        .await;
    world.answer(newer, CheckKind::Hash, OutcomeKind::Pass).await;
    assert_eq!(world.rung(newer).await, ArtifactState::Fetched);
    assert_eq!(world.facts(newer).await.epoch, 0);
    assert_eq!(world.swept(newer).await.missing[&newer], CheckSet::EMPTY, "asking again would not help");
}

#[tokio::test]
async fn checks_by_a_policy_that_promote_was_not_given_approve_nothing() {
    let mut world = World::new().await;
    let (artifact, honest) = (world.fetched("1.0.0").await, world.fetched("1.0.1").await);
    let weaker = Policy::parse("# asks for the same checks, and excuses more\n").expect("a policy");
    let epoch = world.promote.store.register_policy(&weaker).await.expect("any edge may");
    world.superuser(&format!("UPDATE gate SET policy_epoch = {epoch} WHERE artifact_id = {artifact}")).await;
    for (artifact, state) in [(artifact, ArtifactState::Fetched), (honest, ArtifactState::Servable)] {
        world.passed(artifact).await;
        assert_eq!(world.rung(artifact).await, state);
        assert_eq!(world.facts(artifact).await.epoch, 0);
    }
    assert_eq!(
        world.swept(artifact).await.missing[&artifact],
        CheckSet::EMPTY,
        "it waits for promote to be given it"
    );
    world.policy("# newer than that\n").await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    let facts = world.facts(artifact).await;
    assert_eq!((facts.epoch, facts.policy_epoch), (1, world.promote.policy_epoch));
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn what_our_own_policy_denies_is_not_promoted() {
    let mut world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.passed(artifact).await;
    let deny = "[[deny]]\necosystem = \"npm\"\npackage = \"left-pad\"\nreason = \"bad\"\n";
    world.policy(deny).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    assert_eq!(world.facts(artifact).await.epoch, 0, "beginning anew would change nothing");
    world.policy("").await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn nothing_is_promoted_or_released_while_the_log_says_stop() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.passed(artifact).await;
    world.halt.send_replace(Some("the database is older than the log".into()));
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    world.swept(artifact).await;
    world.superuser("UPDATE gate SET hold = 1, eligible_at = now() - interval '1 second'").await;
    release::aged(&world.promote, 10).await.expect("nothing");
    assert_eq!(world.state(artifact).await, ArtifactState::Fetched);
    world.superuser("UPDATE gate SET ok = required, hold = 0").await;
    release::unpromoted(&world.promote, 10).await.expect("nothing");
    assert_eq!(world.serve_record("1.0.0").await, None);
    world.halt.send_replace(None);
    release::unpromoted(&world.promote, 10).await.expect("signed");
    assert!(world.serve_record("1.0.0").await.is_some());
}

#[tokio::test]
async fn more_than_a_batch_is_counted_in_batches() {
    let world = World::new().await;
    let last = world.served("1.0.0").await;
    let other = world.fetched("1.0.1").await;
    world.passed(other).await;
    let mut artifacts = vec![last; BATCH_MAX];
    artifacts.push(other);
    crate::count::verdicts(&world.promote, &artifacts, crate::count::Look::Decided).await.expect("counted");
    assert_eq!(world.state(other).await, ArtifactState::Servable);
}
