//! Notes and keys, and each with one thing changed (threats.md G-10).

use proptest::prelude::*;

use super::*;

const NAME: &str = "sumdb.example";
const TEXT: &str = "go.sum database tree\n1\nsome root\n";
/// The first key of RFC 8032 section 7.1, and what it is as a note key. Computed by another program.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const KEY: &str = "sumdb.example+eda6dcf9+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

fn signer(name: &str, seed: u8) -> SignerKey {
    SignerKey::from_seed(name, [seed; 32]).unwrap()
}

fn ours() -> SignerKey {
    signer(NAME, 1)
}

/// What a note of ours with these lines is.
fn verify(text: &str, lines: &[String]) -> Result<VerifiedNote, NoteError> {
    let note = format!("{text}\n{}", lines.concat());
    SignedNote::parse(note.as_bytes())?.verify(ours().verifier())
}

fn code(text: &str, lines: &[String]) -> &'static str {
    verify(text, lines).unwrap_err().code()
}

#[test]
fn a_signed_text_is_verified() {
    let note = ours().sign(TEXT).unwrap();
    let parsed = SignedNote::parse(&note).unwrap();
    assert_eq!((parsed.text(), parsed.bytes()), (TEXT, &note[..]));
    let verified = parsed.verify(ours().verifier()).unwrap();
    assert_eq!((verified.text(), verified.bytes()), (TEXT, &note[..]));
    assert_eq!(verified.into_bytes(), note);
}

/// The note that the documentation of Go's package has.
#[test]
fn a_known_note_is_verified() {
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = SignedNote::parse(format!("{text}\n{line}").as_bytes()).unwrap();
    let key = VerifierKey::parse(key).unwrap();
    assert_eq!(note.clone().verify(&key).map(|note| note.text().to_owned()), Ok(text.to_owned()));
    let changed = SignedNote::parse(format!("{}\n{line}", text.replace("is.", "was.")).as_bytes()).unwrap();
    assert_eq!(changed.verify(&key), Err(NoteError::Signature("PeterNeumann+c74f20a3".to_owned())));
}

#[test]
fn a_text_may_have_empty_lines() {
    for text in ["\n", "a\n\n", "a\n\n\nb\n", "\n\n\n", "a\n\n— b\n"] {
        let note = SignedNote::parse(&ours().sign(text).unwrap()).unwrap();
        assert_eq!(note.verify(ours().verifier()).unwrap().text(), text);
    }
}

#[test]
fn a_note_without_our_signature_is_refused() {
    let unsigned = Err(NoteError::Unsigned(ours().verifier().id()));
    let ours = ours().signature_line(TEXT);
    // The key of another, another key under our name, and names that look like ours.
    let homoglyph = "sumdb.ex\u{430}mple";
    for (name, seed) in
        [("other.example", 2), (NAME, 2), (homoglyph, 1), ("Sumdb.example", 1), ("sumdb.example.", 1)]
    {
        let line = signer(name, seed).signature_line(TEXT);
        assert_eq!(verify(TEXT, std::slice::from_ref(&line)), unsigned, "{name}");
        assert!(verify(TEXT, &[line, ours.clone()]).is_ok(), "{name}");
        assert_eq!(verify(TEXT, &[ours.replace(NAME, name)]).is_ok(), name == NAME, "{name}");
    }
    // Our name and signature under another key hash.
    let mut signature = STANDARD.decode(ours.trim_end().rsplit_once(' ').unwrap().1).unwrap();
    signature[3] ^= 1;
    assert_eq!(verify(TEXT, &[format!("— {NAME} {}\n", STANDARD.encode(&signature))]), unsigned);
}

#[test]
fn a_bad_signature_of_ours_is_refused_whatever_is_beside_it() {
    let ours = ours();
    let good = ours.signature_line(TEXT);
    let bad = ours.signature_line("another text\n");
    let other = signer("other.example", 2).signature_line(TEXT);
    let refused = Err(NoteError::Signature(ours.verifier().id()));
    assert_eq!(verify(TEXT, std::slice::from_ref(&bad)), refused);
    assert_eq!(verify(TEXT, &[good.clone(), bad.clone()]), refused);
    assert_eq!(verify(TEXT, &[bad, good.clone()]), refused);
    assert_eq!(verify(&TEXT.replace('1', "2"), &[other, good.clone()]), refused);
    // Every byte of it counts, and none may be added or be missing.
    let signature = STANDARD.decode(good.trim_end().rsplit_once(' ').unwrap().1).unwrap();
    let line = |signature: &[u8]| format!("— {NAME} {}\n", STANDARD.encode(signature));
    for at in 4..68 {
        let mut forged = signature.clone();
        forged[at] ^= 1 << (at % 8);
        assert_eq!(verify(TEXT, &[line(&forged)]), refused, "{at}");
    }
    for length in [5, 67] {
        assert_eq!(verify(TEXT, &[line(&signature[..length])]), refused, "{length}");
    }
    assert_eq!(verify(TEXT, &[line(&[&signature[..], b"x"].concat())]), refused);
}

#[test]
fn signatures_of_others_and_repeated_ones_do_not_count_and_are_bounded() {
    let good = ours().signature_line(TEXT);
    assert!(verify(TEXT, &vec![good.clone(); SIGNATURES_MAX]).is_ok());
    assert_eq!(code(TEXT, &vec![good.clone(); SIGNATURES_MAX + 1]), "note_signatures");
    let other = signer("other.example", 2).signature_line("nothing of ours\n");
    let mut lines = vec![other.clone(); SIGNATURES_MAX - 1];
    lines.push(good.clone());
    assert!(verify(TEXT, &lines).is_ok());
    lines.extend(vec![other; 1_000]);
    assert_eq!(code(TEXT, &lines), "note_signatures");
    // Another algorithm's signature is longer.
    let long = format!("— other.example {}\n", STANDARD.encode([5; 4_631]));
    assert!(verify(TEXT, &[long, good]).is_ok());
}

#[test]
fn a_note_of_another_shape_is_refused() {
    let good = String::from_utf8(ours().sign(TEXT).unwrap()).unwrap();
    let (text, line) = good.split_once("\n\n").unwrap();
    let (line, encoded) = (line.trim_end(), line.trim_end().rsplit_once(' ').unwrap().1);
    for (note, code) in [
        (String::new(), "note_malformed"),
        ("\n\n".to_owned(), "note_malformed"),
        (TEXT.to_owned(), "note_malformed"),
        (format!("{text}\n\n"), "note_malformed"),
        (format!("{text}\n\n\n"), "note_malformed"),
        (format!("{text}\n\n{line}"), "note_malformed"),
        (format!("{text}\n{line}\n"), "note_malformed"),
        (format!("{good}\n"), "note_malformed"),
        (format!("{good}x\n"), "note_malformed"),
        (format!("{text}\n\n - {NAME} {encoded}\n"), "note_malformed"),
        (format!("{text}\n\n— {encoded}\n"), "note_malformed"),
        (format!("{text}\n\n—  {encoded}\n"), "note_malformed"),
        (format!("{text}\n\n— {NAME}  {encoded}\n"), "note_malformed"),
        (format!("{text}\n\n— {NAME} {encoded} \n"), "note_malformed"),
        (format!("{text}\n\n— {NAME}+ {encoded}\n"), "note_malformed"),
        (format!("{text}\n\n— {NAME}\u{a0} {encoded}\n"), "note_malformed"),
        (format!("{text}\n\n— {NAME} AAAAAA==\n"), "note_malformed"),
        (format!("{text}\n\n— {NAME} {}\n", encoded.trim_end_matches('=')), "note_malformed"),
        (good.replace('\n', "\r\n"), "note_characters"),
        (good.replacen('t', "\t", 1), "note_characters"),
        (format!("\0{good}"), "note_characters"),
        (format!("\u{1b}[2J{good}"), "note_characters"),
    ] {
        let found = SignedNote::parse(note.as_bytes()).map(|note| note.text().to_owned());
        assert_eq!(found.map_err(|error| error.code()), Err(code), "{note:?}");
    }
    for at in [0, good.len() / 2, good.len()] {
        let mut bytes = good.clone().into_bytes();
        bytes.insert(at, 0xff);
        assert_eq!(SignedNote::parse(&bytes), Err(NoteError::Characters));
    }
}

#[test]
fn a_note_is_bounded() {
    let mut text = "a".repeat(TEXT_BYTES_MAX - 1);
    text.push('\n');
    let note = ours().sign(&text).unwrap();
    assert!(SignedNote::parse(&note).unwrap().verify(ours().verifier()).is_ok());
    text.insert(0, 'a');
    assert_eq!(ours().sign(&text), Err(NoteError::Size(TEXT_BYTES_MAX + 1)));
    let line = ours().signature_line(&text);
    assert_eq!(verify(&text, &[line]), Err(NoteError::Size(TEXT_BYTES_MAX + 1)));
    let huge = vec![b'a'; NOTE_BYTES_MAX + 1];
    assert_eq!(SignedNote::parse(&huge).unwrap_err().code(), "note_size");
    assert_eq!(SignedNote::parse(&huge[1..]).unwrap_err().code(), "note_malformed");
}

#[test]
fn only_what_can_be_read_is_signed() {
    assert_eq!(ours().sign("no newline"), Err(NoteError::Malformed));
    assert_eq!(ours().sign("a\tb\n"), Err(NoteError::Characters));
    assert_eq!(format!("{:?}", ours()), format!("SignerKey({:?})", ours().verifier().id()));
}

#[test]
fn a_key_is_its_name_the_hash_of_both_and_its_bytes() {
    let seed =
        SEED.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
    let signer = SignerKey::from_seed(NAME, seed.collect::<Vec<_>>().try_into().unwrap()).unwrap();
    let key = VerifierKey::parse(KEY).unwrap();
    assert_eq!(signer.verifier(), &key);
    assert_eq!((key.name(), key.id(), key.text()), (NAME, "sumdb.example+eda6dcf9".to_owned(), KEY));
    assert_eq!(key.hash(), [0xed, 0xa6, 0xdc, 0xf9]);
}

#[test]
fn another_key_text_is_refused() {
    use KeyError::{Algorithm, Hash, Malformed, Name};
    for (from, to, error) in [
        ("sumdb.", "sum.", Hash),
        ("eda6dcf9", "eda6dcf8", Hash),
        ("B1Ea", "B1Eb", Hash),
        ("eda6dcf9", "EDA6DCF9", Malformed),
        ("eda6dcf9", "eda6dcf", Malformed),
        ("eda6dcf9", "0eda6dcf9", Malformed),
        ("eda6dcf9", "+da6dcf9", Malformed),
        ("+eda6dcf9", "", Malformed),
        ("Addam", "Bddam", Algorithm),
        ("B1Ea", "", Algorithm),
        ("B1Ea", "B1EaB1Ea", Algorithm),
        ("AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea", "", Algorithm),
        ("B1Ea", "B1E", Malformed),
        ("B1Ea", "B1E\n", Malformed),
        ("B1Ea", "B1Ea ", Malformed),
        ("sumdb.example", "", Name),
        ("sumdb.example", "sumdb example", Name),
        ("sumdb.example", "sumdb\n.example", Name),
        ("sumdb.example", "sumdb\u{2003}.example", Name),
        (KEY, "", Malformed),
    ] {
        assert_eq!(VerifierKey::parse(&KEY.replacen(from, to, 1)), Err(error), "{from} to {to:?}");
    }
    let long = format!("{}{KEY}", "a".repeat(1_024));
    assert_eq!(VerifierKey::parse(&long).unwrap_err().code(), "key_malformed");
    assert_eq!(SignerKey::from_seed("a+b", [1; 32]).unwrap_err().code(), "key_name");
}

proptest! {
    #[test]
    fn every_key_and_note_is_read_as_it_was_written(name in "[^\\s+\\p{Cc}]{1,20}", seed: [u8; 32], text in "([^\\p{Cc}]{0,9}\n){1,5}") {
        let signer = SignerKey::from_seed(&name, seed).unwrap();
        let key = VerifierKey::parse(signer.verifier().text()).unwrap();
        prop_assert_eq!(&key, signer.verifier());
        let verified = SignedNote::parse(&signer.sign(&text).unwrap()).unwrap().verify(&key).unwrap();
        prop_assert_eq!(verified.text(), text);
    }

    #[test]
    fn no_note_or_key_panics(bytes: Vec<u8>, text in "[a\n +—=]{0,40}") {
        let _ = (SignedNote::parse(&bytes), SignedNote::parse(text.as_bytes()), VerifierKey::parse(&text));
    }
}
