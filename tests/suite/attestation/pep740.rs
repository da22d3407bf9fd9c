//! Attestations in the form of PEP 740 (ecosystems.md 5.3, 5.4).

use serde_json::{Value, json};
use touchstone_attestation::{Problem, Refused, Verified, bundle_from_pep740};
use touchstone_testkit::sigstore::{Bundle, EntryKind, pypi};

use super::{Edit, World, flip, remove};

impl World {
    fn judge_attestation(&self, attestation: &Value) -> Result<Verified, Refused> {
        self.judge_wheel(&bundle_from_pep740(attestation.to_string().as_bytes())?)
    }

    fn attestation(&self, change: impl FnOnce(Bundle<'_>) -> Bundle<'_>) -> Value {
        pypi::attestation(&change(self.wheel()).value())
    }
}

#[test]
fn an_attestation_is_the_bundle_that_it_was() {
    let world = World::new();
    let verified = world.judge_attestation(&world.attestation(|b| b)).unwrap();
    assert_eq!(verified.signed_at(), [world.sigstore.now]);
    let certificate = verified.certificate().unwrap();
    assert_eq!(certificate.source_repository_uri.as_deref(), Some("https://github.com/org/name"));
    assert_eq!(certificate.source_repository_ref.as_deref(), Some("refs/tags/v4.0.0"));
}

#[test]
fn a_changed_attestation_is_refused() {
    let world = World::new();
    let honest = world.attestation(|b| b);
    world.judge_attestation(&honest).unwrap();
    fn material(a: &mut Value) -> &mut Value {
        &mut a["verification_material"]
    }
    let cases: [(&str, Edit, Problem); 15] = [
        ("version 2", |a| a["version"] = json!(2), Problem::UnsupportedVersion),
        ("version 0", |a| a["version"] = json!(0), Problem::UnsupportedVersion),
        ("version 1.0", |a| a["version"] = json!("1"), Problem::Malformed),
        ("no version", |a| remove(a, "version"), Problem::Malformed),
        ("no entries", |a| material(a)["transparency_entries"] = json!([]), Problem::LogInclusion),
        (
            "nine entries",
            |a| {
                let one = material(a)["transparency_entries"][0].clone();
                material(a)["transparency_entries"] = Value::from(vec![one; 9]);
            },
            Problem::Limit,
        ),
        ("no list of entries", |a| remove(material(a), "transparency_entries"), Problem::Malformed),
        ("no certificate", |a| remove(material(a), "certificate"), Problem::Malformed),
        ("another certificate", |a| flip(&mut material(a)["certificate"]), Problem::Certificate),
        ("no envelope", |a| remove(a, "envelope"), Problem::Malformed),
        ("no statement", |a| remove(&mut a["envelope"], "statement"), Problem::Malformed),
        ("no signature", |a| remove(&mut a["envelope"], "signature"), Problem::Malformed),
        ("another signature", |a| flip(&mut a["envelope"]["signature"]), Problem::Signature),
        ("a statement with another last byte", |a| flip(&mut a["envelope"]["statement"]), Problem::Malformed),
        ("no object", |a| *a = json!([]), Problem::Malformed),
    ];
    for (what, change, problem) in cases {
        let mut attestation = honest.clone();
        change(&mut attestation);
        super::refused(what, world.judge_attestation(&attestation), problem);
    }
    let twice = honest.to_string().replacen(r#""version":1"#, r#""version":2,"version":1"#, 1);
    assert_ne!(twice, honest.to_string());
    super::refused("a key twice", bundle_from_pep740(twice.as_bytes()), Problem::DuplicateKey);
}

/// The reference verifier looks at the first entry only.
#[test]
fn every_entry_of_an_attestation_counts() {
    let world = World::new();
    let honest = world.attestation(|b| b.entries(&[EntryKind::Dsse, EntryKind::Dsse]));
    assert_eq!(world.judge_attestation(&honest).unwrap().log_entries().len(), 2);
    for at in [0, 1] {
        let mut attestation = honest.clone();
        let entry = &mut attestation["verification_material"]["transparency_entries"][at];
        flip(&mut entry["inclusionPromise"]["signedEntryTimestamp"]);
        super::refused("one of two", world.judge_attestation(&attestation), Problem::InclusionPromise);
    }
}
