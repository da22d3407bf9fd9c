//! Promise 2: no damaged byte is served, whatever becomes of the disk. A client gets the exact bytes, or a connection that
//! is cut before its announced end, or a refusal.

mod damage;

use std::ops::Range;

use touchstone_domain::{ArtifactState, CheckKind};
use touchstone_runtime::SystemClock;
use touchstone_testkit::{Fault, Package, Registry, TestMirror, eventually, npm_package};

use damage::{Damage, Received, receive};

const CHUNK: usize = 256 * 1024;

/// A mirror that has promoted one artifact of five chunks.
struct World {
    registry: Registry,
    mirror: TestMirror,
    package: Package,
    path: String,
    spare: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let registry = Registry::start().await;
        let package = npm_package("large", "1.0.0", &[], 4 * CHUNK + 1000);
        registry.publish(package.clone());
        let mirror = TestMirror::builder().registry(&registry).start().await;
        let path = format!("npm/large/-/{}", package.file);
        let spare = tempfile::tempdir().expect("a directory");
        let world = Self { registry, mirror, package, path, spare };
        world.assert_right(&world.get().await, "before any damage");
        world
    }

    async fn get(&self) -> Received {
        receive(self.mirror.request(&self.path)).await
    }

    async fn range(&self, range: &Range<usize>) -> Received {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        receive(self.mirror.request(&self.path).header("range", header)).await
    }

    fn inflict(&self, damage: &Damage) {
        let path = self.mirror.blob_path(self.package.sha256());
        damage.inflict(&path, &self.package.bytes, self.spare.path());
    }

    /// How often the upstream was asked for the bytes.
    fn fetches(&self) -> usize {
        self.registry.asked_for(&self.package.file)
    }

    fn assert_right(&self, received: &Received, what: &str) {
        assert_eq!((received.status, received.whole), (200, true), "{what}");
        assert!(received.body == self.package.bytes, "{what}: other bytes were served");
    }
}

fn end(package: &Package) -> usize {
    package.bytes.len()
}

/// The damage is found before the first byte: the same request is answered with bytes that are fetched again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_shows_at_once_heals_within_the_request() {
    let world = World::start().await;
    let other = npm_package("other", "1.0.0", &[], 4 * CHUNK + 1000);
    let mut same_size = other.bytes.clone();
    same_size.resize(end(&world.package), 0);
    let damages = [
        Damage::Flip(0),
        Damage::Flip(CHUNK - 1),
        Damage::Truncate(0),
        Damage::Truncate(end(&world.package) - 1),
        Damage::Truncate(2 * CHUNK),
        Damage::Extend(1),
        Damage::Extend(CHUNK),
        Damage::Hole(0..4096),
        Damage::Delete,
        Damage::Replace(other.bytes.clone()),
        Damage::Replace(same_size),
        Damage::Symlink,
        Damage::Directory,
    ];
    for (n, damage) in damages.iter().enumerate() {
        world.inflict(damage);
        world.assert_right(&world.get().await, &format!("{damage:?}"));
        assert_eq!(world.fetches(), n + 2, "{damage:?} costs one fetch");
        world.assert_right(&world.get().await, "healed");
        assert_eq!(world.fetches(), n + 2, "{damage:?} is healed for good");
    }
    let incidents = world.mirror.incidents().await;
    assert!(incidents.iter().all(|kind| ["blob_damaged", "blob_healed"].contains(&&**kind)), "{incidents:?}");
    let aside = std::fs::read_dir(world.mirror.blobs_dir.join("aside")).expect("a directory").count();
    assert_eq!(aside, damages.len() - 1, "all but the deleted one are kept as evidence");
}

/// The first chunk is right and leaves; at the bad one the connection breaks, short of the announced length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_further_on_cuts_the_connection_and_is_healed_unasked() {
    let world = World::start().await;
    let last = end(&world.package) - 1;
    let damages = [
        (Damage::Flip(CHUNK), 1),
        (Damage::Flip(2 * CHUNK - 1), 1),
        (Damage::Flip(2 * CHUNK + 5), 2),
        (Damage::Flip(last), last / CHUNK),
        (Damage::Hole(CHUNK + 10..CHUNK + 5000), 1),
        (Damage::Hole(3 * CHUNK..4 * CHUNK), 3),
    ];
    for (n, (damage, bad)) in damages.iter().enumerate() {
        world.inflict(damage);
        let cut = world.get().await;
        assert_eq!((cut.status, cut.whole), (200, false), "{damage:?}");
        assert!(cut.body.len() <= bad * CHUNK, "{damage:?}: {} bytes came", cut.body.len());
        assert!(world.package.bytes.starts_with(&cut.body), "{damage:?}: other bytes were served");
        let blob = world.mirror.blob_path(world.package.sha256());
        eventually("it is healed without another request", || async {
            std::fs::read(&blob).is_ok_and(|bytes| bytes == world.package.bytes).then_some(())
        })
        .await;
        world.assert_right(&world.get().await, &format!("after {damage:?}"));
        assert_eq!(world.fetches(), n + 2, "{damage:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_incidents_say_what_happened_once() {
    let world = World::start().await;
    assert_eq!(world.mirror.incidents().await, Vec::<String>::new());
    world.inflict(&Damage::Flip(7));
    world.assert_right(&world.get().await, "healed");
    assert_eq!(world.mirror.incidents().await, ["blob_healed", "blob_damaged"]);
    let incidents = world.mirror.store.latest_incidents(9).await.expect("incidents");
    for incident in &incidents {
        assert_eq!(
            incident.detail["sha256"],
            world.package.sha256().to_string().as_str(),
            "{}",
            incident.kind
        );
        assert_eq!((incident.package.as_str(), incident.count), ("large", 1), "{}", incident.kind);
    }
    assert!(
        incidents[1].detail["problem"].as_str().is_some_and(|text| text.contains("chunk 0")),
        "{incidents:?}"
    );
}

/// Whoever finds the damage when it is healed already fetches nothing, and records nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_many_find_at_once_is_healed_once() {
    let world = World::start().await;
    for (n, damage) in [Damage::Flip(0), Damage::Delete, Damage::Flip(1)].iter().enumerate() {
        world.inflict(damage);
        for received in futures::future::join_all((0..40).map(|_| world.get())).await {
            world.assert_right(&received, &format!("{damage:?}"));
        }
        assert_eq!(world.fetches(), n + 2, "{damage:?}");
    }
    let incidents = world.mirror.store.latest_incidents(9).await.expect("incidents");
    for kind in ["blob_damaged", "blob_healed"] {
        let times: i64 = incidents.iter().filter(|i| i.kind == kind).map(|i| i.count).sum();
        assert_eq!(times, 3, "{kind}: {incidents:?}");
    }
}

/// Ranges are verified by the chunk: one beside the bad chunk is served, one that begins in it heals, one that runs into it
/// is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_verified_like_everything_else() {
    let world = World::start().await;
    let truth = &world.package.bytes;
    let beside = [0..1, 10..CHUNK, 0..2 * CHUNK, 3 * CHUNK..truth.len(), truth.len() - 1..truth.len()];
    world.inflict(&Damage::Flip(2 * CHUNK + 100));
    for range in &beside {
        let received = world.range(range).await;
        assert_eq!((received.status, received.whole), (206, true), "{range:?}");
        assert!(received.body == truth[range.clone()], "{range:?}");
    }
    assert_eq!(world.fetches(), 1, "nothing was found out");
    for range in [2 * CHUNK..2 * CHUNK + 1, 2 * CHUNK + 100..2 * CHUNK + 101, 3 * CHUNK - 1..3 * CHUNK + 1] {
        world.inflict(&Damage::Flip(2 * CHUNK + 100));
        let fetches = world.fetches();
        let received = world.range(&range).await;
        assert_eq!((received.status, received.whole, world.fetches()), (206, true, fetches + 1), "{range:?}");
        assert!(received.body == truth[range.clone()], "{range:?}");
    }
    for range in [2 * CHUNK - 1..2 * CHUNK + 1, 5..truth.len() - 5] {
        world.inflict(&Damage::Flip(2 * CHUNK + 100));
        let cut = world.range(&range).await;
        assert_eq!((cut.status, cut.whole), (206, false), "{range:?}");
        assert!(truth[range.start..2 * CHUNK].starts_with(&cut.body), "{range:?}: other bytes were served");
        world.assert_right(&world.get().await, "healed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_request_never_vouches_for_a_bad_start() {
    let world = World::start().await;
    let head = || {
        let address = format!("{}{}", world.mirror.url(), world.path);
        reqwest::Client::builder().no_proxy().build().expect("a client").head(address).send()
    };
    for fetches in [1, 2] {
        let answer = head().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), world.fetches()), (200, fetches));
        assert_eq!(answer.headers()["content-length"], world.package.bytes.len().to_string().as_str());
        assert_eq!(answer.headers()["etag"], format!("\"{}\"", world.package.sha256()).as_str());
        assert_eq!(answer.bytes().await.expect("nothing").len(), 0);
        world.inflict(&Damage::Flip(0));
    }
    world.registry.set_down(true);
    let refused = head().await.expect("an answer");
    assert_eq!(refused.status(), 502);
    assert_eq!(refused.headers()["x-touchstone-code"], "upstream_unreachable");
}

/// What cannot be healed is not served: the upstream is away, or has other bytes now, or sends nonsense.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_healed_is_refused_with_the_reason() {
    let world = World::start().await;
    let (truth, file) = (world.package.bytes.clone(), world.package.file.clone());
    world.inflict(&Damage::Flip(0));
    world.registry.set_down(true);
    let refused = world.get().await;
    assert_eq!((refused.status, &*refused.code), (502, "upstream_unreachable"));
    assert!(String::from_utf8_lossy(&refused.body).contains("did not answer"), "{refused:?}");
    world.registry.set_down(false);

    world.registry.fault(&file, Fault::Tamper);
    let refused = world.get().await;
    assert_eq!((refused.status, &*refused.code), (502, "upstream_broken"));
    world.registry.honest();

    // A listing is believed for two seconds.
    let republished = npm_package("large", "1.0.0", &[], 4 * CHUNK + 1001);
    world.registry.publish(republished);
    let refused = eventually("the new listing is read", || async {
        let refused = world.get().await;
        assert_ne!(refused.status, 200);
        (refused.status == 403).then_some(refused)
    })
    .await;
    assert_eq!(refused.code, "diverged");
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(text.contains(&world.package.sha256().to_string()), "{text}");
    assert_eq!(world.mirror.incidents().await[0], "second_digest");

    world.registry.publish(Package { bytes: truth, ..world.package.clone() });
    let healed = eventually("the upstream has the same bytes again", || async {
        let received = world.get().await;
        (received.status == 200).then_some(received)
    })
    .await;
    world.assert_right(&healed, "healed");
    assert_eq!(world.mirror.incidents().await[0], "blob_healed");
    assert_eq!(world.mirror.states("pkg:npm/large@1.0.0").await[&file], ArtifactState::Servable);
}

/// What is approved needs neither NATS nor the upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promoted_artifacts_are_served_without_nats_and_without_the_upstream() {
    let world = World::start().await;
    world.mirror.nats.stop().await;
    world.assert_right(&world.get().await, "without NATS");
    world.registry.set_down(true);
    world.assert_right(&world.get().await, "without both");
    let part = world.range(&(CHUNK - 1..CHUNK + 1)).await;
    assert_eq!((part.status, &*part.body), (206, &world.package.bytes[CHUNK - 1..=CHUNK]));
    assert_eq!(world.fetches(), 1);
}

/// The copy is lost before anybody has checked it: it is fetched again, and then checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_lost_while_it_is_being_verified_is_fetched_again() {
    let registry = Registry::start().await;
    let mirror = TestMirror::builder()
        .registry(&registry)
        .hash_workers(0)
        .hold(std::time::Duration::from_millis(300))
        .start()
        .await;
    for (n, lose) in [false, true].into_iter().enumerate() {
        let package = npm_package(&format!("lost-{n}"), "1.0.0", &[], 10);
        registry.publish(package.clone());
        let path = format!("npm/{}/-/{}", package.name, package.file);
        let pending = receive(mirror.request(&path)).await;
        assert_eq!((pending.status, &*pending.code), (503, "pending"));
        let blob = mirror.blob_path(package.sha256());
        if lose {
            std::fs::remove_file(&blob).expect("it was there");
        }
        let pending = receive(mirror.request(&path)).await;
        assert_eq!((pending.status, &*pending.code), (503, "pending"));
        assert_eq!(registry.asked_for(&package.file), if lose { 2 } else { 1 });
        assert_eq!(std::fs::read(&blob).expect("it is there again"), package.bytes);
    }
    mirror.hash_worker(std::sync::Arc::new(SystemClock)).await;
    eventually("both are served", || async {
        for n in 0..2 {
            let path = format!("npm/lost-{n}/-/lost-{n}-1.0.0.tgz");
            if receive(mirror.request(&path)).await.status != 200 {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert_eq!(mirror.incidents().await, ["blob_healed"]);
}

/// The sweeper asks hourly in the end; a request does not wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_what_is_still_pending_announces_it_again() {
    let registry = Registry::start().await;
    let builder = TestMirror::builder().registry(&registry).hash_workers(0).promoters(0);
    let mirror = builder.hold(std::time::Duration::from_millis(300)).start().await;
    let package = npm_package("waiting", "1.0.0", &[], 10);
    registry.publish(package.clone());
    let path = format!("npm/waiting/-/{}", package.file);
    let mut events = mirror.bus.consume(CheckKind::Hash, 10).await.expect("a consumer");
    assert_eq!(receive(mirror.request(&path)).await.code, "pending");
    let [first] = events.next_batch(10).await.try_into().unwrap_or_else(|_| panic!("one event"));
    first.ack().await.expect("acknowledged");
    assert_eq!(first.event.dispatch, 0);
    // As if the sweeper had dispatched it, and the message were lost.
    let due =
        eventually("the artifact is due", || async { mirror.store.due(9, 9).await.expect("due").pop() })
            .await;
    assert_eq!(due.dispatch, 1);
    for _ in 0..3 {
        assert_eq!(receive(mirror.request(&path)).await.code, "pending");
    }
    let [again] = events.next_batch(10).await.try_into().unwrap_or_else(|_| panic!("one event"));
    assert_eq!((again.event.artifact, again.event.dispatch), (first.event.artifact, 1));
}
