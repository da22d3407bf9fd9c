//! DSSE envelopes (secure-systems-lab/dsse v1.0.2): one payload, one signature.

use touchstone_domain::{KeyId, Sha256};

use crate::{KeyProblem, KeyRing, SignError, Signer, StatementError};

/// The payload type of links, layouts and statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The longest envelope, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

/// Why bytes are no envelope of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`ENVELOPE_BYTES_MAX`].
    #[error("the envelope has {0} bytes")]
    Size(usize),
    /// Not the JSON of an envelope with exactly one signature.
    #[error("the envelope is malformed: {0}")]
    Malformed(String),
    /// Another payload type.
    #[error("the payload type is {0:?}")]
    PayloadType(String),
}

/// Why a signed statement does not count. Each has a stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// No key counts for it.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// The signature is not of this key over these bytes.
    #[error("the signature is not that of the key {0}")]
    Signature(KeyId),
    /// The payload is no statement of this kind.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl Refused {
    /// The stable code: `envelope`, `key_unknown`, `key_kind`, `key_window`, `key_revoked`, `signature`, `statement`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "envelope",
            Self::Key(KeyProblem::Unknown(_)) => "key_unknown",
            Self::Key(KeyProblem::Kind { .. }) => "key_kind",
            Self::Key(KeyProblem::Window { .. }) => "key_window",
            Self::Key(KeyProblem::Revoked { .. }) => "key_revoked",
            Self::Signature(_) => "signature",
            Self::Statement(_) => "statement",
        }
    }
}

/// A parsed envelope. UNVERIFIED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The key that the signature says it is of.
    pub key: KeyId,
    /// The signature.
    pub signature: [u8; 64],
}

impl Envelope {
    /// Parses; strict: known members only, none twice, one signature.
    pub fn parse(_bytes: &[u8]) -> Result<Self, EnvelopeError> {
        todo!("custody helper")
    }
}

/// A statement whose signature was verified with a key of the ring that counts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    statement: T,
    key: KeyId,
    envelope: Sha256,
}

impl<T> Signed<T> {
    /// What was signed.
    pub const fn statement(&self) -> &T {
        &self.statement
    }

    /// The key.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The digest of the envelope.
    pub const fn envelope(&self) -> Sha256 {
        self.envelope
    }
}

/// Signs a payload of [`PAYLOAD_TYPE`]; returns the envelope's bytes, one line of JSON without a newline.
pub fn sign(_signer: &dyn Signer, _payload: &[u8]) -> Result<Vec<u8>, SignError> {
    todo!("custody helper")
}

/// A payload that says which kind of key must have signed it, and when.
pub(crate) trait Statement: Sized {
    fn parse(payload: &[u8]) -> Result<Self, StatementError>;
    fn kind(&self) -> crate::KeyKind;
    fn dated(&self) -> jiff::Timestamp;
}

/// Verifies many envelopes at once, which is cheaper than one by one; answers in their order.
#[expect(private_bounds, reason = "only statements of this crate are signed")]
pub fn verify_many<T: Statement>(_envelopes: &[&[u8]], _ring: &KeyRing) -> Vec<Result<Signed<T>, Refused>> {
    todo!("custody helper")
}
