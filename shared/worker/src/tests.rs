//! The loop on a real Postgres and a real nats-server.

mod own_key;
mod signing;
mod world;

use std::{sync::atomic::Ordering, time::Duration};

use futures::StreamExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    time::timeout,
};
use touchstone_bus::{ArtifactEvent, MAX_DELIVER, Rung};
use touchstone_domain::{
    ArtifactDbId, CheckKind, CheckSet, Ecosystem, Outcome, Policy, Reason, Sha256, Verdict, count,
};
use touchstone_runtime::Clock as _;
use touchstone_store::{Attempt, AttemptClass, NewPromotion};

use crate::{CheckError, policies::Policies};
use world::{PATIENCE, Scripted, World};

/// Delivers a message so often, and gives it back, that it comes next with this number.
async fn wear_out(world: &World, deliveries: i64) {
    let mut consumer = world.bus.consume(CheckKind::Hash, 1).await.expect("a consumer");
    for expected in 1..deliveries {
        let batch = timeout(PATIENCE, consumer.next_batch(1)).await.expect("a delivery");
        assert_eq!(batch[0].deliveries, expected);
        batch[0].nak(Duration::from_millis(1)).await.expect("connected");
    }
    consumer.hand_back().await;
}

/// Counts the one verdict and promotes, as promote does.
async fn promote(world: &World, artifact: ArtifactDbId) {
    let story = world.story(artifact, |_| true).await;
    let verdict = &story.verdicts[0];
    let delta = count(&verdict.verdict, &story.gate).expect("it counts");
    let promotion = NewPromotion {
        artifact,
        epoch: story.gate.epoch,
        serial: world.store.next_serials(1).await.expect("a number")[0],
        policy_epoch: world.policy_epoch,
        rests_on: vec![],
        promoted_at: world.clock.now(),
        signed: verdict.signed.expect("it is signed"),
    };
    let applied = world.store.apply(&[delta], &[promotion], None).await.expect("applied");
    assert_eq!(applied.unapproved, []);
}

#[tokio::test]
async fn a_doorbell_says_who_is_still_to_answer_unless_a_failure_decides() {
    let mut world = World::new().await;
    let mut doorbell = world.bus.recorded().await.expect("a subscription");
    world.required = [CheckKind::Hash, CheckKind::Attest].into_iter().collect();
    world.work(Scripted::new(), 4).await;
    for (package, others) in [("passes", CheckSet::of(CheckKind::Attest)), ("is-refused", CheckSet::EMPTY)] {
        let artifact = world.fetched(package).await;
        let rung = timeout(PATIENCE, doorbell.next()).await.expect("rung").expect("an open stream");
        assert_eq!(rung, [Rung { artifact, others }], "{package}");
    }
}

#[tokio::test]
async fn a_finding_is_recorded_rung_and_acknowledged() {
    let mut world = World::new().await;
    let mut doorbell = world.bus.recorded().await.expect("a subscription");
    world.work(Scripted::new(), 4).await;
    let artifact = world.fetched("passes").await;
    let rung = timeout(PATIENCE, doorbell.next()).await.expect("rung").expect("an open stream");
    assert_eq!(rung, [Rung { artifact, others: CheckSet::EMPTY }]);
    let story = world.story(artifact, |_| true).await;
    let expected = Verdict {
        artifact,
        sha256: story.facts.sha256,
        chunk_root: Some(story.facts.chunk_root),
        epoch: story.facts.epoch,
        check: CheckKind::Hash,
        check_revision: 3,
        policy_epoch: story.facts.policy_epoch,
        outcome: Outcome::pass(Reason::Trivial),
        evidence: vec![],
        trust: vec![Sha256::of("")],
        service: "hash".into(),
        software: concat!("touchstone/", env!("CARGO_PKG_VERSION")).into(),
        decided_at: "2026-11-23T00:00:00Z".parse().expect("a time"),
    };
    assert_eq!(story.verdicts.iter().map(|v| v.verdict.clone()).collect::<Vec<_>>(), [expected]);
    world.shutdown.soft.cancel();
    world.ended().await;
    assert_eq!(world.pending().await, []);
}

#[tokio::test]
async fn a_check_is_given_the_policy_that_asks_by_its_number() {
    let world = World::new().await;
    let policies = Policies::default();
    for document in ["", "[attestations]\nnpm = \"require\"\n"] {
        let policy = Policy::parse(document).expect("a policy");
        let epoch = world.store.register_policy(&policy).await.expect("registered");
        for _ in 0..2 {
            assert_eq!(policies.of(&world.store, epoch).await.expect("on record").document(), document);
        }
    }
    let missing = policies.of(&world.store, 77).await.expect_err("never registered");
    assert!(matches!(missing, CheckError::Poison { .. }), "{missing}");
    assert_eq!(missing.to_string(), "policy 77 is not on record");
}

#[tokio::test]
async fn a_hundred_repeated_messages_make_one_verdict_and_none_after_it_counted() {
    let mut world = World::new().await;
    let event = world.ingest("passes").await;
    let repeated: Vec<ArtifactEvent> =
        (0..100).map(|dispatch| ArtifactEvent { dispatch, ..event.clone() }).collect();
    world.bus.publish_fetched(&repeated).await.expect("accepted");
    let check = Scripted::new();
    world.work(check.clone(), 16).await;
    world.story(event.artifact, |story| !story.verdicts.is_empty()).await;
    promote(&world, event.artifact).await;
    let calls = check.calls.load(Ordering::SeqCst);

    world.bus.publish_recheck(CheckKind::Hash, std::slice::from_ref(&event)).await.expect("accepted");
    let other = world.fetched("other").await;
    world.story(other, |story| !story.verdicts.is_empty()).await;
    world.shutdown.soft.cancel();
    world.ended().await;
    assert_eq!(world.pending().await, []);
    assert_eq!(world.story(event.artifact, |_| true).await.verdicts.len(), 1);
    assert!(check.calls.load(Ordering::SeqCst) <= 101.max(calls + 1), "an answered check is not run again");
}

#[tokio::test]
async fn what_does_not_answer_is_an_attempt_and_comes_again() {
    let mut world = World::new().await;
    world.work(Scripted::new(), 4).await;
    let artifact = world.fetched("fails-once").await;
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    let expected = Attempt {
        artifact,
        epoch: 0,
        check: CheckKind::Hash,
        delivery: 1,
        class: AttemptClass::Retry,
        detail: "not today".into(),
        service: "hash".into(),
    };
    assert_eq!(story.attempts.iter().map(|a| a.attempt.clone()).collect::<Vec<_>>(), [expected]);

    for (package, class, detail) in [
        ("panics", AttemptClass::Poison, "the check panicked: on purpose"),
        ("poison", AttemptClass::Poison, "never"),
        ("hangs", AttemptClass::Retry, "the check did not finish within 500ms"),
    ] {
        let artifact = world.fetched(package).await;
        let story = world.story(artifact, |story| !story.attempts.is_empty()).await;
        assert_eq!(
            (story.attempts[0].attempt.class, story.attempts[0].attempt.detail.as_str()),
            (class, detail)
        );
        assert!(story.verdicts.is_empty() && story.dead_letters.is_empty());
    }
}

#[tokio::test]
async fn poison_that_came_too_often_is_a_dead_letter_and_never_a_verdict() {
    for package in ["panics", "poison"] {
        let mut world = World::new().await;
        let mut advisories = world.bus.dead_letters().await.expect("advisories");
        let artifact = world.fetched(package).await;
        wear_out(&world, 5).await;
        world.work(Scripted::new(), 4).await;
        let story = world.story(artifact, |story| !story.dead_letters.is_empty()).await;
        let letter = &story.dead_letters[0].letter;
        assert_eq!((letter.deliveries, letter.check, letter.stream_seq), (5, Some(CheckKind::Hash), 1));
        assert!(story.verdicts.is_empty());
        let advisory = timeout(PATIENCE, advisories.next()).await.expect("terminated");
        assert_eq!(advisory.event.map(|event| event.artifact), Some(artifact));
        world.shutdown.soft.cancel();
        world.ended().await;
        assert_eq!(world.pending().await, []);
    }
}

#[tokio::test]
async fn a_retry_is_left_to_the_server_to_give_up() {
    let mut world = World::new().await;
    let mut advisories = world.bus.dead_letters().await.expect("advisories");
    let artifact = world.fetched("hangs").await;
    wear_out(&world, MAX_DELIVER).await;
    world.work(Scripted::new(), 4).await;
    let advisory = timeout(PATIENCE, advisories.next()).await.expect("given up");
    assert_eq!(
        (advisory.deliveries, advisory.event.map(|event| event.artifact)),
        (MAX_DELIVER, Some(artifact))
    );
}

#[tokio::test]
async fn a_message_about_nothing_is_dropped_and_a_stale_one_is_judged_under_the_present_epoch() {
    let mut world = World::new().await;
    world.work(Scripted::new(), 4).await;
    let nothing = ArtifactEvent::new(ArtifactDbId(1_000_000), Ecosystem::Npm, 0, 0);
    let stale = ArtifactEvent { epoch: 77, ..world.ingest("stale").await };
    world.bus.publish_fetched(&[nothing, stale.clone()]).await.expect("accepted");
    let story = world.story(stale.artifact, |story| !story.verdicts.is_empty()).await;
    assert_eq!(story.verdicts[0].verdict.epoch, story.gate.epoch);
    world.shutdown.soft.cancel();
    world.ended().await;
    assert_eq!(world.pending().await, []);
}

#[tokio::test]
async fn the_soft_stage_finishes_what_is_in_hand_and_gives_back_the_rest() {
    let mut world = World::new().await;
    let check = Scripted::new();
    let in_hand = world.fetched("waits").await;
    world.work(check.clone(), 1).await;
    timeout(PATIENCE, async {
        while check.calls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is in hand");
    let rest = world.fetched("rest").await;
    world.shutdown.soft.cancel();
    check.permits.add_permits(1);
    world.ended().await;
    assert_eq!(world.story(in_hand, |_| true).await.verdicts.len(), 1);
    assert!(world.story(rest, |_| true).await.verdicts.is_empty());
    let pending: Vec<ArtifactDbId> =
        world.pending().await.into_iter().map(|(artifact, _)| artifact).collect();
    assert_eq!(pending, [rest]);
}

#[tokio::test]
async fn the_hard_stage_drops_what_is_in_hand() {
    let mut world = World::new().await;
    let check = Scripted::new();
    let in_hand = world.fetched("waits").await;
    world.work(check.clone(), 1).await;
    timeout(PATIENCE, async {
        while check.calls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is in hand");
    world.shutdown.soft.cancel();
    world.shutdown.hard.cancel();
    world.ended().await;
    let story = world.story(in_hand, |_| true).await;
    assert!(story.verdicts.is_empty() && story.attempts.is_empty());
}

#[tokio::test]
async fn while_postgres_is_away_messages_wait_and_nothing_is_lost() {
    let mut world = World::new().await;
    let artifact = world.fetched("passes").await;
    world.postgres.take().expect("running").stop().await;
    world.work(Scripted::new(), 4).await;
    put_off_by_the_worker(&world).await;
    world.start_postgres().await;
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    assert!(story.attempts.is_empty(), "an outage of ours is no attempt");
}

#[tokio::test]
async fn a_worker_waits_for_its_consumer_also_when_its_pauses_have_grown_long() {
    let mut world = World::unprovisioned().await;
    let address = world.nats.url();
    let mut spy = TcpStream::connect(address.trim_start_matches("nats://")).await.expect("connected");
    spy.write_all(b"CONNECT {}\r\nSUB $JS.API.CONSUMER.INFO.> 1\r\nPING\r\n").await.expect("sent");
    let mut heard = BufReader::new(spy).lines();
    let next = async |heard: &mut Lines<BufReader<TcpStream>>, word: &str| {
        while !heard.next_line().await.expect("read").expect("open").starts_with(word) {}
    };
    timeout(PATIENCE, next(&mut heard, "PONG")).await.expect("subscribed");
    world.work(Scripted::new(), 1).await;
    for _ in 0..8 {
        timeout(PATIENCE, next(&mut heard, "MSG")).await.expect("it asks again");
    }
    world.bus.provision(&[CheckKind::Hash]).await.expect("streams");
    let artifact = world.fetched("passes").await;
    world.story(artifact, |story| !story.verdicts.is_empty()).await;
}

/// Takes the one message, again and again, until its number says that somebody else had it in between.
async fn put_off_by_the_worker(world: &World) {
    let mut consumer = world.bus.consume(CheckKind::Hash, 1).await.expect("a consumer");
    let taking = async {
        for mine in 1.. {
            let batch = consumer.next_batch(1).await;
            batch[0].nak(Duration::from_millis(1)).await.expect("connected");
            if batch[0].deliveries > mine {
                return;
            }
        }
    };
    timeout(PATIENCE, taking).await.expect("the worker had it too");
    consumer.hand_back().await;
}
