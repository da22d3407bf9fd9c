//! The key ring: every public key that ever counted, since when, until when, and which of them were revoked.
//!
//! It is a JSON file that operators hand to every role; the database has no say in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::{KeyId, Sha256};

use crate::{KeyKind, PublicKey};

/// One key of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// What it signs.
    pub kind: KeyKind,
    /// The key.
    pub public: PublicKey,
    /// What is dated earlier does not count.
    pub not_before: Timestamp,
    /// What is dated later does not count.
    pub not_after: Option<Timestamp>,
    /// Who took it out of use, and why.
    pub revoked: Option<Revoked>,
}

/// The end of a key that is not to be trusted any more: nothing that it ever signed counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// When it was revoked.
    pub at: Timestamp,
    /// Why, in words for people.
    pub reason: String,
}

/// Why no key counts for a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// The ring has no such key.
    #[error("the key {0} is not in the key ring")]
    Unknown(KeyId),
    /// It signs other steps.
    #[error("the key {key} signs for {found}, not for {expected}")]
    Kind {
        /// The key.
        key: KeyId,
        /// What a key was looked for.
        expected: KeyKind,
        /// What it signs.
        found: KeyKind,
    },
    /// What it signed is dated outside its window.
    #[error("the key {key} does not count for what is dated {at}")]
    Window {
        /// The key.
        key: KeyId,
        /// The date that was signed.
        at: Timestamp,
    },
    /// It was revoked.
    #[error("the key {key} was revoked: {reason}")]
    Revoked {
        /// The key.
        key: KeyId,
        /// Why.
        reason: String,
    },
}

/// Why a text is no key ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// Larger than a ring may be, or with more keys.
    #[error("the key ring is too large")]
    Size,
    /// Not the JSON of a ring.
    #[error("the key ring is malformed")]
    Json(#[source] serde_json::Error),
    /// A key is not as it must be: its PEM, its number, its window, or it is there twice.
    #[error("the key {position} of the ring is refused: {problem}")]
    Key {
        /// Its position, from one.
        position: usize,
        /// What is wrong.
        problem: String,
    },
}

/// The keys that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing {
    entries: Vec<KeyEntry>,
}

impl KeyRing {
    /// A ring of these keys.
    pub fn new(_entries: Vec<KeyEntry>) -> Result<Self, RingError> {
        todo!("custody helper")
    }

    /// Reads the file's text; unknown members, a key twice and a wrong number are errors.
    pub fn parse(_json: &[u8]) -> Result<Self, RingError> {
        todo!("custody helper")
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        todo!("custody helper")
    }

    /// The digest of [`KeyRing::to_json`], which names this state of the ring.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.to_json())
    }

    /// Every key, in the order of the file.
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// The entry of a key, whatever its state.
    pub fn entry(&self, _key: KeyId) -> Option<&KeyEntry> {
        todo!("custody helper")
    }

    /// The key, if it counts for a step of this kind that is dated so.
    pub fn accept(&self, _key: KeyId, _kind: KeyKind, _at: Timestamp) -> Result<&KeyEntry, KeyProblem> {
        todo!("custody helper")
    }

    /// The keys that were revoked.
    pub fn revoked(&self) -> impl Iterator<Item = (KeyId, &Revoked)> {
        self.entries.iter().filter_map(|entry| Some((entry.public.id(), entry.revoked.as_ref()?)))
    }
}
