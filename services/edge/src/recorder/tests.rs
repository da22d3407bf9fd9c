mod world;

use std::{collections::HashMap, error::Error as _, panic::resume_unwind, task::Poll, time::Duration};

use futures::{future::join_all, poll};
use tokio::time::timeout;
use touchstone_bus::{ArtifactEvent, Bus, BusOptions};
use touchstone_domain::{ArtifactDbId, ArtifactState, CheckKind, Claim, ClaimField, Ecosystem, Sha256};
use touchstone_runtime::Chain;
use touchstone_testkit::Servers;

use self::world::World;
use super::*;

/// A test that hangs is a test that fails.
const PATIENCE: Duration = Duration::from_mins(1);

type Answered = Result<Ingested, NotRecorded>;

/// Asks for all at once, in this order: one group, since the queue has room and the runtime of a test has one thread.
async fn together(world: &World, recorder: &Recorder, all: &[NewArtifact]) -> Vec<Answered> {
    join_all(all.iter().map(|new| world.ingest(recorder, new))).await
}

fn inserted(answered: &Answered) -> ArtifactDbId {
    match answered {
        Ok(Ingested::Inserted { artifact, epoch: 0 }) => *artifact,
        other => panic!("{other:?}"),
    }
}

/// Every cause, in words.
fn refused(answered: &Answered) -> String {
    Chain(answered.as_ref().expect_err("it is refused")).to_string()
}

/// Changes the artifact's text to one that Postgres does not store.
fn unstorable(mut new: NewArtifact) -> NewArtifact {
    new.claims = vec![Claim { field: ClaimField::NpmShasum, value: "a\0b".into() }];
    new
}

#[tokio::test]
async fn fetches_that_wait_together_are_one_pack_with_a_row_each() {
    let world = World::new().await;
    let recorder = world.start();
    let all = ["a", "b", "c"].map(|package| world.artifact(package));
    let again = world.artifact("again");
    let asked = together(&world, &recorder, &all);
    let (answers, kept) = tokio::join!(asked, recorder.sign(world.statement(&again)));
    let kept = kept.expect("signed");
    assert_eq!(world.kept(&kept).await, world.statement(&again));
    assert_eq!(world.fetch(&again.id).await, None, "nobody asked for its row");
    for (new, answered) in all.iter().zip(&answers) {
        let fetch = world.fetch(&new.id).await.expect("on record");
        assert_eq!(world.kept(&fetch).await, world.statement(new));
        assert_eq!(fetch.envelope.pack, kept.envelope.pack);
        let status = world.store.status(&new.id).await.expect("an answer").expect("on record");
        assert_eq!(inserted(answered), status.artifact());
    }

    let alone = recorder.sign(world.statement(&again)).await.expect("signed");
    assert_eq!(alone.envelope.sha256, kept.envelope.sha256);
    assert_ne!(alone.envelope.pack, kept.envelope.pack, "it waited for nobody");
}

#[tokio::test]
async fn however_many_wait_all_are_answered_and_no_group_is_too_large() {
    let world = World::new().await;
    let recorder = world.start();
    let statements = (0..=3 * GROUP_MAX).map(|n| world.statement(&world.artifact(&format!("p{n}"))));
    let answers = join_all(statements.map(|statement| recorder.sign(statement))).await;
    let mut sizes = HashMap::<Sha256, usize>::new();
    for answered in answers {
        *sizes.entry(answered.expect("signed").envelope.pack).or_default() += 1;
    }
    assert_eq!(sizes.values().sum::<usize>(), 3 * GROUP_MAX + 1);
    assert_eq!(sizes.values().max(), Some(&GROUP_MAX));
}

#[tokio::test]
async fn what_is_not_signed_spoils_no_other() {
    let world = World::new().await;
    let recorder = world.start();
    let mut long = world.artifact("long");
    long.upstream_url = format!("https://registry.example/{}", "x".repeat(64 * 1024));
    let panics = ["panics-1", "panics-2", "panics-3", "panics-4"].map(|package| world.artifact(package));
    let [a, fails, b] = ["a", "fails", "b"].map(|package| world.artifact(package));
    let all = [vec![a, fails, long], panics.to_vec(), vec![b]].concat();
    let answers = together(&world, &recorder, &all).await;
    inserted(&answers[0]);
    assert_eq!(
        refused(&answers[1]),
        "the fetch was not signed: the signer failed: the agent does not answer"
    );
    assert_eq!(
        refused(&answers[2]),
        "the fetch was not signed: upstream_url of the statement is refused: it has 65561 bytes, not 1 to 8192"
    );
    for answered in &answers[3..7] {
        assert_eq!(refused(answered), "the fetch was not signed: the signer failed: it panicked");
    }
    inserted(&answers[7]);
    for new in &all[1..7] {
        assert_eq!(world.store.status(&new.id).await.expect("an answer"), None);
    }
}

#[tokio::test]
async fn a_signer_that_is_away_is_asked_thrice_per_group() {
    let world = World::new().await;
    let recorder = world.start();
    let away = ["fails-1", "fails-2", "fails-3", "fine"].map(|package| world.artifact(package));
    let answers = together(&world, &recorder, &away).await;
    assert_eq!(
        refused(&answers[3]),
        "the fetch was not signed: the signer failed: it failed 3 times in a row, and was not asked again"
    );
    let [first, second, third, fine] = away;
    let last = world.artifact("last");
    let answers = together(&world, &recorder, &[first, second, fine, third, last]).await;
    inserted(&answers[2]);
    assert_eq!(
        refused(&answers[3]),
        "the fetch was not signed: the signer failed: the agent does not answer"
    );
    inserted(&answers[4]);
}

#[tokio::test]
async fn a_group_that_breaks_off_is_answered_and_ends_no_other() {
    let world = World::new().await;
    let recorder = world.start();
    let new = world.artifact("a");
    // More often than groups may be under way.
    for _ in 0..=GROUPS_MAX {
        let broken = recorder.ingest(world.statement(&new), |_| resume_unwind(Box::new("on purpose"))).await;
        assert!(matches!(broken, Err(NotRecorded::Ended)), "{broken:?}");
    }
    inserted(&world.ingest(&recorder, &new).await);
}

#[tokio::test]
async fn a_row_that_is_refused_spoils_no_other() {
    let world = World::new().await;
    let recorder = world.start();
    let [a, mut wrong, mut foreign, b] =
        ["a", "wrong", "foreign", "b"].map(|package| world.artifact(package));
    wrong.size += 1;
    foreign.policy_epoch = 999;
    let all = [a, wrong, foreign, unstorable(world.artifact("text")), b];
    let answers = together(&world, &recorder, &all).await;
    inserted(&answers[0]);
    inserted(&answers[4]);
    assert_ne!(inserted(&answers[0]), inserted(&answers[4]));
    for (answered, words) in [
        (&answers[1], "the fetch was not put on record: artifact cannot be stored: "),
        (
            &answers[2],
            "the fetch was not put on record: the statement artifact.ingest failed: db error: ERROR: null value",
        ),
        (
            &answers[3],
            "the fetch was not put on record: the statement artifact.ingest failed: db error: ERROR: invalid byte sequence",
        ),
    ] {
        let problem = refused(answered);
        assert!(problem.starts_with(words), "{problem}");
    }
    assert_eq!(world.fetch(&all[1].id).await, None);
    assert_eq!(
        world.kept(&world.fetch(&all[4].id).await.expect("on record")).await,
        world.statement(&all[4])
    );
}

#[tokio::test]
async fn a_coordinate_that_is_offered_twice_at_once_is_answered_as_one_after_the_other() {
    for grouped in [true, false] {
        let world = World::new().await;
        let recorder = world.start();
        let [a, b, mut other] = ["a", "b", "other"].map(|package| world.artifact(package));
        other.id = a.id.clone();
        let all = [b.clone(), a.clone(), a.clone(), other, unstorable(b), a.clone()];
        let answers = if grouped {
            together(&world, &recorder, &all).await
        } else {
            let mut answers = vec![];
            for new in &all {
                answers.push(world.ingest(&recorder, new).await);
            }
            answers
        };
        let (b, artifact) = (inserted(&answers[0]), inserted(&answers[1]));
        assert_ne!(b, artifact);
        for known in [&answers[2], &answers[5]] {
            let expected = Ingested::Known { artifact, epoch: 0, state: ArtifactState::Fetched };
            assert_eq!(known.as_ref().expect("an answer"), &expected);
        }
        let diverged = Ingested::Diverged { artifact, on_record: a.sha256 };
        assert_eq!(answers[3].as_ref().expect("an answer"), &diverged);
        assert!(refused(&answers[4]).contains("invalid byte sequence"), "{answers:?}");
        let incidents = world.store.incidents(9).await.expect("an answer");
        let [incident] = &incidents[..] else { panic!("{incidents:?}") };
        assert_eq!((incident.kind.as_str(), incident.count), ("second_digest", 1));
    }
}

#[tokio::test]
async fn what_waits_is_not_signed_with_a_key_that_was_revoked_meanwhile() {
    let world = World::new().await;
    let recorder = world.start();
    let gate = world.signer.close();
    let [first, second, late] = ["waits-1", "waits-2", "late"].map(|package| world.artifact(package));
    let mut under_way = vec![];
    for new in [&first, &second] {
        let mut asked = Box::pin(world.ingest(&recorder, new));
        assert!(poll!(&mut asked).is_pending());
        timeout(PATIENCE, world.signer.begun.acquire()).await.expect("in time").expect("open").forget();
        under_way.push(asked);
    }
    let mut asked = Box::pin(world.ingest(&recorder, &late));
    assert!(poll!(&mut asked).is_pending(), "two groups are under way");
    let mut kept = Box::pin(recorder.sign(world.statement(&late)));
    assert!(poll!(&mut kept).is_pending());

    assert_eq!(recorder.can_sign(), Ok(()));
    world.keys.revoke(world.key(), "lost", &*world.clock);
    drop(gate);
    for asked in under_way {
        inserted(&asked.await);
    }
    let revoked = format!("the key {} was revoked: lost", world.key());
    assert_eq!(recorder.can_sign().expect_err("refused").to_string(), revoked);
    let problem = format!("the key that signs fetches does not count: {revoked}");
    assert_eq!(refused(&asked.await), problem);
    assert_eq!(Chain(&kept.await.expect_err("refused")).to_string(), problem);
    assert_eq!(world.store.status(&late.id).await.expect("an answer"), None);

    world.keys.change(|entries| entries.iter_mut().for_each(|entry| entry.revoked = None));
    inserted(&world.ingest(&recorder, &late).await);
}

#[tokio::test]
async fn what_the_blob_store_does_not_take_has_no_row() {
    let world = World::new().await;
    let recorder = world.start();
    let all = ["a", "b"].map(|package| world.artifact(package));
    // Packs are written there first. A file in its place refuses everybody, root included.
    let temporary = world.directory.path().join("tmp");
    std::fs::remove_dir(&temporary).expect("it is empty");
    std::fs::write(&temporary, "").expect("writes");
    for answered in together(&world, &recorder, &all).await {
        let NotRecorded::Keep(error) = answered.expect_err("refused") else { panic!() };
        assert!(matches!(*error, PutError::Blob(_)), "{error}");
    }
    assert_eq!(world.store.status(&all[0].id).await.expect("an answer"), None);
    std::fs::remove_file(&temporary).expect("it is there");
    std::fs::create_dir(&temporary).expect("creates");
    for answered in together(&world, &recorder, &all).await {
        inserted(&answered);
    }
}

#[tokio::test]
async fn what_is_asked_for_is_finished_without_callers_and_then_the_recorder_ends() {
    let world = World::new().await;
    let recorder = world.start();
    let gate = world.signer.close();
    let all = ["waits-1", "waits-2", "queued-1", "queued-2"].map(|package| world.artifact(package));
    for (n, new) in all.iter().enumerate() {
        let mut asked = Box::pin(world.ingest(&recorder, new));
        assert!(poll!(&mut asked).is_pending());
        if n < GROUPS_MAX {
            timeout(PATIENCE, world.signer.begun.acquire()).await.expect("in time").expect("open").forget();
        }
    }
    drop(recorder);
    world.tracker.close();
    let mut ended = Box::pin(world.tracker.wait());
    assert_eq!(poll!(&mut ended), Poll::Pending);
    drop(gate);
    timeout(PATIENCE, ended).await.expect("it ends");
    for new in &all {
        let fetch = world.fetch(&new.id).await.expect("on record");
        assert_eq!(world.kept(&fetch).await, world.statement(new));
    }
}

/// The events that are to be worked off, in any order.
async fn events(bus: &Bus, number: usize) -> Vec<ArtifactEvent> {
    let mut deliveries = bus.consume(CheckKind::Hash, 64).await.expect("a consumer");
    let mut events = vec![];
    while events.len() < number {
        let batch = timeout(PATIENCE, deliveries.next_batch(64)).await.expect("they come");
        for delivery in batch {
            delivery.ack().await.expect("acknowledged");
            events.push(delivery.event);
        }
    }
    events.sort_unstable_by_key(|event| event.artifact);
    events
}

#[tokio::test]
async fn only_what_was_not_on_record_is_announced_and_without_nats_nothing_is() {
    let servers = Servers::start().await;
    Store::migrate(&servers.postgres.url()).await.expect("migrated");
    let world = World::on(servers.postgres.url()).await;
    let recorder = world.start();
    let [early, unheard, a, b, late] =
        ["early", "unheard", "a", "b", "late"].map(|package| world.artifact(package));
    inserted(&world.ingest(&recorder, &early).await);
    let options = BusOptions { url: servers.operator_nats_url(), name: "edge".into() };
    let bus = Bus::connect(options).await.expect("connected");
    world.bus.send_replace(Some(bus.clone()));
    inserted(&world.ingest(&recorder, &unheard).await);
    // Until then nobody took what was published.
    bus.provision(&[CheckKind::Hash]).await.expect("provisioned");
    let mut other = a.clone();
    other.id = unheard.id.clone();
    let answers =
        together(&world, &recorder, &[early, a, other, unstorable(world.artifact("text")), b]).await;
    let last = inserted(&world.ingest(&recorder, &late).await);
    let expected = [inserted(&answers[1]), inserted(&answers[4]), last]
        .map(|artifact| ArtifactEvent::new(artifact, Ecosystem::Npm, 0, 0));
    assert_eq!(events(&bus, 3).await, expected);

    servers.postgres.stop().await;
    let answers = together(&world, &recorder, &[world.artifact("f"), world.artifact("g")]).await;
    for answered in answers {
        let error = answered.expect_err("refused");
        let NotRecorded::Store(cause) = &error else { panic!("{error:?}") };
        assert!(cause.is_transient() && error.source().is_some(), "{cause}");
    }
}
