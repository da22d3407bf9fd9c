use super::*;
use crate::{
    Signer as _,
    testing::{at, entry, revoked, ring, signer},
};

fn problem(result: Result<KeyRing, RingError>) -> (usize, String) {
    match result {
        Err(RingError::Key { position, problem }) => (position, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ring_is_read_as_it_is_written() {
    let mut entries = ring().entries().to_vec();
    entries[1].not_after = Some(at("2027-01-01T00:00:00Z"));
    entries[2].revoked = Some(revoked());
    let ring = KeyRing::new(entries).expect("a ring");
    let read = KeyRing::parse(ring.to_json().as_bytes()).expect("reads");
    assert_eq!((&read, read.digest()), (&ring, Sha256::of(ring.to_json())));
    assert_ne!(read.digest(), KeyRing::default().digest());
    assert_eq!(read.revoked().map(|(key, _)| key).collect::<Vec<_>>(), [ring.entries()[2].public.id()]);
    assert_eq!(KeyRing::parse(b"{\"keys\":[]}").expect("reads"), KeyRing::default());
}

#[test]
fn a_key_counts_for_its_kind_within_its_window() {
    let mut hash = entry(KeyKind::Hash, 0);
    hash.not_after = Some(at("2026-12-31T00:00:00Z"));
    let key = hash.public.id();
    let ring = KeyRing::new(vec![entry(KeyKind::Fetch, 0), hash.clone()]).expect("a ring");
    for date in ["2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z"] {
        assert_eq!(ring.accept(key, KeyKind::Hash, at(date)), Ok(&hash));
    }
    for date in ["2025-12-31T23:59:59.999999999Z", "2026-12-31T00:00:00.000000001Z"] {
        let window = KeyProblem::Window { key, at: at(date) };
        assert_eq!(ring.accept(key, KeyKind::Hash, at(date)), Err(window));
    }
    let date = at("2026-06-01T00:00:00Z");
    for kind in KeyKind::ALL.into_iter().filter(|kind| *kind != KeyKind::Hash) {
        let expected = KeyProblem::Kind { key, expected: kind, found: KeyKind::Hash };
        assert_eq!(ring.accept(key, kind, date), Err(expected));
    }
    let stranger = signer(KeyKind::Hash, 1).key_id();
    assert_eq!(ring.accept(stranger, KeyKind::Hash, date), Err(KeyProblem::Unknown(stranger)));
    assert_eq!(ring.entry(stranger), None);
}

#[test]
fn a_revoked_key_counts_for_nothing_whatever_the_date() {
    let mut hash = entry(KeyKind::Hash, 0);
    hash.revoked = Some(revoked());
    let key = hash.public.id();
    let ring = KeyRing::new(vec![hash.clone()]).expect("a ring");
    for date in ["2026-02-01T00:00:00Z", "2026-09-01T00:00:00Z", "2030-01-01T00:00:00Z"] {
        let problem = KeyProblem::Revoked { key, reason: "stolen".to_owned() };
        assert_eq!(ring.accept(key, KeyKind::Hash, at(date)), Err(problem));
    }
    assert_eq!(ring.entry(key), Some(&hash));
}

#[test]
fn a_ring_with_anything_odd_is_refused() {
    let twice = || vec![entry(KeyKind::Hash, 0), entry(KeyKind::Hash, 0)];
    assert_eq!(problem(KeyRing::new(twice())), (2, "it is there already".to_owned()));
    // the same key for another kind
    let mut for_two = twice();
    for_two[1].kind = KeyKind::Attest;
    assert_eq!(problem(KeyRing::new(for_two)), (2, "it is there already".to_owned()));
    let mut ended = entry(KeyKind::Hash, 0);
    ended.not_after = Some(at("2025-12-31T23:59:59Z"));
    assert_eq!(problem(KeyRing::new(vec![ended])), (1, "its window ends before it begins".to_owned()));
    let mut weak = entry(KeyKind::Hash, 0);
    weak.public = PublicKey::from_raw([0; 32]);
    assert_eq!(problem(KeyRing::new(vec![weak])), (1, "anybody can sign for such a key".to_owned()));
    let mut wordy = entry(KeyKind::Hash, 0);
    wordy.revoked = Some(Revoked { reason: "x".repeat(REASON_BYTES_MAX + 1), ..revoked() });
    let too_long = "the reason for its revocation is too long".to_owned();
    assert_eq!(problem(KeyRing::new(vec![wordy])), (1, too_long));
    assert!(matches!(KeyRing::new(vec![entry(KeyKind::Hash, 0); KEYS_MAX + 1]), Err(RingError::Size)));
}

#[test]
fn a_file_with_anything_odd_is_refused() {
    let text = KeyRing::new(vec![entry(KeyKind::Hash, 0)]).expect("a ring").to_json();
    let id = entry(KeyKind::Hash, 0).public.id();
    let other = entry(KeyKind::Hash, 1).public.id();
    let renamed = text.replace(&id.to_string(), &other.to_string());
    assert_eq!(problem(KeyRing::parse(renamed.as_bytes())), (1, format!("its number is {id}, not {other}")));
    let damaged = text.replace("BEGIN PUBLIC", "BEGIN OTHER");
    assert_eq!(
        problem(KeyRing::parse(damaged.as_bytes())).1,
        "not the PEM of an Ed25519 public key (SubjectPublicKeyInfo, RFC 8410)"
    );
    for (from, to) in [
        ("\"keys\"", "\"keys\": [], \"keys\""),
        ("\"keys\"", "\"note\": 1, \"keys\""),
        ("\"kind\"", "\"revokd\": null, \"kind\""),
        ("\"kind\"", "\"kind\": \"attest\", \"kind\""),
        ("\"hash\"", "\"every\""),
        ("\"not_before\"", "\"not_after\""),
        ("2026-01-01T00:00:00Z", "yesterday"),
    ] {
        let changed = text.replace(from, to);
        assert!(matches!(KeyRing::parse(changed.as_bytes()), Err(RingError::Json(_))), "{changed}");
    }
    let large = text + &" ".repeat(RING_BYTES_MAX);
    assert!(matches!(KeyRing::parse(large.as_bytes()), Err(RingError::Size)));
    assert!(matches!(KeyRing::parse(b""), Err(RingError::Json(_))));
}
