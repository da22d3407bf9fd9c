//! Far more waits than anybody can do at once, and all of it comes again: a worker is sent what it takes, and no more.

use std::collections::BTreeSet;

use super::*;

const WAITING: usize = 20_000;
const CAPACITY: usize = 16;

/// What the server has sent and nobody acknowledged, and what waits behind that.
async fn sent_and_waiting(world: &World) -> (usize, u64) {
    let consumer: PullConsumer =
        world.promote.jetstream.get_consumer_from_stream("hash", LIVE_STREAM).await.expect("the consumer");
    let info = consumer.cached_info();
    (info.num_ack_pending, info.num_pending)
}

#[tokio::test]
async fn however_much_waits_a_worker_is_sent_no_more_than_it_takes() {
    let world = World::new().await;
    let events: Vec<ArtifactEvent> = (0..).map(event).take(WAITING).collect();
    for some in events.chunks(500) {
        world.edge.publish_fetched(some).await.expect("captured");
    }
    let mut deliveries = world.hash.consume(CheckKind::Hash, CAPACITY).await.expect("a consumer");
    let (mut done, mut back) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..200 {
        let batch = timeout(PATIENCE, deliveries.next_batch(4)).await.expect("deliveries");
        assert!(batch.len() <= 4);
        let (sent, waiting) = sent_and_waiting(&world).await;
        // One request is asked for while another is worked off; the server counts what was handed back as sent.
        let bound = batch.len() + 2 * CAPACITY + back.len();
        assert!(sent <= bound, "{sent} were sent in round {round}, which is over {bound}");
        let left = sent + usize::try_from(waiting).expect("few");
        assert!(left >= WAITING - done.len(), "something is lost");
        // A storm: nobody can do anything, and all comes again at once; then the work is done.
        for delivery in batch {
            if round < 20 {
                delivery.nak(Duration::ZERO).await.expect("handed back");
                back.insert(delivery.event.artifact.0);
            } else {
                delivery.ack().await.expect("acknowledged");
                back.remove(&delivery.event.artifact.0);
                assert!(done.insert(delivery.event.artifact.0), "done twice");
            }
        }
    }
    assert_eq!(back, BTreeSet::new(), "what came again is done");
    assert!(done.len() > 180, "{} in 180 rounds", done.len());
    let first: Vec<i64> = done.iter().copied().take(100).collect();
    assert_eq!(first, (0..100).collect::<Vec<_>>(), "what came first is done first, and nothing is left out");
}
