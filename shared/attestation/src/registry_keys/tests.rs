//! Both shapes of key documents.

use serde_json::{Value, json};

use super::*;

fn spki() -> String {
    let keys = RegistryKeys::embedded();
    STANDARD.encode(keys.iter().next().expect("a key").spki())
}

fn target(id: &str, usage: &str) -> Value {
    json!({
        "keyId": id,
        "keyUsage": usage,
        "publicKey": {
            "rawBytes": spki(),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": { "start": "2022-12-01T00:00:00.000Z", "end": "2025-01-29T00:00:00Z" },
        },
    })
}

fn endpoint(id: &str, expires: Option<&str>) -> Value {
    let kind = "ecdsa-sha2-nistp256";
    json!({ "keyid": id, "keytype": kind, "scheme": kind, "key": spki(), "expires": expires })
}

fn read_keys(keys: &[Value]) -> Result<RegistryKeys, RegistryKeysError> {
    RegistryKeys::from_json(json!({ "keys": keys }).to_string().as_bytes())
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[test]
fn the_embedded_keys_are_two_with_two_usages_each() {
    let keys = RegistryKeys::embedded();
    assert_eq!(keys.iter().count(), 4);
    assert_eq!(keys.digest(), Sha256::of(keys.document()));
    let again = RegistryKeys::from_json(keys.document()).expect("its own document");
    assert_eq!(again.digest(), keys.digest());
}

#[test]
fn both_shapes_are_read() {
    let keys = read_keys(&[
        target("a", "npm:signatures"),
        target("a", "npm:attestations"),
        endpoint("b", None),
        endpoint("c", Some("2025-01-29T00:00:00.000Z")),
    ]);
    let keys = keys.expect("keys");
    let seen: Vec<_> = keys.iter().map(|key| (key.id(), key.usage(), key.start(), key.end())).collect();
    let (start, end) = (Some(time("2022-12-01T00:00:00Z")), Some(time("2025-01-29T00:00:00Z")));
    assert_eq!(
        seen,
        [
            ("a", KeyUsage::Signatures, start, end),
            ("a", KeyUsage::Attestations, start, end),
            ("b", KeyUsage::Signatures, None, None),
            ("c", KeyUsage::Signatures, None, end),
        ]
    );
    let [first, .., last] = &keys.iter().collect::<Vec<_>>()[..] else { panic!("keys") };
    assert!(first.covers(time("2022-12-01T00:00:00Z")) && first.covers(time("2025-01-29T00:00:00Z")));
    assert!(!first.covers(time("2022-11-30T23:59:59Z")) && !first.covers(time("2025-01-29T00:00:01Z")));
    assert!(last.covers(Timestamp::UNIX_EPOCH));
}

#[test]
fn keys_of_unknown_kinds_are_passed_over() {
    let mut other_kind = target("x", "npm:signatures");
    other_kind["publicKey"]["keyDetails"] = "PKIX_ED25519".into();
    let mut other_type = endpoint("y", None);
    other_type["keytype"] = "ed25519".into();
    let keys = read_keys(&[other_kind, other_type, target("z", "npm:other"), target("a", "npm:signatures")]);
    assert_eq!(keys.expect("keys").iter().map(RegistryKey::id).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn one_bad_key_spoils_the_document() {
    let refused = |key: Value| match read_keys(&[target("a", "npm:signatures"), key]) {
        Err(RegistryKeysError::Key { id, .. }) => id,
        other => panic!("{other:?}"),
    };
    let mut key = target("b", "npm:signatures");
    key["publicKey"]["rawBytes"] = "!".into();
    assert_eq!(refused(key.clone()), "b");
    key["publicKey"]["rawBytes"] = "AAAA".into();
    assert_eq!(refused(key), "b");
    let mut key = target("b", "npm:signatures");
    key["publicKey"]["validFor"]["end"] = "2022-11-30T00:00:00Z".into();
    assert_eq!(refused(key), "b");
    assert_eq!(refused(target("a", "npm:signatures")), "a", "twice");
    assert!(read_keys(&[target("a", "npm:signatures"), json!({})]).is_err());
    let mut timeless = target("b", "npm:signatures");
    timeless["publicKey"]["validFor"] = json!({});
    assert!(read_keys(&[timeless]).is_err());
}

#[test]
fn documents_are_strict_and_bounded() {
    let twice = format!("{{\"keys\":[],\"keys\":[{}]}}", target("a", "npm:signatures"));
    assert!(matches!(RegistryKeys::from_json(twice.as_bytes()), Err(RegistryKeysError::Document(_))));
    let many = |count: usize| {
        let id = |n: usize| target(&n.to_string(), "npm:signatures");
        read_keys(&(0..count).map(id).collect::<Vec<_>>())
    };
    assert!(many(64).is_ok());
    assert!(matches!(many(65), Err(RegistryKeysError::Many(65))));
    let large = vec![b' '; 64 * 1024 + 1];
    assert!(matches!(RegistryKeys::from_json(&large), Err(RegistryKeysError::Document(_))));
}
