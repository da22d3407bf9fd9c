//! Who signs: a key in this process, or whatever implements [`Signer`]: a KMS, a signing agent.

use std::{fmt, sync::Arc};

use touchstone_domain::KeyId;

use crate::{KeyKind, PublicKey};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The text is no private key that can be used.
    #[error("not a private Ed25519 key in PEM (PKCS #8, or encrypted as cosign does): {0}")]
    Key(String),
    /// The signer did not sign.
    #[error("the signer failed: {0}")]
    Failed(String),
}

/// Something that signs with one key. Called on the blocking pool: it may take its time.
pub trait Signer: Send + Sync + fmt::Debug {
    /// What it signs.
    fn kind(&self) -> KeyKind;

    /// The public half.
    fn public(&self) -> PublicKey;

    /// Its number.
    fn key_id(&self) -> KeyId;

    /// Signs these bytes: an Ed25519 signature, as RFC 8032 has it.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// With which key a service signs, and for which installation.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The installation's name: records of another one do not count.
    pub environment: Arc<str>,
    /// The key.
    pub signer: Arc<dyn Signer>,
}

/// A key in memory. It does not print itself.
pub struct LocalSigner {
    kind: KeyKind,
    public: PublicKey,
    id: KeyId,
}

impl LocalSigner {
    /// The key whose private half is these bytes. They must be random, and the caller's only; tests choose them.
    pub fn from_seed(_kind: KeyKind, _seed: [u8; 32]) -> Result<Self, SignError> {
        todo!("custody helper")
    }

    /// Makes a new key: the signer, and its private half as PEM, encrypted when a password is given.
    pub fn generate(_kind: KeyKind, _password: Option<&str>) -> Result<(Self, String), SignError> {
        todo!("custody helper: sigstore::crypto")
    }

    /// Reads PEM; the password only if it is encrypted.
    pub fn from_pem(_kind: KeyKind, _pem: &str, _password: Option<&str>) -> Result<Self, SignError> {
        todo!("custody helper: sigstore::crypto")
    }

    /// The seed, for the log's note key.
    pub fn seed(&self) -> [u8; 32] {
        todo!("custody helper")
    }
}

impl Signer for LocalSigner {
    fn kind(&self) -> KeyKind {
        self.kind
    }

    fn public(&self) -> PublicKey {
        self.public
    }

    fn key_id(&self) -> KeyId {
        self.id
    }

    fn sign(&self, _message: &[u8]) -> Result<[u8; 64], SignError> {
        todo!("custody helper")
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalSigner({}, {})", self.kind, self.id)
    }
}
