//! T-03: what expires, the grace, and a clock that is wrong.

use std::time::Duration;

use jiff::Timestamp;
use touchstone_attest::trust::{Standing, TrustUnavailable};
use touchstone_runtime::{Clock as _, SystemClock};

use super::{Place, days, now, version};

#[tokio::test]
async fn a_frozen_mirror_is_refused_once_its_metadata_expired() {
    let mut place = Place::start().await;
    place.refresh().await.expect("the first set");
    // The timestamp is good for a week: to the second, and not a second longer.
    place.refresh_at(days(7)).await.expect("the last moment");
    let late = days(7) + Duration::from_secs(1);
    let refused = place.refresh_at(late).await.map(|_| ());
    let words = "the TUF repository is refused: timestamp metadata expired at 2096-11-29T12:00:00Z";
    assert_eq!(refused, Err(words.to_owned()));

    for (role, words) in [
        ("snapshot", "the TUF repository is refused: snapshot metadata expired at 2096-11-23T12:00:00Z"),
        ("targets", "the TUF repository is refused: targets metadata expired at 2096-11-23T12:00:00Z"),
        (
            "registry.example",
            "the TUF repository is refused: registry.example metadata expired at 2096-11-23T12:00:00Z",
        ),
    ] {
        let mut frozen = place.repository.clone();
        frozen.timestamp.expires = days(30);
        match role {
            "snapshot" => frozen.snapshot.expires = days(1),
            role => frozen.role(role).role.expires = days(1),
        }
        frozen.advance();
        place.server.serve(&frozen);
        assert_eq!(place.refresh_at(days(2)).await.map(|_| ()), Err(words.to_owned()));
    }

    place.repository.timestamp.expires = days(30);
    place.repository.advance();
    place.server.serve(&place.repository);
    place.refresh_at(late).await.expect("fresh metadata");
}

#[tokio::test]
async fn expired_trust_counts_through_the_grace_and_not_beyond() {
    let place = Place::start().await;
    place.refresh().await.expect("the first set");
    let (keeper, clock) = place.keeper("grace = '7d'").await;
    assert_eq!(keeper.current().expect("trust").root.digest(), place.root_digest());

    clock.set(days(14));
    assert!(keeper.current().is_ok(), "the last moment of the grace");
    clock.advance(Duration::from_secs(1));
    let expired = TrustUnavailable::Expired {
        role: "timestamp".to_owned(),
        expires: days(7),
        grace: Duration::from_hours(7 * 24),
    };
    assert_eq!(keeper.current().err(), Some(expired.clone()));
    assert_eq!(
        expired.to_string(),
        "the TUF timestamp metadata expired at 2096-11-29T12:00:00Z, and the grace of 604800s is over; \
         `touchstone trust refresh` or `import` renews it"
    );
    // A process that starts then finds the same.
    let (late, late_clock) = place.keeper("grace = '7d'").await;
    assert!(late.current().is_ok());
    late_clock.set(clock.now());
    assert_eq!(late.current().err(), Some(expired));

    let (strict, clock) = place.keeper("grace = '0s'").await;
    clock.set(days(7));
    assert!(strict.current().is_ok());
    clock.advance(Duration::from_secs(1));
    assert!(strict.current().is_err());
}

#[tokio::test]
async fn pinned_files_do_not_expire() {
    let place = Place::start().await;
    place.refresh().await.expect("the first set");
    let write = |name: &str, bytes: &[u8]| std::fs::write(place.directory.path().join(name), bytes);
    let sigstore = touchstone_testkit::sigstore::Sigstore::new();
    write("root.json", &sigstore.trusted_root_json()).expect("written");
    write("keys.json", &sigstore.registry_keys_json()).expect("written");

    let (keeper, clock) = place.keeper("sigstore_root = 'root.json'\nnpm_keys = 'keys.json'").await;
    clock.set(days(4000));
    let trust = keeper.current().expect("trust");
    assert_eq!(trust.root.document(), sigstore.trusted_root_json());
    assert_eq!(trust.keys.document(), sigstore.registry_keys_json());

    // One file is not enough: the keys are the repository's then.
    let (keeper, clock) = place.keeper("sigstore_root = 'root.json'").await;
    assert_eq!(keeper.current().expect("trust").keys.digest(), place.keys_digest());
    clock.set(days(4000));
    assert!(matches!(keeper.current().err(), Some(TrustUnavailable::Expired { .. })));
}

#[tokio::test]
async fn a_clock_that_is_a_year_behind_brings_nothing_back() {
    let mut place = Place::start().await;
    let old = {
        let mut old = place.repository.clone();
        old.timestamp.expires = days(-300);
        old.publish();
        old
    };
    place.repository.advance();
    place.refresh().await.expect("the current set");

    place.server.serve(&old);
    let words =
        "the TUF repository is refused: rollback detected for timestamp: trusted version 2 > new version 1";
    assert_eq!(place.refresh_at(days(-365)).await.map(|_| ()), Err(words.to_owned()));
    // What is of the future then is as good as ever.
    place.repository.advance();
    place.server.serve(&place.repository);
    let renewed = place.refresh_at(days(-365)).await.expect("the future");
    assert_eq!(version(&renewed, "timestamp"), 3);
    let (keeper, clock) = place.keeper("").await;
    clock.set(days(-365));
    assert_eq!(keeper.current().expect("trust").root.digest(), place.root_digest());
}

#[tokio::test]
async fn there_is_a_warning_before_it_is_too_late() {
    let mut place = Place::start().await;
    let renewed = place.refresh().await.expect("a set");
    assert!(matches!(renewed.standing, Standing::Current { ref first } if first.name == "timestamp"));
    place.repository.timestamp.expires = now() + Duration::from_hours(71);
    place.repository.advance();
    let renewed = place.refresh().await.expect("a set");
    assert!(matches!(renewed.standing, Standing::Expiring { ref first } if first.name == "timestamp"));
}

/// A machine whose clock is set back, at what the database was told by the right one.
#[tokio::test]
async fn a_clock_that_is_behind_the_database_brings_nothing_back() {
    let mut place = Place::start().await;
    let hour_ago = SystemClock.now().as_second() - 3600;
    place.repository.timestamp.expires = Timestamp::from_second(hour_ago).expect("a time");
    place.repository.publish();
    place.server.serve(&place.repository);
    // Nothing is stored yet that could tell the time.
    let past = SystemClock.now() - Duration::from_hours(240);
    place.refresh_at(past).await.expect("it is current, by this clock");
    let (keeper, clock) = place.keeper("grace = '0s'").await;
    clock.set(past);
    let unavailable = keeper.current().err();
    let by_then =
        matches!(unavailable, Some(TrustUnavailable::Expired { ref role, .. }) if role == "timestamp");
    assert!(by_then, "{unavailable:?}");
    let (lenient, clock) = place.keeper("grace = '2h'").await;
    clock.set(past);
    assert!(lenient.current().is_ok());
    // Neither does the mirror.
    let end = place.repository.timestamp.expires;
    let words = format!("the TUF repository is refused: timestamp metadata expired at {end}");
    assert_eq!(place.refresh_at(past).await.map(|_| ()), Err(words));
    // What is current by either clock is taken.
    place.repository.timestamp.expires = days(7);
    place.repository.advance();
    place.server.serve(&place.repository);
    place.refresh_at(past).await.expect("fresh metadata");
    assert!(place.keeper("grace = '0s'").await.0.current().is_ok());
}
