//! T-09: trust changes while it is used.

use std::{collections::BTreeSet, sync::Arc};

use tokio::task::JoinSet;
use touchstone_attest::trust::{TrustKeeper, TrustParts};
use touchstone_domain::Sha256;
use touchstone_runtime::{ManualClock, Shutdown};
use touchstone_store::{TrustKind, TrustStatus};
use touchstone_testkit::eventually;

use super::{Place, now};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_has_one_root_or_the_other_and_can_say_which() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    let (keeper, _clock) = place.keeper("").await;
    let first = [place.root_digest(), place.keys_digest()];
    let before = keeper.current().expect("trust");

    let asking = Shutdown::new();
    let mut askers = JoinSet::new();
    for _ in 0..4 {
        let (keeper, stop) = (keeper.clone(), asking.soft.clone());
        askers.spawn(async move {
            let mut seen = BTreeSet::new();
            while !stop.is_cancelled() {
                let trust = keeper.current().expect("there is trust at every moment");
                // What a verdict names is what it was made with.
                assert_eq!(Sha256::of(trust.root.document()), trust.root.digest());
                seen.insert(trust.digests());
                tokio::task::yield_now().await;
            }
            seen
        });
    }
    super::mint(&mut place.repository);
    place.repository.rotate(|repository| repository.timestamp.version += 1);
    place.repository.advance();
    place.refresh().await.expect("the second set");
    keeper.reload().await.expect("the database");
    let second = [place.root_digest(), place.keys_digest()];
    assert_eq!(keeper.current().expect("trust").digests(), second);
    asking.soft.cancel();
    let seen: BTreeSet<Vec<Sha256>> = askers.join_all().await.into_iter().flatten().collect();
    assert!(seen.is_subset(&BTreeSet::from([first.to_vec(), second.to_vec()])), "{seen:?}");
    assert_eq!(before.digests(), first, "who has begun ends with what it began with");

    // Each of them is on record, with both TUF roots.
    let history = place.store.trust_history().await.expect("a history");
    let of = |kind| history.iter().filter(|e| e.kind == kind).map(|e| e.sha256).collect::<BTreeSet<_>>();
    assert_eq!(of(TrustKind::SigstoreRoot), BTreeSet::from([first[0], second[0]]));
    assert_eq!(of(TrustKind::NpmKeys), BTreeSet::from([first[1], second[1]]));
    let roots = ["1.root.json", "2.root.json"].map(|name| Sha256::of(&place.repository.files[name]));
    assert_eq!(of(TrustKind::TufRoot), BTreeSet::from(roots));
    let origins: BTreeSet<_> = history.iter().map(|entry| entry.origin.as_str()).collect();
    assert_eq!(origins, BTreeSet::from(["file", "tuf"]));
}

#[tokio::test]
async fn a_process_asks_the_mirror_by_itself() {
    let place = Place::start().await;
    let shutdown = Shutdown::new();
    let parts = TrustParts {
        options: place.options(),
        store: place.store.clone(),
        clock: Arc::new(ManualClock::new(now())),
        shutdown: shutdown.clone(),
    };
    let keeper = TrustKeeper::start(parts).await.expect("a keeper");
    let trust = eventually("the mirror is asked", || async { keeper.current().ok() }).await;
    assert_eq!(trust.digests(), [place.root_digest(), place.keys_digest()]);
    let stored = place.store.tuf_files().await.expect("stored");
    assert_eq!(Sha256::of(&stored.files["targets/trusted_root.json"]), place.root_digest());
    let reported = eventually("the console is told", || async {
        let reported = place.store.trust_reported().await.expect("the database")?;
        reported.status.confirmed_at.is_some().then_some(reported)
    });
    let expires = place.repository.timestamp.expires;
    let status = TrustStatus {
        usable: true,
        expires_at: Some(expires),
        confirmed_at: stored.at.map(|stored| stored.at),
        refreshed: Some(true),
    };
    assert_eq!(reported.await.status, status);
    shutdown.soft.cancel();
    shutdown.drained().await;
}
