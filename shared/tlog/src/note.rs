//! Signed notes: a text, and lines with signatures over it (C2SP signed-note).
//!
//! *Invariant:* only [`SignedNote::verify`] makes a [`VerifiedNote`].

mod key;
mod signer;

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::STANDARD};

pub use key::{KeyError, VerifierKey};
pub use signer::SignerKey;

/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_000_000;
/// The most signatures.
pub const SIGNATURES_MAX: usize = 100;
/// The longest note: a text, and as many signatures as there may be of the longest kind.
pub const NOTE_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;

/// Why a note is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`], or its text than [`TEXT_BYTES_MAX`].
    #[error("the note has {0} bytes, which are too many")]
    Size(usize),
    /// Not UTF-8, or with a control character.
    #[error("the note is not UTF-8 without control characters")]
    Characters,
    /// Not a text, an empty line, and lines with signatures, each ended by a newline.
    #[error("the note is not a text, an empty line and signatures")]
    Malformed,
    /// More than [`SIGNATURES_MAX`] signatures.
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    Signatures,
    /// There is no signature by the key.
    #[error("the note is not signed by {0}")]
    Unsigned(String),
    /// A signature that says that it is by the key is not.
    #[error("a signature by {0} does not verify")]
    Signature(String),
}

impl NoteError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size(_) => "note_size",
            Self::Characters => "note_characters",
            Self::Malformed => "note_malformed",
            Self::Signatures => "note_signatures",
            Self::Unsigned(_) => "note_unsigned",
            Self::Signature(_) => "note_signature",
        }
    }
}

/// A note as it came: nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    bytes: String,
    /// The length of the text, with its last newline.
    text_bytes: usize,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    key_hash: [u8; 4],
    signature: Vec<u8>,
}

impl SignedNote {
    /// Reads a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Size(bytes.len()));
        }
        let note = plain_text(bytes).ok_or(NoteError::Characters)?;
        // The last empty line: the text may have some of its own.
        let (text, signed) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let text_bytes = text.len() + 1;
        if text_bytes > TEXT_BYTES_MAX {
            return Err(NoteError::Size(text_bytes));
        }
        let lines = signed.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if lines.split('\n').nth(SIGNATURES_MAX).is_some() {
            return Err(NoteError::Signatures);
        }
        let signatures: Option<_> = lines.split('\n').map(Signature::parse).collect();
        let signatures = signatures.ok_or(NoteError::Malformed)?;
        Ok(Self { bytes: note.to_owned(), text_bytes, signatures })
    }

    /// The text. UNVERIFIED.
    pub fn text(&self) -> &str {
        &self.bytes[..self.text_bytes]
    }

    /// The note as it came. UNVERIFIED.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// Checks the signatures that say that they are by the key: there must be one, and each must verify. Those by other keys
    /// do not count, even where they share the name or the hash of this one.
    pub fn verify(self, key: &VerifierKey) -> Result<VerifiedNote, NoteError> {
        let mut signed = false;
        for Signature { name, key_hash, signature } in &self.signatures {
            if name != key.name() || *key_hash != key.hash() {
                continue;
            }
            if !key.is_signature(self.text().as_bytes(), signature) {
                return Err(NoteError::Signature(key.id()));
            }
            signed = true;
        }
        if !signed {
            return Err(NoteError::Unsigned(key.id()));
        }
        Ok(VerifiedNote { text_bytes: self.text_bytes, bytes: self.bytes })
    }
}

impl Signature {
    /// Reads `— name base64(key hash || signature)`.
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (key_hash, signature) = decoded.split_first_chunk::<4>()?;
        (key::is_name(name) && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            key_hash: *key_hash,
            signature: signature.to_vec(),
        })
    }
}

/// A note whose signature by the key verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedNote {
    bytes: String,
    text_bytes: usize,
}

impl VerifiedNote {
    /// The text that was signed.
    pub fn text(&self) -> &str {
        &self.bytes[..self.text_bytes]
    }

    /// The whole note as it came, with all its signatures.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// The same, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_bytes()
    }
}

/// UTF-8 without control characters but the newline.
pub(crate) fn plain_text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let plain = text.bytes().all(|byte| byte >= b' ' || byte == b'\n');
    plain.then_some(text)
}
