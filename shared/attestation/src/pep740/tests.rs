//! The conversion, on generated attestations.

use serde_json::{Value, json};

use super::*;

fn attestation() -> Value {
    json!({
        "version": 1,
        "verification_material": { "certificate": "Y2VydA==", "transparency_entries": [{ "logIndex": "1" }, { "b": [1] }] },
        "envelope": { "statement": "e30=", "signature": "c2ln" },
    })
}

fn converted(attestation: &Value) -> Result<Value, Problem> {
    let bundle = bundle_from_pep740(attestation.to_string().as_bytes()).map_err(|refused| refused.problem)?;
    Ok(serde_json::from_slice(&bundle).expect("JSON"))
}

fn problem(change: impl FnOnce(&mut Value)) -> Option<Problem> {
    let mut attestation = attestation();
    change(&mut attestation);
    converted(&attestation).err()
}

#[test]
fn a_bundle_holds_all_that_the_attestation_does() {
    let expected = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": "Y2VydA==" },
            "tlogEntries": [{ "logIndex": "1" }, { "b": [1] }],
        },
        "dsseEnvelope": {
            "payloadType": "application/vnd.in-toto+json",
            "payload": "e30=",
            "signatures": [{ "sig": "c2ln" }],
        },
    });
    assert_eq!(converted(&attestation()), Ok(expected));
}

#[test]
fn other_versions_and_shapes_are_refused() {
    assert_eq!(problem(|_| {}), None);
    assert_eq!(problem(|a| a["version"] = 2.into()), Some(Problem::UnsupportedVersion));
    assert_eq!(problem(|a| a["version"] = 0.into()), Some(Problem::UnsupportedVersion));
    for bad in [json!("1"), json!(1.0), json!(-1), json!(true), Value::Null] {
        assert_eq!(problem(|a| a["version"] = bad.clone()), Some(Problem::Malformed), "{bad}");
    }
    assert_eq!(problem(|a| a["envelope"] = json!(["e30=", "c2ln"])), Some(Problem::Malformed));
    let material = json!(["Y2VydA==", [{ "logIndex": "1" }]]);
    assert_eq!(problem(|a| a["verification_material"] = material), Some(Problem::Malformed));
    for field in ["version", "verification_material", "envelope"] {
        let remove = |a: &mut Value| drop(a.as_object_mut().expect("an object").remove(field));
        assert_eq!(problem(remove), Some(Problem::Malformed), "{field}");
    }
    let entries = |count: usize| {
        move |a: &mut Value| {
            a["verification_material"]["transparency_entries"] = vec![json!({}); count].into();
        }
    };
    assert_eq!(problem(entries(0)), Some(Problem::LogInclusion));
    assert_eq!(problem(entries(8)), None);
    assert_eq!(problem(entries(9)), Some(Problem::Limit));
    assert_eq!(problem(entries(100_000)), Some(Problem::Limit));
    let twice = attestation().to_string().replacen("{\"version\"", "{\"version\":2,\"version\"", 1);
    let twice = twice.replacen("\"version\":1", "\"version\":1,\"version\":2", 1);
    let refused = bundle_from_pep740(twice.as_bytes()).expect_err("a key twice");
    assert_eq!(refused.problem, Problem::DuplicateKey);
}
