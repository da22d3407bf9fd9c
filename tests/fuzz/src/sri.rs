//! Declared digests: `dist.integrity` and `dist.shasum` of npm, `hashes` of PyPI, `cksum` of Cargo.

use touchstone_domain::{Claim, ClaimField, Digest, Ecosystem, OutcomeKind};
use touchstone_ecosystems::{Computed, adapter};

/// The oracle: the words that name an algorithm, and the lengths of its digests in bytes.
const TABLE: [(&str, usize); 5] = [("md5", 16), ("sha1", 20), ("sha256", 32), ("sha384", 48), ("sha512", 64)];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// An algorithm's word and a digest.
type Expected = (&'static str, Vec<u8>);

/// Every field reads the text as the table does: the same digests, or none at all. Whether one of them reads it.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else { return false };
    let named = text.split_once('=').and_then(|(word, hex)| plain(word, hex));
    let fields = [
        (Ecosystem::Npm, ClaimField::NpmIntegrity, integrity(text)),
        (Ecosystem::Npm, ClaimField::NpmShasum, plain("sha1", text)),
        (Ecosystem::Cargo, ClaimField::CargoCksum, plain("sha256", text)),
        (Ecosystem::Pypi, ClaimField::PypiHash, named),
    ];
    for (ecosystem, field, expected) in &fields {
        agree(*ecosystem, *field, text, expected.as_deref());
    }
    fields.iter().any(|(_, _, expected)| expected.is_some())
}

fn agree(ecosystem: Ecosystem, field: ClaimField, text: &str, expected: Option<&[Expected]>) {
    let declared = adapter(ecosystem).declared(&[Claim { field, value: text.to_owned() }]);
    let found: Vec<(&str, &[u8])> =
        declared.comparisons.iter().map(|c| (c.digest.algorithm().as_str(), c.digest.as_bytes())).collect();
    let expected_found: Vec<(&str, &[u8])> =
        expected.unwrap_or_default().iter().map(|(word, bytes)| (*word, bytes.as_slice())).collect();
    assert_eq!(found, expected_found, "{field} of {text:?}");
    assert_eq!(declared.malformed.is_empty(), expected.is_some(), "{field} of {text:?}");
    let digests: Vec<Digest> = declared.comparisons.iter().map(|c| c.digest).collect();
    // with one digest there is nothing that could contradict it
    if let [digest] = digests[..] {
        let judged = |digest| declared.judge(&Computed { size: 0, digests: vec![digest] }, None, false).kind;
        assert_eq!(
            judged(digest) == OutcomeKind::Pass,
            digest.algorithm().is_strong(),
            "{field} of {text:?}"
        );
        let mut other = digest.as_bytes().to_vec();
        other[0] ^= 1;
        let other = Digest::from_bytes(digest.algorithm(), &other).expect("the same length");
        assert_eq!(judged(other), OutcomeKind::Fail, "{field} of {text:?}");
    }
}

/// An SRI string: one to sixteen `algorithm-base64`, a space between them. MD5 is no algorithm there.
fn integrity(text: &str) -> Option<Vec<Expected>> {
    let values: Vec<&str> = text.split(' ').collect();
    let value = |value: &&str| {
        let (word, encoded) = value.split_once('-')?;
        let (word, size) = TABLE[1..].iter().copied().find(|(known, _)| *known == word)?;
        let bytes = (0..size).map(|at| base64_byte(encoded.as_bytes(), at)).collect::<Option<Vec<u8>>>()?;
        (base64(&bytes) == encoded).then_some((word, bytes))
    };
    values.iter().map(value).collect::<Option<_>>().filter(|_| values.len() <= 16)
}

/// A digest in lower-case hexadecimal.
fn plain(word: &str, hex: &str) -> Option<Vec<Expected>> {
    let (word, size) = TABLE.into_iter().find(|(known, _)| *known == word)?;
    let nibble = |byte: &u8| HEX.iter().position(|digit| digit == byte);
    let nibbles: Vec<usize> = hex.bytes().map(|byte| nibble(&byte)).collect::<Option<_>>()?;
    let bytes = nibbles.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair.get(1)?).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    (bytes.len() == size).then(|| vec![(word, bytes)])
}

/// The byte at a place of what base64 encodes.
fn base64_byte(encoded: &[u8], at: usize) -> Option<u8> {
    let bit = |at: usize| {
        let sextet = BASE64.iter().position(|c| Some(c) == encoded.get(at / 6))?;
        Some(sextet >> (5 - at % 6) & 1)
    };
    (0..8).try_fold(0, |byte, offset| Some(byte << 1 | u8::try_from(bit(at * 8 + offset)?).ok()?))
}

/// The one way to write bytes in padded base64: what is declared is rendered again and must be the same.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            (0..3).fold(0_usize, |group, at| group << 8 | chunk.get(at).map_or(0, |b| usize::from(*b)));
        for at in 0..4 {
            let sextet = group >> (18 - 6 * at) & 63;
            text.push(if at <= chunk.len() { char::from(BASE64[sextet]) } else { '=' });
        }
    }
    text
}
