//! Mints the seeds of the attestation targets, the trust root that they verify under, and the list of what was signed:
//! `cargo run -p touchstone-fuzz --example seeds`. The keys are new each time, so all of it is replaced.

use std::{fs, path::Path};

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_attestation::{ArtifactDigests, RegistryKeys, Signer, TrustRoot, bundle_from_pep740};
use touchstone_domain::{Sha256, Sha512};
use touchstone_fuzz::attested::{ARTIFACT, Signed, signed};
use touchstone_testkit::sigstore::{
    Bundle, BundleVersion, EntryKind, Identity, Sigstore,
    npm::{PROVENANCE, STATEMENT, slsa_provenance},
    pypi,
};

/// Long enough ago for every verifier, and the same in every run.
const NOW: Timestamp = Timestamp::constant(1_777_000_000, 0);
const WHEEL: &str = "foo-1.0-py3-none-any.whl";

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mint = Mint::new();
    let mut all = vec![];
    for (target, seeds) in
        [("bundle", mint.bundles()), ("npm_attestations", mint.npm_documents()), ("pep740", mint.pep740())]
    {
        let folder = here.join("seeds").join(target);
        for old in fs::read_dir(&folder).expect("seeds") {
            fs::remove_file(old.expect("a seed").path()).expect("removed");
        }
        for (name, text) in seeds {
            for bundle in bundles_in(target, text.as_bytes()) {
                all.extend(mint.signed(&bundle));
            }
            fs::write(folder.join(format!("{name}.json")), text).expect("written");
        }
    }
    all.sort_by(|a, b| (&a.content, &a.signer).cmp(&(&b.content, &b.signer)));
    all.dedup();
    let write = |name: &str, bytes: &[u8]| fs::write(here.join("trust").join(name), bytes).expect("written");
    write("trusted_root.json", &mint.sigstore.trusted_root_json());
    write("registry_keys.json", &mint.sigstore.registry_keys_json());
    write("signed.json", &serde_json::to_vec(&all).expect("JSON"));
}

/// The bundles in a seed, if it can be read.
fn bundles_in(target: &str, seed: &[u8]) -> Vec<Vec<u8>> {
    let document: Value = serde_json::from_slice(seed).unwrap_or_default();
    let bytes = |value: &Value| serde_json::to_vec(value).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match target {
        "bundle" => vec![seed.to_vec()],
        "npm_attestations" => list(&document["attestations"]).iter().map(|a| bytes(&a["bundle"])).collect(),
        _ => {
            let listed = list(&document["attestation_bundles"]).into_iter();
            let attestations =
                listed.flat_map(|bundle| list(&bundle["attestations"])).chain([document.clone()]);
            attestations.filter_map(|a| bundle_from_pep740(&bytes(&a)).ok()).collect()
        }
    }
}

type Seeds = Vec<(&'static str, String)>;

struct Mint {
    sigstore: Sigstore,
    identity: Identity,
}

impl Mint {
    fn new() -> Self {
        Self { sigstore: Sigstore::at(NOW), identity: Identity::github("org/foo").git_ref("refs/tags/v1.0") }
    }

    /// What can be found out about a bundle; nothing, if it does not verify.
    fn signed(&self, bundle: &[u8]) -> Option<Signed> {
        let root = TrustRoot::from_json(&self.sigstore.trusted_root_json()).expect("a trust root");
        let keys = RegistryKeys::from_json(&self.sigstore.registry_keys_json()).expect("keys");
        let verify = |signer| root.verify(bundle, &ArtifactDigests::of(ARTIFACT), signer).ok();
        let verified = verify(Signer::Certificate).or_else(|| verify(Signer::RegistryKey(&keys)))?;
        Some(signed(bundle, &verified))
    }

    fn statement(&self) -> Value {
        json!({
            "_type": STATEMENT,
            "subject": [{ "name": "pkg:npm/foo@1.0.0", "digest": {
                "sha256": Sha256::of(ARTIFACT).to_string(),
                "sha512": Sha512::of(ARTIFACT).to_string(),
            } }],
            "predicateType": PROVENANCE,
            "predicate": slsa_provenance(&self.identity),
        })
    }

    fn attest(&self) -> Bundle<'_> {
        self.sigstore.attest(&self.identity, &self.statement())
    }

    fn bundles(&self) -> Seeds {
        use EntryKind::{Dsse, HashedRekordV2, Intoto};
        let later = NOW + Span::new().seconds(3);
        let message = || self.sigstore.sign_artifact(&self.identity, ARTIFACT);
        let by_key = |key| self.sigstore.attest_by_registry(key, &self.statement());
        let without = |pointer: &'static str| {
            move |bundle: &mut Value| {
                let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
                let object = bundle.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
                object.remove(name).expect("it is there");
            }
        };
        let entry = |name: &str| -> &'static str {
            match name {
                "proof" => "/verificationMaterial/tlogEntries/0/inclusionProof",
                _ => "/verificationMaterial/tlogEntries/0/inclusionPromise",
            }
        };
        let minted = [
            ("good-v03", self.attest()),
            ("good-v03-parameter", self.attest().version(BundleVersion::V03Parameter)),
            ("good-v02", self.attest().version(BundleVersion::V02)),
            ("good-v01-promise", self.attest().version(BundleVersion::V01).edit(without(entry("proof")))),
            ("good-intoto", self.attest().entries(&[Intoto])),
            ("good-rekor2", self.attest().entries(&[HashedRekordV2])),
            ("good-two-logs", self.attest().entries(&[Dsse, HashedRekordV2])),
            ("good-timestamped", self.attest().timestamped_at(&[NOW, later])),
            ("good-message", message()),
            ("good-message-rekor2", message().entries(&[HashedRekordV2])),
            ("good-registry", by_key(&self.sigstore.registry_key)),
            ("bad-old-key", by_key(&self.sigstore.registry_key_old)),
            ("bad-no-proof", self.attest().edit(without(entry("proof")))),
            ("bad-no-time", by_key(&self.sigstore.registry_key).edit(without(entry("promise")))),
            ("bad-signature", self.attest().signature(|signature| signature[20] ^= 1)),
            ("bad-no-entry", self.attest().entries(&[])),
            ("bad-arrays", self.attest().edit(|bundle| bundle["dsseEnvelope"] = envelope_as_array(bundle))),
        ];
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is text");
        let mut seeds: Seeds = minted.map(|(name, bundle)| (name, text(bundle.json()))).into();
        let bundle = text(self.attest().json());
        seeds.extend([
            ("bad-key-twice", bundle.replacen('{', r#"{"mediaType":"x","#, 1)),
            ("bad-unknown-key-twice", bundle.replacen('{', r#"{"x":[{"y":1,"\u0079":2}],"#, 1)),
            ("good-unknown-keys", bundle.replacen('{', r#"{"x":[{"y":1}],"z":null,"#, 1)),
        ]);
        seeds
    }

    fn npm_documents(&self) -> Seeds {
        let sha512 = Sha512::of(ARTIFACT);
        let document = || self.sigstore.npm(&self.identity, "foo", "1.0.0", &sha512);
        let text = |value: &Value| value.to_string();
        let honest = text(&document().value());
        let forged = |bundle: Bundle<'_>| bundle.sct(|sct| sct.break_signature = true).value();
        vec![
            ("bad-key-twice", honest.replacen('{', r#"{"attestations":[],"#, 1)),
            ("bad-unknown-key-twice", honest.replacen('{', r#"{"x":{"y":1,"y":2},"#, 1)),
            ("good-unknown-keys", honest.replacen('{', r#"{"x":{"y":1},"z":null,"#, 1)),
            ("good-both", honest),
            ("good-publish", text(&document().edit(keep(0)).value())),
            (
                "good-rekor2",
                text(&document().provenance(|b| b.entries(&[EntryKind::HashedRekordV2])).value()),
            ),
            ("bad-empty", r#"{"attestations":[]}"#.to_owned()),
            ("bad-arrays", json!({ "attestations": [[PROVENANCE, self.attest().value()]] }).to_string()),
            (
                "bad-forged",
                json!({ "attestations": [{ "predicateType": PROVENANCE, "bundle": forged(self.attest()) }] })
                    .to_string(),
            ),
        ]
    }

    fn pep740(&self) -> Seeds {
        let sha256 = Sha256::of(ARTIFACT);
        let bundle = || self.sigstore.pypi_bundle(&self.identity, WHEEL, &sha256);
        let attestation = pypi::attestation(&bundle().value());
        let slsa = pypi::attestation(&self.attest().value());
        let forged = pypi::attestation(&bundle().signature(|signature| signature[20] ^= 1).value());
        let mut with_array = attestation.clone();
        let envelope = &attestation["envelope"];
        with_array["envelope"] = json!([envelope["statement"], envelope["signature"]]);
        let listed = json!([pypi::publisher(&self.identity), [&attestation]]);
        let provenance = |attestations: &[Value]| pypi::provenance(&self.identity, attestations).to_string();
        vec![
            ("bad-key-twice", attestation.to_string().replacen('{', r#"{"version":1,"#, 1)),
            ("bad-unknown-key-twice", attestation.to_string().replacen('{', r#"{"x":{"y":1,"y":2},"#, 1)),
            ("good-unknown-keys", attestation.to_string().replacen('{', r#"{"x":{"y":1},"z":null,"#, 1)),
            ("bad-empty", provenance(&[])),
            ("bad-arrays", with_array.to_string()),
            ("bad-provenance-arrays", json!({ "version": 1, "attestation_bundles": [listed] }).to_string()),
            ("bad-forged", provenance(&[forged])),
            ("good-two", provenance(&[attestation.clone(), slsa.clone()])),
            ("good-provenance", provenance(std::slice::from_ref(&attestation))),
            ("good-slsa", slsa.to_string()),
            ("good-publish", attestation.to_string()),
        ]
    }
}

/// An envelope's fields in their order, which is no envelope.
fn envelope_as_array(bundle: &Value) -> Value {
    let envelope = &bundle["dsseEnvelope"];
    let signature = &envelope["signatures"][0];
    json!([envelope["payloadType"], envelope["payload"], [[signature["sig"], signature["keyid"]]]])
}

/// Keeps one attestation of an npm document.
fn keep(at: usize) -> impl FnOnce(&mut Value) {
    move |document| {
        let kept = document["attestations"][at].take();
        document["attestations"] = json!([kept]);
    }
}
