//! What is lost, or was made up, heals: by asking again, or in a new epoch.

use std::sync::atomic::Ordering;

use tokio::sync::watch;
use touchstone_bus::{ArtifactEvent, Bus, BusOptions};
use touchstone_custody::KeyKind;
use touchstone_domain::{
    ArtifactState, CheckKind, CheckSet, Ecosystem, EnvelopeRef, OutcomeKind, Sha256, SignedBy,
};
use touchstone_testkit::Servers;

use super::world::{ATTEST, HASH, World, id};
use crate::{release, sweep};

#[tokio::test]
async fn a_verdict_whose_envelope_is_lost_is_asked_for_again() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.passed(artifact).await;
    world.lose(world.pack(CheckKind::Attest).await);
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.refused().await, ["missing"]);
    let counted = world.swept(artifact).await;
    assert_eq!(counted.missing[&artifact], ATTEST);
    assert_eq!(world.facts(artifact).await.answered, HASH);
    assert_eq!(world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await, 1);
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
    assert_eq!(world.facts(artifact).await.epoch, 0);
}

#[tokio::test]
async fn a_lost_envelope_whose_bit_was_counted_begins_a_new_epoch() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await;
    world.swept(artifact).await;
    assert_eq!(world.facts(artifact).await.answered, HASH);
    world.lose(world.pack(CheckKind::Hash).await);
    world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    let facts = world.facts(artifact).await;
    assert_eq!((facts.epoch, facts.answered), (1, CheckSet::EMPTY));
    let kinds: Vec<_> = world.incidents().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["verdict_refused", "gate_without_record"]);
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn bits_that_a_superuser_set_are_worth_nothing() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.superuser("UPDATE gate SET ok = 1").await;
    world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    world.swept(artifact).await;
    assert_eq!(world.state(artifact).await, ArtifactState::Fetched);
    assert_eq!(world.facts(artifact).await.epoch, 1, "the hash check would never be asked otherwise");
    assert_eq!(world.incidents().await, [("gate_without_record".into(), String::new())]);
}

#[tokio::test]
async fn a_gate_that_says_servable_is_signed_or_judged_anew() {
    let world = World::new().await;
    let (flipped, justified) = (world.fetched("1.0.0").await, world.fetched("1.0.1").await);
    world.passed(justified).await;
    world.superuser("UPDATE gate SET ok = required").await;
    for artifact in [flipped, justified] {
        assert_eq!(world.state(artifact).await, ArtifactState::Servable);
    }
    release::unpromoted(&world.promote, 10).await.expect("settled");
    assert_eq!(world.state(flipped).await, ArtifactState::Fetched);
    assert_eq!(world.serve_record("1.0.0").await, None);
    assert_eq!(world.incidents().await, [("gate_without_record".into(), String::new())]);
    assert!(world.serve_record("1.0.1").await.is_some());
    assert_eq!(world.promote.store.unpromoted(10).await.expect("read"), []);
    world.passed(flipped).await;
    assert_eq!(world.rung(flipped).await, ArtifactState::Servable);
}

#[tokio::test]
async fn without_a_fetch_that_counts_an_artifact_stays_pending_until_it_is_fetched_again() {
    let mut world = World::new().await;
    world.signs = 2;
    let artifact = world.fetched("1.0.0").await;
    world.signs = 1;
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    assert_eq!(world.incidents().await, [("fetch_refused".into(), "key_unknown".into())]);
    assert_eq!(world.swept(artifact).await.missing[&artifact], CheckSet::EMPTY, "the checks have answered");
    assert!(world.state(artifact).await.is_pending(), "an edge fetches again only what is pending");
    let status = world.promote.store.status(&id("1.0.0")).await.expect("read").expect("on record");
    assert_eq!(status.fetch_keys, [], "and sees that it has to");
    world.fetched_again(artifact, "1.0.0").await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn a_fetch_whose_envelope_is_lost_is_refused_and_fetched_again() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    world.passed(artifact).await;
    let pack = world.rows("SELECT pack FROM fetched").await;
    world.lose(Sha256::from_slice(pack[0].get(0)).expect("a digest"));
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
    assert_eq!(world.incidents().await, [("fetch_refused".into(), "missing".into())], "people are told once");
    world.clock.advance(std::time::Duration::from_secs(1));
    world.fetched_again(artifact, "1.0.0").await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

#[tokio::test]
async fn made_up_fetches_do_not_hide_the_honest_one() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    let key = world.promote.store.status(&id("1.0.0")).await.expect("read").expect("on record").fetch_keys[0];
    for n in 0..30_u32 {
        let nowhere = Sha256::of(n.to_string());
        let envelope = EnvelopeRef { sha256: nowhere, pack: nowhere, offset: 0, size: 100 };
        world.promote.store.record_fetch(artifact, &SignedBy { key, envelope }).await.expect("any edge may");
    }
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable, "in one look");
    assert_eq!(world.rows("SELECT FROM fetch_refusal").await.len(), 30);
}

#[tokio::test]
async fn what_waits_for_its_age_without_a_fetch_that_counts_becomes_pending_when_its_time_has_come() {
    let world = World::with("[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n").await;
    let artifact = world.fetched("1.0.0").await;
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Held);
    world.keys.change(|entries| entries.retain(|entry| entry.kind != KeyKind::Fetch));
    world.clock.advance(std::time::Duration::from_hours(48));
    world.superuser("UPDATE gate SET eligible_at = now() - interval '1 second'").await;
    release::aged(&world.promote, 10).await.expect("released");
    assert!(world.state(artifact).await.is_pending());
    assert_eq!(world.facts(artifact).await.epoch, 1);
    assert_eq!(world.promote.store.aged(10).await.expect("read"), []);
}

#[tokio::test]
async fn the_sweeper_asks_again_for_what_no_signature_answers_and_for_nothing_else() {
    let servers = Servers::start().await;
    let options = BusOptions { url: servers.operator_nats_url(), name: "promote".into() };
    let bus = Bus::connect(options).await.expect("connected");
    bus.provision(&[CheckKind::Hash, CheckKind::Attest]).await.expect("provisioned");
    let mut world = World::new().await;
    let (_sender, connected) = watch::channel(Some(bus.clone()));
    world.promote.bus = connected;

    let (complete, lost, partial) =
        (world.fetched("1.0.0").await, world.fetched("1.0.1").await, world.fetched("1.0.2").await);
    world.passed(complete).await;
    world.answer(lost, CheckKind::Attest, OutcomeKind::Pass).await;
    world.answer(lost, CheckKind::Hash, OutcomeKind::Pass).await;
    world.lose(world.pack(CheckKind::Hash).await);
    world.answer(partial, CheckKind::Attest, OutcomeKind::Pass).await;
    world.superuser("UPDATE gate SET dispatch_due = now()").await;
    assert!(sweep::once(&world.promote, 1).await);
    assert_eq!(world.state(complete).await, ArtifactState::Servable);

    let mut hash = bus.consume(CheckKind::Hash, 8).await.expect("a consumer");
    let mut asked = vec![];
    while asked.len() < 2 {
        asked.extend(hash.next_batch(8).await.iter().map(|delivery| delivery.event.artifact));
    }
    assert_eq!(asked, [lost, partial]);
    assert_eq!(world.facts(lost).await.answered, ATTEST, "the worker does not skip it");
    // were there another message for the attest check, it would come first
    let end = ArtifactEvent::new(complete, Ecosystem::Npm, 7, 0);
    bus.publish_recheck(CheckKind::Attest, &[end]).await.expect("published");
    let mut attest = bus.consume(CheckKind::Attest, 8).await.expect("a consumer");
    let first: Vec<_> = attest.next_batch(8).await.iter().map(|delivery| delivery.event.epoch).collect();
    assert_eq!(first, [7]);
}

#[tokio::test]
async fn while_artifacts_wait_to_be_counted_what_is_due_is_looked_at_less_often() {
    let world = World::new().await;
    for (n, (waiting, sweeps, state)) in [
        (0, 1, ArtifactState::Servable),
        (1, 1, ArtifactState::Fetched),
        (1, 9, ArtifactState::Fetched),
        (1, 10, ArtifactState::Servable),
    ]
    .into_iter()
    .enumerate()
    {
        let artifact = world.fetched(&format!("1.0.{n}")).await;
        world.passed(artifact).await;
        world
            .superuser(&format!("UPDATE gate SET dispatch_due = now() WHERE artifact_id = {artifact}"))
            .await;
        world.promote.waiting.store(waiting, Ordering::Relaxed);
        assert!(sweep::once(&world.promote, sweeps).await);
        assert_eq!(world.state(artifact).await, state, "{waiting} waiting, sweep {sweeps}");
        world.rung(artifact).await;
    }
}
