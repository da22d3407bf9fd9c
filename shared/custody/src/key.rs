//! Public keys: Ed25519, and the one kind of step that each signs for.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use touchstone_domain::{CheckKind, KeyId, Sha256};

const PEM_HEAD: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_FOOT: &str = "-----END PUBLIC KEY-----";
/// What stands before the raw key in its SubjectPublicKeyInfo.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The y coordinates of the points whose order divides eight, each in every encoding, without the sign of x.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];
/// The longest PEM that is read, in bytes; that of a key has 113.
const PEM_BYTES_MAX: usize = 1024;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// What an edge fetched, and from where.
    Fetch,
    /// Verdicts of the hash check.
    Hash,
    /// Verdicts of the attest check.
    Attest,
    /// Verdicts of the sumdb check.
    Sumdb,
    /// Verdicts of the peer check.
    Peer,
    /// Serve records and layouts.
    Promote,
    /// Checkpoints of the transparency log.
    Log,
}

/// A word that names no kind of key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of key {0:?}; known are fetch, hash, attest, sumdb, peer, promote and log")]
pub struct UnknownKeyKind(pub String);

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Fetch, Self::Hash, Self::Attest, Self::Sumdb, Self::Peer, Self::Promote, Self::Log];

    /// The word in key rings, commands and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Hash => "hash",
            Self::Attest => "attest",
            Self::Sumdb => "sumdb",
            Self::Peer => "peer",
            Self::Promote => "promote",
            Self::Log => "log",
        }
    }
}

impl From<CheckKind> for KeyKind {
    fn from(check: CheckKind) -> Self {
        match check {
            CheckKind::Hash => Self::Hash,
            CheckKind::Attest => Self::Attest,
            CheckKind::Sumdb => Self::Sumdb,
            CheckKind::Peer => Self::Peer,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = UnknownKeyKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKeyKind(text.to_owned()))
    }
}

/// Why a text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the PEM of an Ed25519 public key (SubjectPublicKeyInfo, RFC 8410)")]
pub struct PublicKeyError;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key whose raw bytes these are, as RFC 8032 has them.
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The raw bytes.
    pub const fn raw(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads PEM.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(PublicKeyError);
        }
        let body = pem.trim().strip_prefix(PEM_HEAD).and_then(|rest| rest.strip_suffix(PEM_FOOT));
        let text: String = body.ok_or(PublicKeyError)?.split_ascii_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| PublicKeyError)?;
        let raw = der.strip_prefix(&SPKI_PREFIX).ok_or(PublicKeyError)?;
        raw.try_into().map(Self).map_err(|_| PublicKeyError)
    }

    /// PEM, as stock tools read it.
    pub fn to_pem(&self) -> String {
        let der = [SPKI_PREFIX.as_slice(), &self.0].concat();
        format!("{PEM_HEAD}\n{}\n{PEM_FOOT}\n", STANDARD.encode(der))
    }

    /// The raw bytes in hexadecimal, as in-toto layouts and securesystemslib name the public half.
    pub fn to_hex(&self) -> String {
        Sha256(self.0).to_string()
    }

    /// Whether anybody can make signatures that verify with it.
    pub(crate) fn has_small_order(&self) -> bool {
        let mut y = *self;
        y.0[31] &= 0x7f;
        SMALL_ORDER.contains(&y.to_hex().as_str())
    }

    /// The key's number, as securesystemslib 1.x derives it: SHA-256 over the canonical JSON of the key.
    pub fn id(&self) -> KeyId {
        let public = self.to_hex();
        KeyId(Sha256::of(format!(
            r#"{{"keytype":"ed25519","keyval":{{"public":"{public}"}},"scheme":"ed25519"}}"#
        )))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public half of the private key of 32 sevens, and its number as securesystemslib 1.6 derives it.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=
-----END PUBLIC KEY-----
";
    const HEX: &str = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
    const ID: &str = "bfe1a83869e5bf574e3ff3acbb83f840de84a990d10059f3096f0bf4f2b90c10";

    #[test]
    fn a_key_has_the_pem_and_the_number_that_stock_tools_give_it() {
        let key = PublicKey::from_pem(PEM).expect("a key");
        assert_eq!((key.to_hex().as_str(), key.id().to_string().as_str()), (HEX, ID));
        assert_eq!(key.to_pem(), PEM);
        assert_eq!(PublicKey::from_pem(&PEM.replace('\n', "\r\n")), Ok(key));
        assert_eq!(format!("{key:?}"), format!("PublicKey(KeyId(sha256:{ID}))"));
    }

    #[test]
    fn what_is_no_ed25519_public_key_is_refused() {
        for (from, to) in [
            ("PUBLIC", "PRIVATE"),
            ("-----END", "----END"),
            ("MCowBQYDK2VwAyEA", "MCowBQYDK2VuAyEA"), // X25519
            ("0iw=", "0ix="),                         // bits beyond the last byte
            ("0iw=", ""),
            ("0iw=", "0iwA"),
            ("6kps", "6k.s"),
            ("-----BEGIN", "x\n-----BEGIN"),
        ] {
            assert_eq!(PublicKey::from_pem(&PEM.replace(from, to)), Err(PublicKeyError), "{to}");
        }
        assert_eq!(PublicKey::from_pem(&(" ".repeat(PEM_BYTES_MAX) + PEM)), Err(PublicKeyError));
        assert_eq!(PublicKey::from_pem(""), Err(PublicKeyError));
    }

    #[test]
    fn keys_that_anybody_signs_for_are_known() {
        assert!(!PublicKey::from_pem(PEM).expect("a key").has_small_order());
        for y in SMALL_ORDER {
            let mut raw = y.parse::<Sha256>().expect("hexadecimal").0;
            assert!(PublicKey::from_raw(raw).has_small_order(), "{y}");
            raw[31] |= 0x80;
            assert!(PublicKey::from_raw(raw).has_small_order(), "{y} with the sign of x");
        }
    }
}
