//! Signatures and envelopes (threats.md; ecosystems.md 14 A14).

use serde_json::{Value, json};
use touchstone_attestation::Problem;
use touchstone_testkit::sigstore::KeyKind;

use super::{BYTES, PUBLISHED, WHEEL, WHEEL_V2, World, bytes, flip};

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// what was logged and timestamped is no signature by the key over the content, though all else agrees.
#[test]
fn a_logged_signature_that_is_none_is_refused() {
    let world = World::new();
    for case in [WHEEL, WHEEL_V2, BYTES, PUBLISHED] {
        world.refuses(
            case,
            &[
                ("a bit flipped", |b| b.signature(|s| *s.last_mut().unwrap() ^= 1), Problem::Signature),
                ("truncated", |b| b.signature(|s| _ = s.pop()), Problem::Signature),
                ("random", |b| b.signature(|s| s.fill(0xa5)), Problem::Signature),
                ("a long length (BER)", |b| b.signature(|s| s.insert(1, 0x81)), Problem::Signature),
                ("fixed width (P1363)", |b| b.signature(|s| *s = parts(s).concat()), Problem::Signature),
                ("r is 0", |b| b.signature(|s| *s = der(&[&[0], &parts(s)[1]])), Problem::Signature),
                ("s is 0", |b| b.signature(|s| *s = der(&[&parts(s)[0], &[0]])), Problem::Signature),
                ("both are 0", |b| b.signature(|s| *s = der(&[&[0], &[0]])), Problem::Signature),
                ("bytes after it", |b| b.signature(|s| s.push(0)), Problem::Signature),
            ],
        );
    }
}

/// the twin of an ECDSA signature, (r, n - s), verifies mathematically. It is not the signature that the log holds.
#[test]
fn the_twin_of_a_signature_is_not_what_was_logged() {
    let world = World::new();
    let twin = |value: &mut Value| {
        bytes(value, |signature| {
            let [r, s] = parts(signature);
            *signature = der(&[&r, &minus(&ORDER, &s)]);
        });
    };
    let honest = world.wheel().value();
    super::accepted(world.judge_wheel(honest.to_string().as_bytes()));
    let mut bundle = honest;
    twin(&mut bundle["dsseEnvelope"]["signatures"][0]["sig"]);
    super::refused("the twin", world.judge_wheel(bundle.to_string().as_bytes()), Problem::LogEntryMismatch);
}

/// A-03 and A14: the envelope is changed and the log entry is not.
#[test]
fn a_changed_envelope_is_refused() {
    World::new().refuses_changed(
        WHEEL,
        &[
            ("the signature", |b| flip(&mut b["dsseEnvelope"]["signatures"][0]["sig"]), Problem::Signature),
            ("no signature", |b| b["dsseEnvelope"]["signatures"][0]["sig"] = "".into(), Problem::Signature),
            (
                "the payload written again",
                |b| {
                    bytes(&mut b["dsseEnvelope"]["payload"], |payload| {
                        let statement: Value = serde_json::from_slice(payload).unwrap();
                        *payload = serde_json::to_vec_pretty(&statement).unwrap();
                    });
                },
                Problem::Signature,
            ),
            (
                "a space after the payload",
                |b| bytes(&mut b["dsseEnvelope"]["payload"], |payload| payload.push(b' ')),
                Problem::Signature,
            ),
            (
                "the payload type",
                |b| b["dsseEnvelope"]["payloadType"] = "application/json".into(),
                Problem::PayloadType,
            ),
        ],
    );
}

/// A14: signed and logged as something else than a statement.
#[test]
fn a_payload_of_another_type_is_refused() {
    World::new().refuses(
        WHEEL,
        &[
            ("another type", |b| b.payload_type("text/plain"), Problem::PayloadType),
            ("another case", |b| b.payload_type("application/vnd.in-toto+JSON"), Problem::PayloadType),
            ("none", |b| b.payload_type(""), Problem::PayloadType),
        ],
    );
}

/// exactly one signature, so that nobody checks one and uses another.
#[test]
fn an_envelope_has_exactly_one_signature() {
    fn signatures(bundle: &mut Value, change: impl FnOnce(&mut Vec<Value>)) {
        change(bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap());
    }
    World::new().refuses_changed(
        WHEEL,
        &[
            ("none", |b| signatures(b, Vec::clear), Problem::Malformed),
            ("the same twice", |b| signatures(b, |s| s.push(s[0].clone())), Problem::Limit),
            (
                "the first is good",
                |b| signatures(b, |s| s.push(json!({ "sig": "MAYCAQECAQE=" }))),
                Problem::Limit,
            ),
            (
                "the last is good",
                |b| signatures(b, |s| s.insert(0, json!({ "sig": "MAYCAQECAQE=" }))),
                Problem::Limit,
            ),
            ("a thousand", |b| signatures(b, |s| *s = vec![s[0].clone(); 1000]), Problem::Limit),
        ],
    );
}

/// the digest that a signature announces is not the artifact's, or not of the algorithm it says.
#[test]
fn an_announced_digest_must_be_the_artifacts() {
    World::new().refuses_changed(
        BYTES,
        &[
            (
                "another digest",
                |b| flip(&mut b["messageSignature"]["messageDigest"]["digest"]),
                Problem::ArtifactDigest,
            ),
            (
                "another algorithm",
                |b| b["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512".into(),
                Problem::UnsupportedKey,
            ),
            ("the signature", |b| flip(&mut b["messageSignature"]["signature"]), Problem::Signature),
        ],
    );
}

/// sigstore.md 11.7: keys of other curves are refused as unsupported, and nothing is said about their signatures.
#[test]
fn a_key_that_cannot_be_checked_is_refused() {
    let world = World::new();
    world.refuses(WHEEL, &[("P-521", |b| b.key_kind(KeyKind::P521), Problem::UnsupportedKey)]);
    // An envelope by a P-384 key verifies; the log of artifacts knows SHA-256 only.
    world.passes(WHEEL, "P-384", |b| b.key_kind(KeyKind::P384));
    let p384: super::Lie =
        |b| b.key_kind(KeyKind::P384).edit(|b| super::remove(&mut b["messageSignature"], "messageDigest"));
    world.refuses(BYTES, &[("P-384", p384, Problem::UnsupportedKey)]);
}

/// The two numbers of a signature, 32 bytes each.
fn parts(signature: &[u8]) -> [[u8; 32]; 2] {
    let number = |at: usize| {
        let size = usize::from(signature[at + 1]);
        let mut out = [0; 32];
        let bytes = &signature[at + 2..at + 2 + size];
        let bytes = &bytes[bytes.len().saturating_sub(32)..];
        out[32 - bytes.len()..].copy_from_slice(bytes);
        out
    };
    [number(2), number(4 + usize::from(signature[3]))]
}

/// A signature of two numbers.
fn der(numbers: &[&[u8]; 2]) -> Vec<u8> {
    let mut body = Vec::new();
    for number in numbers {
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1);
        let mut bytes = number[start..].to_vec();
        if bytes[0] & 0x80 != 0 {
            bytes.insert(0, 0);
        }
        body.extend([2, u8::try_from(bytes.len()).expect("short")]);
        body.extend(bytes);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).expect("short")];
    out.extend(body);
    out
}

/// `a - b` in 256 bits.
fn minus(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(a[at]) - i16::from(b[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = u8::try_from(difference.rem_euclid(256)).expect("a byte");
    }
    out
}
