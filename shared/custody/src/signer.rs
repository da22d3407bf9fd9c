//! Who signs: a key in this process, or whatever implements [`Signer`]: a KMS, a signing agent.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use sigstore::crypto::signing_key::{
    COSIGN_PRIVATE_KEY_PEM_LABEL, KeyPair as _, PRIVATE_KEY_PEM_LABEL, SIGSTORE_PRIVATE_KEY_PEM_LABEL,
    ed25519::Ed25519Keys,
};
use touchstone_domain::KeyId;

use crate::{KeyKind, PublicKey, StatementError, link::shortened};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The text is no private key that can be used.
    #[error("not a private Ed25519 key in PEM (PKCS #8, or encrypted as cosign does): {0}")]
    Key(String),
    /// The statement is longer than an envelope may be; nobody signs it.
    #[error("the statement is too long to be signed: its envelope would have {0} bytes")]
    Size(usize),
    /// The statement would be refused by whoever verifies it; nobody signs it.
    #[error(transparent)]
    Statement(#[from] StatementError),
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

/// The longest private key that is read, in bytes of PEM.
const PEM_BYTES_MAX: usize = 16 * 1024;
/// The length of a secretbox nonce.
const NONCE_BYTES: usize = 24;

/// A key in memory. It does not print itself.
pub struct LocalSigner {
    kind: KeyKind,
    pair: Ed25519KeyPair,
    public: PublicKey,
    id: KeyId,
}

impl LocalSigner {
    /// The key whose private half is these bytes. They must be random, and the caller's only; tests choose them.
    pub fn from_seed(kind: KeyKind, seed: [u8; 32]) -> Result<Self, SignError> {
        Self::new(kind, Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|e| key_error(e.to_string()))?)
    }

    /// Makes a new key: the signer, and its private half as PEM, encrypted when a password is given.
    pub fn generate(kind: KeyKind, password: Option<&str>) -> Result<(Self, String), SignError> {
        let failed = |problem: String| SignError::Failed(problem);
        let signer = Self::from_keys(kind, &Ed25519Keys::new().map_err(|e| failed(e.to_string()))?)?;
        // PKCS #8 version 1: OpenSSL, Go and Python do not read the version 2 that the library makes
        let der = signer.pair.to_pkcs8v1().map_err(|e| failed(e.to_string()))?;
        let keys = Ed25519Keys::from_pkcs8_der(der.as_ref()).map_err(|e| failed(e.to_string()))?;
        let pem = match password {
            None => keys.private_key_to_pem(),
            Some("") => return Err(key_error("the password is empty")),
            Some(password) => keys.private_key_to_encrypted_pem(password.as_bytes()),
        };
        let pem = pem.map_err(|e| failed(e.to_string()))?;
        Ok((signer, pem.replace("\r\n", "\n")))
    }

    /// Reads PEM; the password only if it is encrypted.
    pub fn from_pem(kind: KeyKind, pem: &str, password: Option<&str>) -> Result<Self, SignError> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(key_error("it is too long"));
        }
        let keys = match (label(pem), password.filter(|word| !word.is_empty())) {
            (Some(PRIVATE_KEY_PEM_LABEL), _) => Ed25519Keys::from_pem(pem.as_bytes())
                .map_err(|_| key_error("what it holds is no Ed25519 key"))?,
            (Some(COSIGN_PRIVATE_KEY_PEM_LABEL | SIGSTORE_PRIVATE_KEY_PEM_LABEL), None) => {
                return Err(key_error("it is encrypted, and no password is given"));
            }
            (Some(COSIGN_PRIVATE_KEY_PEM_LABEL | SIGSTORE_PRIVATE_KEY_PEM_LABEL), Some(password)) => {
                check_encrypted(pem)?;
                Ed25519Keys::from_encrypted_pem(pem.as_bytes(), password.as_bytes()).map_err(|_| {
                    key_error("it does not open with this password, or what it holds is no Ed25519 key")
                })?
            }
            (Some(other), _) => return Err(key_error(format!("it is a {:?}", shortened(other.to_owned())))),
            (None, _) => return Err(key_error("it is no PEM")),
        };
        Self::from_keys(kind, &keys)
    }

    /// The seed, for the log's note key.
    pub fn seed(&self) -> [u8; 32] {
        let seed = self.pair.seed().and_then(|seed| seed.as_be_bytes()).expect("a key in memory has a seed");
        seed.as_ref().try_into().expect("a seed has 32 bytes")
    }

    fn from_keys(kind: KeyKind, keys: &Ed25519Keys) -> Result<Self, SignError> {
        let der = keys.private_key_to_der().map_err(|e| key_error(e.to_string()))?;
        Self::new(kind, Ed25519KeyPair::from_pkcs8(&der).map_err(|e| key_error(e.to_string()))?)
    }

    fn new(kind: KeyKind, pair: Ed25519KeyPair) -> Result<Self, SignError> {
        let raw = pair.public_key().as_ref().try_into();
        let public = PublicKey::from_raw(raw.map_err(|_| key_error("its public half has another length"))?);
        Ok(Self { kind, pair, public, id: public.id() })
    }
}

fn key_error(reason: impl Into<String>) -> SignError {
    SignError::Key(reason.into())
}

/// What a PEM says that it is.
fn label(pem: &str) -> Option<&str> {
    pem.trim_start().strip_prefix("-----BEGIN ")?.split_once("-----").map(|(label, _)| label)
}

/// The library panics at a nonce of another length, so it must not see one.
fn check_encrypted(pem: &str) -> Result<(), SignError> {
    #[derive(Deserialize)]
    struct Encrypted {
        cipher: Cipher,
    }
    #[derive(Deserialize)]
    struct Cipher {
        nonce: String,
    }
    let damaged = || key_error("it is damaged");
    let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let json = STANDARD.decode(body).map_err(|_| damaged())?;
    let Encrypted { cipher } = serde_json::from_slice(&json).map_err(|_| damaged())?;
    match STANDARD.decode(cipher.nonce) {
        Ok(nonce) if nonce.len() == NONCE_BYTES => Ok(()),
        Ok(_) | Err(_) => Err(damaged()),
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

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.pair.try_sign(message).map_err(|e| SignError::Failed(e.to_string()))?;
        signature.as_ref().try_into().map_err(|_| SignError::Failed("another length".to_owned()))
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalSigner({}, {})", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests;
