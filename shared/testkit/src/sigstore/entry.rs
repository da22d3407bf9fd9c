//! What log entries say: the canonical bodies of each kind.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use touchstone_domain::Sha256;

use super::{key::pem, log::LogVersion};

/// The kinds of log entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `hashedrekord` 0.0.1: a signature over an artifact.
    HashedRekord,
    /// `dsse` 0.0.1.
    Dsse,
    /// `intoto` 0.0.2: publish attestations, and older provenance.
    Intoto,
    /// `hashedrekord` 0.0.2 of the second log: an artifact, or the encoding of an envelope.
    HashedRekordV2,
    /// `dsse` 0.0.2 of the second log, which no verifier here supports.
    DsseV2,
}

impl EntryKind {
    /// The kind and version as entries name them.
    pub fn kind_version(self) -> (&'static str, &'static str) {
        match self {
            Self::HashedRekord => ("hashedrekord", "0.0.1"),
            Self::Dsse => ("dsse", "0.0.1"),
            Self::Intoto => ("intoto", "0.0.2"),
            Self::HashedRekordV2 => ("hashedrekord", "0.0.2"),
            Self::DsseV2 => ("dsse", "0.0.2"),
        }
    }

    /// The log that takes this kind.
    pub fn log(self) -> LogVersion {
        match self {
            Self::HashedRekord | Self::Dsse | Self::Intoto => LogVersion::V1,
            Self::HashedRekordV2 | Self::DsseV2 => LogVersion::V2,
        }
    }
}

/// What verifies a signature.
pub(super) enum Verifier<'a> {
    /// A certificate, DER.
    Certificate(&'a [u8]),
    /// A public key, DER.
    Key(&'a [u8]),
}

impl Verifier<'_> {
    fn pem_base64(&self) -> String {
        STANDARD.encode(match self {
            Self::Certificate(der) => pem("CERTIFICATE", der),
            Self::Key(der) => pem("PUBLIC KEY", der),
        })
    }

    fn described(&self, details: &str) -> Value {
        match self {
            Self::Certificate(der) => {
                json!({ "keyDetails": details, "x509Certificate": { "rawBytes": STANDARD.encode(der) } })
            }
            Self::Key(der) => {
                json!({ "keyDetails": details, "publicKey": { "rawBytes": STANDARD.encode(der) } })
            }
        }
    }
}

/// What an entry is about.
pub(super) struct Logged<'a> {
    /// What was signed: the artifact, or the encoding of the envelope.
    pub message: &'a [u8],
    /// The type and content of the envelope; an artifact has none.
    pub payload: Option<(&'a str, &'a [u8])>,
    /// The signature.
    pub signature: &'a [u8],
    /// The signer's hint in the envelope.
    pub key_id: &'a str,
    pub verifier: Verifier<'a>,
    /// The algorithm of the signer's key.
    pub details: &'static str,
}

/// The body of an entry, as canonical as its kind is.
pub(super) fn body(kind: EntryKind, logged: &Logged<'_>) -> Value {
    let (name, version) = kind.kind_version();
    json!({ "apiVersion": version, "kind": name, "spec": spec(kind, logged) })
}

fn spec(kind: EntryKind, logged: &Logged<'_>) -> Value {
    let sha256 = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": hex::encode(Sha256::of(bytes).0) });
    let sha2_256 =
        |bytes: &[u8]| json!({ "algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::of(bytes).0) });
    let signature = STANDARD.encode(logged.signature);
    let (payload_type, payload) = logged.payload.unwrap_or(("", logged.message));
    let mut signer = json!({ "publicKey": logged.verifier.pem_base64(), "sig": STANDARD.encode(&signature) });
    if !logged.key_id.is_empty() {
        signer["keyid"] = Value::from(logged.key_id);
    }
    let verifier = logged.verifier.described(logged.details);
    match kind {
        EntryKind::HashedRekord => json!({
            "data": { "hash": sha256(logged.message) },
            "signature": { "content": signature, "publicKey": { "content": logged.verifier.pem_base64() } },
        }),
        EntryKind::Dsse => json!({
            "envelopeHash": sha256(logged.message),
            "payloadHash": sha256(payload),
            "signatures": [{ "signature": signature, "verifier": logged.verifier.pem_base64() }],
        }),
        EntryKind::Intoto => json!({ "content": {
            "envelope": { "payloadType": payload_type, "signatures": [signer] },
            "hash": sha256(logged.message),
            "payloadHash": sha256(payload),
        } }),
        EntryKind::HashedRekordV2 => json!({ "hashedRekordV002": {
            "data": sha2_256(logged.message),
            "signature": { "content": signature, "verifier": verifier },
        } }),
        EntryKind::DsseV2 => json!({ "dsseV002": {
            "payloadHash": sha2_256(payload),
            "signatures": [{ "content": signature, "verifier": verifier }],
        } }),
    }
}
