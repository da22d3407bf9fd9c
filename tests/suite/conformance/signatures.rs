//! The registry's own signatures, and its keys.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use touchstone_attestation::{KeyUsage, Problem, RegistryKeys, SignatureProblem, Signer, Verified};

use super::{artifact, bytes, json as read, npm_keys, problem, text, trust_root};
use crate::fixtures::registry::shared;

#[test]
fn recorded_registry_signatures_verify_and_tampered_ones_do_not() {
    let Some(shared) = shared() else { return };
    let keys = npm_keys(&shared);
    let recorded = read(shared.join("fixtures/npm/registry-signatures-sigstore.json"));
    let signatures = recorded["signatures"].as_array().expect("signatures");
    assert_eq!(signatures.len(), 40);
    for (at, signed) in signatures.iter().enumerate() {
        let [name, version, integrity, keyid, sig] =
            ["name", "version", "integrity", "keyid", "sig"].map(|field| text(&signed[field]));
        let message = format!("{name}@{version}:{integrity}");
        let key = keys.verify_signature(message.as_bytes(), keyid, sig).expect("a signature");
        assert_eq!((key.id(), key.usage()), (keyid, KeyUsage::Signatures));
        let refused = |message: &str, keyid: &str, sig: &str| {
            keys.verify_signature(message.as_bytes(), keyid, sig).map(|_| ()).expect_err("tampered")
        };
        let other = text(&signatures[(at + 1) % signatures.len()]["sig"]);
        let flipped = message.replace("sha512-", "sha512+");
        assert_eq!(refused(&flipped, keyid, sig), SignatureProblem::Signature);
        assert_eq!(refused(&message, keyid, other), SignatureProblem::Signature);
        assert_eq!(refused(&message, &keyid.to_lowercase(), sig), SignatureProblem::UnknownKey);
        assert_eq!(refused(&message, keyid, &sig[1..]), SignatureProblem::Malformed);
        assert_eq!(refused(&message, keyid, ""), SignatureProblem::Signature);
    }
}

#[test]
fn the_embedded_keys_are_the_recorded_ones() {
    let Some(shared) = shared() else { return };
    let all = |keys: &RegistryKeys| keys.iter().cloned().collect::<Vec<_>>();
    assert_eq!(all(&RegistryKeys::embedded()), all(&npm_keys(&shared)));
    let embedded = touchstone_attestation::TrustRoot::embedded();
    assert_eq!(
        embedded.summary(),
        trust_root(shared.join("fixtures/trusted-root/trusted_root.json")).summary()
    );
}

/// A real publish attestation, and the keys with something changed.
struct Publish {
    shared: std::path::PathBuf,
    entry: Value,
    bundle: Value,
    keys: Value,
}

impl Publish {
    fn new() -> Option<Self> {
        let shared = shared()?;
        let index = read(shared.join("fixtures/index.json"));
        let entries = index["fixtures"].as_array().expect("entries");
        let entry = entries.iter().find(|entry| entry["id"] == "npm/sigstore-5.0.0-publish").expect("it");
        let bundle = read(shared.join("fixtures").join(text(&entry["file"])));
        let keys = read(shared.join("fixtures/npm/keys.json"));
        Some(Self { entry: entry.clone(), bundle, keys, shared })
    }

    fn verify(&self) -> Result<Verified, touchstone_attestation::Refused> {
        let keys = RegistryKeys::from_json(self.keys.to_string().as_bytes()).expect("keys");
        self.verify_as(Signer::RegistryKey(&keys))
    }

    fn verify_as(&self, signer: Signer<'_>) -> Result<Verified, touchstone_attestation::Refused> {
        let fixtures = self.shared.join("fixtures");
        let root = trust_root(fixtures.join("trusted-root/trusted_root.json"));
        root.verify(self.bundle.to_string().as_bytes(), &artifact(&fixtures, &self.entry), signer)
    }

    fn key(&mut self) -> &mut Value {
        let keys = self.keys["keys"].as_array_mut().expect("keys");
        let signed_with = "SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U";
        let ours = |key: &&mut Value| key["keyId"] == signed_with && key["keyUsage"] == "npm:attestations";
        keys.iter_mut().find(ours).expect("the key")
    }

    fn entry_of_log(&mut self) -> &mut serde_json::Map<String, Value> {
        self.bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().expect("an entry")
    }
}

#[test]
fn a_registry_key_counts_within_its_validity_to_the_second() {
    let Some(mut publish) = Publish::new() else { return };
    let signed_at = publish.verify().expect("honest").signed_at().to_vec();
    let [signed_at] = signed_at[..] else { panic!("one time") };
    let second = SignedDuration::from_secs(1);
    let mut window = |start: Timestamp, end: Timestamp| {
        publish.key()["publicKey"]["validFor"] = json!({ "start": start, "end": end });
        problem(publish.verify())
    };
    assert_eq!(window(signed_at, signed_at), None);
    assert_eq!(window(signed_at - second, signed_at - second), Some(Problem::KeyTime));
    assert_eq!(window(signed_at + second, signed_at + second), Some(Problem::KeyTime));
}

#[test]
fn a_registry_key_is_chosen_by_hint_and_usage() {
    let Some(mut publish) = Publish::new() else { return };
    assert!(publish.verify().is_ok());
    assert_eq!(problem(publish.verify_as(Signer::Certificate)), Some(Problem::SignerKind));

    publish.key()["keyId"] = "SHA256:other".into();
    assert_eq!(problem(publish.verify()), Some(Problem::KeyUsage), "the same key is known for signatures");
    publish.keys = json!({ "keys": [] });
    assert_eq!(problem(publish.verify()), Some(Problem::UnknownKey));

    let mut publish = Publish::new().expect("it");
    let old = text(&publish.keys["keys"][0]["publicKey"]["rawBytes"]).to_owned();
    publish.key()["publicKey"]["rawBytes"] = old.into();
    assert_eq!(problem(publish.verify()), Some(Problem::Signature), "another key of that name");

    let mut publish = Publish::new().expect("it");
    publish.bundle["dsseEnvelope"]["signatures"][0]["keyid"] = "SHA256:other".into();
    assert_eq!(problem(publish.verify()), Some(Problem::KeyMismatch));
    publish.bundle["dsseEnvelope"]["signatures"][0]["keyid"] = "".into();
    assert!(publish.verify().is_ok(), "the envelope need not name it");
    publish.bundle["verificationMaterial"]["publicKey"]["hint"] = "SHA256:other".into();
    assert_eq!(problem(publish.verify()), Some(Problem::UnknownKey));
}

/// The library alone accepts it: there is no certificate that would want a time.
#[test]
fn a_key_signature_without_a_signed_time_is_refused() {
    let Some(mut publish) = Publish::new() else { return };
    assert!(publish.verify().is_ok());
    publish.entry_of_log().remove("inclusionPromise");
    assert_eq!(problem(publish.verify()), Some(Problem::NoSignedTime));
}

#[test]
fn a_certificate_is_not_accepted_where_a_registry_key_is_wanted() {
    let Some(publish) = Publish::new() else { return };
    let fixtures = publish.shared.join("fixtures");
    let provenance = bytes(fixtures.join("npm/sigstore-5.0.0-provenance.sigstore.json"));
    let root = trust_root(fixtures.join("trusted-root/trusted_root.json"));
    let (artifact, keys) = (artifact(&fixtures, &publish.entry), npm_keys(&publish.shared));
    assert!(root.verify(&provenance, &artifact, Signer::Certificate).is_ok());
    assert_eq!(
        problem(root.verify(&provenance, &artifact, Signer::RegistryKey(&keys))),
        Some(Problem::SignerKind)
    );
}

/// The endpoint's document says neither usage nor start, so nothing is attested with its keys.
#[test]
fn keys_of_the_endpoint_are_for_signatures_only() {
    let Some(mut publish) = Publish::new() else { return };
    let endpoint = |key: &Value| {
        json!({
            "keyid": key["keyId"],
            "keytype": "ecdsa-sha2-nistp256",
            "scheme": "ecdsa-sha2-nistp256",
            "key": key["publicKey"]["rawBytes"],
            "expires": key["publicKey"]["validFor"]["end"],
        })
    };
    let keys = publish.keys["keys"].as_array().expect("keys");
    let signatures: Vec<_> =
        keys.iter().filter(|key| key["keyUsage"] == "npm:signatures").map(endpoint).collect();
    publish.keys = json!({ "keys": signatures });
    assert_eq!(problem(publish.verify()), Some(Problem::KeyUsage));
    let keys = RegistryKeys::from_json(publish.keys.to_string().as_bytes()).expect("keys");
    let signed =
        &read(publish.shared.join("fixtures/npm/registry-signatures-sigstore.json"))["signatures"][0];
    let [name, version, integrity, keyid, sig] =
        ["name", "version", "integrity", "keyid", "sig"].map(|field| text(&signed[field]));
    let message = format!("{name}@{version}:{integrity}");
    assert!(keys.verify_signature(message.as_bytes(), keyid, sig).is_ok());
}
