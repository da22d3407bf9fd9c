//! What is minted honestly verifies with the library that the product uses; one lie of each layer does not.

use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, Verifier,
    trust_root::TrustedRoot,
    types::{ArtifactDigest, DerPublicKey, HashAlgorithm, Sha256Hash},
};

use super::*;

fn verifier(sigstore: &Sigstore) -> Verifier {
    let root = String::from_utf8(sigstore.trusted_root_json()).unwrap();
    Verifier::new(&TrustedRoot::from_json(&root).unwrap()).unwrap()
}

fn parse(bundle: &Value) -> sigstore_verify::types::Bundle {
    sigstore_verify::types::Bundle::from_json(&bundle.to_string()).unwrap()
}

fn keyless(sigstore: &Sigstore, bundle: &Value, artifact: &[u8]) -> Result<usize, String> {
    let digest = Sha256Hash::new(Sha256::of(artifact).0);
    verifier(sigstore)
        .verify(digest, &parse(bundle), &VerificationPolicy::any_identity())
        .map(|result| result.verified_timestamps().len())
        .map_err(|error| error.to_string())
}

#[test]
fn each_shape_verifies() {
    let sigstore = Sigstore::new();
    let identity = sigstore.github("org/name");
    let statement = pypi::publish_statement("a-1.whl", &Sha256::of(b"wheel"));
    for version in [BundleVersion::V01, BundleVersion::V02, BundleVersion::V03, BundleVersion::V03Parameter] {
        for kind in [EntryKind::Dsse, EntryKind::Intoto, EntryKind::HashedRekordV2] {
            if version == BundleVersion::V01 && kind == EntryKind::HashedRekordV2 {
                continue;
            }
            let bundle = sigstore.attest(&identity, &statement).version(version).entries(&[kind]).value();
            assert_eq!(keyless(&sigstore, &bundle, b"wheel"), Ok(1), "{version:?} {kind:?}");
        }
        for kind in [EntryKind::HashedRekord, EntryKind::HashedRekordV2] {
            if version == BundleVersion::V01 && kind == EntryKind::HashedRekordV2 {
                continue;
            }
            let bundle =
                sigstore.sign_artifact(&identity, b"wheel").version(version).entries(&[kind]).value();
            assert_eq!(keyless(&sigstore, &bundle, b"wheel"), Ok(1), "{version:?} {kind:?}");
        }
    }
}

#[test]
fn an_npm_document_verifies() {
    let sigstore = Sigstore::new();
    let sha512 = Sha512::of(b"tarball");
    let document = sigstore.npm(&sigstore.github("org/name"), "@org/name", "1.0.0", &sha512).value();
    let policy =
        PublicKeyVerificationPolicy::new(DerPublicKey::from(sigstore.registry_key.pair.spki().to_vec()));
    let verifier = verifier(&sigstore);
    let digest = ArtifactDigest::new(HashAlgorithm::Sha2512, sha512.0.to_vec()).unwrap();
    let publish = parse(&document["attestations"][0]["bundle"]);
    assert_eq!(
        verifier.verify(digest.clone(), &publish, &policy).unwrap().verified_timestamps(),
        [sigstore.now]
    );
    let provenance = parse(&document["attestations"][1]["bundle"]);
    let result = verifier.verify(digest, &provenance, &VerificationPolicy::any_identity()).unwrap();
    let claims = &result.certificate().unwrap().ci_claims;
    assert_eq!(claims.source_repository_uri.as_deref(), Some("https://github.com/org/name"));
    assert_eq!(claims.source_repository_identifier, Identity::github("org/name").value(15));
}

#[test]
fn one_lie_is_found_for_what_it_is() {
    let sigstore = Sigstore::new();
    let stranger = Sigstore::new();
    let identity = sigstore.github("org/name");
    let statement = pypi::publish_statement("a-1.whl", &Sha256::of(b"wheel"));
    let mint = || sigstore.attest(&identity, &statement);
    assert_eq!(keyless(&sigstore, &mint().value(), b"wheel"), Ok(1));
    let lies = [
        (mint().sct(|sct| sct.break_signature = true).value(), "SCT signature verification failed"),
        (mint().leaf(|leaf| _ = leaf.usages(false, &[])).value(), "certificate chain validation failed"),
        (
            mint().body(|body| body["spec"]["payloadHash"]["value"] = "00".repeat(32).into()).value(),
            "payload hash",
        ),
        (mint().entries(&[EntryKind::HashedRekordV2]).token(|t| t.message = vec![1]).value(), "imestamp"),
        (stranger.attest(&identity, &statement).value(), "log key"),
    ];
    for (bundle, words) in lies {
        let refused = keyless(&sigstore, &bundle, b"wheel").unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}
