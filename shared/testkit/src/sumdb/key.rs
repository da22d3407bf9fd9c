//! Signed notes: the text, an empty line, and lines of signatures.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_domain::Sha256;

/// The algorithm's number before a public key: Ed25519.
const ED25519: u8 = 1;

/// A key that signs notes.
pub struct NoteKey {
    name: String,
    pair: Ed25519KeyPair,
}

impl NoteKey {
    /// The key of a seed, under this name.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any seed is a key");
        Self { name: name.to_owned(), pair }
    }

    /// The verifier key: name, hash and public key, joined by plus signs.
    pub fn verifier(&self) -> String {
        format!("{}+{}", self.id(), STANDARD.encode(self.public()))
    }

    /// The name and the hash.
    pub fn id(&self) -> String {
        format!("{}+{}", self.name, hex::encode(self.hash()))
    }

    /// A note with this text, which ends in a newline.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        let line = self.line(text);
        [text, b"\n", line.as_bytes()].concat()
    }

    /// A line with the signature over a text.
    pub(super) fn line(&self, text: &[u8]) -> String {
        line(&self.name, self.hash(), self.pair.sign(text).as_ref())
    }

    pub(super) fn signature(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }

    pub(super) fn hash(&self) -> [u8; 4] {
        let named = [self.name.as_bytes(), b"\n", &self.public()].concat();
        let [a, b, c, d, ..] = Sha256::of(&named).0;
        [a, b, c, d]
    }

    fn public(&self) -> Vec<u8> {
        [&[ED25519], self.pair.public_key().as_ref()].concat()
    }
}

/// A line with a signature, whoever made it.
pub(super) fn line(name: &str, hash: [u8; 4], signature: &[u8]) -> String {
    format!("\u{2014} {name} {}\n", STANDARD.encode([&hash, signature].concat()))
}
