//! Against a real nats-server: what is promised about loss, repetition, poison and repair.

mod server;

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    stream,
};
use futures::StreamExt as _;
use tokio::time::timeout;
use touchstone_domain::{ArtifactDbId, ArtifactState, CheckKind, Ecosystem};

use crate::{
    ACK_WAIT, ArtifactEvent, Bus, BusError, BusOptions, DeadLetterCause, Decided, Deliveries, Delivery,
    LIVE_STREAM,
};
use server::Server;

/// A test that hangs is a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(server: &Server) -> Bus {
    let options = BusOptions { url: server.url(), name: "test".into() };
    Bus::connect(options).await.expect("a server")
}

async fn provisioned() -> (Server, Bus) {
    let server = Server::start().await;
    let bus = connect(&server).await;
    bus.provision(&[CheckKind::Hash]).await.expect("a fresh server");
    (server, bus)
}

const fn event(artifact: i64) -> ArtifactEvent {
    ArtifactEvent { artifact: ArtifactDbId(artifact), ecosystem: Ecosystem::Npm, epoch: 0, dispatch: 0 }
}

async fn one(deliveries: &mut Deliveries) -> Delivery {
    let mut batch = timeout(PATIENCE, deliveries.next_batch(1)).await.expect("a delivery");
    assert_eq!(batch.len(), 1);
    batch.remove(0)
}

/// A round trip: the server has seen what this connection sent before, subscriptions for instance.
async fn caught_up(bus: &Bus) {
    bus.provision(&[]).await.expect("connected");
}

async fn messages(bus: &Bus) -> u64 {
    bus.jetstream.get_stream(LIVE_STREAM).await.expect("the stream").cached_info().state.messages
}

/// Publishes until it is accepted, as the sweeper does.
async fn publish_until_accepted(bus: &Bus, event: ArtifactEvent) {
    let publishing = async {
        while bus.publish_fetched(std::slice::from_ref(&event)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, publishing).await.expect("an accepted message");
}

#[tokio::test]
async fn a_check_is_consumed_while_a_worker_asks_or_has_work_in_hand() {
    let server = Server::start().await;
    let bus = connect(&server).await;
    assert!(!bus.is_consumed(CheckKind::Hash).await.expect("an answer"), "nothing is there");
    bus.provision(&[CheckKind::Hash]).await.expect("a fresh server");
    assert!(!bus.is_consumed(CheckKind::Hash).await.expect("an answer"), "nobody is there");
    let mut deliveries = bus.consume(CheckKind::Hash, 1).await.expect("a consumer");
    bus.publish_fetched(&[event(1)]).await.expect("captured");
    let delivery = one(&mut deliveries).await;
    assert!(bus.is_consumed(CheckKind::Hash).await.expect("an answer"), "one in hand");
    assert!(!bus.is_consumed(CheckKind::Attest).await.expect("an answer"), "that is another check");
    delivery.ack().await.expect("acknowledged");
    // It asks for more.
    bus.publish_fetched(&[event(2)]).await.expect("captured");
    one(&mut deliveries).await;
    assert!(bus.is_consumed(CheckKind::Hash).await.expect("an answer"));
}

#[tokio::test]
async fn provisioning_is_idempotent_and_repairs_what_differs() {
    let (_server, bus) = provisioned().await;
    bus.provision(&CheckKind::ALL).await.expect("again, with more checks");
    let live = bus.jetstream.get_stream(LIVE_STREAM).await.expect("the stream").cached_info().config.clone();
    let narrowed = stream::Config { subjects: vec!["touchstone.v1.decision.>".into()], ..live };
    bus.jetstream.update_stream(narrowed).await.expect("an operator's mistake");
    let refused = bus.publish_fetched(&[event(1)]).await.expect_err("nobody captures it");
    assert!(
        matches!(&refused, BusError::Publish { subject, .. } if subject == "touchstone.v1.artifact-fetched.npm")
    );

    bus.provision(&CheckKind::ALL).await.expect("repaired");
    bus.publish_fetched(&[event(1)]).await.expect("captured again");
}

#[tokio::test]
async fn a_repeated_message_id_is_stored_once_and_each_check_has_its_own() {
    let (_server, bus) = provisioned().await;
    bus.publish_fetched(&[event(1), event(1)]).await.expect("accepted");
    bus.publish_fetched(&[event(1)]).await.expect("accepted");
    assert_eq!(messages(&bus).await, 1);
    bus.publish_fetched(&[ArtifactEvent { dispatch: 1, ..event(1) }]).await.expect("accepted");
    assert_eq!(messages(&bus).await, 2);
    for check in [CheckKind::Hash, CheckKind::Attest, CheckKind::Hash] {
        bus.publish_recheck(check, &[event(1)]).await.expect("accepted");
    }
    assert_eq!(messages(&bus).await, 4);
}

#[tokio::test]
async fn a_consumer_hears_fetched_and_its_own_rechecks_only() {
    let (_server, bus) = provisioned().await;
    let decided =
        Decided { artifact: ArtifactDbId(1), ecosystem: Ecosystem::Npm, state: ArtifactState::Servable };
    bus.publish_decisions(&[decided]).await.expect("accepted");
    bus.publish_recheck(CheckKind::Attest, &[event(2)]).await.expect("accepted");
    bus.publish_recheck(CheckKind::Hash, &[event(3)]).await.expect("accepted");
    bus.publish_fetched(&[event(4)]).await.expect("accepted");
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    let mut heard = vec![];
    while heard.len() < 2 {
        let batch = timeout(PATIENCE, deliveries.next_batch(8)).await.expect("deliveries");
        for delivery in batch {
            heard.push(delivery.event.artifact.0);
            delivery.ack().await.expect("connected");
        }
    }
    assert_eq!(heard, [3, 4]);
}

#[tokio::test]
async fn a_consumer_hears_of_the_ecosystems_that_it_applies_to_also_one_that_an_older_version_made() {
    let (_server, bus) = provisioned().await;
    let older = pull::Config {
        durable_name: Some("attest".into()),
        filter_subjects: vec![
            "touchstone.v1.artifact-fetched.>".into(),
            "touchstone.v1.recheck.attest.>".into(),
        ],
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: crate::MAX_DELIVER,
        max_ack_pending: 8192,
        ..pull::Config::default()
    };
    let _: PullConsumer =
        bus.jetstream.create_consumer_on_stream(older, LIVE_STREAM).await.expect("as it was");
    bus.provision(&[CheckKind::Attest]).await.expect("updated");
    let of = |ecosystem, artifact| ArtifactEvent { ecosystem, ..event(artifact) };
    let fetched = [of(Ecosystem::Cargo, 1), of(Ecosystem::Pypi, 2), of(Ecosystem::Npm, 3)];
    bus.publish_fetched(&fetched).await.expect("accepted");
    bus.publish_recheck(CheckKind::Attest, &[of(Ecosystem::Pypi, 4)]).await.expect("accepted");
    let mut deliveries = bus.consume(CheckKind::Attest, 8).await.expect("the consumer");
    let mut heard = vec![];
    while heard.len() < 3 {
        let batch = timeout(PATIENCE, deliveries.next_batch(8)).await.expect("deliveries");
        heard.extend(batch.iter().map(|delivery| delivery.event.artifact.0));
    }
    assert_eq!(heard, [2, 3, 4]);
}

#[tokio::test]
async fn what_is_acked_is_gone_and_what_is_not_comes_back() {
    let (_server, bus) = provisioned().await;
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    bus.publish_fetched(&[event(1)]).await.expect("accepted");
    let first = one(&mut deliveries).await;
    assert_eq!((first.event.clone(), first.deliveries), (event(1), 1));
    first.progress().await.expect("connected");
    first.nak(Duration::from_millis(1)).await.expect("connected");
    let second = one(&mut deliveries).await;
    assert_eq!((second.event.clone(), second.deliveries, second.stream_seq), (event(1), 2, first.stream_seq));
    second.ack().await.expect("connected");

    // Nothing is pending any more: the next that is heard is the next that was sent.
    bus.publish_fetched(&[event(2)]).await.expect("accepted");
    assert_eq!(one(&mut deliveries).await.event, event(2));
    deliveries.hand_back().await;
}

#[tokio::test]
async fn messages_that_were_sent_ahead_are_handed_back() {
    let (_server, bus) = provisioned().await;
    let mut leaving = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    bus.publish_fetched(&[event(1), event(2)]).await.expect("accepted");
    one(&mut leaving).await.ack().await.expect("connected");
    leaving.hand_back().await;
    let mut staying = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    let taken_over = timeout(ACK_WAIT / 2, staying.next_batch(8)).await.expect("long before it would expire");
    assert_eq!(taken_over[0].event, event(2));
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_and_the_stream_moves_on() {
    let (_server, bus) = provisioned().await;
    let poison = [&b"{"[..], br#"{"schema":9,"artifact":1,"ecosystem":"npm","epoch":0,"dispatch":0}"#];
    for payload in poison {
        bus.client.publish("touchstone.v1.artifact-fetched.npm", payload.into()).await.expect("sent");
    }
    let too_large = vec![b' '; 100_000].into();
    bus.jetstream
        .publish("touchstone.v1.artifact-fetched.npm", too_large)
        .await
        .expect("sent")
        .await
        .expect_err("the stream refuses it");
    bus.publish_fetched(&[event(3)]).await.expect("accepted");
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    assert_eq!(one(&mut deliveries).await.event, event(3));

    let mut letters = bus.dead_letters().await.expect("the advisories");
    let reading = async {
        let mut found = vec![];
        while found.len() < 2 {
            let letter = letters.next().await;
            letter.ack().await.expect("connected");
            found.push((letter.stream_seq, letter.cause, letter.check, letter.event));
        }
        found
    };
    // The unreadable ones are terminated by the next call.
    let found = tokio::select! {
        found = timeout(PATIENCE, reading) => found.expect("two dead letters"),
        _ = deliveries.next_batch(8) => panic!("nothing else was sent"),
    };
    let terminated = |seq| (seq, DeadLetterCause::Terminated, Some(CheckKind::Hash), None);
    assert_eq!(found, [terminated(2), terminated(1)]);
}

#[tokio::test]
async fn a_dead_letter_names_its_artifact() {
    let (_server, bus) = provisioned().await;
    let mut letters = bus.dead_letters().await.expect("the advisories");
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    bus.publish_fetched(&[event(7)]).await.expect("accepted");
    one(&mut deliveries).await.term().await.expect("connected");
    let letter = timeout(PATIENCE, letters.next()).await.expect("an advisory");
    assert_eq!((letter.cause, letter.deliveries), (DeadLetterCause::Terminated, 1));
    assert_eq!((letter.stream.as_str(), letter.consumer.as_str()), ("LIVE", "hash"));
    assert_eq!(letter.event, Some(event(7)));
    letter.ack().await.expect("connected");

    bus.publish_fetched(&[event(8)]).await.expect("accepted");
    for attempt in 1..=crate::MAX_DELIVER {
        let delivery = one(&mut deliveries).await;
        assert_eq!(delivery.deliveries, attempt);
        delivery.nak(Duration::from_millis(1)).await.expect("connected");
    }
    let letter = timeout(PATIENCE, letters.next()).await.expect("an advisory");
    assert_eq!((letter.cause, letter.deliveries), (DeadLetterCause::MaxDeliveries, crate::MAX_DELIVER));
    assert_eq!(letter.event, Some(event(8)));
}

#[tokio::test]
async fn doorbells_reach_one_promoter_and_every_edge() {
    let (_server, bus) = provisioned().await;
    let mut promoter = bus.recorded().await.expect("a subscription");
    let mut edges = [bus.decisions().await.expect("one"), bus.decisions().await.expect("another")];
    caught_up(&bus).await;
    let rows: Vec<ArtifactDbId> = (0..1000).map(ArtifactDbId).collect();
    bus.client.publish("touchstone.v1.verdict-recorded", "nonsense".into()).await.expect("sent");
    bus.publish_recorded(&rows).await.expect("sent");
    let mut heard = vec![];
    while heard.len() < rows.len() {
        heard.extend(timeout(PATIENCE, promoter.next()).await.expect("a doorbell").expect("an open stream"));
    }
    assert_eq!(heard, rows);

    let decided =
        [(1, Ecosystem::Npm), (2, Ecosystem::Cargo), (3, Ecosystem::Npm)].map(|(row, ecosystem)| Decided {
            artifact: ArtifactDbId(row),
            ecosystem,
            state: ArtifactState::Rejected,
        });
    bus.publish_decisions(&decided).await.expect("accepted");
    for edge in &mut edges {
        let first = timeout(PATIENCE, edge.next()).await.expect("a decision").expect("an open stream");
        let second = timeout(PATIENCE, edge.next()).await.expect("a decision").expect("an open stream");
        assert_eq!((first, second), (vec![decided[1]], vec![decided[0], decided[2]]));
    }
    assert_eq!(messages(&bus).await, 2);
}

#[tokio::test]
async fn a_killed_and_wiped_server_loses_only_time() {
    let (mut server, bus) = provisioned().await;
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    let mut letters = bus.dead_letters().await.expect("the advisories");
    bus.publish_fetched(&[event(1)]).await.expect("accepted");
    one(&mut deliveries).await.ack().await.expect("connected");

    server.kill();
    server.wipe();
    server.restart().await;
    let hearing = async {
        // The message itself may come before its receipt is heard, so both go on at once.
        let (delivery, ()) = tokio::join!(one(&mut deliveries), publish_until_accepted(&bus, event(2)));
        assert_eq!((delivery.event.clone(), delivery.stream_seq), (event(2), 1));
        delivery.term().await.expect("connected");
        assert_eq!(letters.next().await.event, Some(event(2)));
    };
    timeout(PATIENCE, hearing).await.expect("healed");
}

#[tokio::test]
async fn a_deleted_stream_is_made_again() {
    let (_server, bus) = provisioned().await;
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("the consumer");
    bus.publish_fetched(&[event(1)]).await.expect("accepted");
    one(&mut deliveries).await.ack().await.expect("connected");
    let deleting = async {
        bus.jetstream.delete_stream(LIVE_STREAM).await.expect("deleted");
        publish_until_accepted(&bus, event(2)).await;
    };
    let (delivery, ()) = tokio::join!(one(&mut deliveries), deleting);
    assert_eq!(delivery.event, event(2));
}

#[tokio::test]
async fn without_a_server_every_call_fails_at_once_and_a_late_server_is_found() {
    let mut server = Server::start().await;
    server.kill();
    let bus = Bus::connect(BusOptions { url: server.url(), name: "test".into() })
        .await
        .expect("no server is no error");
    assert!(!bus.is_connected());
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("waits in next_batch");
    let at_once = async {
        assert!(matches!(bus.publish_fetched(&[event(1)]).await, Err(BusError::Disconnected)));
        assert!(matches!(bus.publish_recorded(&[ArtifactDbId(1)]).await, Err(BusError::Disconnected)));
        assert!(matches!(bus.provision(&[]).await, Err(BusError::Disconnected)));
    };
    timeout(Duration::from_secs(1), at_once).await.expect("at once");

    server.restart().await;
    let (delivery, ()) = tokio::join!(one(&mut deliveries), publish_until_accepted(&bus, event(2)));
    assert_eq!(delivery.event, event(2));
}

#[tokio::test]
async fn a_server_that_does_not_answer_when_consuming_starts_is_waited_for() {
    let (server, bus) = provisioned().await;
    server.pause();
    let mut deliveries = bus.consume(CheckKind::Hash, 8).await.expect("waits in next_batch");
    server.resume();
    let (delivery, ()) = tokio::join!(one(&mut deliveries), publish_until_accepted(&bus, event(1)));
    assert_eq!(delivery.event, event(1));
}

#[tokio::test(start_paused = true)]
async fn while_nothing_answers_there_is_one_client() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", silent.local_addr().expect("bound"));
    let mut held = vec![];
    let accepting = async {
        while let Ok(connection) = silent.accept().await {
            held.push(connection);
            // One client needs at least a minute for so many attempts of 3 s each.
            assert!(held.len() <= 20, "another client for each attempt");
        }
    };
    let options = BusOptions { url, name: "test".into() };
    let connecting = Bus::connect_and_provision(options, &[CheckKind::Hash]);
    let both = timeout(Duration::from_mins(1), async { tokio::join!(accepting, connecting) });
    assert!(both.await.is_err(), "there is nothing to provision");
    assert!(held.len() > 5, "it goes on trying");
}

#[tokio::test]
async fn drain_sends_what_is_buffered_and_ends_the_subscriptions() {
    let (server, bus) = provisioned().await;
    let other = connect(&server).await;
    let mut promoter = other.recorded().await.expect("a subscription");
    caught_up(&other).await;
    let mut edge = bus.decisions().await.expect("a subscription");
    bus.publish_recorded(&[ArtifactDbId(5)]).await.expect("buffered");
    timeout(PATIENCE, bus.drain()).await.expect("bounded");
    assert_eq!(timeout(PATIENCE, promoter.next()).await.expect("sent"), Some(vec![ArtifactDbId(5)]));
    assert_eq!(timeout(PATIENCE, edge.next()).await.expect("ended"), None);
    let after = bus.publish_recorded(&[ArtifactDbId(6)]).await;
    assert!(matches!(after, Err(BusError::Disconnected)), "{after:?}");
}
