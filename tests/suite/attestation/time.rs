//! When a signature was made (threats.md; ecosystems.md 14 A11, A12).

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_attestation::{Problem, Refused, Verified};

use super::{PUBLISHED, WHEEL, WHEEL_V2, World, entry};

/// A window of a trusted root.
pub(super) fn window(start: Timestamp, end: Option<Timestamp>) -> Value {
    let mut window = json!({ "start": start.to_string() });
    if let Some(end) = end {
        window["end"] = Value::from(end.to_string());
    }
    window
}

fn seconds(seconds: i64) -> Span {
    Span::new().seconds(seconds)
}

/// the certificate is valid for ten minutes, both ends included, by the log's time and by a timestamp's.
#[test]
fn a_certificate_counts_within_its_ten_minutes() {
    let world = World::new();
    let signed = world.sigstore.now;
    type Minted = fn(&World, Timestamp) -> Result<Verified, Refused>;
    let logged: Minted = |w, at| w.judge_wheel(&w.wheel().integrated_at(at).json());
    let stamped: Minted = |w, at| w.judge_wheel(&(WHEEL_V2.mint)(w).timestamped_at(&[at]).json());
    for minted in [logged, stamped] {
        for (offset, inside) in [(-1, false), (0, true), (300, true), (600, true), (601, false)] {
            let at = signed + seconds(offset);
            let result = minted(&world, at);
            if inside {
                assert_eq!(super::accepted(result).signed_at(), [at], "{offset}");
            } else {
                super::refused(&format!("{offset} s"), result, Problem::CertificateTime);
            }
        }
    }
}

/// every time must fit, whichever comes first; a time that is told twice is one.
#[test]
fn each_time_must_be_inside() {
    let world = World::new();
    let (inside, outside) = (world.sigstore.now, world.sigstore.now + seconds(601));
    let stamped =
        |times: &[Timestamp]| world.judge_wheel(&(WHEEL_V2.mint)(&world).timestamped_at(times).json());
    assert_eq!(super::accepted(stamped(&[inside, inside])).signed_at(), [inside]);
    assert_eq!(
        super::accepted(stamped(&[inside + seconds(9), inside])).signed_at(),
        [inside, inside + seconds(9)]
    );
    super::refused("the second", stamped(&[inside, outside]), Problem::CertificateTime);
    super::refused("the first", stamped(&[outside, inside]), Problem::CertificateTime);
    let both = |at, stamped: Timestamp| {
        world.judge_wheel(&world.wheel().integrated_at(at).timestamped_at(&[stamped]).json())
    };
    super::accepted(both(inside, inside));
    super::refused("the timestamp", both(inside, outside), Problem::CertificateTime);
    super::refused("the log", both(outside, inside), Problem::CertificateTime);
}

/// a time that the log vouches for, and that cannot be.
#[test]
fn an_impossible_integrated_time_is_refused() {
    let world = World::new();
    let later = world.sigstore.now + Span::new().hours(2);
    super::accepted(world.judge_wheel(&world.wheel().signed_at(world.sigstore.now).json()));
    let future = world.wheel().signed_at(later).json();
    super::refused("an hour from now", world.judge_wheel(&future), Problem::IntegratedTime);
    super::accepted(world.judge_publish(&world.publish().json()));
    let future = world.publish().signed_at(later).json();
    super::refused("an hour from now", world.judge_publish(&future), Problem::IntegratedTime);
    for case in [WHEEL, PUBLISHED] {
        let promised = |time: &str| {
            let mut bundle = (case.mint)(&world).value();
            super::accepted((case.judge)(&world, bundle.to_string().as_bytes()));
            entry(&mut bundle)["integratedTime"] = time.into();
            let promise = world.sigstore.rekor.promise(entry(&mut bundle));
            entry(&mut bundle)["inclusionPromise"] = promise;
            (case.judge)(&world, bundle.to_string().as_bytes())
        };
        super::refused("zero, which is none", promised("0"), Problem::NoSignedTime);
        super::refused("negative", promised("-1"), Problem::IntegratedTime);
        super::refused("2^63", promised("9223372036854775808"), Problem::Malformed);
        super::refused("2^63 - 1", promised("9223372036854775807"), Problem::IntegratedTime);
        super::refused("a fraction", promised("1.5"), Problem::Malformed);
    }
}

/// the authority's window in the trusted root, both ends included, by either kind of time.
#[test]
fn an_authority_counts_within_its_window() {
    let mut world = World::new();
    let at = world.sigstore.now;
    for (start, end, counts) in windows(at) {
        world.trust(|root| root["certificateAuthorities"][0]["validFor"] = window(start, end));
        for case in [WHEEL, WHEEL_V2] {
            let result = world.judge_wheel(&(case.mint)(&world).json());
            decided(result, counts, Problem::CertificateTime);
        }
    }
}

/// the window of the first log's key, both ends included, for the time in a promise.
#[test]
fn a_log_counts_within_its_window() {
    let mut world = World::new();
    let at = world.sigstore.now;
    for (start, end, counts) in windows(at) {
        world.trust(|root| root["tlogs"][0]["publicKey"]["validFor"] = window(start, end));
        decided(world.judge_wheel(&world.wheel().json()), counts, Problem::InclusionPromise);
    }
}

/// the same for a checkpoint, by the time that a timestamp gives. The library compares no window with it.
#[test]
fn a_log_that_promises_nothing_counts_within_its_window() {
    let mut world = World::new();
    let at = world.sigstore.now;
    for (start, end, counts) in windows(at) {
        world.trust(|root| {
            root["tlogs"][0]["publicKey"]["validFor"] = window(start, end);
            root["tlogs"][1]["publicKey"]["validFor"] = window(start, end);
        });
        decided(world.judge_wheel(&(WHEEL_V2.mint)(&world).json()), counts, Problem::Checkpoint);
        let proven =
            world.wheel().timestamped_at(&[at]).edit(|b| super::remove(entry(b), "inclusionPromise"));
        decided(world.judge_wheel(&proven.json()), counts, Problem::Checkpoint);
    }
}

/// A11: the window of the timestamp authority, both ends included.
#[test]
fn a_timestamp_authority_counts_within_its_window() {
    let mut world = World::new();
    let at = world.sigstore.now;
    for (start, end, counts) in windows(at) {
        world.trust(|root| root["timestampAuthorities"][0]["validFor"] = window(start, end));
        decided(world.judge_wheel(&(WHEEL_V2.mint)(&world).json()), counts, Problem::Timestamp);
    }
}

/// Windows around one second, with whether they hold it.
pub(super) fn windows(at: Timestamp) -> [(Timestamp, Option<Timestamp>, bool); 4] {
    [
        (at, Some(at), true),
        (at, None, true),
        (at + seconds(1), None, false),
        (at - seconds(9), Some(at - seconds(1)), false),
    ]
}

pub(super) fn decided(result: Result<Verified, Refused>, counts: bool, problem: Problem) {
    if counts {
        super::accepted(result);
    } else {
        super::refused("outside of the window", result, problem);
    }
}
