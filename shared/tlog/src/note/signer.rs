//! The keys that notes are signed with.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{KeyError, NoteError, TEXT_BYTES_MAX, VerifierKey, plain_text};

/// An Ed25519 key that signs notes. It does not print itself.
pub struct SignerKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SignerKey {
    /// The key of this name whose private half is these bytes, as RFC 8032 has them. They must be random, and the caller's only.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Algorithm)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Algorithm)?;
        Ok(Self { pair, verifier: VerifierKey::new(name, public)? })
    }

    /// The key that verifies what this one signs.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text, which ends with a newline: the whole note.
    pub fn sign(&self, text: &str) -> Result<Vec<u8>, NoteError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NoteError::Size(text.len()));
        }
        plain_text(text.as_bytes()).ok_or(NoteError::Characters)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed);
        }
        Ok(format!("{text}\n{}", self.signature_line(text)).into_bytes())
    }

    /// The line that is added to a note with this text, with its newline.
    pub fn signature_line(&self, text: &str) -> String {
        let mut signature = self.verifier.hash().to_vec();
        signature.extend(self.pair.sign(text.as_bytes()).as_ref());
        format!("\u{2014} {} {}\n", self.verifier.name(), STANDARD.encode(signature))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignerKey").field(&self.verifier.id()).finish()
    }
}
