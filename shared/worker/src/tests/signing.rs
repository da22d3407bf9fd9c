//! What is recorded is signed, and what cannot be signed is not recorded.

use touchstone_custody::{KeyKind, VerdictStatement};
use touchstone_records::RecordStore;
use touchstone_store::Story;

use super::*;
use crate::{WorkerError, tests::world::FlakySigner};

/// The one verdict of the story, by its envelope; its signature and the row agree.
pub(super) async fn signed(world: &World, story: &Story) -> VerdictStatement {
    let [recorded] = &story.verdicts[..] else { panic!("{:?}", story.verdicts) };
    let row = recorded.signed.expect("it is signed");
    let records = RecordStore::new(world.blobs().await);
    let envelope = records.read(&[row.envelope]).await.pop().expect("an answer").expect("it is there");
    let signed = VerdictStatement::verify(&envelope, &world.signer.ring()).expect("it counts");
    assert_eq!((signed.key(), signed.envelope()), (row.key, row.envelope.sha256));
    assert_eq!(signed.statement().verdict, recorded.verdict);
    signed.statement().clone()
}

pub(super) async fn until(holds: impl Fn() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it comes true");
}

#[tokio::test]
async fn the_verdict_on_record_is_signed_and_its_envelope_says_what_the_row_says() {
    let mut world = World::new().await;
    world.work(Scripted::new(), 4).await;
    let artifact = world.fetched("passes").await;
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    let statement = signed(&world, &story).await;
    let expected = VerdictStatement {
        environment: "test".into(),
        id: story.facts.id.clone(),
        sha512: story.facts.sha512,
        size: story.facts.size,
        upstream_url: story.facts.upstream_url.clone(),
        policy: Policy::default().digest(),
        verdict: story.verdicts[0].verdict.clone(),
    };
    assert_eq!(statement, expected);
    let pack = story.verdicts[0].signed.expect("it is signed").envelope.pack;
    assert_eq!(world.packs(), [pack.to_string()]);
}

#[tokio::test]
async fn a_worker_does_not_start_with_the_key_of_another_kind() {
    let mut world = World::new().await;
    for kind in KeyKind::ALL.into_iter().filter(|kind| *kind != KeyKind::Hash) {
        world.signer = FlakySigner::new(kind).into();
        world.work(Scripted::new(), 1).await;
        let ended = timeout(PATIENCE, world.workers.join_next()).await.expect("it ends");
        let refused = ended.expect("a worker").expect("no panic").expect_err("it is refused");
        assert!(
            matches!(refused, WorkerError::Key { check: CheckKind::Hash, found } if found == kind),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn while_the_signer_is_away_messages_wait_and_nothing_is_recorded() {
    let mut world = World::new().await;
    world.signer.away.store(true, Ordering::SeqCst);
    world.work(Scripted::new(), 4).await;
    let artifact = world.fetched("passes").await;
    until(|| world.signer.failures.load(Ordering::SeqCst) > 0).await;
    assert!(world.packs().is_empty());
    assert!(world.story(artifact, |_| true).await.verdicts.is_empty());
    world.signer.away.store(false, Ordering::SeqCst);
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    assert!(story.attempts.is_empty(), "an outage of ours is no attempt");
    signed(&world, &story).await;
}

#[tokio::test]
async fn while_the_blob_store_takes_nothing_messages_wait_and_nothing_is_recorded() {
    let mut world = World::new().await;
    world.work(Scripted::new(), 4).await;
    // Packs are written there first. A file in its place refuses everybody, root included.
    let temporary = world.directory.path().join("blobs/tmp");
    std::fs::remove_dir(&temporary).expect("it is empty");
    std::fs::write(&temporary, "").expect("writes");
    let artifact = world.fetched("passes").await;
    put_off_by_the_worker(&world).await;
    let story = world.story(artifact, |_| true).await;
    assert!(story.verdicts.is_empty() && story.attempts.is_empty());
    std::fs::remove_file(&temporary).expect("it is there");
    std::fs::create_dir(&temporary).expect("creates");
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    signed(&world, &story).await;
}

#[tokio::test]
async fn a_crash_between_the_envelope_and_its_row_leaves_a_pack_that_nobody_names() {
    let mut world = World::new().await;
    world.check_timeout = PATIENCE;
    let check = Scripted::new();
    world.work(check.clone(), 1).await;
    let artifact = world.fetched("waits").await;
    until(|| check.calls.load(Ordering::SeqCst) > 0).await;
    world.postgres.take().expect("running").stop().await;
    check.permits.add_permits(1);
    until(|| !world.packs().is_empty()).await;
    world.shutdown.hard.cancel();
    world.ended().await;
    let [orphan] = &world.packs()[..] else { panic!("{:?}", world.packs()) };

    world.start_postgres().await;
    assert!(world.story(artifact, |_| true).await.verdicts.is_empty());
    world.shutdown = touchstone_runtime::Shutdown::new();
    world.clock.advance(Duration::from_secs(1));
    check.permits.add_permits(1);
    world.work(check, 1).await;
    // What the sweeper does about it; the crashed worker's message comes only when its time is up.
    let event = ArtifactEvent { dispatch: 1, ..ArtifactEvent::new(artifact, Ecosystem::Npm, 0, 0) };
    world.bus.publish_fetched(&[event]).await.expect("accepted");
    let story = world.story(artifact, |story| !story.verdicts.is_empty()).await;
    signed(&world, &story).await;
    let named = story.verdicts[0].signed.expect("it is signed").envelope.pack.to_string();
    assert!(named != *orphan, "it was judged anew");
    assert!(world.packs().contains(&named) && world.packs().contains(orphan));
}

#[tokio::test]
async fn an_answer_too_long_to_be_signed_is_an_attempt_and_spoils_no_other() {
    let mut world = World::new().await;
    let verbose = world.fetched("verbose").await;
    let passes = world.fetched("passes").await;
    world.work(Scripted::new(), 4).await;
    let story = world.story(passes, |story| !story.verdicts.is_empty()).await;
    signed(&world, &story).await;
    let story = world.story(verbose, |story| !story.attempts.is_empty()).await;
    let attempt = &story.attempts[0].attempt;
    assert_eq!(attempt.class, AttemptClass::Poison);
    let words = "the statement is too long to be signed: its envelope would have ";
    assert!(attempt.detail.starts_with(words), "{}", attempt.detail);
    assert!(story.verdicts.is_empty());
}
