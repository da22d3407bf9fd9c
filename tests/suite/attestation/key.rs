//! Bundles by a registry's key (threats.md A-21; sigstore.md 11.3).

use jiff::Timestamp;
use serde_json::{Value, json};
use touchstone_attestation::{ArtifactDigests, Problem, RegistryKeys, Signer};
use touchstone_testkit::sigstore::{RegistryKey, Window};

use super::{ARTIFACT, PUBLISHED, WHEEL, World, time::windows};

/// the key's window, both ends included, is compared with the log's time.
#[test]
fn a_key_counts_within_its_window() {
    let mut world = World::new();
    for (start, end, counts) in windows(world.sigstore.now) {
        world.sigstore.registry_key.attestations = Some(Window { start, end });
        world.keys = RegistryKeys::from_json(&world.sigstore.registry_keys_json()).unwrap();
        super::time::decided(world.judge_publish(&world.publish().json()), counts, Problem::KeyTime);
    }
}

/// an expired key, and a time that its holder chose after the end.
#[test]
fn an_expired_key_signs_nothing_new() {
    let world = World::new();
    world.honest(PUBLISHED);
    let old = &world.sigstore.registry_key_old;
    let end: Timestamp = old.attestations.unwrap().end.unwrap();
    let statement = statement(&world);
    let minted =
        |at| world.judge_publish(&world.sigstore.attest_by_registry(old, &statement).signed_at(at).json());
    super::accepted(minted(end));
    super::refused("now", minted(world.sigstore.now), Problem::KeyTime);
}

/// the hint chooses the key; the envelope may not name another.
#[test]
fn a_hint_of_another_key_is_refused() {
    let world = World::new();
    world.refuses_changed(
        PUBLISHED,
        &[
            ("no such key", |b| hint(b, "SHA256:nobody", "SHA256:nobody"), Problem::UnknownKey),
            ("none", |b| hint(b, "", ""), Problem::UnknownKey),
            (
                "only the envelope's",
                |b| b["dsseEnvelope"]["signatures"][0]["keyid"] = "x".into(),
                Problem::KeyMismatch,
            ),
        ],
    );
    let old = world.sigstore.registry_key_old.id();
    let mut bundle = world.publish().value();
    bundle["verificationMaterial"]["publicKey"]["hint"] = old.clone().into();
    super::refused(
        "only the bundle's",
        world.judge_publish(bundle.to_string().as_bytes()),
        Problem::KeyMismatch,
    );
    hint(&mut bundle, &old, &old);
    super::refused("of another key", world.judge_publish(bundle.to_string().as_bytes()), Problem::Signature);
    hint(&mut bundle, &old, "");
    super::refused("the same", world.judge_publish(bundle.to_string().as_bytes()), Problem::Signature);
}

/// sigstore.md 11.3: the envelope need not name the key.
#[test]
fn the_bundles_hint_is_enough() {
    World::new().passes(PUBLISHED, "no key id", |b| {
        b.edit(|b| b["dsseEnvelope"]["signatures"][0]["keyid"] = "".into())
    });
}

/// a key that is only for signatures of releases. The endpoint's document says nothing of attestations.
#[test]
fn a_key_for_signatures_signs_no_attestation() {
    let mut world = World::new();
    world.honest(PUBLISHED);
    world.keys = RegistryKeys::from_json(&world.sigstore.registry_keys_endpoint_json()).unwrap();
    super::refused("the endpoint's keys", world.judge_publish(&world.publish().json()), Problem::KeyUsage);
    world.sigstore.registry_key.attestations = None;
    world.keys = RegistryKeys::from_json(&world.sigstore.registry_keys_json()).unwrap();
    super::refused("for signatures only", world.judge_publish(&world.publish().json()), Problem::KeyUsage);
}

/// A key that signs under our key's id.
#[test]
fn a_strangers_key_is_refused() {
    let world = World::new();
    world.honest(PUBLISHED);
    let stranger = RegistryKey::new(world.sigstore.now, None);
    let statement = statement(&world);
    let mut bundle = world.sigstore.attest_by_registry(&stranger, &statement).value();
    super::refused("its own", world.judge_publish(bundle.to_string().as_bytes()), Problem::UnknownKey);
    let ours = world.sigstore.registry_key.id();
    hint(&mut bundle, &ours, &ours);
    super::refused("under our id", world.judge_publish(bundle.to_string().as_bytes()), Problem::Signature);
}

/// Where a certificate is wanted a key is no signer, and the reverse.
#[test]
fn another_kind_of_signer_is_refused() {
    let world = World::new();
    world.honest(PUBLISHED);
    world.honest(WHEEL);
    super::refused("a key", world.judge_wheel(&world.publish().json()), Problem::SignerKind);
    super::refused("a certificate", world.judge_publish(&world.wheel().json()), Problem::SignerKind);
    let signer = Signer::Key(world.sigstore.registry_key.pair.spki());
    let result = world.root.verify(&world.wheel().json(), &ArtifactDigests::of(ARTIFACT), signer);
    super::refused("a certificate", result, Problem::SignerKind);
}

/// Registry signatures over `name@version:integrity` (ecosystems.md 4.1.3).
#[test]
fn a_registry_signature_is_over_these_words_by_that_key() {
    let world = World::new();
    let sign = |key: &RegistryKey| key.sign("@org/name", "1.0.0", "sha512-AAAA");
    let verify = |message: &str, signature: &Value| {
        let (id, sig) = (signature["keyid"].as_str().unwrap(), signature["sig"].as_str().unwrap());
        world.keys.verify_signature(message.as_bytes(), id, sig).map(|key| key.id().to_owned())
    };
    let message = "@org/name@1.0.0:sha512-AAAA";
    let signature = sign(&world.sigstore.registry_key);
    assert_eq!(verify(message, &signature), Ok(world.sigstore.registry_key.id()));
    assert_eq!(
        verify(message, &sign(&world.sigstore.registry_key_old)),
        Ok(world.sigstore.registry_key_old.id())
    );
    use touchstone_attestation::SignatureProblem as No;
    assert_eq!(verify("@org/name@1.0.1:sha512-AAAA", &signature), Err(No::Signature));
    let mut changed = signature.clone();
    super::flip(&mut changed["sig"]);
    assert_eq!(verify(message, &changed), Err(No::Signature));
    changed["sig"] = "?".into();
    assert_eq!(verify(message, &changed), Err(No::Malformed));
    changed = signature.clone();
    changed["keyid"] = world.sigstore.registry_key_old.id().into();
    assert_eq!(verify(message, &changed), Err(No::Signature));
    changed["keyid"] = "SHA256:nobody".into();
    assert_eq!(verify(message, &changed), Err(No::UnknownKey));
    assert_eq!(verify(message, &sign(&RegistryKey::new(world.sigstore.now, None))), Err(No::UnknownKey));
}

fn hint(bundle: &mut Value, hint: &str, key_id: &str) {
    bundle["verificationMaterial"]["publicKey"] = json!({ "hint": hint });
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = key_id.into();
}

/// The statement of an honest publish attestation.
fn statement(world: &World) -> Value {
    let bundle = world.publish().value();
    serde_json::from_slice(&super::decoded(&bundle["dsseEnvelope"]["payload"])).expect("json")
}
