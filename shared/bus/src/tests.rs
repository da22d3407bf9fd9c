//! Against a real nats-server: what is promised about loss, repetition, poison and repair.

mod flood;
mod impostor;
mod permissions;
mod server;

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    stream,
};
use futures::StreamExt as _;
use tokio::time::timeout;
use touchstone_domain::{ArtifactDbId, ArtifactState, CheckKind, CheckSet, Ecosystem};

use crate::{
    ACK_WAIT, ArtifactEvent, Bus, BusError, BusOptions, BusUser, DeadLetterCause, Decided, Deliveries,
    Delivery, LIVE_STREAM, Rung,
};
use server::Server;

/// A test that hangs is a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and the services on it, each as its own user.
struct World {
    server: Server,
    edge: Bus,
    hash: Bus,
    promote: Bus,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        let [edge, hash, promote] = [
            server.bus(BusUser::Edge).await,
            server.bus(BusUser::Hash).await,
            server.bus(BusUser::Promote).await,
        ];
        promote.provision(&[CheckKind::Hash]).await.expect("a fresh server");
        Self { server, edge, hash, promote }
    }

    /// Waits for something while promote keeps the streams and consumers.
    async fn kept<T>(&self, awaited: impl Future<Output = T>) -> T {
        tokio::select! {
            awaited = timeout(PATIENCE, Box::pin(awaited)) => awaited.expect("healed"),
            () = Box::pin(self.promote.keep_provisioned(&[CheckKind::Hash])) => unreachable!("it ends only by being dropped"),
        }
    }
}

const fn rung(artifact: i64) -> Rung {
    Rung { artifact: ArtifactDbId(artifact), others: CheckSet::of(CheckKind::Attest) }
}

const fn event(artifact: i64) -> ArtifactEvent {
    ArtifactEvent { artifact: ArtifactDbId(artifact), ecosystem: Ecosystem::Npm, epoch: 0, dispatch: 0 }
}

async fn one(deliveries: &mut Deliveries) -> Delivery {
    let mut batch = timeout(PATIENCE, deliveries.next_batch(1)).await.expect("a delivery");
    assert_eq!(batch.len(), 1);
    batch.remove(0)
}

/// Round trips: the server has seen what edge and promote sent before, subscriptions for instance.
async fn caught_up(world: &World) {
    world.promote.provision(&[]).await.expect("connected");
    world.edge.publish_fetched(&[event(0)]).await.expect("accepted");
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
    let [edge, hash, promote, console] = [
        server.bus(BusUser::Edge).await,
        server.bus(BusUser::Hash).await,
        server.bus(BusUser::Promote).await,
        server.bus(BusUser::Console).await,
    ];
    let consumed = async |check| console.is_consumed(check).await.expect("an answer");
    assert!(!consumed(CheckKind::Hash).await, "nothing is there");
    promote.provision(&[CheckKind::Hash]).await.expect("a fresh server");
    assert!(!consumed(CheckKind::Hash).await, "nobody is there");
    let mut deliveries = hash.consume(CheckKind::Hash, 1).await.expect("a consumer");
    edge.publish_fetched(&[event(1)]).await.expect("captured");
    let delivery = one(&mut deliveries).await;
    assert!(consumed(CheckKind::Hash).await, "one in hand");
    assert!(!consumed(CheckKind::Attest).await, "that is another check");
    delivery.ack().await.expect("acknowledged");
    // It asks for more.
    edge.publish_fetched(&[event(2)]).await.expect("captured");
    one(&mut deliveries).await;
    assert!(consumed(CheckKind::Hash).await);
}

#[tokio::test]
async fn provisioning_is_idempotent_and_repairs_what_differs() {
    let world = World::new().await;
    world.promote.provision(&CheckKind::ALL).await.expect("again, with more checks");
    let live = world
        .promote
        .jetstream
        .get_stream(LIVE_STREAM)
        .await
        .expect("the stream")
        .cached_info()
        .config
        .clone();
    let narrowed = stream::Config { subjects: vec!["touchstone.v1.decision.>".into()], ..live };
    world.promote.jetstream.update_stream(narrowed).await.expect("an operator's mistake");
    let refused = world.edge.publish_fetched(&[event(1)]).await.expect_err("nobody captures it");
    assert!(
        matches!(&refused, BusError::Publish { subject, .. } if subject == "touchstone.v1.artifact-fetched.npm")
    );

    world.promote.provision(&CheckKind::ALL).await.expect("repaired");
    world.edge.publish_fetched(&[event(1)]).await.expect("captured again");
}

#[tokio::test]
async fn a_repeated_message_id_is_stored_once_and_each_check_has_its_own() {
    let world = World::new().await;
    world.edge.publish_fetched(&[event(1), event(1)]).await.expect("accepted");
    world.edge.publish_fetched(&[event(1)]).await.expect("accepted");
    assert_eq!(messages(&world.promote).await, 1);
    world.edge.publish_fetched(&[ArtifactEvent { dispatch: 1, ..event(1) }]).await.expect("accepted");
    assert_eq!(messages(&world.promote).await, 2);
    for check in [CheckKind::Hash, CheckKind::Attest, CheckKind::Hash] {
        world.promote.publish_recheck(check, &[event(1)]).await.expect("accepted");
    }
    assert_eq!(messages(&world.promote).await, 4);
}

#[tokio::test]
async fn a_consumer_hears_fetched_and_its_own_rechecks_only() {
    let world = World::new().await;
    let decided =
        Decided { artifact: ArtifactDbId(1), ecosystem: Ecosystem::Npm, state: ArtifactState::Servable };
    world.promote.publish_decisions(&[decided]).await.expect("accepted");
    world.promote.publish_recheck(CheckKind::Attest, &[event(2)]).await.expect("accepted");
    world.promote.publish_recheck(CheckKind::Hash, &[event(3)]).await.expect("accepted");
    world.edge.publish_fetched(&[event(4)]).await.expect("accepted");
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
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
    let world = World::new().await;
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
        world.promote.jetstream.create_consumer_on_stream(older, LIVE_STREAM).await.expect("as it was");
    world.promote.provision(&[CheckKind::Attest]).await.expect("updated");
    let of = |ecosystem, artifact| ArtifactEvent { ecosystem, ..event(artifact) };
    let fetched = [of(Ecosystem::Cargo, 1), of(Ecosystem::Pypi, 2), of(Ecosystem::Npm, 3)];
    world.edge.publish_fetched(&fetched).await.expect("accepted");
    world.promote.publish_recheck(CheckKind::Attest, &[of(Ecosystem::Pypi, 4)]).await.expect("accepted");
    let attest = world.server.bus(BusUser::Attest).await;
    let mut deliveries = attest.consume(CheckKind::Attest, 8).await.expect("the consumer");
    let mut heard = vec![];
    while heard.len() < 3 {
        let batch = timeout(PATIENCE, deliveries.next_batch(8)).await.expect("deliveries");
        heard.extend(batch.iter().map(|delivery| delivery.event.artifact.0));
    }
    assert_eq!(heard, [2, 3, 4]);
}

#[tokio::test]
async fn what_is_acked_is_gone_and_what_is_not_comes_back() {
    let world = World::new().await;
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    world.edge.publish_fetched(&[event(1)]).await.expect("accepted");
    let first = one(&mut deliveries).await;
    assert_eq!((first.event.clone(), first.deliveries), (event(1), 1));
    first.progress().await.expect("connected");
    first.nak(Duration::from_millis(1)).await.expect("connected");
    let second = one(&mut deliveries).await;
    assert_eq!((second.event.clone(), second.deliveries, second.stream_seq), (event(1), 2, first.stream_seq));
    second.ack().await.expect("connected");

    // Nothing is pending any more: the next that is heard is the next that was sent.
    world.edge.publish_fetched(&[event(2)]).await.expect("accepted");
    assert_eq!(one(&mut deliveries).await.event, event(2));
    deliveries.hand_back().await;
}

#[tokio::test]
async fn messages_that_were_sent_ahead_are_handed_back() {
    let world = World::new().await;
    let mut leaving = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    world.edge.publish_fetched(&[event(1), event(2)]).await.expect("accepted");
    one(&mut leaving).await.ack().await.expect("connected");
    leaving.hand_back().await;
    let mut staying = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    let taken_over = timeout(ACK_WAIT / 2, staying.next_batch(8)).await.expect("long before it would expire");
    assert_eq!(taken_over[0].event, event(2));
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_and_the_stream_moves_on() {
    let world = World::new().await;
    let poison = [&b"{"[..], br#"{"schema":9,"artifact":1,"ecosystem":"npm","epoch":0,"dispatch":0}"#];
    for payload in poison {
        world.edge.client.publish("touchstone.v1.artifact-fetched.npm", payload.into()).await.expect("sent");
    }
    let too_large = vec![b' '; 100_000].into();
    world
        .edge
        .jetstream
        .publish("touchstone.v1.artifact-fetched.npm", too_large)
        .await
        .expect("sent")
        .await
        .expect_err("the stream refuses it");
    world.edge.publish_fetched(&[event(3)]).await.expect("accepted");
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    assert_eq!(one(&mut deliveries).await.event, event(3));

    let mut letters = world.promote.dead_letters().await.expect("the advisories");
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
    let world = World::new().await;
    let mut letters = world.promote.dead_letters().await.expect("the advisories");
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    world.edge.publish_fetched(&[event(7)]).await.expect("accepted");
    one(&mut deliveries).await.term().await.expect("connected");
    let letter = timeout(PATIENCE, letters.next()).await.expect("an advisory");
    assert_eq!((letter.cause, letter.deliveries), (DeadLetterCause::Terminated, 1));
    assert_eq!((letter.stream.as_str(), letter.consumer.as_str()), ("LIVE", "hash"));
    assert_eq!(letter.event, Some(event(7)));
    letter.ack().await.expect("connected");

    world.edge.publish_fetched(&[event(8)]).await.expect("accepted");
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
    let world = World::new().await;
    let World { edge, hash, promote, .. } = &world;
    let mut promoter = promote.recorded().await.expect("a subscription");
    let mut edges = [edge.decisions().await.expect("one"), edge.decisions().await.expect("another")];
    caught_up(&world).await;
    let rows: Vec<Rung> = (0..1000).map(rung).collect();
    hash.client.publish("touchstone.v1.verdict-recorded", "nonsense".into()).await.expect("sent");
    hash.publish_recorded(&rows).await.expect("sent");
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
    promote.publish_decisions(&decided).await.expect("accepted");
    for edge in &mut edges {
        let first = timeout(PATIENCE, edge.next()).await.expect("a decision").expect("an open stream");
        let second = timeout(PATIENCE, edge.next()).await.expect("a decision").expect("an open stream");
        assert_eq!((first, second), (vec![decided[1]], vec![decided[0], decided[2]]));
    }
    assert_eq!(messages(promote).await, 3, "two of decisions");
}

#[tokio::test]
async fn a_killed_and_wiped_server_loses_only_time() {
    let mut world = World::new().await;
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    let mut letters = world.promote.dead_letters().await.expect("the advisories");
    world.edge.publish_fetched(&[event(1)]).await.expect("accepted");
    one(&mut deliveries).await.ack().await.expect("connected");

    world.server.kill();
    world.server.wipe();
    world.server.restart().await;
    let hearing = async {
        // The message itself may come before its receipt is heard, so both go on at once.
        let (delivery, ()) =
            tokio::join!(one(&mut deliveries), publish_until_accepted(&world.edge, event(2)));
        assert_eq!((delivery.event.clone(), delivery.stream_seq), (event(2), 1));
        delivery.term().await.expect("connected");
        assert_eq!(letters.next().await.event, Some(event(2)));
    };
    Box::pin(world.kept(hearing)).await;
}

#[tokio::test]
async fn a_deleted_stream_is_made_again() {
    let world = World::new().await;
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("the consumer");
    world.edge.publish_fetched(&[event(1)]).await.expect("accepted");
    one(&mut deliveries).await.ack().await.expect("connected");
    let operator = world.server.operator().await;
    let deleting = async {
        operator.jetstream.delete_stream(LIVE_STREAM).await.expect("deleted");
        publish_until_accepted(&world.edge, event(2)).await;
    };
    let (delivery, ()) = Box::pin(world.kept(async { tokio::join!(one(&mut deliveries), deleting) })).await;
    assert_eq!(delivery.event, event(2));
}

#[tokio::test]
async fn without_a_server_every_call_fails_at_once_and_a_late_server_is_found() {
    let mut server = Server::start().await;
    server.kill();
    let [edge, hash, promote] = [
        server.bus(BusUser::Edge).await,
        server.bus(BusUser::Hash).await,
        server.bus(BusUser::Promote).await,
    ];
    assert!(!edge.is_connected(), "no server is no error");
    let mut deliveries = hash.consume(CheckKind::Hash, 8).await.expect("waits in next_batch");
    let at_once = async {
        assert!(matches!(edge.publish_fetched(&[event(1)]).await, Err(BusError::Disconnected)));
        assert!(matches!(hash.publish_recorded(&[rung(1)]).await, Err(BusError::Disconnected)));
        assert!(matches!(promote.provision(&[]).await, Err(BusError::Disconnected)));
    };
    timeout(Duration::from_secs(1), at_once).await.expect("at once");

    server.restart().await;
    let world = World { server, edge, hash, promote };
    let hearing = async { tokio::join!(one(&mut deliveries), publish_until_accepted(&world.edge, event(2))) };
    let (delivery, ()) = Box::pin(world.kept(hearing)).await;
    assert_eq!(delivery.event, event(2));
}

#[tokio::test]
async fn a_server_that_does_not_answer_when_consuming_starts_is_waited_for() {
    let world = World::new().await;
    world.server.pause();
    let mut deliveries = world.hash.consume(CheckKind::Hash, 8).await.expect("waits in next_batch");
    world.server.resume();
    let (delivery, ()) = tokio::join!(one(&mut deliveries), publish_until_accepted(&world.edge, event(1)));
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
    let connecting = async {
        let bus = Bus::connect_patiently(options).await;
        bus.keep_provisioned(&[CheckKind::Hash]).await;
    };
    let both = timeout(Duration::from_mins(1), async { tokio::join!(accepting, connecting) });
    assert!(both.await.is_err(), "there is nothing to provision");
    assert!(held.len() > 5, "it goes on trying");
}

#[tokio::test]
async fn drain_sends_what_is_buffered_and_ends_the_subscriptions() {
    let world = World::new().await;
    let mut promoter = world.promote.recorded().await.expect("a subscription");
    let mut edge = world.edge.decisions().await.expect("a subscription");
    caught_up(&world).await;
    world.hash.publish_recorded(&[rung(5)]).await.expect("buffered");
    timeout(PATIENCE, world.hash.drain()).await.expect("bounded");
    assert_eq!(timeout(PATIENCE, promoter.next()).await.expect("sent"), Some(vec![rung(5)]));
    timeout(PATIENCE, world.edge.drain()).await.expect("bounded");
    assert_eq!(timeout(PATIENCE, edge.next()).await.expect("ended"), None);
    let after = world.hash.publish_recorded(&[rung(6)]).await;
    assert!(matches!(after, Err(BusError::Disconnected)), "{after:?}");
}
