//! A database that is swapped between two cycles of the sealer: nothing is promoted in it.

use touchstone_domain::{ArtifactDbId, ArtifactState};
use touchstone_store::StoreError;

use super::world::World;
use crate::{
    Promote,
    count::{Look, verdicts},
    judge::CountError,
    release,
};

/// Counts, and tells by which checkpoint it was refused.
async fn refused(promote: &Promote, artifact: ArtifactDbId) -> Option<u64> {
    match verdicts(promote, &[artifact], Look::Decided).await {
        Ok(_) => None,
        Err(CountError::Store(StoreError::OtherLog { size })) => Some(size),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn what_lacks_the_checkpoint_that_was_compared_last_is_promoted_nothing() {
    let world = World::new().await;
    world.served("1.0.0").await;
    let (promote, mut sealer) = world.beside();
    assert_eq!(promote.known_seal(), None);
    world.sealed(&mut sealer).await;
    assert!(!promote.is_halted());
    let seal = promote.known_seal().expect("it was sealed");
    let artifact = world.fetched("1.0.1").await;
    world.passed(artifact).await;

    // a row as it would be in an older backup, and in a database with another log
    let at = seal.size;
    world.superuser(&format!("UPDATE log_seal SET size = 1000 WHERE size = {at}")).await;
    assert_eq!(refused(&promote, artifact).await, Some(at));
    world
        .superuser(&format!("UPDATE log_seal SET size = {at}, root = sha256('other') WHERE size = 1000"))
        .await;
    assert_eq!(refused(&promote, artifact).await, Some(at));
    world.superuser("UPDATE gate SET ok = required").await;
    let unpromoted = release::unpromoted(&promote, 10).await;
    assert!(matches!(unpromoted, Err(CountError::Store(StoreError::OtherLog { .. }))), "{unpromoted:?}");
    assert_eq!(world.serve_record("1.0.1").await, None);

    let root = seal.root;
    world.superuser(&format!("UPDATE log_seal SET root = '\\x{root}' WHERE size = {at}")).await;
    release::unpromoted(&promote, 10).await.expect("promoted");
    assert!(world.serve_record("1.0.1").await.is_some());
}

#[tokio::test]
async fn the_checkpoint_that_is_known_is_the_last_one_that_was_sealed_or_compared() {
    let world = World::new().await;
    let (one, mut leads) = world.beside();
    let (other, mut follows) = world.beside();
    for version in ["1.0.0", "1.0.1"] {
        world.served(version).await;
        world.sealed(&mut leads).await;
        let sealed = one.known_seal().expect("it was sealed");
        assert_ne!(other.known_seal(), Some(sealed));
        follows.cycle().await;
        assert_eq!(other.known_seal(), Some(sealed));
        let artifact = world.fetched(&format!("{version}-after")).await;
        world.passed(artifact).await;
        assert_eq!(refused(&other, artifact).await, None);
        assert_eq!(world.state(artifact).await, ArtifactState::Servable);
    }
    // it goes on without the newest checkpoint of somebody else
    world.sealed(&mut leads).await;
    assert!(one.known_seal().expect("sealed").size > other.known_seal().expect("compared").size);
    let artifact = world.fetched("2.0.0").await;
    world.passed(artifact).await;
    assert_eq!(refused(&other, artifact).await, None);
    assert_eq!(world.state(artifact).await, ArtifactState::Servable);
}
