//! RFC 3161 timestamps (threats.md A-23; ecosystems.md 14 A12).

use jiff::Span;
use serde_json::Value;
use touchstone_attestation::Problem;
use touchstone_testkit::sigstore::{
    Sigstore, TimestampAuthority,
    certificate::{Template, usage},
};

use super::{WHEEL_V2, World, bytes, flip};

fn token(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"]
}

/// tokens about something else, or broken.
#[test]
fn a_token_about_something_else_is_refused() {
    World::new().refuses(
        WHEEL_V2,
        &[
            (
                "another message",
                |b| b.token(|t| t.message = b"another signature".to_vec()),
                Problem::Timestamp,
            ),
            ("a broken signature", |b| b.token(|t| t.break_signature = true), Problem::Timestamp),
            ("another digest's name", |b| b.token(|t| t.wrong_digest_algorithm = true), Problem::Timestamp),
        ],
    );
}

/// the token in the bundle is not the one that was made.
#[test]
fn a_changed_token_is_refused() {
    World::new().refuses_changed(
        WHEEL_V2,
        &[
            ("a bit", |b| flip(token(b)), Problem::Timestamp),
            ("truncated", |b| bytes(token(b), |der| _ = der.pop()), Problem::Timestamp),
            ("a byte after it", |b| bytes(token(b), |der| der.push(0)), Problem::Timestamp),
            ("not granted", |b| bytes(token(b), |der| refuse(der)), Problem::Timestamp),
            ("empty", |b| *token(b) = "".into(), Problem::Timestamp),
        ],
    );
}

/// a token of another authority, with or without its certificate in it. What is embedded is never trusted.
#[test]
fn a_strangers_token_is_refused() {
    let mut world = World::new();
    world.honest(WHEEL_V2);
    world.sigstore.tsa = TimestampAuthority::new(world.sigstore.now);
    super::refused("a stranger's", world.judge_wheel(&(WHEEL_V2.mint)(&world).json()), Problem::Timestamp);
    let leaf = world.sigstore.tsa.leaf.clone();
    let embedded = (WHEEL_V2.mint)(&world).token(|t| t.foreign_certificate = Some(leaf)).json();
    super::refused("with its certificate", world.judge_wheel(&embedded), Problem::Timestamp);
}

/// a foreign certificate beside a good signature changes nothing, and neither does the authority's policy: nothing is
/// required of it.
#[test]
fn what_a_token_carries_beside_is_ignored() {
    let world = World::new();
    let stranger = TimestampAuthority::new(world.sigstore.now);
    let bundle = (WHEEL_V2.mint)(&world).token(|t| t.foreign_certificate = Some(stranger.leaf)).json();
    super::accepted(world.judge_wheel(&bundle));
    world.passes(WHEEL_V2, "another policy", |b| b.token(|t| t.policy = "1.2.3.4"));
}

/// the certificate that signs tokens: its usage, and its own validity, both ends included.
#[test]
fn a_timestamp_certificate_must_be_one() {
    let now = World::new().sigstore.now;
    let second = Span::new().seconds(1);
    let with = |change: &dyn Fn(&mut Template)| {
        let mut sigstore = Sigstore::at(now);
        sigstore.tsa = TimestampAuthority::with_leaf(now, |leaf| change(leaf));
        let world = World::of(sigstore);
        world.judge_wheel(&(WHEEL_V2.mint)(&world).json())
    };
    super::accepted(with(&|_| ()));
    super::accepted(with(&|l| (l.not_before, l.not_after) = (now, now)));
    let refuse = |what: &str, change: &dyn Fn(&mut Template)| {
        super::refused(what, with(change), Problem::Timestamp);
    };
    refuse("expired", &|l| l.not_after = now - second);
    refuse("not yet valid", &|l| l.not_before = now + second);
    refuse("no usage", &|l| _ = l.usages(true, &[]));
    refuse("another usage", &|l| _ = l.usages(true, &[usage::CODE_SIGNING]));
    refuse("an authority", &|l| _ = l.authority(None));
}

/// A `TimeStampResp` begins with its status; 2 is a rejection.
fn refuse(der: &mut [u8]) {
    let at = der.windows(5).position(|w| w == [0x30, 3, 2, 1, 0]).expect("a status");
    der[at + 4] = 2;
}
