//! `fixtures/index.json` of the shared folder: what real registries served, with published tampered copies.

use std::path::Path;

use serde_json::Value;
use touchstone_attestation::{
    EvidenceLevel,
    Problem::{
        self, CertificateTime, Checkpoint, InclusionPromise, LogEntryMismatch, LogInclusion, Signature,
        SubjectCount, SubjectDigest, SubjectName, UnknownLog, UnsupportedKey, UnsupportedVersion,
    },
    Refused, Signer, SubjectDigest as By, SubjectRule, Verified, VerifiedStatement, bundle_from_pep740,
};

use super::{artifact, bytes, json, npm_keys, problem, text, trust_root};
use crate::fixtures::registry::shared;

/// Why each of those is refused that must be, or that the library cannot check (sigstore.md sections 3 and 11.7).
const REFUSED: [(&str, Problem); 25] = [
    ("npm/provenance-npm-test-cli-v02-prega-provenance-BADSIG", Signature),
    ("npm/provenance-npm-test-cli-v02-prega-publish-BADSIG", Signature),
    ("npm/provenance-npm-test-cli-v1-prega-provenance-BADSIG", Signature),
    ("npm/provenance-npm-test-cli-v1-prega-publish-BADSIG", Signature),
    ("pypi/sigstore-4.5.0-whl-MUT-flipped-payload-byte", Signature),
    ("pypi/sigstore-4.5.0-whl-MUT-forged-inclusion-proof", Checkpoint),
    ("pypi/sigstore-4.5.0-whl-MUT-forged-set-and-proof", Checkpoint),
    ("pypi/sigstore-4.5.0-whl-MUT-roothash-vs-checkpoint-mismatch", Checkpoint),
    ("pypi/sigstore-4.5.0-whl-MUT-tampered-tlog-body", InclusionPromise),
    ("generic/cpython-3.12.5", Checkpoint),
    ("java-samples/bundle.dsse.bad-signature", Signature),
    ("java-samples/bundle.dsse.mismatched-envelope", LogEntryMismatch),
    ("java-samples/bundle.dsse.mismatched-signature", LogEntryMismatch),
    ("java-samples/bundle.dsse.rekor-v2.bad-entry-type", UnsupportedVersion),
    ("java-samples/bundle.dsse.rekor-v2.bad-signature", UnknownLog),
    ("java-samples/bundle.dsse.rekor-v2.mismatched-envelope", UnknownLog),
    ("java-samples/bundle.dsse.rekor-v2.mismatched-signature", UnknownLog),
    ("java-samples/bundle-with-wrong-tlog-entry", LogEntryMismatch),
    ("java-samples/bundle-with-mismatched-set", InclusionPromise),
    ("java-samples/bundle-with-bad-checkpoint-signature", Checkpoint),
    ("java-samples/bundle-with-expired-cert", CertificateTime),
    ("java-samples/bundle.v2.no.inclusion", LogInclusion),
    ("java-samples/bundle.v3_1.no.inclusion", LogInclusion),
    // The gaps: expected to verify, and refused without a word about the signature.
    ("java-samples/PKIX_ECDSA_P384_SHA_384", UnsupportedKey),
    ("java-samples/PKIX_ECDSA_P521_SHA_512", UnsupportedKey),
];
/// With the root of the instance that signed them.
const REFUSED_BY_STAGING: [(&str, Problem); 3] = [
    ("java-samples/bundle.dsse.rekor-v2.bad-signature", Signature),
    ("java-samples/bundle.dsse.rekor-v2.mismatched-envelope", LogEntryMismatch),
    ("java-samples/bundle.dsse.rekor-v2.mismatched-signature", LogEntryMismatch),
];

fn entries(fixtures: &Path) -> Vec<Value> {
    json(fixtures.join("index.json"))["fixtures"].as_array().expect("entries").clone()
}

fn verify(shared: &Path, entry: &Value, root: &str, bundle: &[u8]) -> Result<Verified, Refused> {
    let fixtures = shared.join("fixtures");
    let keys = npm_keys(shared);
    let signer = if entry["key"].is_string() { Signer::RegistryKey(&keys) } else { Signer::Certificate };
    trust_root(fixtures.join(root)).verify(bundle, &artifact(&fixtures, entry), signer)
}

fn verify_as_indexed(shared: &Path, entry: &Value) -> Result<Verified, Refused> {
    let bundle = bytes(shared.join("fixtures").join(text(&entry["file"])));
    verify(shared, entry, text(&entry["trusted_root"]), &bundle)
}

/// The name that the statement must give the artifact, and the digest, by the ecosystem.
fn rule(entry: &Value) -> Option<(String, By)> {
    match text(&entry["ecosystem"]) {
        "npm" => {
            let name = text(&entry["package"]).replace('@', "%40");
            Some((format!("pkg:npm/{name}@{}", text(&entry["version"])), By::Sha512))
        }
        "pypi" => {
            let without_bytes = "pep740_sampleproject-1.0.0.tar.gz";
            Some((entry["artifact_name"].as_str().unwrap_or(without_bytes).to_owned(), By::Sha256))
        }
        "conda" => Some((text(&entry["artifact_name"]).to_owned(), By::Sha256)),
        _ => None,
    }
}

fn statement(verified: Verified, name: &str, digest: By) -> Result<VerifiedStatement, Refused> {
    verified.into_statement(&SubjectRule { name: &|found| found == name, digest, exactly_one: true })
}

#[test]
fn every_recorded_bundle_is_as_the_index_says() {
    let Some(shared) = shared() else { return };
    let mut stated = 0;
    for entry in entries(&shared.join("fixtures")) {
        let id = text(&entry["id"]);
        let verified = verify_as_indexed(&shared, &entry);
        if let Some((_, problem)) = REFUSED.iter().find(|(refused, _)| *refused == id) {
            let gap = *problem == UnsupportedKey;
            assert_eq!(entry["expected"].as_bool(), Some(gap), "{id}: the index says otherwise");
            assert_eq!(verified.expect_err(id).problem, *problem, "{id}");
            continue;
        }
        assert_eq!(entry["expected"].as_bool(), Some(true), "{id}: the table lacks it");
        let verified = verified.unwrap_or_else(|refused| panic!("{id}: {refused}"));
        let proven = entry["bundle"]["inclusion_proof"].as_bool() == Some(true);
        let level = if proven { EvidenceLevel::Proof } else { EvidenceLevel::Promise };
        assert_eq!(verified.level(), level, "{id}");
        assert_eq!(verified.key_id(), entry["key_hint"].as_str(), "{id}");
        let signer = &entry["signer"];
        assert_eq!(verified.certificate().map(|c| c.san.as_str()), signer["san"].as_str(), "{id}");
        assert_eq!(
            verified.certificate().and_then(|c| c.issuer.as_deref()),
            signer["issuer"].as_str(),
            "{id}"
        );
        assert!(!verified.signed_at().is_empty() && !verified.log_entries().is_empty(), "{id}");
        let Some((name, digest)) = rule(&entry) else { continue };
        let read = statement(verified, &name, digest).unwrap_or_else(|refused| panic!("{id}: {refused}"));
        assert_eq!(read.predicate_type(), text(&entry["bundle"]["predicate_type"]), "{id}");
        assert_eq!(read.subject_name(), name, "{id}");
        stated += 1;
    }
    assert_eq!(stated, 21, "those of npm, PyPI and conda");
}

#[test]
fn bundles_of_staging_are_refused_for_what_is_wrong_with_them() {
    let Some(shared) = shared() else { return };
    for (id, problem) in REFUSED_BY_STAGING {
        let entries = entries(&shared.join("fixtures"));
        let entry = entries.iter().find(|entry| text(&entry["id"]) == id).expect(id);
        let bundle = bytes(shared.join("fixtures").join(text(&entry["file"])));
        // They are about another file than the index says.
        let a_txt = shared.join("conformance/bundle-verify/a.txt");
        let artifact = touchstone_attestation::ArtifactDigests::of(bytes(a_txt));
        let staging = trust_root(shared.join("fixtures/trusted-root/trusted_root_staging.json"));
        assert_eq!(
            super::problem(staging.verify(&bundle, &artifact, Signer::Certificate)),
            Some(problem),
            "{id}"
        );
    }
}

#[test]
fn a_statement_is_about_one_artifact_by_name_and_digest() {
    let Some(shared) = shared() else { return };
    let entries = entries(&shared.join("fixtures"));
    for id in ["npm/sigstore-5.0.0-provenance", "pypi/sampleproject-4.0.0"] {
        let entry = entries.iter().find(|entry| text(&entry["id"]) == id).expect(id);
        let (name, digest) = rule(entry).expect("a rule");
        let other = if digest == By::Sha256 { By::Sha512 } else { By::Sha256 };
        let verified = || verify_as_indexed(&shared, entry).expect(id);
        assert!(statement(verified(), &name, digest).is_ok(), "{id}");
        assert_eq!(problem(statement(verified(), &format!("{name}x"), digest)), Some(SubjectName), "{id}");
        assert_eq!(problem(statement(verified(), &name, other)), Some(SubjectDigest), "{id}");
        assert_ne!(problem(statement(verified(), &name, digest)), Some(SubjectCount), "{id}");
    }
}

/// A source is an attestation, or a provenance object that holds the bundle's among others.
fn attestation(source: &Value, shared: &Path, entry: &Value) -> Vec<u8> {
    let bundle = json(shared.join("fixtures").join(text(&entry["file"])));
    let ours = |found: &&Value| found["envelope"]["statement"] == bundle["dsseEnvelope"]["payload"];
    let inside = source["attestation_bundles"].as_array();
    let inside =
        inside.into_iter().flatten().filter_map(|bundle| bundle["attestations"].as_array()).flatten();
    inside.chain([source]).find(ours).expect("the attestation").to_string().into_bytes()
}

#[test]
fn pep_740_attestations_verify_as_the_bundles_they_are() {
    let Some(shared) = shared() else { return };
    let mut seen = 0;
    for entry in entries(&shared.join("fixtures")) {
        let (id, Some(source)) = (text(&entry["id"]), entry["pep740_source"].as_str()) else { continue };
        let source = attestation(&json(shared.join("fixtures").join(source)), &shared, &entry);
        let root = text(&entry["trusted_root"]);
        let convert_and_verify = |source: &[u8]| verify(&shared, &entry, root, &bundle_from_pep740(source)?);
        let verified = convert_and_verify(&source).unwrap_or_else(|refused| panic!("{id}: {refused}"));
        let direct = verify_as_indexed(&shared, &entry).expect(id);
        assert_eq!(verified.log_entries(), direct.log_entries(), "{id}");
        let (name, digest) = rule(&entry).expect("a rule");
        assert!(statement(verified, &name, digest).is_ok(), "{id}");

        let changed = |change: &dyn Fn(&mut Value)| {
            let mut attestation: Value = serde_json::from_slice(&source).expect("JSON");
            change(&mut attestation);
            problem(convert_and_verify(attestation.to_string().as_bytes()))
        };
        let entries = |a: &mut Value| a["verification_material"]["transparency_entries"].as_array().cloned();
        assert_eq!(changed(&|_| {}), None, "{id}");
        assert_eq!(changed(&|a| a["version"] = 2.into()), Some(UnsupportedVersion), "{id}");
        let none = |a: &mut Value| a["verification_material"]["transparency_entries"] = Value::Array(vec![]);
        assert_eq!(changed(&none), Some(LogInclusion), "{id}");
        let broken_second = |a: &mut Value| {
            let mut all = entries(a).expect("entries");
            let mut second = all[0].clone();
            let time: i64 = text(&second["integratedTime"]).parse().expect("a time");
            second["integratedTime"] = (time + 1).to_string().into();
            all.push(second);
            a["verification_material"]["transparency_entries"] = all.into();
        };
        assert_eq!(changed(&broken_second), Some(InclusionPromise), "{id}: every entry counts");
        seen += 1;
    }
    assert_eq!(seen, 9);
}
