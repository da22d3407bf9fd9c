//! Rejections that are taken back before the log has them.

use std::{ops::Range, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;
use touchstone_custody::{KeyKind, LogEntry, artifact_purl};
use touchstone_domain::{ArtifactDbId, ArtifactState, CheckKind, OutcomeKind, Sha256};
use touchstone_store::{Incident, KnownSeal};

use super::world::{World, id};
use crate::{
    LogParts, Promote, PromoteError, PromoteParts,
    count::{Look, verdicts},
    rejections::{self, Denial, Rejections},
    sealer::SealError,
};

/// What whoever owns Postgres does to take a rejection back.
pub(super) const UNDO: [&str; 3] = [
    "DELETE FROM verdict WHERE outcome = 'fail'",
    "UPDATE gate SET deny = 0",
    "DELETE FROM gate_log WHERE state = 'rejected'",
];

#[tokio::test]
async fn a_rejection_that_is_gone_before_the_log_has_it_is_told_and_checked_again() {
    for is_sealed in [false, true] {
        let world = World::new().await;
        let (promote, mut sealer) = world.beside();
        world.sealed(&mut sealer).await;
        sealer.cycle().await;
        assert!(!promote.is_halted());
        let artifact = world.served("1.0.0").await;
        world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
        verdicts(&promote, &[artifact], Look::All).await.expect("counted");
        assert_eq!(world.state(artifact).await, ArtifactState::Rejected);
        if is_sealed {
            world.sealed(&mut sealer).await;
            sealer.cycle().await;
        }
        for undo in UNDO {
            world.superuser(undo).await;
        }
        assert_eq!(world.state(artifact).await, ArtifactState::Servable);
        sealer.cycle().await;
        let (state, epoch) = (world.state(artifact).await, world.facts(artifact).await.epoch);
        let told = world.promote.store.incidents(9).await.expect("read");
        let about = told.iter().filter(|one| {
            one.artifact == Some(artifact)
                && one.detail["problem"] == "its rejection is gone, and was not sealed yet"
        });
        let expected =
            if is_sealed { (ArtifactState::Servable, 0, 0) } else { (ArtifactState::Fetched, 1, 1) };
        assert_eq!(
            (state, epoch, about.count()),
            expected,
            "what is sealed, the audit finds, and edges follow"
        );
        world.sealed(&mut sealer).await;
        sealer.cycle().await;
        assert_eq!(world.facts(artifact).await.epoch, epoch, "once");
    }
}

#[tokio::test]
async fn a_rejection_whose_artifact_is_gone_too_is_told_and_keeps_no_other_from_being_looked_at() {
    let world = World::new().await;
    let (promote, mut sealer) = world.beside();
    world.sealed(&mut sealer).await;
    sealer.cycle().await;
    let [first, second] = [world.served("1.0.0").await, world.served("2.0.0").await];
    for artifact in [first, second] {
        world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    }
    verdicts(&promote, &[first, second], Look::All).await.expect("counted");
    for undo in UNDO {
        world.superuser(undo).await;
    }
    // What is known of the first cannot be put on record, whatever is tried.
    let refuse = "ALTER TABLE incident ADD CHECK (artifact_id IS DISTINCT FROM ";
    world.rows(&format!("{refuse}{first})")).await;
    world.superuser(&format!("DELETE FROM artifact WHERE id = {second}")).await;
    for later in [Duration::ZERO, AGAIN] {
        look(&promote, &world, later).await.expect("looked");
        let told = told(&world).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].artifact, told[0].count), (Some(second), 1), "it is told once");
        let detail = json!({ "epoch": 0, "problem": "its rejection is gone, and was not sealed yet" });
        assert_eq!(told[0].detail, detail);
        assert_eq!(world.facts(first).await.epoch, 1, "that waits for nothing");
    }
    world.rows("ALTER TABLE incident DROP CONSTRAINT incident_artifact_id_check").await;
    look(&promote, &world, AGAIN).await.expect("looked");
    assert!(!told(&world).await.iter().any(|one| one.artifact == Some(first)), "not at every look");
    look(&promote, &world, 2 * AGAIN).await.expect("looked");
    assert!(told(&world).await.iter().any(|one| one.artifact == Some(first)), "tried again");
    assert_eq!(world.facts(first).await.epoch, 1);
}

/// A look, so much later.
pub(super) async fn look(promote: &Promote, world: &World, later: Duration) -> Result<(), SealError> {
    let now = Instant::now() + later;
    let read = rejections::read(promote, &world.published("log")).await?;
    rejections::wait(promote, Some(read), !promote.is_halted(), now);
    Ok(rejections::look(promote, now).await?)
}

/// A look every ten seconds.
pub(super) async fn looks(promote: &Promote, world: &World, times: Range<Duration>) {
    let mut later = times.start;
    while later <= times.end {
        look(promote, world, later).await.expect("looked");
        later += Duration::from_secs(10);
    }
}

/// When what could not be done is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Longer than anything waits for the log while promotion goes on.
pub(super) const LATER: Duration = Duration::from_mins(3);

/// An artifact that was served, and that promote rejected just now; something else is sealed.
pub(super) async fn rejected(world: &World) -> ArtifactDbId {
    let (_promote, mut sealer) = world.beside();
    let artifact = world.served("1.0.0").await;
    world.sealed(&mut sealer).await;
    look(&world.promote, world, Duration::ZERO).await.expect("looked");
    world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    verdicts(&world.promote, &[artifact], Look::All).await.expect("counted");
    assert_eq!(world.state(artifact).await, ArtifactState::Rejected);
    artifact
}

pub(super) async fn told(world: &World) -> Vec<Incident> {
    let all = world.promote.store.incidents(9).await.expect("read");
    all.into_iter().filter(|one| one.kind == "history_rewritten").collect()
}

#[tokio::test]
async fn a_rejection_that_is_kept_from_the_log_is_told_and_checked_again() {
    let entry = LogEntry::Ended {
        purl: artifact_purl(&id("1.0.0")).to_string(),
        sha256: Sha256::of("1.0.0"),
        epoch: 0,
        state: ArtifactState::Rejected.as_str().to_owned(),
        cause: "verdict".to_owned(),
        at: Timestamp::UNIX_EPOCH,
    };
    let entry = String::from_utf8(entry.to_bytes()).expect("JSON");
    let relink = "UPDATE log_leaf SET source = 'gate_log', source_id = (SELECT id FROM gate_log WHERE state = 'rejected')";
    let ways = [
        // as if the sealer had passed it
        "UPDATE gate_log SET xid = '3' WHERE state = 'rejected'".to_owned(),
        // as if an entry of something else were of it
        format!("{relink} WHERE index = 0"),
        // as if it were sealed
        format!("{relink}, entry = convert_to('{entry}', 'UTF8') WHERE index = 0"),
    ];
    for way in &ways {
        let world = World::new().await;
        let artifact = rejected(&world).await;
        for undo in [way.as_str(), UNDO[0], UNDO[1]] {
            world.superuser(undo).await;
        }
        assert_eq!(world.state(artifact).await, ArtifactState::Servable, "{way}");

        look(&world.promote, &world, Duration::ZERO).await.expect("looked");
        assert_eq!(told(&world).await, [], "it may be on its way");
        world.halt.send_replace(Some("what waits is not sealed".into()));
        looks(&world.promote, &world, Duration::ZERO..LATER).await;
        assert_eq!(told(&world).await, [], "nothing is sealed now");

        world.halt.send_replace(None);
        look(&world.promote, &world, 2 * LATER).await.expect("looked");
        assert_eq!(told(&world).await, [], "nobody looked, and nobody sealed");
        looks(&world.promote, &world, 2 * LATER..3 * LATER).await;
        let told = told(&world).await;
        let detail = json!({ "epoch": 0, "problem": "its rejection is kept from the transparency log" });
        assert_eq!(told.iter().map(|one| &one.detail).collect::<Vec<_>>(), [&detail], "{way}");
        assert_eq!(
            (world.state(artifact).await, world.facts(artifact).await.epoch),
            (ArtifactState::Fetched, 1)
        );
    }
}

#[tokio::test]
async fn a_rejection_that_is_sealed_and_cannot_be_published_is_no_alarm() {
    let mut world = World::new().await;
    let artifact = rejected(&world).await;
    let (_promote, mut sealer) = world.beside();
    world.sealed(&mut sealer).await;
    let seal = KnownSeal { size: 1_000_000, root: Sha256::of("whatever Postgres has") };
    let none = std::mem::replace(&mut world.promote.seal, watch::channel(Some(seal)).1);
    let unpublished = world.published("nowhere");
    for n in 0..40 {
        let now = Instant::now() + Duration::from_secs(10) * n;
        let read = rejections::read(&world.promote, &unpublished).await.expect("read");
        rejections::wait(&world.promote, Some(read), true, now);
        rejections::look(&world.promote, now).await.expect("looked");
    }
    assert_eq!((told(&world).await, world.facts(artifact).await.epoch), (vec![], 0));
    world.promote.seal = none;
    look(&world.promote, &world, LATER).await.expect("looked");
    for undo in UNDO {
        world.superuser(undo).await;
    }
    look(&world.promote, &world, 2 * LATER).await.expect("looked");
    assert_eq!(told(&world).await, [], "it is forgotten: what is sealed, the audit finds");
}

#[tokio::test]
async fn what_is_done_about_it_is_done_again_for_as_long_as_the_log_does_not_have_it() {
    let world = World::new().await;
    let artifact = rejected(&world).await;
    for undo in UNDO {
        world.superuser(undo).await;
    }
    for (later, epoch) in [(Duration::ZERO, 1), (LATER / 3, 1), (LATER, 2)] {
        look(&world.promote, &world, later).await.expect("looked");
        let times: Vec<i64> = told(&world).await.iter().map(|one| one.count).collect();
        assert_eq!((world.facts(artifact).await.epoch, times), (epoch, vec![i64::from(epoch)]));
    }
    let (_promote, mut sealer) = world.beside();
    world.sealed(&mut sealer).await;
    look(&world.promote, &world, 3 * LATER).await.expect("looked");
    assert_eq!(world.facts(artifact).await.epoch, 2, "the log says that the epoch ended");
}

#[tokio::test]
async fn one_whose_commit_nobody_confirmed_is_watched_too() {
    for is_sealed in [true, false] {
        let mut world = World::new().await;
        let artifact = rejected(&world).await;
        world.promote.rejections = Rejections::default();
        look(&world.promote, &world, Duration::ZERO).await.expect("looked");
        let denial = Denial { artifact, id: id("1.0.0"), sha256: Sha256::of("1.0.0"), epoch: 0 };
        assert_eq!(world.promote.rejections.expect(&[denial]).len(), 1);
        if is_sealed {
            let (_promote, mut sealer) = world.beside();
            world.sealed(&mut sealer).await;
        }
        look(&world.promote, &world, Duration::ZERO).await.expect("looked");
        assert_eq!(told(&world).await, [], "it may come yet");
        looks(&world.promote, &world, Duration::ZERO..LATER).await;
        let problem = "its rejection is kept from the transparency log";
        let told = told(&world).await;
        assert_eq!(told.len(), usize::from(!is_sealed));
        assert!(told.iter().all(|one| one.detail["problem"] == problem), "{told:?}");
    }
}

#[tokio::test]
async fn one_that_cannot_be_checked_again_is_told_once_and_not_forgotten() {
    let hinder = [
        ("UPDATE gate SET hold = 2", "UPDATE gate SET hold = 0"),
        ("UPDATE artifact SET ecosystem = 'conda'", "UPDATE artifact SET ecosystem = 'npm'"),
    ];
    for (hinder, mend) in hinder {
        let world = World::new().await;
        world.superuser("ALTER TABLE artifact DROP CONSTRAINT artifact_ecosystem_check").await;
        let artifact = rejected(&world).await;
        for undo in UNDO.into_iter().chain([hinder]) {
            world.superuser(undo).await;
        }
        for later in [Duration::ZERO, AGAIN] {
            look(&world.promote, &world, later).await.expect("looked");
            let told = told(&world).await;
            assert_eq!(told.iter().map(|one| one.count).collect::<Vec<_>>(), [1], "{hinder}: {told:?}");
        }
        world.superuser(mend).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Servable, "{hinder}");
        look(&world.promote, &world, 2 * AGAIN).await.expect("looked");
        assert_eq!((world.state(artifact).await, told(&world).await.len()), (ArtifactState::Fetched, 1));
        look(&world.promote, &world, 3 * AGAIN).await.expect("looked");
        assert_eq!(world.facts(artifact).await.epoch, 1, "it is forgotten then");
    }
}

#[tokio::test]
async fn a_look_ends_where_postgres_does_not_answer_and_goes_on_there() {
    let world = World::new().await;
    let [first, second] = [world.served("1.0.0").await, world.served("2.0.0").await];
    for artifact in [first, second] {
        world.answer(artifact, CheckKind::Hash, OutcomeKind::Fail).await;
    }
    verdicts(&world.promote, &[first, second], Look::All).await.expect("counted");
    for undo in UNDO {
        world.superuser(undo).await;
    }
    // as a statement that waits for a lock, and is given up in the end
    world
        .rows("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'too long' USING ERRCODE = '57014'; END $$")
        .await;
    world
        .rows(&format!("CREATE TRIGGER wait BEFORE INSERT ON incident FOR EACH ROW WHEN (NEW.artifact_id = {first}) EXECUTE FUNCTION wait()"))
        .await;
    look(&world.promote, &world, Duration::ZERO).await.expect_err("it would be the same with the other");
    assert_eq!(told(&world).await, []);
    look(&world.promote, &world, AGAIN).await.expect_err("the first is still not told");
    assert_eq!(told(&world).await.iter().map(|one| one.artifact).collect::<Vec<_>>(), [Some(second)]);
    assert_eq!(world.facts(second).await.epoch, 1);
}

#[tokio::test]
async fn promote_ends_with_an_error_when_its_sealer_ends_by_itself() {
    let world = World::new().await;
    let stop = world.promote.stop.clone();
    let tracker = TaskTracker::new();
    let parts = PromoteParts {
        config: world.promote.config.clone(),
        store: world.promote.store.clone(),
        bus: world.promote.bus.clone(),
        blobs: world.blobs.clone(),
        signing: world.keys.signing(KeyKind::Promote),
        ring: world.keys.ring(),
        policy: Arc::clone(&world.promote.policy),
        clock: world.clock.clone(),
        // There is no such period: the sealer panics.
        log: Some(LogParts { period: Duration::ZERO, ..world.log(vec![]) }),
        tracker: tracker.clone(),
        stop: stop.clone(),
    };
    let error = crate::run(parts).await.expect_err("nothing would be sealed");
    assert!(matches!(error, PromoteError::Sealer), "{error}");
    tracker.close();
    tracker.wait().await;
    assert!(!stop.is_cancelled(), "whoever started it stops the others");
}
