//! Serve records that are gone, or damaged, and that edges reported: promoted anew; and nothing else is.

use std::fs;

use serde_json::json;
use touchstone_domain::{ArtifactDbId, ArtifactState, CheckKind, OutcomeKind, Sha256};
use touchstone_store::{IncidentKind, NewIncident};

use super::world::{World, id};
use crate::{lost, sweep};

impl World {
    /// An edge says that it cannot read the serve record of a version.
    async fn reported(&self, artifact: ArtifactDbId, version: &str) {
        let incident =
            NewIncident::about(IncidentKind::RecordMissing, &id(version), Some(artifact), json!({}));
        self.promote.store.record_incident(&incident).await.expect("recorded");
    }

    /// A version that is served, whose record an edge could not read; and the pack of that record.
    async fn served_and_reported(&self, version: &str) -> (ArtifactDbId, Sha256) {
        let artifact = self.served(version).await;
        self.reported(artifact, version).await;
        let sql = format!("SELECT pack FROM promotion WHERE artifact_id = {}", artifact.0);
        (artifact, Sha256::from_slice(self.rows(&sql).await[0].get(0)).expect("a digest"))
    }

    async fn looked(&self) {
        lost::records(&self.promote, 10).await.expect("looked");
    }

    async fn stands(&self, artifact: ArtifactDbId) -> (ArtifactState, i32) {
        (self.state(artifact).await, self.facts(artifact).await.epoch)
    }
}

#[tokio::test]
async fn a_record_whose_pack_is_gone_or_damaged_is_signed_anew_and_one_that_is_there_is_not() {
    let world = World::new().await;
    let (gone, its_pack) = world.served_and_reported("1.0.0").await;
    let (damaged, other_pack) = world.served_and_reported("1.0.1").await;
    let (whole, _) = world.served_and_reported("1.0.2").await;
    world.lose(its_pack);
    let mut bytes = fs::read(world.path(other_pack)).expect("there");
    bytes[40] ^= 1;
    world.lose(other_pack);
    fs::write(world.path(other_pack), bytes).expect("written");

    assert!(sweep::once(&world.promote, 0).await);
    for (artifact, version) in [(gone, "1.0.0"), (damaged, "1.0.1")] {
        assert_eq!(world.stands(artifact).await, (ArtifactState::Fetched, 1));
        world.passed(artifact).await;
        assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
        assert_eq!(world.serve_record(version).await.expect("promoted").epoch(), 1);
    }
    world.looked().await;
    assert_eq!(world.stands(gone).await, (ArtifactState::Servable, 1), "the report was about the one before");
    assert_eq!(world.stands(whole).await, (ArtifactState::Servable, 0));
}

#[tokio::test]
async fn what_no_edge_missed_is_left_alone_and_what_is_lost_again_is_promoted_again() {
    let world = World::new().await;
    let artifact = world.served("1.0.0").await;
    let pack = async || {
        let rows = world.rows("SELECT pack FROM promotion ORDER BY epoch DESC").await;
        Sha256::from_slice(rows[0].get(0)).expect("a digest")
    };
    world.lose(pack().await);
    world.looked().await;
    assert_eq!(world.stands(artifact).await, (ArtifactState::Servable, 0));
    for epoch in 1..3 {
        world.reported(artifact, "1.0.0").await;
        world.looked().await;
        assert_eq!(world.stands(artifact).await, (ArtifactState::Fetched, epoch));
        world.passed(artifact).await;
        assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
        world.lose(pack().await);
    }
}

#[tokio::test]
async fn nothing_is_lost_while_the_disk_does_not_answer() {
    let world = World::new().await;
    let (artifact, pack) = world.served_and_reported("1.0.0").await;
    let parent = world.path(pack).parent().expect("a directory").to_owned();
    let aside = world.directory().join("elsewhere");
    fs::rename(&parent, &aside).expect("moved");
    fs::write(&parent, b"no directory").expect("written");
    world.looked().await;
    assert_eq!(world.stands(artifact).await, (ArtifactState::Servable, 0));
    // the same, and it is not there
    fs::remove_file(&parent).expect("removed");
    world.looked().await;
    assert_eq!(world.stands(artifact).await, (ArtifactState::Fetched, 1));
}

#[tokio::test]
async fn nothing_is_lost_in_a_blob_store_that_is_empty_or_another_one() {
    let world = World::new().await;
    let (artifact, pack) = world.served_and_reported("1.0.0").await;
    assert!(lost::is_own_store(&world.promote).await.expect("asked"), "it gets a number");
    let pending = world.fetched("1.0.1").await;
    world.passed(pending).await;
    let (blobs, number) = (world.directory().join("packs"), world.directory().join("number"));
    let ours = fs::read(&number).expect("a number");
    fs::rename(&blobs, world.directory().join("elsewhere")).expect("moved");
    fs::create_dir(&blobs).expect("created");
    assert!(!world.path(pack).exists());

    fs::remove_file(&number).expect("there");
    let other = Sha256::of("another store").to_string();
    for found in [None, Some(other.as_str()), Some("nonsense")] {
        if let Some(found) = found {
            fs::write(&number, found).expect("written");
        }
        lost::records(&world.promote, 10).await.expect("looked");
        assert!(!lost::is_own_store(&world.promote).await.expect("asked"), "{found:?}");
        assert_eq!(world.stands(artifact).await, (ArtifactState::Servable, 0), "{found:?}");
    }
    fs::write(&number, &other).expect("written");
    assert_eq!(world.rung(pending).await, ArtifactState::Fetched);
    assert_eq!(world.refused().await, Vec::<String>::new(), "no verdict is thrown away either");

    // the same, and it is our own
    fs::remove_file(&number).expect("there");
    fs::write(&number, ours).expect("written");
    world.looked().await;
    assert_eq!(world.stands(artifact).await, (ArtifactState::Fetched, 1));
    assert_eq!(world.rung(pending).await, ArtifactState::Fetched);
    assert_eq!(world.refused().await, ["missing", "missing"]);
    assert_eq!(world.answer(pending, CheckKind::Hash, OutcomeKind::Pass).await, 1);
}

#[tokio::test]
async fn nothing_is_reopened_while_nothing_may_be_promoted() {
    let world = World::new().await;
    let (artifact, pack) = world.served_and_reported("1.0.0").await;
    world.lose(pack);
    world.halt.send_replace(Some("the database is older than the log".into()));
    world.looked().await;
    assert_eq!(world.stands(artifact).await, (ArtifactState::Servable, 0));
    world.halt.send_replace(None);
    world.looked().await;
    assert_eq!(world.stands(artifact).await, (ArtifactState::Fetched, 1));
}

#[tokio::test]
async fn the_audit_misses_nothing_in_a_blob_store_that_is_another_one() {
    for (is_own, expected) in [(true, vec!["history_rewritten"]), (false, vec![])] {
        let world = World::new().await;
        world.served("1.0.0").await;
        assert!(lost::is_own_store(&world.promote).await.expect("asked"));
        let (_promote, mut sealer) = world.beside();
        world.sealed(&mut sealer).await;
        fs::rename(world.directory().join("packs"), world.directory().join("elsewhere")).expect("moved");
        if !is_own {
            fs::remove_file(world.directory().join("number")).expect("there");
        }
        // the rest of a round that has begun, and a whole one
        for _ in 0..2 {
            sealer.cycle().await;
        }
        let kinds: Vec<_> = world.incidents().await.into_iter().map(|(kind, _)| kind).collect();
        // one of the record, one of each verdict, all in a row
        let kinds: std::collections::BTreeSet<_> = kinds.iter().map(String::as_str).collect();
        assert_eq!(Vec::from_iter(kinds), expected);
    }
}
