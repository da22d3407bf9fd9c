//! A real bundle with one thing changed. The first test guards the choice of verifier: one that leaves the log's signatures
//! out would let forged log evidence pass.

use std::path::PathBuf;

use serde_json::{Value, json};
use touchstone_attestation::{
    ArtifactDigests, EvidenceLevel,
    Problem::{self, *},
    Refused, Signer, TrustRoot, Verified,
};

use super::{base64, json as read, problem, text, unbase64};
use crate::fixtures::registry::shared;

struct Provenance {
    shared: PathBuf,
    bundle: Value,
    artifact: ArtifactDigests,
    root: TrustRoot,
}

impl Provenance {
    /// npm's `sigstore` 5.0.0.
    fn new() -> Option<Self> {
        let shared = shared()?;
        let fixtures = shared.join("fixtures/npm");
        let bundle = read(fixtures.join("sigstore-5.0.0-provenance.sigstore.json"));
        let artifact = ArtifactDigests::of(super::bytes(fixtures.join("artifacts/sigstore-5.0.0.tgz")));
        let new = Self { shared, bundle, artifact, root: TrustRoot::embedded() };
        assert!(new.verify().is_ok(), "unchanged");
        Some(new)
    }

    fn verify(&self) -> Result<Verified, Refused> {
        self.verify_text(&self.bundle.to_string())
    }

    fn verify_text(&self, bundle: &str) -> Result<Verified, Refused> {
        self.root.verify(bundle.as_bytes(), &self.artifact, Signer::Certificate)
    }

    /// What is wrong after this change, which is taken back.
    fn after(&mut self, change: impl FnOnce(&mut Value)) -> Option<Problem> {
        let honest = self.bundle.clone();
        change(&mut self.bundle);
        let found = problem(self.verify());
        self.bundle = honest;
        found
    }
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

fn remove(value: &mut Value, field: &str) {
    value.as_object_mut().expect("an object").remove(field).expect("the field");
}

fn repeat(array: &mut Value, times: usize) {
    let first = array[0].clone();
    *array = Value::from(vec![first; times]);
}

#[test]
fn forged_log_evidence_is_refused() {
    let Some(mut provenance) = Provenance::new() else { return };
    let other = read(provenance.shared.join("fixtures/npm/sigstore-5.0.0-publish.sigstore.json"));
    let other = &other["verificationMaterial"]["tlogEntries"][0];
    let set = &other["inclusionPromise"]["signedEntryTimestamp"];
    // A promise that the log did make, about something else.
    let foreign = |b: &mut Value| entry(b)["inclusionPromise"]["signedEntryTimestamp"] = set.clone();
    assert_eq!(provenance.after(foreign), Some(InclusionPromise));
    let mut bytes = unbase64(set);
    *bytes.last_mut().expect("bytes") ^= 1;
    let invented = |b: &mut Value| entry(b)["inclusionPromise"]["signedEntryTimestamp"] = base64(bytes);
    assert_eq!(provenance.after(invented), Some(InclusionPromise));
    let later = |b: &mut Value| {
        let time: i64 = text(&entry(b)["integratedTime"]).parse().expect("a time");
        entry(b)["integratedTime"] = (time + 1).to_string().into();
    };
    assert_eq!(provenance.after(later), Some(InclusionPromise));
    let elsewhere = |b: &mut Value| entry(b)["logIndex"] = other["logIndex"].clone();
    assert_eq!(provenance.after(elsewhere), Some(InclusionPromise));
    // All of it at once: another entry's proof, promise and time, true in themselves.
    let whole = |b: &mut Value| {
        for field in ["inclusionPromise", "inclusionProof", "integratedTime", "logIndex"] {
            entry(b)[field] = other[field].clone();
        }
    };
    assert_eq!(provenance.after(whole), Some(InclusionPromise));
    let with_body = |b: &mut Value| *entry(b) = other.clone();
    assert_eq!(provenance.after(with_body), Some(LogEntryMismatch), "a whole entry of another signature");
}

#[test]
fn the_proof_and_its_checkpoint_belong_together() {
    let Some(mut provenance) = Provenance::new() else { return };
    let size = |delta: i64| {
        move |b: &mut Value| {
            let size: i64 = text(&entry(b)["inclusionProof"]["treeSize"]).parse().expect("a size");
            entry(b)["inclusionProof"]["treeSize"] = (size + delta).to_string().into();
        }
    };
    assert_eq!(provenance.after(size(1)), Some(Checkpoint));
    assert_eq!(provenance.after(size(-1)), Some(Checkpoint));
    let beyond = |b: &mut Value| {
        let size = entry(b)["inclusionProof"]["treeSize"].clone();
        entry(b)["inclusionProof"]["logIndex"] = size;
    };
    assert_eq!(provenance.after(beyond), Some(LogInclusion));
    let next = |b: &mut Value| {
        let index: i64 = text(&entry(b)["inclusionProof"]["logIndex"]).parse().expect("an index");
        entry(b)["inclusionProof"]["logIndex"] = (index - 1).to_string().into();
    };
    assert_eq!(provenance.after(next), Some(LogInclusion));
    let note = |change: fn(&str) -> String| {
        move |b: &mut Value| {
            let note = &mut entry(b)["inclusionProof"]["checkpoint"]["envelope"];
            *note = change(text(note)).into();
        }
    };
    assert_eq!(provenance.after(note(|note| note.replacen("sigstore", "sigst0re", 1))), Some(Checkpoint));
    assert_eq!(provenance.after(note(|note| note.replacen(" - ", " - 9", 1))), Some(Checkpoint));
    assert_eq!(provenance.after(note(|note| format!("x{note}"))), Some(Checkpoint));
    assert_eq!(provenance.after(note(|_| String::new())), Some(Checkpoint));
    let many = |note: &str| format!("{note}{}", "— w.example AAAAAAAA\n".repeat(33));
    assert_eq!(provenance.after(note(many)), Some(Limit));
    assert_eq!(provenance.after(|b| remove(entry(b), "inclusionProof")), Some(LogInclusion));
    assert_eq!(provenance.after(|b| remove(entry(b), "inclusionPromise")), Some(NoSignedTime));
    assert_eq!(provenance.after(|b| entry(b)["logId"]["keyId"] = base64([7; 32])), Some(UnknownLog));
    let rekor2 = |b: &mut Value| {
        entry(b)["logId"]["keyId"] = "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=".into();
    };
    assert_eq!(provenance.after(rekor2), Some(Checkpoint), "another log of the same root");
}

#[test]
fn every_entry_must_hold_and_none_counts_twice() {
    let Some(mut provenance) = Provenance::new() else { return };
    let both = |b: &mut Value| repeat(&mut b["verificationMaterial"]["tlogEntries"], 2);
    both(&mut provenance.bundle);
    assert_eq!(provenance.verify().expect("twice the same").signed_at().len(), 1);
    let entries = |b: &mut Value, at: usize| {
        let sibling = &mut b["verificationMaterial"]["tlogEntries"][at];
        remove(sibling, "inclusionPromise");
        sibling["inclusionProof"]["hashes"][0] = base64([0; 32]);
    };
    assert_eq!(provenance.after(|b| entries(b, 0)), Some(LogInclusion), "the first broken");
    assert_eq!(provenance.after(|b| entries(b, 1)), Some(LogInclusion), "the second broken");
    let nine = |b: &mut Value| repeat(&mut b["verificationMaterial"]["tlogEntries"], 9);
    assert_eq!(provenance.after(nine), Some(Limit));
    assert_eq!(
        provenance.after(|b| b["verificationMaterial"]["tlogEntries"] = json!([])),
        Some(LogInclusion)
    );
    assert_eq!(
        provenance.after(|b| remove(&mut b["verificationMaterial"], "tlogEntries")),
        Some(LogInclusion)
    );
}

/// The media type is unsigned, so an old one can hide a proof; the level says so.
#[test]
fn hidden_proofs_lower_the_level() {
    let Some(mut provenance) = Provenance::new() else { return };
    assert_eq!(provenance.verify().expect("honest").level(), EvidenceLevel::Proof);
    provenance.bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
    assert_eq!(provenance.verify().expect("as v0.1").level(), EvidenceLevel::Proof);
    remove(entry(&mut provenance.bundle), "inclusionProof");
    let verified = provenance.verify().expect("on the promise alone");
    assert_eq!(verified.level(), EvidenceLevel::Promise);
    let [entry] = verified.log_entries() else { panic!("one entry") };
    assert_eq!((entry.leaf_index, entry.tree_size), (None, None));
}

#[test]
fn the_shape_of_a_bundle_is_exact() {
    let Some(mut provenance) = Provenance::new() else { return };
    let version = |text: &'static str| move |b: &mut Value| b["mediaType"] = text.into();
    assert_eq!(provenance.after(version("application/vnd.dev.sigstore.bundle+json;version=0.3")), None);
    assert_eq!(
        provenance.after(version("application/vnd.dev.sigstore.bundle.v0.4+json")),
        Some(UnsupportedVersion)
    );
    assert_eq!(provenance.after(version("")), Some(UnsupportedVersion));
    assert_eq!(provenance.after(|b| remove(b, "mediaType")), Some(UnsupportedVersion));
    assert_eq!(provenance.after(|b| remove(b, "dsseEnvelope")), Some(Malformed));
    let both = |b: &mut Value| b["messageSignature"] = json!({ "signature": "AAAA" });
    assert_eq!(provenance.after(both), Some(Malformed));
    assert_eq!(provenance.after(|b| b["messageSignature"] = Value::Null), None, "null is absence");
    let hint = |b: &mut Value| b["verificationMaterial"]["publicKey"] = json!({ "hint": "x" });
    assert_eq!(provenance.after(hint), Some(Malformed));
    assert_eq!(provenance.after(|b| remove(&mut b["verificationMaterial"], "certificate")), Some(Malformed));
    let chain = |b: &mut Value| {
        let leaf = b["verificationMaterial"]["certificate"].take();
        b["verificationMaterial"]["x509CertificateChain"] = json!({ "certificates": [leaf] });
    };
    assert_eq!(provenance.after(chain), Some(Malformed), "a chain in v0.3");
    let signatures = |times| move |b: &mut Value| repeat(&mut b["dsseEnvelope"]["signatures"], times);
    assert_eq!(provenance.after(signatures(0)), Some(Malformed));
    assert_eq!(provenance.after(signatures(2)), Some(Limit));
    assert_eq!(provenance.after(signatures(10_000)), Some(Limit));
    let kind = |kind: &'static str, version: &'static str| {
        move |b: &mut Value| entry(b)["kindVersion"] = json!({ "kind": kind, "version": version })
    };
    assert_eq!(provenance.after(kind("dsse", "0.0.1")), None);
    assert_eq!(provenance.after(kind("intoto", "0.0.2")), Some(LogEntryMismatch));
    assert_eq!(provenance.after(kind("hashedrekord", "0.0.1")), Some(LogEntryMismatch));
    assert_eq!(provenance.after(kind("intoto", "0.0.1")), Some(UnsupportedVersion));
    assert_eq!(provenance.after(kind("dsse", "0.0.2")), Some(UnsupportedVersion));
}

#[test]
fn numbers_and_base64_have_one_form() {
    let Some(mut provenance) = Provenance::new() else { return };
    let index = |index: Value| move |b: &mut Value| entry(b)["logIndex"] = index;
    let honest = text(&entry(&mut provenance.bundle)["logIndex"]).to_owned();
    assert_eq!(provenance.after(index(honest.parse::<u64>().expect("a number").into())), None, "as a number");
    for bad in
        [json!(format!("+{honest}")), json!(format!("0{honest}")), json!(" 1"), json!("1e3"), json!(1.5)]
    {
        assert_eq!(provenance.after(index(bad.clone())), Some(Malformed), "{bad}");
    }
    for bad in [json!(-1), json!("-1"), json!("9223372036854775808"), json!(u64::MAX)] {
        assert_eq!(provenance.after(index(bad.clone())), Some(Malformed), "{bad}");
    }
    let time = |time: Value| move |b: &mut Value| entry(b)["integratedTime"] = time;
    assert_eq!(provenance.after(time(json!("-1"))), Some(IntegratedTime));
    assert_eq!(provenance.after(time(json!("9223372036854775807"))), Some(IntegratedTime));
    assert_eq!(provenance.after(time(json!("9223372036854775808"))), Some(Malformed));
    assert_eq!(provenance.after(time(json!("0"))), Some(NoSignedTime), "which is absence");
    let sig = |change: fn(&str) -> String| {
        move |b: &mut Value| {
            let sig = &mut b["dsseEnvelope"]["signatures"][0]["sig"];
            *sig = change(text(sig)).into();
        }
    };
    assert_eq!(provenance.after(sig(|_| "MAYCAQACAQA".to_owned())), Some(Malformed), "unpadded");
    assert_eq!(provenance.after(sig(|sig| format!("{sig}\n"))), Some(Malformed));
    assert_eq!(provenance.after(sig(|_| String::new())), Some(Signature));
    assert_eq!(provenance.after(sig(|_| "MAYCAQACAQA=".to_owned())), Some(Signature), "r and s are zero");
    let url_safe = |b: &mut Value| {
        let body = &mut b["verificationMaterial"]["certificate"]["rawBytes"];
        *body = text(body).replace('+', "-").replace('/', "_").into();
    };
    assert_eq!(provenance.after(url_safe), Some(Malformed));
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
    let Some(mut provenance) = Provenance::new() else { return };
    let bundle = provenance.bundle.to_string();
    for twice in [
        bundle.replacen("{\"", "{\"mediaType\":\"x\",\"", 1),
        bundle.replacen("\"logId\":{", "\"logId\":{\"keyId\":\"AAAA\",", 1),
    ] {
        assert_ne!(twice, bundle);
        assert_eq!(problem(provenance.verify_text(&twice)), Some(DuplicateKey));
    }
    let inside = |field: &'static [&'static str], first: &'static str| {
        move |b: &mut Value| {
            let value = field.iter().fold(b, |value, name| match name.parse::<usize>() {
                Ok(at) => &mut value[at],
                Err(_) => &mut value[*name],
            });
            let document = String::from_utf8(unbase64(value)).expect("JSON");
            *value = base64(document.replacen('{', first, 1));
        }
    };
    let payload = inside(&["dsseEnvelope", "payload"], "{\"predicateType\":\"x\",");
    assert_eq!(provenance.after(payload), Some(DuplicateKey));
    let body = ["verificationMaterial", "tlogEntries", "0", "canonicalizedBody"];
    let body: &'static [&'static str] = Box::leak(Box::new(body));
    assert_eq!(provenance.after(inside(body, "{\"kind\":\"x\",")), Some(DuplicateKey));
}

#[test]
fn the_payload_is_a_statement_about_the_artifact() {
    let Some(mut provenance) = Provenance::new() else { return };
    let payload_type = |b: &mut Value| b["dsseEnvelope"]["payloadType"] = "application/json".into();
    assert_eq!(provenance.after(payload_type), Some(PayloadType));
    let payload = |change: fn(&mut Value)| {
        move |b: &mut Value| {
            let mut statement =
                serde_json::from_slice(&unbase64(&b["dsseEnvelope"]["payload"])).expect("JSON");
            change(&mut statement);
            b["dsseEnvelope"]["payload"] = base64(statement.to_string());
        }
    };
    assert_eq!(
        provenance.after(payload(|s| s["predicateType"] = "https://slsa.dev/provenance/v2".into())),
        Some(Signature)
    );
    assert_eq!(provenance.after(payload(|_| {})), Some(Signature), "the same, in another order of keys");
    assert_eq!(
        provenance.after(payload(|s| s["_type"] = "https://in-toto.io/Statement/v2".into())),
        Some(StatementType)
    );
    assert_eq!(provenance.after(payload(|s| s["subject"] = json!([]))), Some(SubjectCount));
    provenance.artifact = ArtifactDigests::of("other bytes");
    assert_eq!(problem(provenance.verify()), Some(ArtifactDigest));
}

#[test]
fn the_certificate_is_whole_and_trusted() {
    let Some(mut provenance) = Provenance::new() else { return };
    let der = unbase64(&provenance.bundle["verificationMaterial"]["certificate"]["rawBytes"]);
    let certificate = |der: Vec<u8>| {
        move |b: &mut Value| b["verificationMaterial"]["certificate"]["rawBytes"] = base64(der)
    };
    assert_eq!(provenance.after(certificate(der.clone())), None);
    let mut flipped = der.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    assert_eq!(provenance.after(certificate(flipped)), Some(Certificate));
    assert_eq!(provenance.after(certificate(der[..der.len() - 1].to_vec())), Some(Certificate));
    assert_eq!(provenance.after(certificate([&der[..], &[0]].concat())), Some(Certificate));
    assert_eq!(provenance.after(certificate(Vec::new())), Some(Certificate));
    assert_eq!(provenance.after(certificate(vec![0; 16 * 1024 + 1])), Some(Limit));
    // Another version's certificate, good in itself.
    let other = read(provenance.shared.join("fixtures/npm/sigstore-2.1.0-provenance-v0.3.sigstore.json"));
    let other = unbase64(&other["verificationMaterial"]["certificate"]["rawBytes"]);
    assert_eq!(provenance.after(certificate(other)), Some(CertificateTime));
}
