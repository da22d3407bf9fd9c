//! A cold request, from the moment that the upstream lets the bytes go to the first byte at the client.

use std::{sync::Arc, time::Instant};

use tokio::{sync::Semaphore, task::JoinSet};
use touchstone_testkit::{Fault, eventually, npm_package};

use crate::{say, spread, world::World};

const REQUESTS: usize = 200;
const WARM_UP: usize = 20;
const SIZE: usize = 100_000;

pub(crate) async fn requests() {
    let world = World::start().await;
    let mut times = Vec::new();
    for n in 0..REQUESTS + WARM_UP {
        let package = npm_package(&format!("cold-{n}"), "1.0.0", &[], SIZE);
        world.registry.publish(package.clone());
        let gate = Arc::new(Semaphore::new(0));
        world.registry.fault(&package.file, Fault::Hold(Arc::clone(&gate)));
        let url = world.mirror.url.join(&World::path(&package)).expect("a path");
        let mut request = JoinSet::new();
        request.spawn(async move {
            let mut response = reqwest::get(url).await.expect("an answer");
            assert_eq!(response.status(), 200);
            response.chunk().await.expect("a byte").expect("a byte");
            Instant::now()
        });
        eventually("the upstream is asked", || async {
            (world.registry.asked_for(&package.file) > 0).then_some(())
        })
        .await;
        let began = Instant::now();
        gate.add_permits(1);
        let first_byte = request.join_next().await.expect("a task").expect("served");
        if n >= WARM_UP {
            times.push(first_byte - began);
        }
    }
    say("cold request, upstream's body to first byte", &spread(times), "p50 <= 15 ms");
}
