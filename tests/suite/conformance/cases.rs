//! `conformance/bundle-verify` of the shared folder: every case, as its name says, and each refusal for its own reason.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use touchstone_attestation::{
    ArtifactDigests,
    Problem::{
        self, ArtifactDigest, Certificate, CertificateTime, Checkpoint, InclusionPromise, LogEntryMismatch,
        LogInclusion, Malformed, NoSignedTime, Signature, SignerKind, Timestamp, UnknownCertificateLog,
        UnknownLog, UnsupportedVersion,
    },
    Refused, SanKind, Signer, TrustRoot, TrustRootError, Verified,
};

use super::{base64, bytes, json, public_key, text, trust_root, unbase64};
use crate::fixtures::registry::shared;

/// Who signs the suite's bundles, unless a case says otherwise.
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

const ACCEPTED: [&str; 21] = [
    "bundle-with-sct-with-extensions",
    "happy-path-intoto-in-dsse-v3",
    "happy-path-v0.1",
    "happy-path-v0.2",
    "happy-path-v0.3",
    "happy-path-v0.3-new-mediaType",
    "intoto-with-custom-trust-root",
    "managed-key-and-trusted-root",
    "managed-key-happy-path",
    "rekor2-checkpoint-cosigned",
    "rekor2-checkpoint-multiple-cosigs",
    "rekor2-checkpoint-origin-not-first",
    "rekor2-checkpoint-two-sigs-cosigned",
    "rekor2-checkpoint-two-sigs-from-origin",
    "rekor2-dsse-happy-path",
    "rekor2-happy-path",
    "rekor2-timestamp-with-embedded-cert",
    "rekor2-timestamp-with-expired-cert-chain",
    "rekor2-timestamp-without-embedded-cert",
    "trust-root-tlog-validity-end-inclusive",
    "trust-root-tsa-validity-end-inclusive",
];

/// The case without `_fail`, the problem, words that its detail holds, and the honest case that it was made from, if there is one.
type Refusal = (&'static str, Problem, &'static str, Option<&'static str>);

const V01: Option<&str> = Some("happy-path-v0.1");
const V03: Option<&str> = Some("happy-path-v0.3");
const DSSE: Option<&str> = Some("happy-path-intoto-in-dsse-v3");
const INTOTO: Option<&str> = Some("intoto-with-custom-trust-root");
const KEY: Option<&str> = Some("managed-key-happy-path");
const REKOR2: Option<&str> = Some("rekor2-happy-path");
const REKOR2_DSSE: Option<&str> = Some("rekor2-dsse-happy-path");

/// All but the one whose trust root is refused.
const REFUSED: [Refusal; 48] = [
    ("bundle-empty-certificate-chain", Malformed, "chain is empty", V01),
    ("bundle-from-wrong-instance", UnknownLog, "0y8wo8Mt", None),
    ("bundle-invalid-base64-signature", Malformed, "Invalid symbol", V01),
    ("bundle-malformed-json", Malformed, "EOF while parsing", None),
    ("bundle-negative-log-index", Malformed, "log index -1", V01),
    ("bundle-unknown-version", UnsupportedVersion, "version=99.9", V01),
    ("bundle-with-root-cert", Certificate, "holds a root", None),
    ("checkpoint-bad-keyhint", Checkpoint, "no trusted log signed it", V01),
    ("checkpoint-wrong-roothash", Checkpoint, "another size", V01),
    ("dsse-invalid-sig", Signature, "DSSE", DSSE),
    ("dsse-mismatch-envelope", LogEntryMismatch, "payload hash", DSSE),
    ("dsse-mismatch-sig", LogEntryMismatch, "signature in bundle does not match", DSSE),
    ("inclusion-proof-corrupted-hash", LogInclusion, "root hash mismatch", V03),
    ("incorrect-public-key", InclusionPromise, "SET", V01),
    ("integrated-time-in-future", CertificateTime, "CertExpired", None),
    ("intoto-expired-certificate", CertificateTime, "CertNotValidYet", INTOTO),
    ("intoto-log-entry-mismatch", LogEntryMismatch, "Rekor signature", INTOTO),
    ("intoto-missing-inclusion-proof", LogInclusion, "no inclusion proof", INTOTO),
    ("intoto-set-outside-signing-cert-validity", CertificateTime, "CertExpired", INTOTO),
    ("intoto-tsa-timestamp-outside-cert-validity", CertificateTime, "CertExpired", INTOTO),
    ("invalid-checkpoint-signature", Checkpoint, "No valid Rekor signature", V01),
    ("invalid-ct-key", UnknownCertificateLog, "key not found", V01),
    ("invalid-inclusion-proof", Checkpoint, "no checkpoint", Some("happy-path-v0.2")),
    ("managed-key-no-key", SignerKind, "a key signed", KEY),
    ("managed-key-wrong-key", Signature, "signature", KEY),
    ("message-digest-mismatch", ArtifactDigest, "message digest", V03),
    ("rekor2-checkpoint-missing-log-signature", Checkpoint, "no signatures", REKOR2),
    ("rekor2-checkpoint-missing-origin", Checkpoint, "tree size", REKOR2),
    ("rekor2-checkpoint-missing-root-hash", Checkpoint, "root hash", REKOR2),
    ("rekor2-checkpoint-missing-size", Checkpoint, "tree size", REKOR2),
    ("rekor2-checkpoint-no-matching-signature", Checkpoint, "origin is not the log", REKOR2),
    ("rekor2-dsse-invalid-sig", Signature, "DSSE", REKOR2_DSSE),
    ("rekor2-dsse-mismatch-envelope", LogEntryMismatch, "hashedrekord", REKOR2_DSSE),
    ("rekor2-dsse-mismatch-sig", LogEntryMismatch, "DSSE signature", REKOR2_DSSE),
    ("rekor2-no-inclusion-proof", LogInclusion, "no inclusion proof", REKOR2),
    ("rekor2-no-timestamp", NoSignedTime, "no verified timestamp", REKOR2),
    ("rekor2-timestamp-outside-trust-root-tsa-validity", Timestamp, "outside the validity period", REKOR2),
    (
        "rekor2-timestamp-outside-tsa-cert-validity",
        Timestamp,
        "CertExpired",
        Some("rekor2-timestamp-with-expired-cert-chain"),
    ),
    ("rekor2-timestamp-payload-mismatch", Timestamp, "message hash mismatch", REKOR2),
    (
        "rekor2-timestamp-untrusted-tsa-with-embedded-cert",
        Timestamp,
        "does not match any trusted TSA",
        Some("rekor2-timestamp-with-embedded-cert"),
    ),
    (
        "rekor2-timestamp-untrusted-tsa-without-embedded-cert",
        Timestamp,
        "does not match any trusted TSA",
        Some("rekor2-timestamp-without-embedded-cert"),
    ),
    ("rekor2-timestamp-with-incorrect-time", Malformed, "Invalid symbol", REKOR2),
    ("set-invalid-signature", InclusionPromise, "SET", V01),
    ("signature-mismatch", Signature, "signature", V01),
    ("wrong-hashedrekord-artifact", LogEntryMismatch, "artifact hash mismatch", V03),
    ("wrong-hashedrekord-cert-and-sig", LogEntryMismatch, "certificate in bundle does not match", V03),
    ("wrong-hashedrekord-entry", LogEntryMismatch, "artifact hash mismatch", V03),
    ("wrong-material", ArtifactDigest, "message digest", V01),
];

const ROOT_REFUSED: &str = "trust-root-tlog-missing-validity-start";

struct Case {
    folder: PathBuf,
}

impl Case {
    fn new(shared: &Path, name: &str) -> Self {
        Self { folder: shared.join("conformance/bundle-verify").join(name) }
    }

    fn bundle(&self) -> Value {
        json(self.folder.join("bundle.sigstore.json"))
    }

    fn root(&self) -> TrustRoot {
        let path = self.folder.join("trusted_root.json");
        if path.is_file() { trust_root(path) } else { TrustRoot::embedded() }
    }

    fn artifact(&self) -> ArtifactDigests {
        let own = self.folder.join("artifact");
        ArtifactDigests::of(bytes(if own.is_file() { own } else { self.folder.with_file_name("a.txt") }))
    }

    fn says(&self, file: &str, otherwise: &str) -> String {
        let said = fs::read_to_string(self.folder.join(file));
        said.map_or_else(|_| otherwise.to_owned(), |said| said.trim().to_owned())
    }

    fn verify(&self) -> Result<Verified, Refused> {
        self.verify_bytes(&bytes(self.folder.join("bundle.sigstore.json")), &self.root())
    }

    fn verify_changed(&self, bundle: &Value, root: &TrustRoot) -> Result<Verified, Refused> {
        self.verify_bytes(&serde_json::to_vec(bundle).expect("JSON"), root)
    }

    fn verify_bytes(&self, bundle: &[u8], root: &TrustRoot) -> Result<Verified, Refused> {
        let key = Some(self.folder.join("key.pub")).filter(|path| path.is_file()).map(public_key);
        let signer = key.as_ref().map_or(Signer::Certificate, |key| Signer::Key(key));
        root.verify(bundle, &self.artifact(), signer)
    }

    fn assert_accepted(&self) {
        let name = self.folder.display();
        let verified = self.verify().unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert!(!verified.signed_at().is_empty(), "{name}");
        assert_eq!(verified.certificate().is_none(), self.folder.join("key.pub").is_file(), "{name}");
        if let Some(certificate) = verified.certificate() {
            assert_eq!(certificate.san, self.says("identity", IDENTITY), "{name}");
            assert_eq!(certificate.san_kind, SanKind::Uri, "{name}");
            assert_eq!(certificate.issuer.as_deref(), Some(&*self.says("issuer", ISSUER)), "{name}");
        }
    }
}

#[test]
fn the_tables_name_every_case() {
    let Some(shared) = shared() else { return };
    let folders = fs::read_dir(shared.join("conformance/bundle-verify")).expect("the cases");
    let folders = folders.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_dir());
    let found: BTreeSet<_> = folders.map(|entry| entry.file_name().into_string().expect("a name")).collect();
    let refused =
        REFUSED.iter().map(|(name, ..)| *name).chain([ROOT_REFUSED]).map(|name| format!("{name}_fail"));
    let named: BTreeSet<_> = ACCEPTED.iter().map(|name| (*name).to_owned()).chain(refused).collect();
    assert_eq!(found, named);
    assert_eq!(found.len(), 70);
}

#[test]
fn every_honest_case_is_accepted() {
    let Some(shared) = shared() else { return };
    for name in ACCEPTED {
        Case::new(&shared, name).assert_accepted();
    }
}

#[test]
fn every_other_case_is_refused_for_its_own_reason() {
    let Some(shared) = shared() else { return };
    for (name, problem, words, twin) in REFUSED {
        if let Some(twin) = twin {
            Case::new(&shared, twin).assert_accepted();
        }
        let refused = Case::new(&shared, &format!("{name}_fail")).verify().expect_err(name);
        assert_eq!(refused.problem, problem, "{name}: {refused}");
        assert!(refused.detail.contains(words), "{name}: {refused}");
    }
}

#[test]
fn a_trust_root_with_a_log_of_unknown_start_is_refused() {
    let Some(shared) = shared() else { return };
    Case::new(&shared, "rekor2-happy-path").assert_accepted();
    let case = Case::new(&shared, &format!("{ROOT_REFUSED}_fail"));
    let path = case.folder.join("trusted_root.json");
    assert!(matches!(TrustRoot::from_json(&bytes(&path)), Err(TrustRootError::Shape(_))));
    let mut root = json(&path);
    let key = &mut root["tlogs"][1]["publicKey"];
    key.as_object_mut().expect("a key").remove("validFor");
    let without = TrustRoot::from_json(root.to_string().as_bytes());
    assert!(matches!(without, Err(TrustRootError::NoWindow(_))), "{without:?}");
}

#[test]
fn a_bundle_of_the_other_instance_verifies_with_its_own_root() {
    let Some(shared) = shared() else { return };
    let case = Case::new(&shared, "bundle-from-wrong-instance_fail");
    let staging = trust_root(shared.join("fixtures/trusted-root/trusted_root_staging.json"));
    assert!(case.verify_changed(&case.bundle(), &staging).is_ok());
}

/// With the root taken out again, and the proof whose checkpoint the recording lacks, the bundle verifies.
#[test]
fn the_root_is_what_is_wrong_with_its_chain() {
    let Some(shared) = shared() else { return };
    let case = Case::new(&shared, "bundle-with-root-cert_fail");
    let mut bundle = case.bundle();
    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
    entry.as_object_mut().expect("an entry").remove("inclusionProof");
    let refused = case.verify_changed(&bundle, &case.root()).expect_err("with a root");
    assert_eq!((refused.problem, refused.detail.as_str()), (Certificate, "the chain holds a root"));
    let chain = &mut bundle["verificationMaterial"]["x509CertificateChain"]["certificates"];
    chain.as_array_mut().expect("a chain").remove(1);
    assert!(case.verify_changed(&bundle, &case.root()).is_ok(), "with its intermediate only");
    let chain = &mut bundle["verificationMaterial"]["x509CertificateChain"]["certificates"];
    chain.as_array_mut().expect("a chain").reverse();
    assert_eq!(
        super::problem(case.verify_changed(&bundle, &case.root())),
        Some(Certificate),
        "in the wrong order"
    );
}

/// The recorded proof has no checkpoint. With the honest one its hashes still do not lead to the root.
#[test]
fn an_old_inclusion_proof_leads_elsewhere() {
    let Some(shared) = shared() else { return };
    let honest = Case::new(&shared, "happy-path-v0.2");
    honest.assert_accepted();
    let case = Case::new(&shared, "invalid-inclusion-proof_fail");
    let mut bundle = honest.bundle();
    let old = case.bundle();
    let proof = |bundle: &Value| bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].clone();
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] =
        proof(&old)["hashes"].clone();
    assert_eq!(super::problem(honest.verify_changed(&bundle, &honest.root())), Some(LogInclusion));
    let mut with_checkpoint = old.clone();
    with_checkpoint["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"] =
        proof(&honest.bundle())["checkpoint"].clone();
    assert_eq!(super::problem(case.verify_changed(&with_checkpoint, &case.root())), Some(Checkpoint));
}

/// The recorded timestamp is broken over lines, which base64 in JSON is not. Whole, its time is what is wrong.
#[test]
fn a_timestamp_of_today_is_outside_the_certificate() {
    let Some(shared) = shared() else { return };
    Case::new(&shared, "rekor2-happy-path").assert_accepted();
    let case = Case::new(&shared, "rekor2-timestamp-with-incorrect-time_fail");
    let mut bundle = case.bundle();
    let timestamps = &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
    let whole = text(&timestamps[0]["signedTimestamp"]).replace('\n', "");
    timestamps[0]["signedTimestamp"] = Value::from(whole);
    assert_eq!(super::problem(case.verify_changed(&bundle, &case.root())), Some(CertificateTime));
}

/// The message digest is no security feature (it is unsigned), so a missing one is no harm: the signature decides.
#[test]
fn without_its_digest_a_message_signature_still_binds_the_artifact() {
    let Some(shared) = shared() else { return };
    let case = Case::new(&shared, "happy-path-v0.3");
    let mut bundle = case.bundle();
    let digest = bundle["messageSignature"].as_object_mut().expect("a message").remove("messageDigest");
    assert_eq!(unbase64(&digest.expect("a digest")["digest"]).len(), 32);
    assert!(case.verify_changed(&bundle, &case.root()).is_ok());
    let other = ArtifactDigests::of("other bytes");
    let bytes = serde_json::to_vec(&bundle).expect("JSON");
    assert_eq!(super::problem(case.root().verify(&bytes, &other, Signer::Certificate)), Some(Signature));
    bundle["messageSignature"]["messageDigest"] =
        serde_json::json!({ "algorithm": "SHA2_256", "digest": base64(case.artifact().sha256.0) });
    assert!(case.verify_changed(&bundle, &case.root()).is_ok());
    bundle["messageSignature"]["messageDigest"]["algorithm"] = Value::from("SHA2_512");
    assert_eq!(
        super::problem(case.verify_changed(&bundle, &case.root())),
        Some(Problem::UnsupportedKey),
        "the label of another algorithm"
    );
}
