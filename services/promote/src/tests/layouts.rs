//! Layouts, and the chains of records that they verify.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use touchstone_chain::{Records, Sources, Wanted};
use touchstone_custody::{KeyKind, KeyProblem, Layout, Signer as _, link_file_name, requirements};
use touchstone_domain::{CheckKind, Purl, Sha256};
use touchstone_runtime::{Clock as _, SystemClock};
use touchstone_testkit::custody::ENVIRONMENT;

use super::world::{World, id};
use crate::layouts::{LayoutError, once};

impl World {
    /// One in which it is not earlier than it is: whether a layout has ended is Postgres' to say.
    async fn now() -> Self {
        let world = Self::new().await;
        if let Ok(behind) = Duration::try_from(SystemClock.now().duration_since(world.clock.now())) {
            world.clock.advance(behind);
        }
        world
    }

    async fn layouts(&self) -> Result<usize, LayoutError> {
        let ring = self.promote.ring.borrow().clone();
        once(&self.promote, &ring).await
    }

    /// What is handed out of left-pad 1.0.0.
    async fn gathered(&self) -> Records {
        let purl = Purl::from(&id("1.0.0"));
        let mut all = self.sources().gather(&Wanted::Purl(purl)).await.expect("gathered");
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn sources(&self) -> Sources {
        Sources {
            store: self.promote.store.clone(),
            records: self.promote.records.clone(),
            ring: Arc::clone(&self.promote.ring.borrow()),
            environment: ENVIRONMENT.to_owned(),
        }
    }

    /// The names of its files; else what is missing.
    async fn files(&self) -> Result<BTreeSet<String>, Vec<String>> {
        let records = self.gathered().await;
        match records.files() {
            Some(files) => Ok(files.into_iter().map(|(name, _)| name).collect()),
            None => Err(records.missing),
        }
    }
}

fn short(world: &World, kind: KeyKind) -> String {
    world.keys.id(kind).to_string()[..8].to_owned()
}

#[tokio::test]
async fn a_layout_of_every_requirement_is_signed_once_a_day_and_when_the_ring_changes() {
    let world = World::now().await;
    let all = requirements().len();
    assert_eq!(world.layouts().await.expect("signed"), all);
    assert_eq!(world.layouts().await.expect("nothing to do"), 0);
    for requirement in requirements() {
        let stored = world.promote.store.layout(requirement).await.expect("read").expect("on record");
        let envelope = world.promote.records.read(&[stored.signed.envelope]).await.remove(0).expect("kept");
        let layout = Layout::verify(&envelope, &world.promote.ring.borrow()).expect("it verifies");
        assert!(layout.statement().is_for(ENVIRONMENT, requirement), "{requirement:?}");
        assert_eq!((layout.statement().expires, stored.has_ended), (stored.expires_at, false));
    }
    world.clock.advance(Duration::from_hours(24));
    assert_eq!(world.layouts().await.expect("nothing to do"), 0);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.layouts().await.expect("signed"), all);
    world.keys.add(KeyKind::Hash, 2);
    assert_eq!(world.layouts().await.expect("signed"), all);
    assert_eq!(world.layouts().await.expect("nothing to do"), 0);

    let key = world.keys.id(KeyKind::Promote);
    world.keys.revoke(key, "stolen", &*world.clock);
    match world.layouts().await {
        Err(LayoutError::Key(problem)) => {
            assert_eq!(problem, KeyProblem::Revoked { key, reason: "stolen".to_owned() });
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_promoted_is_handed_out_whole() {
    let world = World::now().await;
    assert_eq!(world.sources().gather(&Wanted::Digest(Sha256::of("1.0.0"))).await.expect("none").len(), 0);
    world.layouts().await.expect("signed");
    let artifact = world.fetched("1.0.0").await;
    let purl = Purl::from(&id("1.0.0"));
    let missing = format!("it is not promoted; `touchstone why '{purl}'` says why");
    assert_eq!(world.files().await, Err(vec![missing]));
    world.passed(artifact).await;
    world.rung(artifact).await;

    let records = world.gathered().await;
    assert_eq!((records.missing.clone(), records.serial, records.epoch), (vec![], Some(1), 0));
    assert_eq!(records.sha256, Sha256::of("1.0.0"));
    let link = |kind: KeyKind| link_file_name(kind.as_str(), world.keys.id(kind));
    let links: Vec<String> = [KeyKind::Attest, KeyKind::Fetch, KeyKind::Hash].map(link).into();
    assert_eq!(records.links.keys().cloned().collect::<Vec<_>>(), links);
    let public = touchstone_testkit::custody::signer(KeyKind::Hash, 1).public().to_pem();
    assert_eq!(records.keys[&format!("hash.{}.pub", short(&world, KeyKind::Hash))], public);
    let promote = format!("promote.{}.pub", short(&world, KeyKind::Promote));
    assert_eq!((records.layout_key.as_ref(), records.record_key.as_ref()), (Some(&promote), Some(&promote)));
    let files = world.files().await.expect("whole");
    assert_eq!(files.len(), 1 + 3 + 1 + 4 + 1, "layout, links, record, keys, README: {files:?}");
    let by_digest = world.sources().gather(&Wanted::Digest(records.sha256)).await.expect("gathered");
    assert_eq!(
        serde_json::to_value(&by_digest[0]).expect("JSON"),
        serde_json::to_value(&records).expect("JSON")
    );
}

#[tokio::test]
async fn what_does_not_verify_is_not_handed_out_and_the_reason_is_said() {
    let world = World::now().await;
    let artifact = world.served("1.0.0").await;
    let layout = "the layout is not on record; promote signs it when it starts: does it run?".to_owned();
    assert_eq!(world.files().await, Err(vec![layout]));
    world.layouts().await.expect("signed");
    world.files().await.expect("whole");

    // A superuser puts the verdict of one check in the place of another's, or takes it away.
    let hash = link_file_name("hash", world.keys.id(KeyKind::Hash));
    let set = "UPDATE verdict SET (key, envelope, pack, pack_offset, pack_size)";
    let other = format!(
        "{set} = (SELECT key, envelope, pack, pack_offset, pack_size FROM verdict AS other
                  WHERE other.artifact_id = {artifact} AND other.check_kind = 'attest')
         WHERE artifact_id = {artifact} AND check_kind = 'hash'"
    );
    world.superuser("CREATE TABLE kept AS SELECT * FROM verdict").await;
    world.superuser(&other).await;
    let missing = format!("the link {hash} is not on record, and the serve record rests on it");
    assert_eq!(world.files().await, Err(vec![missing]));
    world
        .superuser(&format!(
            "{set} = (SELECT key, envelope, pack, pack_offset, pack_size FROM kept WHERE kept.id = verdict.id)"
        ))
        .await;
    world.files().await.expect("whole");

    // Its envelope is lost.
    world.lose(world.pack(CheckKind::Hash).await);
    let missing = world.files().await.expect_err("lost");
    assert!(missing.contains(&format!("the link {hash}: the envelope is missing")), "{missing:?}");
}

#[tokio::test]
async fn nothing_rests_on_a_revoked_key() {
    let world = World::now().await;
    world.served("1.0.0").await;
    world.layouts().await.expect("signed");
    world.files().await.expect("whole");
    let key = world.keys.id(KeyKind::Hash);
    world.keys.revoke(key, "stolen", &*world.clock);
    let link = link_file_name("hash", key);
    let missing = format!("the link {link} does not count: the key {key} was revoked: stolen");
    // Before promote has reopened it, and signed layouts for the new ring: that it rests on the key is enough.
    assert_eq!(world.files().await, Err(vec![missing.clone()]));
    world.layouts().await.expect("signed");
    let layout =
        format!("the layout does not name the key {key}; promote signs one when the key ring changes");
    assert_eq!(world.files().await, Err(vec![missing, layout]));
}
