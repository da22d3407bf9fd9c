//! What the three attestation targets share: the trust root of the seeds, and what was signed under it.
//!
//! `cargo run --example seeds` mints both, and then throws the keys away. So what verifies under this root was signed then,
//! whatever became of the document around it.

use std::{collections::BTreeSet, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use touchstone_attestation::{
    ArtifactDigests, LogEntry, RegistryKeys, Signer, SubjectDigest, SubjectRule, TrustRoot, Verified,
};
use touchstone_domain::Sha256;

use crate::json::has_duplicate_key;

/// What all seeds are about.
pub const ARTIFACT: &[u8] = b"an artifact\n";
/// The trust root of the seeds.
pub const TRUST_ROOT: &[u8] = include_bytes!("../trust/trusted_root.json");
/// The registry's keys of the seeds.
pub const REGISTRY_KEYS: &[u8] = include_bytes!("../trust/registry_keys.json");
const SIGNED: &[u8] = include_bytes!("../trust/signed.json");

/// One signature, and all that may ever be found out about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// SHA-256 of the statement's bytes, or the digest of the artifact that was signed itself.
    pub content: String,
    /// SHA-256 of the certificate, or the hint that names the key.
    pub signer: String,
    /// Every authenticated time.
    pub times: BTreeSet<Timestamp>,
    /// What the logs said.
    pub log_entries: Vec<LogEntry>,
}

struct World {
    root: TrustRoot,
    keys: RegistryKeys,
    signed: Vec<Signed>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| World {
    root: TrustRoot::from_json(TRUST_ROOT).expect("a trust root"),
    keys: RegistryKeys::from_json(REGISTRY_KEYS).expect("keys"),
    signed: serde_json::from_slice(SIGNED).expect("what was signed"),
});

/// A bundle that verifies has one reading, which is a statement and a signer that were signed together, at one of these times
/// and logged so. Whether it verifies.
pub(crate) fn check(bundle: &[u8]) -> bool {
    let world = &*WORLD;
    let mut accepted = false;
    for signer in [Signer::Certificate, Signer::RegistryKey(&world.keys)] {
        let Ok(verified) = world.root.verify(bundle, &ArtifactDigests::of(ARTIFACT), signer) else {
            continue;
        };
        assert!(!has_duplicate_key(bundle), "a key twice");
        let found = signed(bundle, &verified);
        assert!(!found.times.is_empty(), "no time");
        let is_part = |known: &Signed| {
            (&known.content, &known.signer) == (&found.content, &found.signer)
                && found.times.is_subset(&known.times)
                && found.log_entries.iter().all(|entry| known.log_entries.iter().any(|k| says(k, entry)))
        };
        assert!(world.signed.iter().any(is_part), "nobody signed {found:?}");
        statement(bundle, &verified);
        accepted = true;
    }
    accepted
}

/// What a bundle that verified is found to say, by another reader and by the verifier.
pub fn signed(bundle: &[u8], verified: &Verified) -> Signed {
    let read = read(bundle);
    let content = match statement_of(&read) {
        Some(statement) => Sha256::of(statement),
        None => Sha256::from_slice(&bytes(&read["messageSignature"]["messageDigest"]["digest"]))
            .unwrap_or_else(|_| Sha256::of(ARTIFACT)),
    };
    let material = &read["verificationMaterial"];
    let chain = &material["x509CertificateChain"]["certificates"][0];
    let signer = match (&material["publicKey"]["hint"], &material["certificate"]["rawBytes"]) {
        (Value::String(hint), _) => {
            assert_eq!(verified.key_id(), Some(hint.as_str()));
            hint.clone()
        }
        (_, Value::Null) => Sha256::of(bytes(&chain["rawBytes"])).to_string(),
        (_, certificate) => Sha256::of(bytes(certificate)).to_string(),
    };
    Signed {
        content: content.to_string(),
        signer,
        times: verified.signed_at().iter().copied().collect(),
        log_entries: verified.log_entries().to_vec(),
    }
}

/// Whether an entry says nothing else of itself than it once did.
fn says(known: &LogEntry, found: &LogEntry) -> bool {
    let known = LogEntry {
        log_index: found.log_index.and(known.log_index),
        leaf_index: found.leaf_index.and(known.leaf_index),
        tree_size: found.tree_size.and(known.tree_size),
        integrated_time: found.integrated_time.and(known.integrated_time),
        ..known.clone()
    };
    known == *found
}

/// The statement is the one in the payload, read by another reader.
fn statement(bundle: &[u8], verified: &Verified) {
    let said = statement_of(&read(bundle)).map(|bytes| read(&bytes));
    for digest in [SubjectDigest::Sha256, SubjectDigest::Sha512] {
        let rule = SubjectRule { name: &|_| true, digest, exactly_one: true };
        let Ok(statement) = verified.clone().into_statement(&rule) else { continue };
        let said = said.as_ref().expect("a statement comes of a payload");
        assert_eq!(said["predicateType"], statement.predicate_type());
        assert_eq!(said["predicate"], *statement.predicate());
        assert_eq!(said["subject"][0]["name"], statement.subject_name());
        assert_eq!(statement.signed_at(), verified.signed_at());
    }
}

fn statement_of(bundle: &Value) -> Option<Vec<u8>> {
    bundle.get("dsseEnvelope").filter(|e| !e.is_null()).map(|envelope| bytes(&envelope["payload"]))
}

/// What was accepted is JSON to another reader too.
pub(crate) fn read(document: &[u8]) -> Value {
    serde_json::from_slice(document).expect("what is accepted is JSON")
}

fn bytes(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().unwrap_or_default()).expect("what is accepted is base64")
}
