//! Upstreams that are slow, and clients that are impatient.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, sync::Semaphore};
use touchstone_domain::ArtifactState;
use touchstone_testkit::{Fault, eventually};

use super::files::World;
use crate::protocol::raw::{self, assert_refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upstream_is_waited_for_by_the_fetch_and_not_by_the_client() {
    let world = World::with_hold(Duration::from_millis(300)).await;
    for file in &world.files {
        let gate = Arc::new(Semaphore::new(0));
        world.registry.fault(&file.name, Fault::Hold(Arc::clone(&gate)));
        let title = "Still fetching from upstream, try again shortly";
        for _ in 0..2 {
            assert_refused(&world.get(file).await, 503, "pending", title, &file.name);
        }
        assert_eq!(world.fetches(file), 1, "{}: the second request joins the same fetch", file.name);
        gate.add_permits(1);
        eventually("it is served", || async { (world.get(file).await.status() == 200).then_some(()) }).await;
        world.assert_served(file).await;
        assert_eq!(world.fetches(file), 1, "{}", file.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_never_ends_a_fetch_that_others_wait_for() {
    let world = World::start().await;
    for file in &world.files {
        let gate = Arc::new(Semaphore::new(0));
        world.registry.fault(&file.name, Fault::Hold(Arc::clone(&gate)));
        let mut first = raw::connect(&world.mirror).await;
        let request = format!("GET {} HTTP/1.1\r\nHost: mirror.example\r\n\r\n", file.target);
        first.write_all(request.as_bytes()).await.expect("sent");
        eventually("the upstream is asked", || async { (world.fetches(file) == 1).then_some(()) }).await;
        drop(first);
        let release = async {
            tokio::task::yield_now().await;
            gate.add_permits(1);
        };
        let (second, ()) = tokio::join!(world.get(file), release);
        assert_eq!(second.line, "HTTP/1.1 200 OK", "{}: {}", file.name, second.text());
        assert!(second.body == file.bytes, "{}", file.name);
        assert_eq!(world.fetches(file), 1, "{}", file.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_everybody_left_is_finished_all_the_same() {
    let world = World::start().await;
    let file = &world.files[0];
    let gate = Arc::new(Semaphore::new(0));
    world.registry.fault(&file.name, Fault::Hold(Arc::clone(&gate)));
    let mut only = raw::connect(&world.mirror).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: mirror.example\r\n\r\n", file.target);
    only.write_all(request.as_bytes()).await.expect("sent");
    eventually("the upstream is asked", || async { (world.fetches(file) == 1).then_some(()) }).await;
    drop(only);
    gate.add_permits(1);
    eventually("it is servable", || async {
        let states = world.mirror.states(file.purl).await;
        (states.get(&file.name) == Some(&ArtifactState::Servable)).then_some(())
    })
    .await;
    assert_eq!(world.fetches(file), 1);
}
