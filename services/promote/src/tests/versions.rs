//! Versions side by side, and clocks that differ: what cannot be read counts for nothing and is asked for again; what is dated back
//! makes nothing older.

use std::time::Duration;

use touchstone_custody::KeyKind;
use touchstone_domain::{ArtifactState, CheckKind, OutcomeKind};

use super::world::{HASH, World};

/// A worker of another version signs with the right key. Its verdict is parked: neither a pass nor a failure, told once, and asked for
/// again, so that the artifact waits for a worker that promote understands.
#[tokio::test]
async fn a_statement_of_another_version_is_parked_until_one_is_there_that_can_be_read() {
    let newer =
        |payload: String| payload.replacen("\"byproducts\":{", "\"byproducts\":{\"novelty\":\"1\",", 1);
    let older = |payload: String| payload.replacen("\"software\":", "\"program\":", 1);
    let other = |payload: String| payload.replacen("\"_type\":\"link\"", "\"_type\":\"link2\"", 1);
    for (written, outcome) in [
        (newer as fn(String) -> String, OutcomeKind::Pass),
        (older, OutcomeKind::Pass),
        (other, OutcomeKind::Pass),
        (newer, OutcomeKind::Fail),
    ] {
        let world = World::new().await;
        let artifact = world.fetched("1.0.0").await;
        world.answer(artifact, CheckKind::Attest, OutcomeKind::Pass).await;
        let statement = world.statement(artifact, CheckKind::Hash, outcome).await;
        assert_eq!(world.record_as(&statement, KeyKind::Hash, written).await, 1);
        assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
        assert_eq!(world.refused().await, ["statement"]);
        assert_eq!(world.incidents().await, [("verdict_refused".into(), "statement".into())]);
        assert_eq!(world.serve_record("1.0.0").await, None);
        assert_eq!(world.swept(artifact).await.missing[&artifact], HASH, "the check is asked again");
        assert_eq!(world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await, 1);
        assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
    }
}

/// A worker whose clock is a day behind, and one whose clock was put back while it ran.
#[tokio::test]
async fn verdicts_that_are_dated_back_count_and_make_no_version_older() {
    const DAY: Duration = Duration::from_hours(24);
    let world = World::with("[[rule]]\necosystem = \"npm\"\nmin_age = \"2d\"\n").await;
    let artifact = world.fetched("1.0.0").await;
    for (check, behind) in [(CheckKind::Hash, DAY), (CheckKind::Attest, DAY * 100)] {
        let mut statement = world.statement(artifact, check, OutcomeKind::Pass).await;
        statement.verdict.decided_at -= behind;
        assert_eq!(world.record(&statement, check.into()).await, 1);
    }
    // By Postgres' clock its time has come: the signed dates decide.
    world.superuser("UPDATE gate SET hold = 0").await;
    assert_ne!(world.rung(artifact).await, ArtifactState::Servable);
    world.clock.advance(Duration::from_secs(2 * 24 * 60 * 60 - 1));
    assert_ne!(world.rung(artifact).await, ArtifactState::Servable, "a second is missing");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
    assert_eq!(world.refused().await, Vec::<String>::new());
}
