//! Rejections that are taken back before the log has them.

use serde_json::json;
use touchstone_domain::{ArtifactState, CheckKind, OutcomeKind};

use super::world::World;
use crate::{
    count::{Look, verdicts},
    rejections,
};

/// What whoever owns Postgres does to take a rejection back.
const UNDO: [&str; 3] = [
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
    let told = async || {
        let all = world.promote.store.incidents(9).await.expect("read");
        all.into_iter().filter(|one| one.kind == "history_rewritten").collect::<Vec<_>>()
    };
    for _ in 0..2 {
        rejections::look(&promote).await.expect("looked");
        let told = told().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].package.as_str(), told[0].count), ("touchstone/test", 1), "it is told once");
        let expected = json!({
            "artifact": second, "epoch": 0, "problem": "its rejection is gone, and was not sealed yet; so is its row",
        });
        assert_eq!(told[0].detail, expected);
    }
    world.rows("ALTER TABLE incident DROP CONSTRAINT incident_artifact_id_check").await;
    rejections::look(&promote).await.expect("looked");
    assert!(told().await.iter().any(|one| one.artifact == Some(first)), "tried again");
    assert_eq!(world.facts(first).await.epoch, 1);
}
