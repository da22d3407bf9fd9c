//! What is said while nothing can be decided: the checksum database is stopped, or the edge itself.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use touchstone_store::{NewSumdbStop, SumdbHead, SumdbStop, SumdbStopKind};
use touchstone_testkit::{Fault, Module, Registry, TestMirror, TestMirrorBuilder, eventually};

use super::{assert_refused, get};
use crate::protocol::raw::Reply;

const PATH: &str = "example.com/m/@v/v1.0.0.zip";
const STOPPED: &str = "Checksum database is stopped, ask the operators";
const GOES_ON: &str = "Verification goes on, run the command again";
/// Longer than any request is waited for.
const FOR_EVER: Duration = Duration::from_mins(10);

/// A registry, and a mirror of it in which the database answers nothing.
async fn world(configure: impl FnOnce(TestMirrorBuilder) -> TestMirrorBuilder) -> (Registry, TestMirror) {
    let registry = Registry::start().await;
    registry.publish_module(Module::new("example.com/m", "v1.0.0"));
    registry.sumdb().fill(9);
    let builder = TestMirror::builder().registry(&registry).sumdb_workers(0);
    let mirror = configure(builder).start().await;
    (registry, mirror)
}

/// Stops a database; the facts of the stop.
async fn stop(mirror: &TestMirror, registry: &Registry, database: &str, kind: SumdbStopKind) -> SumdbStop {
    let sumdb = registry.sumdb();
    let head = |size| SumdbHead { size, root: sumdb.root(size), note: sumdb.note(size) };
    let new = NewSumdbStop { kind, ours: head(9), theirs: head(7), detail: "a test".to_owned() };
    assert!(mirror.store.stop_sumdb(database, &new).await.expect("stopped"));
    mirror.store.sumdb_state(database).await.expect("a state").stop.expect("a stop")
}

async fn resume(mirror: &TestMirror, database: &str) {
    let resumed = mirror.store.resume_sumdb(database, &SumdbStopKind::ALL, "a test", false).await;
    assert!(resumed.expect("resumed"));
}

/// Waits until the file of [`PATH`] is on record, and its request waits.
async fn recorded(mirror: &TestMirror) {
    eventually("it is on record", || async {
        let states = mirror.states("pkg:golang/example.com/m@v1.0.0").await;
        states.contains_key("v1.0.0.zip").then_some(())
    })
    .await;
}

#[track_caller]
fn assert_stopped(reply: &Reply, stop: &SumdbStop, why: &str) {
    assert_refused(reply, 403, "pending", STOPPED, why);
    let since = format!("is stopped since {:.0} ({}: {why})", stop.at, stop.kind);
    for words in [since.as_str(), "the mirror's operators", "touchstone trust show"] {
        assert!(reply.text().contains(words), "{words}: {}", reply.text());
    }
    assert!(!reply.text().contains("again"), "it would not help: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_the_database_is_told_after_an_ordinary_hold() {
    let hold = Duration::from_millis(300);
    let (registry, mirror) = world(|mirror| mirror.hold(hold).patient_hold(FOR_EVER)).await;
    let database = registry.sumdb().id();
    for (kind, why, ends) in [
        (
            SumdbStopKind::Fork,
            "two signed trees contradict each other",
            "Only the mirror's operators can end",
        ),
        (
            SumdbStopKind::Rollback,
            "its latest tree is smaller than one that it signed before",
            "That ends when it has caught up",
        ),
        (SumdbStopKind::Freeze, "its latest tree does not grow", "That ends when it grows"),
    ] {
        let stop = stop(&mirror, &registry, &database, kind).await;
        for path in [PATH, "example.com/m/@v/v1.0.0.mod"] {
            let reply = get(&mirror, path).await;
            assert_stopped(&reply, &stop, why);
            assert!(reply.text().contains(ends), "{}", reply.text());
        }
        resume(&mirror, &database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_comes_while_a_request_is_held_is_told_too() {
    let (registry, mirror) = world(|mirror| mirror.patient_hold(Duration::from_secs(3))).await;
    let database = registry.sumdb().id();
    let (reply, stop) = tokio::join!(get(&mirror, PATH), async {
        recorded(&mirror).await;
        stop(&mirror, &registry, &database, SumdbStopKind::Freeze).await
    });
    assert_stopped(&reply, &stop, "its latest tree does not grow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_ends_while_a_request_is_held_leaves_it_all_of_its_time() {
    let (hold, patient_hold) = (Duration::from_secs(2), Duration::from_secs(4));
    let (registry, mirror) = world(|mirror| mirror.hold(hold).patient_hold(patient_hold)).await;
    let database = registry.sumdb().id();
    stop(&mirror, &registry, &database, SumdbStopKind::Rollback).await;
    let asked = Instant::now();
    let (reply, ()) = tokio::join!(get(&mirror, PATH), async {
        recorded(&mirror).await;
        resume(&mirror, &database).await;
    });
    assert_refused(&reply, 403, "pending", GOES_ON, PATH);
    assert!(asked.elapsed() >= patient_hold, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_wait_for_the_database_is_not_said_to() {
    let policy = "[sumdb]\nprivate = [\"example.com\"]\n";
    let patient_hold = Duration::from_millis(500);
    let configure = |mirror: TestMirrorBuilder| mirror.hash_workers(0).patient_hold(patient_hold);
    // Nobody asks the database about the module, or it is another database.
    for (policy, name) in [(policy, None), ("", Some("other.example+01234567"))] {
        let (registry, mirror) = world(|mirror| configure(mirror).policy(policy)).await;
        let database = name.map_or_else(|| registry.sumdb().id(), str::to_owned);
        stop(&mirror, &registry, &database, SumdbStopKind::Fork).await;
        assert_refused(&get(&mirror, PATH).await, 403, "pending", GOES_ON, &database);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_told_to_stop_answers_what_it_holds_at_once() {
    let (registry, mirror) = world(|mirror| mirror.patient_hold(FOR_EVER)).await;
    registry.publish_module(Module::new("example.com/m", "v1.1.0"));
    registry.fault("go/example.com/m/@v/v1.1.0.zip", Fault::Hold(Arc::new(Semaphore::new(0))));
    let fetched = async {
        recorded(&mirror).await;
        eventually("the upstream is asked", || async {
            (registry.asked_for("/v1.1.0.zip") > 0).then_some(())
        })
        .await;
        mirror.shutdown.soft.cancel();
        Instant::now()
    };
    let fetching = "example.com/m/@v/v1.1.0.zip";
    let (decided, arriving, stopped) = tokio::join!(get(&mirror, PATH), get(&mirror, fetching), fetched);
    // Connections that are open get 20 seconds.
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    for (reply, version) in [(decided, "v1.0.0"), (arriving, "v1.1.0")] {
        let title = "Mirror is being stopped, run the command again";
        assert_refused(&reply, 403, "pending", title, version);
        let words = format!("m@{version}?file_name={version}.zip is not decided yet");
        assert!(reply.text().contains(&words), "{}", reply.text());
        assert!(reply.text().contains("Run the command again in a minute"), "{}", reply.text());
    }
}
