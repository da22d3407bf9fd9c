//! What is no bundle (threats.md A-01, A-02; ecosystems.md 14 A20).
//!
//! A-01's zero digests and zero identities cannot be written: a verification takes both digests, and identities are asked of a
//! verified certificate by the checks that call it.

use serde_json::{Value, json};
use touchstone_attestation::Problem;

use super::{BYTES, Edit, PUBLISHED, WHEEL, WHEEL_CHAIN, WHEEL_V2, World, entry, proof, remove};

/// A-01, A-02: bytes that are no JSON object.
#[test]
fn bytes_that_are_no_bundle_are_refused() {
    let world = World::new();
    let honest = world.wheel().json();
    super::accepted(world.judge_wheel(&honest));
    let cases: [(&str, Vec<u8>); 9] = [
        ("nothing", vec![]),
        ("null", b"null".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("an empty list", b"[]".to_vec()),
        ("a page", b"<!DOCTYPE html><html></html>".to_vec()),
        ("half of it", honest[..honest.len() / 2].to_vec()),
        ("two of them", [honest.clone(), honest.clone()].concat()),
        ("invalid UTF-8", [&honest[..honest.len() - 1], b",\"x\":\"\xff\"}"].concat()),
        ("not a number", [&honest[..honest.len() - 1], b",\"x\":NaN}"].concat()),
    ];
    for (what, bytes) in cases {
        super::refused(what, world.judge_wheel(&bytes), Problem::Malformed);
    }
}

/// A-02: the version is said, and known.
#[test]
fn an_unknown_version_is_refused() {
    World::new().refuses_changed(
        WHEEL,
        &[
            (
                "0.4",
                |b| media_type(b, "application/vnd.dev.sigstore.bundle.v0.4+json"),
                Problem::UnsupportedVersion,
            ),
            (
                "0.0",
                |b| media_type(b, "application/vnd.dev.sigstore.bundle+json;version=0.0"),
                Problem::UnsupportedVersion,
            ),
            (
                "a space",
                |b| media_type(b, "application/vnd.dev.sigstore.bundle+json; version=0.3"),
                Problem::UnsupportedVersion,
            ),
            ("another type", |b| media_type(b, "application/json"), Problem::UnsupportedVersion),
            ("empty", |b| media_type(b, ""), Problem::UnsupportedVersion),
            ("none", |b| remove(b, "mediaType"), Problem::UnsupportedVersion),
        ],
    );
}

/// A-02: one signature of one kind, one signer of one kind.
#[test]
fn contents_and_signers_are_exactly_one() {
    let world = World::new();
    let both_signatures: Edit = |b| b["messageSignature"] = json!({ "signature": "MAYCAQECAQE=" });
    let both_signers: Edit = |b| b["verificationMaterial"]["publicKey"] = json!({ "hint": "x" });
    let chain_as_well: Edit =
        |b| b["verificationMaterial"]["x509CertificateChain"] = json!({ "certificates": [] });
    for case in [WHEEL, WHEEL_V2] {
        world.refuses_changed(
            case,
            &[
                ("no content", |b| remove(b, "dsseEnvelope"), Problem::Malformed),
                ("two contents", both_signatures, Problem::Malformed),
                ("no material", |b| remove(b, "verificationMaterial"), Problem::Malformed),
                ("no signer", |b| remove(&mut b["verificationMaterial"], "certificate"), Problem::Malformed),
                ("a key as well", both_signers, Problem::Malformed),
                ("a chain as well", chain_as_well, Problem::Malformed),
            ],
        );
    }
    world.refuses_changed(WHEEL_CHAIN, &[("a key as well", both_signers, Problem::Malformed)]);
    world.refuses_changed(BYTES, &[("no content", |b| remove(b, "messageSignature"), Problem::Malformed)]);
    world.refuses_changed(
        PUBLISHED,
        &[("no signer", |b| remove(&mut b["verificationMaterial"], "publicKey"), Problem::Malformed)],
    );
}

/// A-02: base64 has one form.
#[test]
fn base64_has_one_form() {
    let world = World::new();
    let pointers = [
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures/0/sig",
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/verificationMaterial/tlogEntries/0/logId/keyId",
        "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
        "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
    ];
    let honest = (WHEEL_V2.mint)(&world).value();
    super::accepted(world.judge_wheel(honest.to_string().as_bytes()));
    for pointer in pointers {
        let text = honest.pointer(pointer).and_then(Value::as_str).unwrap();
        let forms = [
            ("a space", format!("{text} ")),
            ("a line feed", format!("{text}\n")),
            ("more padding", format!("{text}=")),
            ("no base64", format!("!{}", &text[1..])),
            ("padding within", format!("AA=={text}")),
        ];
        for (what, form) in forms {
            let mut bundle = honest.clone();
            *bundle.pointer_mut(pointer).unwrap() = form.into();
            super::refused(what, world.judge_wheel(bundle.to_string().as_bytes()), Problem::Malformed);
        }
    }
    // 32 bytes end in a padding whose spare bits could hold anything.
    let mut bundle = honest.clone();
    let root = proof(&mut bundle)["rootHash"].as_str().unwrap().to_owned();
    let unpadded = root.trim_end_matches('=');
    proof(&mut bundle)["rootHash"] = unpadded.into();
    super::refused("no padding", world.judge_wheel(bundle.to_string().as_bytes()), Problem::Malformed);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let last = alphabet.find(unpadded.chars().last().unwrap()).unwrap();
    let loose = format!("{}{}=", &unpadded[..unpadded.len() - 1], &alphabet[last + 1..last + 2]);
    proof(&mut bundle)["rootHash"] = loose.into();
    super::refused("spare bits", world.judge_wheel(bundle.to_string().as_bytes()), Problem::Malformed);
    proof(&mut bundle)["rootHash"] = "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=".into();
    super::refused(
        "the URL's alphabet",
        world.judge_wheel(bundle.to_string().as_bytes()),
        Problem::Malformed,
    );
}

/// A-02, A20: members of another type.
#[test]
fn members_of_another_type_are_refused() {
    World::new().refuses_changed(
        WHEEL,
        &[
            (
                "a list of entries",
                |b| b["verificationMaterial"]["tlogEntries"] = json!({}),
                Problem::Malformed,
            ),
            ("an entry", |b| *entry(b) = Value::Null, Problem::Malformed),
            ("a number", |b| entry(b)["logIndex"] = "many".into(), Problem::Malformed),
            ("a fraction", |b| entry(b)["logIndex"] = json!(1.5), Problem::Malformed),
            ("an overflow", |b| entry(b)["logIndex"] = json!(1e30), Problem::Malformed),
            ("a body", |b| entry(b)["canonicalizedBody"] = json!(["e30="]), Problem::Malformed),
            ("no body", |b| remove(entry(b), "canonicalizedBody"), Problem::Malformed),
            ("a body that is no JSON", |b| entry(b)["canonicalizedBody"] = "AAAA".into(), Problem::Malformed),
        ],
    );
}

/// A20: a key twice, at any depth of the bundle and of the statement, in any spelling.
#[test]
fn a_key_twice_is_refused() {
    let world = World::new();
    let honest = world.wheel().value().to_string();
    super::accepted(world.judge_wheel(honest.as_bytes()));
    for (name, twice) in [
        (r#"{"dsseEnvelope":"#, r#"{"dsseEnvelope":{},"dsseEnvelope":"#),
        (r#""payloadType":"#, r#""payloadType":"x","payloadType":"#),
        (r#""payload":"#, "\"p\\u0061yload\":\"\",\"payload\":"),
        (r#""treeSize":"#, r#""treeSize":"1","treeSize":"#),
        (r#""treeSize":"#, r#""unknown":{"a":1,"a":2},"treeSize":"#),
    ] {
        let bundle = honest.replacen(name, twice, 1);
        assert_ne!(bundle, honest, "{name} is not there");
        super::refused(twice, world.judge_wheel(bundle.as_bytes()), Problem::DuplicateKey);
    }
    let statement = world.statement.to_string();
    super::accepted(world.judge_wheel(&world.wheel().payload(statement.as_bytes()).json()));
    for (name, twice) in [
        (r#""_type":"#, r#""_type":"x","_type":"#),
        (r#""sha256":"#, r#""sha256":"00","sha256":"#),
        (r#""name":"#, "\"n\\u0061me\":\"other.whl\",\"name\":"),
        (r#""predicate":null"#, r#""predicate":{"a":[{"b":1,"b":1}]}"#),
    ] {
        let payload = statement.replacen(name, twice, 1);
        assert_ne!(payload, statement, "{name} is not there");
        let bundle = world.wheel().payload(payload.as_bytes()).json();
        super::refused(twice, world.judge_wheel(&bundle), Problem::DuplicateKey);
    }
}

fn media_type(bundle: &mut Value, name: &str) {
    bundle["mediaType"] = name.into();
}
