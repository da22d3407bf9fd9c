use serde_json::Value;
use touchstone_domain::Sha256;

use super::*;
use crate::{Envelope, KeyProblem, LocalSigner, Revoked, Signer};

const NOW: &str = "2026-11-22T12:00:00.25Z";

fn signer(kind: KeyKind, number: u8) -> LocalSigner {
    LocalSigner::from_seed(kind, [number; 32]).expect("a key")
}

fn entry(kind: KeyKind, number: u8) -> KeyEntry {
    let not_before = NOW.parse().expect("a date");
    KeyEntry { kind, public: signer(kind, number).public(), not_before, not_after: None, revoked: None }
}

fn entries() -> Vec<KeyEntry> {
    let kinds = [KeyKind::Fetch, KeyKind::Hash, KeyKind::Attest, KeyKind::Sumdb, KeyKind::Promote];
    kinds.into_iter().zip(1..).map(|(kind, number)| entry(kind, number)).collect()
}

fn id(kind: KeyKind, number: u8) -> KeyId {
    signer(kind, number).key_id()
}

fn requirement(required: &[CheckKind], tolerated: &[CheckKind]) -> Requirement {
    let set = |checks: &[CheckKind]| checks.iter().copied().collect::<CheckSet>();
    let requirement = Requirement::new(set(required), CheckSet::EMPTY).expect("a check");
    requirement.tolerating(set(tolerated)).expect("a check that approves")
}

fn sign(requirement: Requirement, entries: Vec<KeyEntry>) -> (Vec<u8>, KeyRing) {
    let ring = KeyRing::new(entries).expect("a ring");
    let signing =
        Signing { environment: "test".into(), signer: std::sync::Arc::new(signer(KeyKind::Promote, 5)) };
    let at = NOW.parse().expect("a date");
    (Layout::sign(requirement, &ring, &signing, at).expect("signed"), ring)
}

fn payload(envelope: &[u8]) -> Value {
    serde_json::from_slice(&Envelope::parse(envelope).expect("an envelope").payload).expect("JSON")
}

#[test]
fn a_layout_names_each_step_its_keys_and_what_it_must_agree_with() {
    let wanted = requirement(&[CheckKind::Hash, CheckKind::Attest], &[CheckKind::Attest]);
    let (envelope, ring) = sign(wanted, entries());
    let layout = Layout::verify(&envelope, &ring).expect("a layout");
    let statement = layout.statement();
    assert_eq!(layout.key(), id(KeyKind::Promote, 5));
    let mut keys = [id(KeyKind::Fetch, 1), id(KeyKind::Hash, 2), id(KeyKind::Attest, 3)];
    keys.sort();
    assert_eq!(statement.keys, keys);
    assert_eq!(statement.signed_at.to_string(), "2026-11-22T12:00:01Z");
    assert_eq!(statement.expires.to_string(), "2027-02-20T12:00:01Z");
    assert!(statement.is_for("test", wanted));
    assert!(!statement.is_for("other", wanted));
    assert!(!statement.is_for("test", requirement(&[CheckKind::Hash, CheckKind::Attest], &[])));

    let document = payload(&envelope);
    let steps = document["steps"].as_array().expect("steps");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(names, ["fetch", "hash", "attest"]);
    assert_eq!(steps[1]["pubkeys"], serde_json::json!([id(KeyKind::Hash, 2)]));
    assert_eq!(
        steps[1]["expected_products"],
        serde_json::json!([
            ["MATCH", "*", "WITH", "PRODUCTS", "FROM", "attest"],
            ["MATCH", "*", "WITH", "PRODUCTS", "IN", "not-offered", "FROM", "attest"],
            ["DISALLOW", "*"]
        ])
    );
    assert_eq!(
        steps[2]["expected_products"],
        serde_json::json!([
            ["MATCH", "*", "WITH", "PRODUCTS", "FROM", "fetch"],
            ["MATCH", "*", "IN", "not-offered", "WITH", "PRODUCTS", "FROM", "fetch"],
            ["DISALLOW", "*"]
        ])
    );
}

#[test]
fn revoked_keys_are_in_no_layout_and_the_youngest_are_when_there_are_too_many() {
    let wanted = requirement(&[CheckKind::Hash], &[]);
    let mut ring = entries();
    ring[1].revoked = Some(Revoked { at: Timestamp::UNIX_EPOCH, reason: "lost".into() });
    let begins = ring[1].not_before;
    ring.extend((10..40).map(|number| KeyEntry {
        not_before: begins - SignedDuration::from_hours(i64::from(number)),
        ..entry(KeyKind::Hash, number)
    }));
    let (envelope, ring) = sign(wanted, ring);
    let keys = Layout::verify(&envelope, &ring).expect("a layout").statement().keys.clone();
    assert_eq!(keys.len(), 1 + KEYS_PER_KIND_MAX);
    assert!(!keys.contains(&id(KeyKind::Hash, 2)), "revoked");
    for number in 10..40 {
        assert_eq!(keys.contains(&id(KeyKind::Hash, number)), number < 34, "{number}");
    }
    assert_eq!(payload(&envelope)["steps"][1]["pubkeys"].as_array().map(Vec::len), Some(KEYS_PER_KIND_MAX));
}

#[test]
fn only_the_key_of_promote_signs_layouts_and_only_within_its_window() {
    let (envelope, ring) = sign(requirement(&[CheckKind::Hash], &[]), entries());
    assert!(Layout::verify(&envelope, &ring).is_ok());
    let key = id(KeyKind::Promote, 5);
    let refused = |change: &dyn Fn(&mut KeyEntry)| {
        let mut entries = entries();
        change(&mut entries[4]);
        Layout::verify(&envelope, &KeyRing::new(entries).expect("a ring"))
    };
    let kind = KeyProblem::Kind { key, expected: KeyKind::Promote, found: KeyKind::Hash };
    assert_eq!(refused(&|entry| entry.kind = KeyKind::Hash), Err(kind.into()));
    let at: Timestamp = "2026-11-22T12:00:01Z".parse().expect("a date");
    let window = KeyProblem::Window { key, at };
    let late = at + SignedDuration::from_nanos(1);
    assert_eq!(refused(&|entry| entry.not_before = late), Err(window.into()));
    let revoked = Revoked { at, reason: "lost".into() };
    let problem = KeyProblem::Revoked { key, reason: "lost".into() };
    assert_eq!(refused(&|entry| entry.revoked = Some(revoked.clone())), Err(problem.into()));
    let text = String::from_utf8(envelope.clone()).expect("text");
    let changed = text.replacen("\"sig\":\"", "\"sig\":\"AA", 1).into_bytes();
    assert!(Layout::verify(&changed, &ring).is_err());
}

#[test]
fn what_is_no_layout_is_refused() {
    let (envelope, _) = sign(requirement(&[CheckKind::Hash], &[]), entries());
    let whole = payload(&envelope);
    let parse = |value: &Value| Layout::parse(&serde_json::to_vec(value).expect("JSON"));
    assert!(parse(&whole).is_ok());
    let field = |change: &dyn Fn(&mut Value)| {
        let mut changed = whole.clone();
        change(&mut changed);
        parse(&changed).map_err(|error| error.field)
    };
    assert_eq!(field(&|v| v["_type"] = "link".into()), Err("_type"));
    assert_eq!(field(&|v| v["expires"] = "tomorrow".into()), Err("expires"));
    assert_eq!(field(&|v| v["expires"] = "-009999-01-02T01:59:59Z".into()), Err("expires"));
    assert_eq!(field(&|v| v["extra"] = 1.into()), Err("layout"));
    let other = Value::from(Sha256([7; 32]).to_string());
    let rename = |v: &mut Value| {
        let keys = v["keys"].as_object_mut().expect("keys");
        keys.values_mut().for_each(|key| key["keyid"] = other.clone());
    };
    assert_eq!(field(&rename), Err("keys"));
}

#[test]
fn every_requirement_that_a_policy_can_have_gets_a_layout_that_fits_an_envelope() {
    let all = requirements();
    // One required check: 1 each; two: 3 for each of 3 pairs; three: 7. The peer check does not exist yet.
    assert_eq!(all.len(), 3 + 9 + 7);
    for (position, wanted) in all.iter().enumerate() {
        assert!(!all[..position].contains(wanted), "{wanted:?}");
        assert!(wanted.required().iter().all(CheckKind::is_available), "{wanted:?}");
    }
    let ring = CheckKind::ALL
        .into_iter()
        .map(KeyKind::from)
        .chain([KeyKind::Fetch])
        .zip(0..)
        .flat_map(|(kind, of): (KeyKind, u8)| (0..30).map(move |number| entry(kind, of * 30 + number)));
    let everything: CheckSet = CheckKind::ALL.into_iter().collect();
    let largest = Requirement::new(everything, everything).expect("checks");
    sign(largest, ring.collect());
}
