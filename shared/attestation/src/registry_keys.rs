//! The public keys that a registry signs with.

mod embedded;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_verify::{
    crypto::{SigningScheme, VerificationKey},
    types::{DerPublicKey, SignatureBytes},
};
use touchstone_domain::Sha256;

use crate::{
    JsonLimits,
    strict_json::{Object, read, strict_text},
};

/// The bounds of a key document.
const LIMITS: JsonLimits = JsonLimits { bytes: 64 * 1024, depth: 16, values: 4096 };
/// The most keys.
const KEYS_MAX: usize = 64;
/// What npm's keys are; keys of other kinds are passed over, so that what they sign is by an unknown key.
const SCHEME: SigningScheme = SigningScheme::EcdsaP256Sha256;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyUsage {
    /// `name@version:integrity` lines of packuments (`npm:signatures`).
    #[serde(rename = "npm:signatures")]
    Signatures,
    /// Publish attestations (`npm:attestations`).
    #[serde(rename = "npm:attestations")]
    Attestations,
}

impl KeyUsage {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "npm:signatures" => Some(Self::Signatures),
            "npm:attestations" => Some(Self::Attestations),
            _ => None,
        }
    }
}

/// One key for one usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryKey {
    id: String,
    usage: KeyUsage,
    spki: Vec<u8>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl RegistryKey {
    /// The id that signatures name it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it signs.
    pub fn usage(&self) -> KeyUsage {
        self.usage
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// When it began to be valid, inclusive, if the document says so.
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// When it ceases to be valid, inclusive, if ever.
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }

    /// Whether it was valid then; both ends count.
    pub fn covers(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time <= end)
    }
}

/// Why a registry signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SignatureProblem {
    /// No key has this id.
    #[error("the key is not known")]
    UnknownKey,
    /// The key is not one for signatures.
    #[error("the key is not for signatures")]
    KeyUsage,
    /// Not standard base64.
    #[error("the signature is not base64")]
    Malformed,
    /// It is not a signature by this key over this message.
    #[error("the signature does not verify")]
    Signature,
}

/// Why a document holds no usable keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryKeysError {
    /// Not strict JSON, beyond the bounds (64 KiB, 64 keys), or of neither shape.
    #[error("the key document is not acceptable")]
    Document(#[from] crate::Refused),
    /// Too many keys.
    #[error("the key document has {0} keys")]
    Many(usize),
    /// One of its keys cannot be used.
    #[error("key {id:?}: {why}")]
    Key {
        /// Its id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The keys of a registry, from the TUF target or the endpoint's document.
#[derive(Clone, Debug)]
pub struct RegistryKeys {
    keys: Vec<RegistryKey>,
    digest: Sha256,
    document: Vec<u8>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireKey {
    #[serde(rename_all = "camelCase")]
    Target {
        key_id: String,
        key_usage: String,
        public_key: Object<PublicKey>,
    },
    Endpoint {
        keyid: String,
        keytype: String,
        scheme: String,
        key: String,
        expires: Option<Timestamp>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    raw_bytes: String,
    key_details: String,
    valid_for: Object<ValidFor>,
}

#[derive(Deserialize)]
struct ValidFor {
    start: Timestamp,
    end: Option<Timestamp>,
}

impl WireKey {
    /// Nothing, for a key of a kind or usage that is not known.
    fn read(self) -> Result<Option<RegistryKey>, RegistryKeysError> {
        let (id, usage, known, key, start, end) = match self {
            Self::Target { key_id, key_usage, public_key: Object(public_key) } => {
                let known = public_key.key_details == "PKIX_ECDSA_P256_SHA_256";
                let Object(window) = public_key.valid_for;
                (
                    key_id,
                    KeyUsage::parse(&key_usage),
                    known,
                    public_key.raw_bytes,
                    Some(window.start),
                    window.end,
                )
            }
            Self::Endpoint { keyid, keytype, scheme, key, expires } => {
                let known = keytype == "ecdsa-sha2-nistp256" && scheme == keytype;
                (keyid, Some(KeyUsage::Signatures), known, key, None, expires)
            }
        };
        let (Some(usage), true) = (usage, known) else { return Ok(None) };
        let refuse = |why: String| RegistryKeysError::Key { id: id.chars().take(128).collect(), why };
        let spki = STANDARD.decode(&key).map_err(|e| refuse(e.to_string()))?;
        VerificationKey::from_spki_with_scheme(&DerPublicKey::from_bytes(&spki), SCHEME)
            .map_err(|e| refuse(e.to_string()))?;
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            return Err(refuse("its validity ends before it starts".to_owned()));
        }
        Ok(Some(RegistryKey { id, usage, spki, start, end }))
    }
}

impl RegistryKeys {
    /// Reads the TUF target (`keyId`, `keyUsage`, `publicKey`) or the endpoint's document (`keyid`, `key`, `expires`), whose keys
    /// are taken to be for signatures only.
    pub fn from_json(document: &[u8]) -> Result<Self, RegistryKeysError> {
        let wire: Document = read(strict_text(document, LIMITS)?, "the key document")?;
        if wire.keys.len() > KEYS_MAX {
            return Err(RegistryKeysError::Many(wire.keys.len()));
        }
        let mut keys: Vec<RegistryKey> = Vec::new();
        for key in wire.keys {
            let Some(key) = key.read()? else { continue };
            if keys.iter().any(|other| other.id == key.id && other.usage == key.usage) {
                return Err(RegistryKeysError::Key { id: key.id, why: "it stands twice".to_owned() });
            }
            keys.push(key);
        }
        Ok(Self { keys, digest: Sha256::of(document), document: document.to_vec() })
    }

    /// The keys that the public npm registry has used so far.
    pub fn embedded() -> Self {
        Self::from_json(embedded::document().as_bytes()).expect("a test reads them")
    }

    /// The digest of the document.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The document as it was read.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// Every key, in the document's order; one of two usages stands twice.
    pub fn iter(&self) -> impl Iterator<Item = &RegistryKey> {
        self.keys.iter()
    }

    /// The key that made this signature (ECDSA P-256 with SHA-256, DER in standard base64). When it was made is not known
    /// here: ask [`RegistryKey::covers`] with a time.
    pub fn verify_signature(
        &self,
        message: &[u8],
        keyid: &str,
        signature_base64: &str,
    ) -> Result<&RegistryKey, SignatureProblem> {
        let named = || self.keys.iter().filter(|key| key.id == keyid);
        let Some(key) = named().find(|key| key.usage == KeyUsage::Signatures) else {
            let known = named().next().is_some();
            return Err(if known { SignatureProblem::KeyUsage } else { SignatureProblem::UnknownKey });
        };
        let signature = STANDARD.decode(signature_base64).map_err(|_| SignatureProblem::Malformed)?;
        VerificationKey::from_spki_with_scheme(&DerPublicKey::from_bytes(&key.spki), SCHEME)
            .and_then(|verifier| verifier.verify(message, &SignatureBytes::new(signature)))
            .map_err(|_| SignatureProblem::Signature)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests;
