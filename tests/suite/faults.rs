//! An upstream that fails or lies: nothing of what it sends reaches a client, the client reads why, and once the upstream
//! is honest again the same request gets the right bytes.

mod checks;
pub(crate) mod files;
mod patience;
pub(crate) mod repeats;

use tokio::net::TcpListener;
use touchstone_testkit::Fault;

use files::{Refused, World};

const MISMATCH: Refused<'_> =
    Refused { status: 502, code: "upstream_broken", title: "Upstream sent wrong bytes: digest_mismatch" };
const BROKEN: Refused<'_> =
    Refused { status: 502, code: "upstream_broken", title: "Upstream answered wrongly" };
const BROKEN_OFF: Refused<'_> =
    Refused { status: 502, code: "upstream_unreachable", title: "Upstream broke off its answer" };
const FAILING: Refused<'_> =
    Refused { status: 502, code: "upstream_unreachable", title: "Upstream answered with an error" };

/// Every file is refused under the fault, as often fetched per request as said, and served once the registry is honest.
async fn refused_then_served(world: &World, fault: &Fault, refusal: &Refused<'_>, fetches: usize) {
    for file in &world.files {
        assert_eq!(world.assert_refused(file, fault, refusal).await, fetches, "{}", file.name);
        world.registry.honest();
        world.assert_served(file).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_fetched_twice_then_refused() {
    let world = World::start().await;
    refused_then_served(&world, &Fault::Tamper, &MISMATCH, 2).await;
    for file in &world.files {
        let incidents = world.incidents(file).await;
        let [(kind, problem)] = incidents.as_slice() else { panic!("{}: {incidents:?}", file.name) };
        assert_eq!(kind, "upstream_mismatch", "{}", file.name);
        assert!(problem.contains("declare"), "{}: {problem}", file.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_than_declared_are_refused() {
    let world = World::start().await;
    for file in &world.files {
        let other = Fault::Bytes(file.bytes.iter().map(|byte| !byte).collect());
        assert_eq!(world.assert_refused(file, &other, &MISMATCH).await, 2, "{}", file.name);
        world.registry.honest();
        world.assert_served(file).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_body_without_a_length_is_refused() {
    let world = World::start().await;
    let size = Refused { title: "Upstream sent wrong bytes: size_mismatch", ..MISMATCH };
    for file in &world.files {
        let refusal = if file.sized { &size } else { &MISMATCH };
        assert_eq!(world.assert_refused(file, &Fault::Short, refusal).await, 2, "{}", file.name);
        world.registry.honest();
        world.assert_served(file).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_refused() {
    let world = World::start().await;
    refused_then_served(&world, &Fault::Truncate, &BROKEN_OFF, 1).await;
    assert_eq!(world.mirror.incidents().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_body_without_a_length_is_served_where_a_strong_digest_is_declared() {
    let world = World::start().await;
    for file in &world.files {
        world.registry.fault(&file.name, Fault::Lengthless);
        world.assert_served(file).await;
        assert_eq!(world.fetches(file), 1, "{}", file.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_cannot_answer_is_refused_as_such() {
    let world = World::start().await;
    refused_then_served(&world, &Fault::Status(503), &FAILING, 1).await;
    assert_eq!(world.mirror.incidents().await, Vec::<String>::new());
}

/// A 404 would send clients elsewhere, for a file that exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_file_that_is_not_there_is_no_404() {
    let world = World::start().await;
    refused_then_served(&world, &Fault::Status(404), &BROKEN, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_page_is_no_artifact() {
    let world = World::start().await;
    refused_then_served(&world, &Fault::Html, &BROKEN, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_elsewhere_is_not_followed() {
    let world = World::start().await;
    let elsewhere = TcpListener::bind("127.0.0.2:0").await.expect("loopback");
    let address = elsewhere.local_addr().expect("bound");
    let fault = Fault::Redirect(format!("http://{address}/evil"));
    refused_then_served(&world, &fault, &BROKEN, 1).await;
    for file in &world.files {
        let incidents = world.incidents(file).await;
        let [(kind, problem)] = incidents.as_slice() else { panic!("{}: {incidents:?}", file.name) };
        assert_eq!(kind, "egress_refused", "{}", file.name);
        assert!(problem.contains("127.0.0.2"), "{}: {problem}", file.name);
    }
    // Whoever had connected would be waiting to be accepted.
    let dialled = std::future::poll_fn(|cx| std::task::Poll::Ready(elsewhere.poll_accept(cx).is_ready()));
    assert!(!dialled.await, "the address was dialled");
}

/// The same within the registry's own origin is followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_within_the_upstream_is_followed() {
    let world = World::start().await;
    for file in &world.files {
        world.registry.document("moved", "application/octet-stream", file.bytes.clone());
        world.registry.fault(&file.name, Fault::Redirect(format!("{}moved", world.registry.origin())));
        world.assert_served(file).await;
    }
}
