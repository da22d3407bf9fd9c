//! The key ring: every public key that ever counted, since when, until when, and which of them were revoked.
//!
//! It is a JSON file that operators hand to every role; the database has no say in it.

use std::collections::HashMap;

use curve25519_dalek::EdwardsPoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::{KeyId, Sha256};

use crate::{KeyKind, PublicKey, batch};

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

impl KeyProblem {
    /// The same in words that do not change while it lasts: without its key, and without the date of the moment.
    pub fn lasting(&self) -> String {
        match self {
            Self::Window { .. } => "its window has not begun, or is over".to_owned(),
            Self::Unknown(_) => "it is not in the key ring".to_owned(),
            Self::Kind { found, .. } => format!("by the key ring it signs for {found}"),
            Self::Revoked { reason, .. } => format!("it was revoked: {reason}"),
        }
    }
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

/// The largest ring that is read, in bytes.
const RING_BYTES_MAX: usize = 1024 * 1024;
/// The most keys in a ring.
const KEYS_MAX: usize = 1024;
/// The longest reason for a revocation, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// The keys that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    entries: Vec<KeyEntry>,
    /// What [`batch`] takes of each.
    points: Vec<Option<EdwardsPoint>>,
    positions: HashMap<KeyId, usize>,
    digest: Sha256,
}

impl Default for KeyRing {
    fn default() -> Self {
        Self::new(vec![]).expect("no key is refused")
    }
}

impl KeyRing {
    /// A ring of these keys.
    pub fn new(entries: Vec<KeyEntry>) -> Result<Self, RingError> {
        if entries.len() > KEYS_MAX {
            return Err(RingError::Size);
        }
        let mut positions = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let refused = |problem: &str| RingError::Key { position: index + 1, problem: problem.to_owned() };
            check(entry).map_err(refused)?;
            if positions.insert(entry.public.id(), index).is_some() {
                return Err(refused("it is there already"));
            }
        }
        let digest = Sha256::of(written(&entries));
        let points = entries.iter().map(|entry| batch::point(&entry.public)).collect();
        Ok(Self { entries, points, positions, digest })
    }

    /// Reads the file's text; unknown members, a key twice and a wrong number are errors.
    pub fn parse(json: &[u8]) -> Result<Self, RingError> {
        if json.len() > RING_BYTES_MAX {
            return Err(RingError::Size);
        }
        let WireRing { keys } = serde_json::from_slice(json).map_err(RingError::Json)?;
        let read = |(index, wire): (usize, WireKey)| {
            wire.read().map_err(|problem| RingError::Key { position: index + 1, problem })
        };
        Self::new(keys.into_iter().enumerate().map(read).collect::<Result<_, _>>()?)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        written(&self.entries)
    }

    /// The digest of [`KeyRing::to_json`], which names this state of the ring.
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }

    /// Every key, in the order of the file.
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// The entry of a key, whatever its state.
    pub fn entry(&self, key: KeyId) -> Option<&KeyEntry> {
        self.positions.get(&key).and_then(|position| self.entries.get(*position))
    }

    /// What [`batch`] takes of a key.
    pub(crate) fn point(&self, key: KeyId) -> Option<&EdwardsPoint> {
        self.positions.get(&key).and_then(|position| self.points.get(*position)?.as_ref())
    }

    /// The key, if it counts for a step of this kind that is dated so.
    pub fn accept(&self, key: KeyId, kind: KeyKind, at: Timestamp) -> Result<&KeyEntry, KeyProblem> {
        let entry = self.entry(key).ok_or(KeyProblem::Unknown(key))?;
        if let Some(revoked) = &entry.revoked {
            return Err(KeyProblem::Revoked { key, reason: revoked.reason.clone() });
        }
        if entry.kind != kind {
            return Err(KeyProblem::Kind { key, expected: kind, found: entry.kind });
        }
        if at < entry.not_before || entry.not_after.is_some_and(|end| at > end) {
            return Err(KeyProblem::Window { key, at });
        }
        Ok(entry)
    }

    /// The keys that were revoked.
    pub fn revoked(&self) -> impl Iterator<Item = (KeyId, &Revoked)> {
        self.entries.iter().filter_map(|entry| Some((entry.public.id(), entry.revoked.as_ref()?)))
    }
}

/// What a ring may not have, whoever wrote it.
fn check(entry: &KeyEntry) -> Result<(), &'static str> {
    if entry.public.has_small_order() {
        return Err("anybody can sign for such a key");
    }
    if entry.not_after.is_some_and(|end| end < entry.not_before) {
        return Err("its window ends before it begins");
    }
    if entry.revoked.as_ref().is_some_and(|revoked| revoked.reason.len() > REASON_BYTES_MAX) {
        return Err("the reason for its revocation is too long");
    }
    Ok(())
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRing {
    keys: Vec<WireKey>,
}

/// A key in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    id: KeyId,
    kind: KeyKind,
    public: String,
    not_before: Timestamp,
    not_after: Option<Timestamp>,
    revoked: Option<Revoked>,
}

impl WireKey {
    fn read(self) -> Result<KeyEntry, String> {
        let Self { id, kind, public, not_before, not_after, revoked } = self;
        let public = PublicKey::from_pem(&public).map_err(|e| e.to_string())?;
        if public.id() != id {
            return Err(format!("its number is {}, not {id}", public.id()));
        }
        Ok(KeyEntry { kind, public, not_before, not_after, revoked })
    }
}

fn written(entries: &[KeyEntry]) -> String {
    let keys = entries.iter().cloned().map(|KeyEntry { kind, public, not_before, not_after, revoked }| {
        WireKey { id: public.id(), kind, public: public.to_pem(), not_before, not_after, revoked }
    });
    let ring = WireRing { keys: keys.collect() };
    serde_json::to_string_pretty(&ring).expect("texts, dates and words are JSON") + "\n"
}

#[cfg(test)]
mod tests;
