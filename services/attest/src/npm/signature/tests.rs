use serde_json::json;
use touchstone_domain::{Ecosystem, FileName, OutcomeKind, PackageName, Version};
use touchstone_ecosystems::npm::attestation::dist;
use touchstone_testkit::sigstore::Sigstore;

use super::*;

const PACKAGE: &str = "@s/p";
const TARBALL: &[u8] = b"tarball";

struct World {
    sigstore: Sigstore,
    keys: RegistryKeys,
    integrity: String,
}

impl World {
    fn new() -> Self {
        let sigstore = Sigstore::at("2026-11-23T00:00:00Z".parse().expect("a time"));
        let keys = RegistryKeys::from_json(&sigstore.registry_keys_json()).expect("keys");
        let integrity = format!("sha512-{}", Sha512::of(TARBALL).to_base64());
        Self { sigstore, keys, integrity }
    }

    fn verify(
        &self,
        integrity: Option<&str>,
        signatures: &serde_json::Value,
    ) -> Result<Signed, &'static str> {
        let entry = json!({ "dist": { "integrity": integrity, "shasum": "00".repeat(20), "signatures": signatures } });
        let dist = dist(entry.to_string().as_bytes()).expect("an entry");
        let id = ArtifactId {
            ecosystem: Ecosystem::Npm,
            package: PackageName::new(PACKAGE).expect("a name"),
            version: Version::new("1.0.0").expect("a version"),
            file: FileName::new("p-1.0.0.tgz").expect("a name"),
        };
        let verified = verify(&dist, &id, Sha512::of(TARBALL), &self.keys, self.sigstore.now);
        verified.map_err(|refused| {
            let (problem, outcome) = (refused.problem, refused.outcome());
            assert_eq!(outcome.reason.code(), "registry_signature_refused");
            // Other keys may say otherwise.
            let unknown = ["unknown_key", "key_time"].contains(&problem);
            let kind = if unknown { OutcomeKind::Inconclusive } else { OutcomeKind::Fail };
            assert_eq!(outcome.kind, kind, "{problem}");
            problem
        })
    }

    fn signed(&self, integrity: &str) -> serde_json::Value {
        self.sigstore.registry_signature(PACKAGE, "1.0.0", integrity)
    }
}

#[test]
fn signatures_over_our_digest_verify_and_none_is_absent() {
    let world = World::new();
    let integrity = world.integrity.clone();
    let good = world.signed(&integrity);
    assert_eq!(world.verify(Some(&integrity), &json!([good])), Ok(Signed::Verified));
    assert_eq!(world.verify(Some(&integrity), &json!([])), Ok(Signed::Absent));
    assert_eq!(world.verify(Some(&integrity), &json!(null)), Ok(Signed::Absent));
    assert_eq!(world.verify(None, &json!([good])), Ok(Signed::Absent), "a broken digest signs nothing off");
    let two = format!("sha256-AAAA {integrity}");
    assert_eq!(world.verify(Some(&two), &json!([world.signed(&two)])), Ok(Signed::Verified));

    let end = world.sigstore.registry_key_old.signatures.and_then(|window| window.end).expect("it ended");
    let old = world.sigstore.registry_key_old.sign(PACKAGE, "1.0.0", &integrity);
    assert_eq!(world.verify(Some(&integrity), &json!([old])), Ok(Signed::Expired { end }));
    assert_eq!(world.verify(Some(&integrity), &json!([good, old])), Ok(Signed::Expired { end }));
}

#[test]
fn one_signature_that_does_not_verify_is_enough() {
    let world = World::new();
    let integrity = world.integrity.clone();
    let good = world.signed(&integrity);
    let other = format!("sha512-{}", Sha512::of(b"other").to_base64());
    let with = |field: &str, value: &str| {
        let mut signature = good.clone();
        signature[field] = value.into();
        signature
    };
    let stranger = Sigstore::at(world.sigstore.now);
    for (signature, problem) in [
        (with("keyid", "SHA256:other"), "unknown_key"),
        (with("sig", "!"), "malformed"),
        (with("sig", "MEUC"), "signature"),
        (world.signed(&other), "signature"),
        (world.sigstore.registry_signature("p", "1.0.0", &integrity), "signature"),
        (world.sigstore.registry_signature(PACKAGE, "1.0.1", &integrity), "signature"),
        (stranger.registry_signature(PACKAGE, "1.0.0", &integrity), "unknown_key"),
    ] {
        for signatures in [json!([signature]), json!([good, signature]), json!([signature, good])] {
            assert_eq!(world.verify(Some(&integrity), &signatures), Err(problem), "{signatures}");
        }
    }
    // What is wrong outweighs what is not known.
    let unknown = with("keyid", "SHA256:other");
    let broken = with("sig", "MEUC");
    for signatures in [json!([unknown, broken]), json!([broken, unknown])] {
        assert_eq!(world.verify(Some(&integrity), &signatures), Err("signature"), "{signatures}");
    }
    assert_eq!(world.verify(Some(&other), &json!([world.signed(&other)])), Err("digest"));
    assert_eq!(world.verify(Some("sha256-AAAA"), &json!([world.signed("sha256-AAAA")])), Err("digest"));
}

#[test]
fn a_key_signs_what_it_is_for_from_when_it_began() {
    let mut world = World::new();
    let integrity = world.integrity.clone();
    let good = json!([world.signed(&integrity)]);
    world.sigstore.registry_key.signatures = None;
    world.keys = RegistryKeys::from_json(&world.sigstore.registry_keys_json()).expect("keys");
    assert_eq!(world.verify(Some(&integrity), &good), Err("key_usage"));

    let mut world = World::new();
    let good = json!([world.signed(&integrity)]);
    let window = world.sigstore.registry_key.signatures.as_mut().expect("a window");
    window.start = world.sigstore.now + jiff::Span::new().seconds(1);
    world.keys = RegistryKeys::from_json(&world.sigstore.registry_keys_json()).expect("keys");
    assert_eq!(world.verify(Some(&integrity), &good), Err("key_time"));
}

/// 4.1.6: the old key may have leaked since it ended.
#[test]
fn a_key_that_ended_signs_only_what_was_there_before() {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let (before, end, after, later) = (
        at("2025-01-01T00:00:00Z"),
        at("2025-01-29T00:00:00Z"),
        at("2025-03-01T00:00:00Z"),
        at("2025-04-01T00:00:00Z"),
    );
    let retry = "the registry's key ended at 2025-01-29T00:00:00Z, and when the version was first seen is not on record yet";
    let judge = |times| {
        settle(Signed::Expired { end }, times).map_err(|stop| match stop {
            Stop::Trouble(error @ CheckError::Retry { .. }) => error.to_string(),
            Stop::Trouble(error) => panic!("{error}"),
            Stop::Answer(outcome) => {
                assert_eq!(outcome.kind, OutcomeKind::Fail);
                let Reason::RegistrySignatureRefused { problem, .. } = outcome.reason else {
                    panic!("{}", outcome.reason)
                };
                problem
            }
        })
    };
    let times = |declared, attested, seen| Times { attested, declared, seen };
    for (given, expected) in [
        // First contact: the package, and everything in it, is first seen at once.
        (times(Some(before), None, Some((later, later))), Ok(SignatureNote::WeakTime)),
        (times(Some(end), None, Some((later, later))), Ok(SignatureNote::WeakTime)),
        (times(Some(after), None, Some((later, later))), Err("key_expired")),
        (times(None, None, Some((later, later))), Err("key_expired")),
        // It was listed to us while the key was in use.
        (times(Some(before), None, Some((before, before))), Ok(SignatureNote::WeakTime)),
        // It newly appeared in a package that we knew, whatever it says of itself.
        (times(Some(before), None, Some((later, after))), Err("key_expired")),
        // That it was seen is not on record, which is waited for, where it decides.
        (times(Some(before), None, None), Err(retry)),
        (times(Some(before), Some(after), None), Err(retry)),
        (times(Some(after), None, None), Err("key_expired")),
        (times(None, None, None), Err("key_expired")),
        (times(Some(after), Some(before), None), Ok(SignatureNote::Verified)),
        // An authenticated time speaks for itself, and one after the end does not help.
        (times(Some(after), Some(before), Some((later, after))), Ok(SignatureNote::Verified)),
        (times(None, Some(end), None), Ok(SignatureNote::Verified)),
        (times(Some(before), Some(after), Some((later, after))), Err("key_expired")),
    ] {
        assert_eq!(judge(given), expected.map_err(str::to_owned), "{given:?}");
    }
    for (signed, note) in
        [(Signed::Absent, SignatureNote::Absent), (Signed::Verified, SignatureNote::Verified)]
    {
        for seen in [None, Some((later, after))] {
            assert_eq!(settle(signed, times(Some(after), None, seen)).expect("no key has ended"), note);
        }
    }
}
