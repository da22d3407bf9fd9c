//! The keys that notes are verified with.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::Digest as _;

/// The byte that says Ed25519, before the key.
pub(super) const ALGORITHM_ED25519: u8 = 1;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not `name+hash+key`, or too long.
    #[error("a key is its name, + and eight lower-case hexadecimal digits, + and base64")]
    Malformed,
    /// The name is empty, or has white space, a control character or a plus sign.
    #[error("the name of a key is not empty, and has no white space, control character or plus sign")]
    Name,
    /// Not an Ed25519 key.
    #[error("the key is not an ed25519 key")]
    Algorithm,
    /// The hash in it is not that of the name and the key.
    #[error("the hash in the key is not that of its name and its bytes")]
    Hash,
}

impl KeyError {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "key_malformed",
            Self::Name => "key_name",
            Self::Algorithm => "key_algorithm",
            Self::Hash => "key_hash",
        }
    }
}

/// An Ed25519 key that verifies notes, and the name that signatures say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    text: String,
    name: String,
    hash: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// Reads `name+hash+base64(0x01 || public key)`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyError::Malformed);
        }
        // Base64 may have a plus sign, a name may not.
        let (name, rest) = text.split_once('+').ok_or(KeyError::Malformed)?;
        let (hash, encoded) = rest.split_once('+').ok_or(KeyError::Malformed)?;
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hash.len() != 8 || !hash.bytes().all(lower_hex) {
            return Err(KeyError::Malformed);
        }
        let decoded = STANDARD.decode(encoded).map_err(|_| KeyError::Malformed)?;
        let Some((&ALGORITHM_ED25519, public)) = decoded.split_first() else {
            return Err(KeyError::Algorithm);
        };
        let public = public.try_into().map_err(|_| KeyError::Algorithm)?;
        let key = Self::new(name, public)?;
        (key.text == text).then_some(key).ok_or(KeyError::Hash)
    }

    /// The key of this name whose public half is these bytes, as RFC 8032 has them.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let hash = key_hash(name, &public);
        let mut encoded = vec![ALGORITHM_ED25519];
        encoded.extend(public);
        let text = format!("{}+{}", id(name, hash), STANDARD.encode(encoded));
        Ok(Self { text, name: name.to_owned(), hash, public })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first bytes of the hash of the name and the key.
    pub fn hash(&self) -> [u8; 4] {
        self.hash
    }

    /// The name, a plus sign and the hash in hexadecimal: what identifies the key, and all that is written about it.
    pub fn id(&self) -> String {
        id(&self.name, self.hash)
    }

    /// The whole key, as it is configured.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }
}

/// Whether a key may have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn id(name: &str, hash: [u8; 4]) -> String {
    format!("{name}+{:08x}", u32::from_be_bytes(hash))
}

/// The first four bytes of SHA-256(name || newline || algorithm || key).
fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hasher = sha2::Sha256::new().chain_update(name).chain_update([b'\n', ALGORITHM_ED25519]);
    let digest: [u8; 32] = hasher.chain_update(public).finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}
