use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use touchstone_domain::CheckKind;

use super::*;
use crate::{
    VerdictStatement,
    testing::{at, entry, fetch, revoked, ring, ring_with, signer, verdict},
};

fn signed() -> Vec<u8> {
    verdict(CheckKind::Hash).sign(&signer(KeyKind::Hash, 0)).expect("signs")
}

fn malformed(problem: &str) -> Result<Envelope, EnvelopeError> {
    Err(EnvelopeError::Malformed(problem.to_owned()))
}

#[test]
fn what_is_signed_names_type_and_length() {
    assert_eq!(
        pre_authentication_encoding(b"{\"a\":1}"),
        b"DSSEv1 28 application/vnd.in-toto+json 7 {\"a\":1}"
    );
}

#[test]
fn an_envelope_is_read_in_the_form_that_it_is_written_in() {
    let text = String::from_utf8(signed()).expect("text");
    let envelope = Envelope::parse(text.as_bytes()).expect("parses");
    assert_eq!(envelope.key, signer(KeyKind::Hash, 0).key_id());
    let key = envelope.key.to_string();
    let sig = STANDARD.encode(envelope.signature);
    let other = "it is written in another form";
    for (from, to, problem) in [
        (
            "{\"payload\"",
            "{\"extra\":1,\"payload\"",
            "unknown field `extra`, expected one of `payload`, `payloadType`, `signatures` at line 1 column 8",
        ),
        ("{\"payload\"", "{\"payload\":\"\",\"payload\"", "duplicate field `payload` at line 1 column 23"),
        ("{\"payload\"", " {\"payload\"", other),
        ("{\"payload\"", "{\"p\\u0061yload\"", other),
        ("\"payloadType\"", "\n\"payloadType\"", other),
        (key.as_str(), &key.to_uppercase(), "the key's number is none"),
        (key.as_str(), &key[..62], "the key's number is none"),
        (sig.as_str(), &sig[..84], "the signature is none of 64 bytes in base64"),
        (sig.as_str(), &sig[..86], "the signature is none of 64 bytes in base64"),
    ] {
        assert_eq!(Envelope::parse(text.replacen(from, to, 1).as_bytes()), malformed(problem), "{from} {to}");
    }
    let payload_type = text.replace("vnd.in-toto", "vnd.other");
    assert_eq!(
        Envelope::parse(payload_type.as_bytes()),
        Err(EnvelopeError::PayloadType("application/vnd.other+json".to_owned()))
    );
    for (bytes, size) in [(text.clone() + "\n", None), (" ".repeat(ENVELOPE_BYTES_MAX + 1), Some(65_537))] {
        let error = size.map_or_else(|| malformed(other), |size| Err(EnvelopeError::Size(size)));
        assert_eq!(Envelope::parse(bytes.as_bytes()), error);
    }
    let array = format!("[\"\",\"{PAYLOAD_TYPE}\",[[\"{key}\",\"{sig}\"]]]");
    assert_eq!(Envelope::parse(array.as_bytes()), malformed(other));
    assert!(matches!(Envelope::parse(b"{}"), Err(EnvelopeError::Malformed(_))));
}

#[test]
fn an_envelope_has_one_signature() {
    let text = String::from_utf8(signed()).expect("text");
    let (head, signature) = text.strip_suffix("]}").and_then(|t| t.split_once('[')).expect("one array");
    for signatures in [String::new(), format!("{signature},{signature}")] {
        let changed = format!("{head}[{signatures}]}}");
        assert!(matches!(Envelope::parse(changed.as_bytes()), Err(EnvelopeError::Malformed(_))), "{changed}");
    }
}

#[test]
fn base64_has_one_form() {
    let text = sign(&signer(KeyKind::Hash, 0), b"{}").map(|bytes| String::from_utf8(bytes).expect("text"));
    let text = text.expect("signs");
    assert!(text.contains("\"e30=\""));
    for payload in ["e30", "e31=", "e30==", "e30=\\n", "e3-="] {
        let changed = text.replace("\"e30=\"", &format!("\"{payload}\""));
        assert_eq!(Envelope::parse(changed.as_bytes()), malformed("the payload is no base64"), "{payload}");
    }
}

#[test]
fn nothing_is_signed_that_would_not_be_read() {
    let hash = signer(KeyKind::Hash, 0);
    let longest = sign(&hash, &vec![b' '; 48_900]).expect("signs");
    assert!(Envelope::parse(&longest).is_ok());
    assert!(matches!(sign(&hash, &vec![b' '; 49_152]), Err(SignError::Size(65_784))));
}

fn refused(envelope: &[u8], ring: &KeyRing) -> (&'static str, Refused) {
    let refused = VerdictStatement::verify(envelope, ring).expect_err("refused");
    (refused.code(), refused)
}

#[test]
fn a_statement_counts_by_its_own_kind_and_date() {
    let key = signer(KeyKind::Hash, 0).key_id();
    assert!(VerdictStatement::verify(&signed(), &ring()).is_ok());
    // signed by a key of another kind
    let foreign = verdict(CheckKind::Attest).sign(&signer(KeyKind::Hash, 0)).expect("signs");
    let kind = KeyProblem::Kind { key, expected: KeyKind::Attest, found: KeyKind::Hash };
    assert_eq!(refused(&foreign, &ring()), ("key_kind", kind.into()));
    // by one that the ring does not have
    let stranger = signer(KeyKind::Hash, 1);
    let unknown = verdict(CheckKind::Hash).sign(&stranger).expect("signs");
    let problem = KeyProblem::Unknown(stranger.key_id());
    assert_eq!(refused(&unknown, &ring()), ("key_unknown", problem.into()));
    // outside the window of the key
    let decided_at = verdict(CheckKind::Hash).verdict.decided_at;
    let late = ring_with(|entry| entry.not_before = at("2026-08-01T00:00:01.000000001Z"));
    let window = KeyProblem::Window { key, at: decided_at };
    assert_eq!(refused(&signed(), &late), ("key_window", window.into()));
    // by a key that was revoked afterwards
    let without = ring_with(|entry| entry.revoked = Some(revoked()));
    let problem = KeyProblem::Revoked { key, reason: "stolen".to_owned() };
    assert_eq!(refused(&signed(), &without), ("key_revoked", problem.into()));
}

#[test]
fn a_signature_is_of_one_key_over_one_payload() {
    let (hash, other) = (signer(KeyKind::Hash, 0), signer(KeyKind::Hash, 1));
    let both = KeyRing::new(vec![entry(KeyKind::Hash, 0), entry(KeyKind::Hash, 1)]).expect("a ring");
    let text = String::from_utf8(signed()).expect("text");
    // the number of another key beside the signature
    let renamed = text.replace(&hash.key_id().to_string(), &other.key_id().to_string());
    assert_eq!(refused(renamed.as_bytes(), &both), ("signature", Refused::Signature(other.key_id())));
    // the signature over another payload
    let payload = |bytes: &[u8]| STANDARD.encode(Envelope::parse(bytes).expect("parses").payload);
    let mut later = verdict(CheckKind::Hash);
    later.verdict.epoch += 1;
    let later = later.sign(&hash).expect("signs");
    let moved = text.replace(&payload(text.as_bytes()), &payload(&later));
    assert_eq!(refused(moved.as_bytes(), &both), ("signature", Refused::Signature(hash.key_id())));
    assert!(VerdictStatement::verify(&later, &both).is_ok());
    // the same message signed outright, without DSSE's encoding
    let plain = hash.sign(&Envelope::parse(&later).expect("parses").payload).expect("signs");
    let sig = STANDARD.encode(Envelope::parse(&later).expect("parses").signature);
    let plain = String::from_utf8(later).expect("text").replace(&sig, &STANDARD.encode(plain));
    assert_eq!(refused(plain.as_bytes(), &both), ("signature", Refused::Signature(hash.key_id())));
}

#[test]
fn each_envelope_has_its_own_answer_in_its_own_place() {
    let good = signed();
    let mut bad = good.clone();
    bad[40] ^= 1;
    let fetched = fetch().sign(&signer(KeyKind::Hash, 0)).expect("signs");
    let ring = ring();
    let opened = open_many(&[&good, &bad, b"", &fetched, &good], &ring);
    let read = |opened: Result<Opened<'_>, Refused>| opened?.read::<VerdictStatement>(&ring);
    let answers: Vec<_> = opened.into_iter().map(read).collect();
    let codes: Vec<_> = answers.iter().map(|a| a.as_ref().map_or_else(Refused::code, |_| "ok")).collect();
    assert_eq!(codes, ["ok", "signature", "envelope", "statement", "ok"]);
    assert!(open_many(&[], &ring).is_empty());
    let counted = answers[0].as_ref().expect("verifies");
    assert_eq!(counted.key(), signer(KeyKind::Hash, 0).key_id());
    assert_eq!(counted.envelope(), Sha256::of(&good));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever byte is changed, put in or taken out, an envelope no longer verifies; and nothing panics.
    #[test]
    fn no_changed_envelope_verifies(position: prop::sample::Index, byte: u8, how in 0..4) {
        let mut changed = signed();
        let place = position.index(changed.len());
        match how {
            0 => changed[place] = byte,
            1 => changed.insert(place, byte),
            2 => changed.truncate(place),
            _ => drop(changed.remove(place)),
        }
        prop_assume!(changed != signed());
        prop_assert!(VerdictStatement::verify(&changed, &ring()).is_err());
    }
}
