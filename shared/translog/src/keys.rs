//! The keys that checkpoints are verified with: those of kind `log` in the key ring.

use touchstone_custody::{KeyKind, KeyRing};
use touchstone_tlog::{
    SignedHead,
    note::{KeyError, NoteError, SignedNote, VerifierKey},
};

use crate::CheckpointError;

/// The name of the log of an environment: that of its note key, and the origin of its checkpoints.
pub fn log_name(environment: &str) -> String {
    format!("touchstone/{environment}")
}

/// The log keys of a ring. A checkpoint has no date, so a key counts until it is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKeys {
    origin: String,
    keys: Vec<VerifierKey>,
    revoked: Vec<VerifierKey>,
}

impl LogKeys {
    /// The log keys of the ring, for the log of this environment.
    pub fn of(ring: &KeyRing, environment: &str) -> Result<Self, KeyError> {
        let origin = log_name(environment);
        let (mut keys, mut revoked) = (vec![], vec![]);
        for entry in ring.entries().iter().filter(|entry| entry.kind == KeyKind::Log) {
            let key = VerifierKey::new(&origin, *entry.public.raw())?;
            if entry.revoked.is_some() { revoked.push(key) } else { keys.push(key) }
        }
        Ok(Self { origin, keys, revoked })
    }

    /// The origin of the log's checkpoints.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Verifies a checkpoint: the signature of one key that was not revoked, and none that is wrong.
    pub fn verify(&self, checkpoint: &[u8]) -> Result<SignedHead, CheckpointError> {
        let note = SignedNote::parse(checkpoint)?;
        if let Some(head) = self.signed_by(&note, &self.keys)? {
            return Ok(head);
        }
        for key in &self.revoked {
            if note.clone().verify(key).is_ok() {
                return Err(CheckpointError::Revoked(key.id()));
            }
        }
        Err(CheckpointError::Unsigned)
    }

    /// As [`LogKeys::verify`], and keys that were revoked count too: enough to stop for, and for nothing else.
    pub fn verify_even_revoked(&self, checkpoint: &[u8]) -> Result<SignedHead, CheckpointError> {
        let note = SignedNote::parse(checkpoint)?;
        for keys in [&self.keys, &self.revoked] {
            if let Some(head) = self.signed_by(&note, keys)? {
                return Ok(head);
            }
        }
        Err(CheckpointError::Unsigned)
    }

    fn signed_by(
        &self,
        note: &SignedNote,
        keys: &[VerifierKey],
    ) -> Result<Option<SignedHead>, CheckpointError> {
        for key in keys {
            match note.clone().verify(key) {
                Ok(verified) => return Ok(Some(SignedHead::from_checkpoint(verified, &self.origin)?)),
                Err(NoteError::Unsigned(_)) => {}
                Err(wrong) => return Err(wrong.into()),
            }
        }
        Ok(None)
    }
}
