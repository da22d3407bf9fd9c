//! Keys that are revoked, removed, or of another kind.

use std::sync::Arc;
use tokio_util::task::TaskTracker;
use touchstone_custody::{KeyEntry, KeyKind, LocalSigner, Revoked, Signing};
use touchstone_domain::{ArtifactState, CheckKind, CheckSet, OutcomeKind, Requirement};
use touchstone_testkit::custody::{ENVIRONMENT, signer};

use super::world::World;
use crate::{PromoteParts, keys};

async fn follow(world: &World) {
    let ring = Arc::clone(&world.promote.ring.borrow());
    keys::once(&world.promote, &ring, &mut None).await.expect("followed");
}

/// Of hash, attest and sumdb.
const CHECKS: [CheckKind; 3] = [CheckKind::Hash, CheckKind::Attest, CheckKind::Sumdb];

#[tokio::test]
async fn a_revoked_key_takes_out_of_service_what_rests_on_it_and_the_checks_answer_anew() {
    for kind in [KeyKind::Fetch, KeyKind::Hash, KeyKind::Attest, KeyKind::Sumdb, KeyKind::Promote] {
        let mut world = World::new().await;
        let checks: CheckSet = CHECKS.into_iter().collect();
        let artifact = world.fetched_under("1.0.0", Requirement::new(checks, checks).expect("members")).await;
        let bystander = world.served("2.0.0").await;
        let pass = async |world: &World, check| world.answer(artifact, check, OutcomeKind::Pass).await;
        for check in CHECKS {
            assert_eq!(pass(&world, check).await, 1);
        }
        assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
        follow(&world).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Servable);
        world.keys.revoke(world.keys.id(kind), "stolen", &*world.clock);
        world.keys.add(kind, 2);
        follow(&world).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Fetched, "{kind}");
        assert_eq!(world.serve_record("1.0.0").await, None);
        assert_eq!(world.facts(artifact).await.epoch, 1);
        // Nobody asked sumdb about the other one, which goes on to be served.
        let beside = if kind == KeyKind::Sumdb { ArtifactState::Servable } else { ArtifactState::Fetched };
        assert_eq!(world.state(bystander).await, beside, "{kind}");

        // the old key goes on signing
        for check in CHECKS {
            assert_eq!(pass(&world, check).await, 1);
        }
        let own = CHECKS.into_iter().find(|check| KeyKind::from(*check) == kind);
        if let Some(check) = own {
            assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
            assert_eq!(world.refused().await, ["key_revoked"]);
            assert_eq!(world.incidents().await, [("verdict_refused".into(), "key_revoked".into())]);
            assert_eq!(
                world.swept(artifact).await.missing[&artifact],
                CheckSet::of(check),
                "it is asked again"
            );
            world.signs = 2;
            assert_eq!(pass(&world, check).await, 1);
        } else if kind == KeyKind::Fetch {
            assert_eq!(world.rung(artifact).await, ArtifactState::Fetched);
            world.signs = 2;
            world.fetched_again(artifact, "1.0.0").await;
        } else {
            let with: Arc<LocalSigner> = Arc::new(signer(KeyKind::Promote, 2));
            world.promote.signing = Signing { environment: ENVIRONMENT.into(), signer: with };
        }
        assert_eq!(world.rung(artifact).await, ArtifactState::Servable, "{kind}");
        follow(&world).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Servable, "{kind}");
    }
}

#[tokio::test]
async fn a_verdict_that_is_dated_outside_the_window_of_its_key_is_asked_for_again() {
    let world = World::new().await;
    let artifact = world.fetched("1.0.0").await;
    let later = "2026-11-23T00:00:01Z".parse().expect("a time");
    world.keys.change(|entries| {
        for entry in entries.iter_mut().filter(|entry| entry.kind == KeyKind::Hash) {
            entry.not_before = later;
        }
    });
    world.passed(artifact).await;
    assert_eq!(world.rung(artifact).await, ArtifactState::Verifying);
    assert_eq!(world.refused().await, ["key_window"]);
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.answer(artifact, CheckKind::Hash, OutcomeKind::Pass).await, 1);
    assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
}

/// What it signs would not be served, and would be taken back, and signed again.
#[tokio::test]
async fn a_promote_whose_own_key_does_not_count_signs_nothing_and_counts_failures_alone() {
    let mut world = World::new().await;
    let [passed, failed] = [world.fetched("1.0.0").await, world.fetched("2.0.0").await];
    world.passed(passed).await;
    world.answer(failed, CheckKind::Hash, OutcomeKind::Fail).await;
    world.keys.revoke(world.keys.id(KeyKind::Promote), "stolen", &*world.clock);
    assert_eq!(world.rung(passed).await, ArtifactState::Fetched);
    assert_eq!(world.rung(failed).await, ArtifactState::Rejected);
    crate::release::unpromoted(&world.promote, 9).await.expect("looked");
    assert_eq!(world.rows("SELECT FROM promotion").await.len(), 0);

    world.keys.add(KeyKind::Promote, 2);
    let with: Arc<LocalSigner> = Arc::new(signer(KeyKind::Promote, 2));
    world.promote.signing = Signing { environment: ENVIRONMENT.into(), signer: with };
    assert_eq!(world.rung(passed).await, ArtifactState::Servable);
}

#[tokio::test]
async fn what_a_key_promoted_that_the_ring_does_not_accept_for_it_is_promoted_anew() {
    for is_removed in [true, false] {
        let mut world = World::new().await;
        let artifact = world.served("1.0.0").await;
        world.keys.add(KeyKind::Promote, 2);
        let old = world.keys.id(KeyKind::Promote);
        let with: Arc<LocalSigner> = Arc::new(signer(KeyKind::Promote, 2));
        world.promote.signing = Signing { environment: ENVIRONMENT.into(), signer: with };
        follow(&world).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Servable, "both keys count");
        let later = "2026-11-23T00:00:01Z".parse().expect("a time");
        world.keys.change(|entries| {
            if is_removed {
                entries.retain(|entry| entry.public.id() != old);
            }
            for entry in entries.iter_mut().filter(|entry| entry.public.id() == old) {
                entry.not_before = later;
            }
        });
        follow(&world).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Fetched);
        world.passed(artifact).await;
        assert_eq!(world.rung(artifact).await, ArtifactState::Servable);
        follow(&world).await;
        assert_eq!(world.state(artifact).await, ArtifactState::Servable);
    }
}

#[tokio::test]
async fn what_becomes_of_a_key_is_on_record_once() {
    let world = World::new().await;
    let events = async || {
        let sql = "SELECT event ->> 'change' FROM log_event WHERE event ->> 'event' = 'key' AND event ->> 'kind' = 'hash' ORDER BY id";
        world.rows(sql).await.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    follow(&world).await;
    follow(&world).await;
    assert_eq!(events().await, ["added", "window"]);
    world.keys.revoke(world.keys.id(KeyKind::Hash), "stolen", &*world.clock);
    follow(&world).await;
    follow(&world).await;
    assert_eq!(events().await, ["added", "window", "revoked"]);
}

#[tokio::test]
async fn promote_does_not_start_with_a_key_of_another_kind() {
    let world = World::new().await;
    let parts = |kind| PromoteParts {
        config: world.promote.config.clone(),
        store: world.promote.store.clone(),
        bus: world.promote.bus.clone(),
        blobs: world.blobs.clone(),
        signing: world.keys.signing(kind),
        ring: world.keys.ring(),
        policy: Arc::clone(&world.promote.policy),
        clock: world.clock.clone(),
        log: None,
        tracker: TaskTracker::new(),
        stop: world.promote.stop.clone(),
    };
    world.promote.stop.cancel();
    crate::run(parts(KeyKind::Promote)).await.expect("it ran");
    let error = crate::run(parts(KeyKind::Hash)).await.expect_err("it signs verdicts");
    assert_eq!(error.to_string(), "promote was given a key for hash, and needs one for promote");
}

#[tokio::test]
async fn an_incident_is_open_for_as_long_as_promote_may_not_sign() {
    type Change = fn(&mut KeyEntry);
    let changes: [(&str, Change); 4] = [
        ("its window has not begun, or is over", |key| key.not_after = Some(key.not_before)),
        ("its window has not begun, or is over", |key| {
            key.not_before = "2026-11-23T00:00:01Z".parse().expect("a time");
        }),
        ("by the key ring it signs for peer", |key| key.kind = KeyKind::Peer),
        ("it was revoked: stolen", |key| {
            key.revoked = Some(Revoked { at: key.not_before, reason: "stolen".into() });
        }),
    ];
    let world = World::new().await;
    let (own, before) = (world.keys.id(KeyKind::Promote), world.promote.ring.borrow().entries().to_vec());
    let open = async || {
        let found = world.promote.store.incidents(9).await.expect("read");
        found.into_iter().map(|i| (i.kind, i.detail["problem"].clone(), i.count)).collect::<Vec<_>>()
    };
    let tell = async |settled: &mut bool| keys::tell(&world.promote, settled).await;
    let mut settled = false;
    tell(&mut settled).await;
    assert_eq!((open().await, settled), (vec![], true), "it counts");
    for (count, (problem, change)) in [1, 3, 1, 1].into_iter().zip(changes) {
        world.keys.change(|entries| entries.iter_mut().filter(|key| key.public.id() == own).for_each(change));
        tell(&mut settled).await;
        assert_eq!(open().await, [("signing_blocked".to_owned(), problem.into(), count)]);
        tell(&mut settled).await;
        assert_eq!(open().await, [("signing_blocked".to_owned(), problem.into(), count + 1)], "the same one");
        world.keys.change(|entries| before.clone_into(entries));
        tell(&mut settled).await;
        assert_eq!((open().await, settled), (vec![], true), "{problem}: it is over");
    }

    // Of another key: nobody settles it.
    world.keys.revoke(world.keys.id(KeyKind::Hash), "stolen", &*world.clock);
    tell(&mut settled).await;
    assert_eq!(open().await, []);
    // Whoever starts with a key that counts settles what the process before left open.
    world.keys.change(|entries| entries.retain(|key| key.public.id() != own));
    tell(&mut settled).await;
    assert_eq!(open().await.len(), 1);
    world.keys.change(|entries| before.clone_into(entries));
    tell(&mut false).await;
    assert_eq!(open().await, []);
}
