//! Bundles: signed, logged, timestamped, and written down in any version of the format.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_domain::Sha256;

use super::{
    Sigstore,
    authority::SctTemplate,
    certificate::{Template, usage},
    entry::{EntryKind, Logged, Verifier, body},
    identity::Identity,
    key::{KeyKind, KeyPair},
    log::LogVersion,
    registry::RegistryKey,
    timestamp::TokenTemplate,
};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The versions and spellings of the bundle format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleVersion {
    /// 0.1, with a certificate chain.
    V01,
    /// 0.2, with a certificate chain.
    V02,
    /// 0.3, with one certificate.
    V03,
    /// 0.3 in the spelling that came first.
    V03Parameter,
}

impl BundleVersion {
    fn media_type(self) -> &'static str {
        match self {
            Self::V01 => "application/vnd.dev.sigstore.bundle+json;version=0.1",
            Self::V02 => "application/vnd.dev.sigstore.bundle+json;version=0.2",
            Self::V03 => "application/vnd.dev.sigstore.bundle.v0.3+json",
            Self::V03Parameter => "application/vnd.dev.sigstore.bundle+json;version=0.3",
        }
    }
}

enum Signer<'a> {
    Identity(Box<Identity>),
    Registry(&'a RegistryKey),
}

enum Content {
    Envelope { payload_type: String, payload: Vec<u8> },
    Message(Vec<u8>),
}

type Change<'a, T> = Vec<Box<dyn FnOnce(&mut T) + 'a>>;

/// A bundle to be minted. Honest by default; each method changes one thing and all the rest is made honestly around it.
#[must_use]
pub struct Bundle<'a> {
    sigstore: &'a Sigstore,
    signer: Signer<'a>,
    content: Content,
    key_kind: KeyKind,
    version: BundleVersion,
    entries: Vec<EntryKind>,
    signed_at: Timestamp,
    integrated_at: Option<Timestamp>,
    timestamped_at: Option<Vec<Timestamp>>,
    leaf: Change<'a, Template>,
    sct: Change<'a, SctTemplate>,
    signature: Change<'a, Vec<u8>>,
    token: Change<'a, TokenTemplate>,
    body: Change<'a, Value>,
    edit: Change<'a, Value>,
}

impl<'a> Bundle<'a> {
    pub(super) fn statement(sigstore: &'a Sigstore, identity: &Identity, statement: &Value) -> Self {
        let payload = serde_json::to_vec(statement).expect("json");
        let content = Content::Envelope { payload_type: IN_TOTO.to_owned(), payload };
        Self::new(sigstore, Signer::Identity(Box::new(identity.clone())), content, EntryKind::Dsse)
    }

    pub(super) fn by_registry(sigstore: &'a Sigstore, key: &'a RegistryKey, statement: &Value) -> Self {
        let payload = serde_json::to_vec(statement).expect("json");
        let content = Content::Envelope { payload_type: IN_TOTO.to_owned(), payload };
        Self::new(sigstore, Signer::Registry(key), content, EntryKind::Intoto).version(BundleVersion::V02)
    }

    pub(super) fn artifact(sigstore: &'a Sigstore, identity: &Identity, artifact: &[u8]) -> Self {
        let content = Content::Message(artifact.to_vec());
        Self::new(sigstore, Signer::Identity(Box::new(identity.clone())), content, EntryKind::HashedRekord)
    }

    fn new(sigstore: &'a Sigstore, signer: Signer<'a>, content: Content, entry: EntryKind) -> Self {
        Self {
            sigstore,
            signer,
            content,
            key_kind: KeyKind::P256,
            version: BundleVersion::V03,
            entries: vec![entry],
            signed_at: sigstore.now,
            integrated_at: None,
            timestamped_at: None,
            leaf: vec![],
            sct: vec![],
            signature: vec![],
            token: vec![],
            body: vec![],
            edit: vec![],
        }
    }

    /// Another version of the format.
    pub fn version(mut self, version: BundleVersion) -> Self {
        self.version = version;
        self
    }

    /// Another time of signing. Certificate, log and timestamps follow.
    pub fn signed_at(mut self, at: Timestamp) -> Self {
        self.signed_at = at;
        self
    }

    /// Another time at which the log takes the entry, and says so in its promise.
    pub fn integrated_at(mut self, at: Timestamp) -> Self {
        self.integrated_at = Some(at);
        self
    }

    /// RFC 3161 timestamps at these times. By default one if an entry is in the second log, else none.
    pub fn timestamped_at(mut self, at: &[Timestamp]) -> Self {
        self.timestamped_at = Some(at.to_vec());
        self
    }

    /// The log entries; none is possible.
    pub fn entries(mut self, kinds: &[EntryKind]) -> Self {
        self.entries = kinds.to_vec();
        self
    }

    /// Another algorithm of the signer's key.
    pub fn key_kind(mut self, kind: KeyKind) -> Self {
        self.key_kind = kind;
        self
    }

    /// Another payload in the envelope, byte for byte.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        if let Content::Envelope { payload, .. } = &mut self.content {
            *payload = bytes.to_vec();
        }
        self
    }

    /// Another payload type in the envelope, signed and logged as such.
    pub fn payload_type(mut self, name: &str) -> Self {
        if let Content::Envelope { payload_type, .. } = &mut self.content {
            name.clone_into(payload_type);
        }
        self
    }

    /// Changes the signing certificate before the CT log and the authority see it.
    pub fn leaf(mut self, change: impl FnOnce(&mut Template) + 'a) -> Self {
        self.leaf.push(Box::new(change));
        self
    }

    /// Changes the timestamp of the CT log before it is signed.
    pub fn sct(mut self, change: impl FnOnce(&mut SctTemplate) + 'a) -> Self {
        self.sct.push(Box::new(change));
        self
    }

    /// Changes the signature before it is logged and timestamped.
    pub fn signature(mut self, change: impl FnOnce(&mut Vec<u8>) + 'a) -> Self {
        self.signature.push(Box::new(change));
        self
    }

    /// Changes the first RFC 3161 timestamp before it is signed.
    pub fn token(mut self, change: impl FnOnce(&mut TokenTemplate) + 'a) -> Self {
        self.token.push(Box::new(change));
        self
    }

    /// Changes what the first log entry says, before the log takes it.
    pub fn body(mut self, change: impl FnOnce(&mut Value) + 'a) -> Self {
        self.body.push(Box::new(change));
        self
    }

    /// Changes the finished bundle.
    pub fn edit(mut self, change: impl FnOnce(&mut Value) + 'a) -> Self {
        self.edit.push(Box::new(change));
        self
    }

    /// The bundle's bytes.
    pub fn json(self) -> Vec<u8> {
        serde_json::to_vec(&self.value()).expect("json")
    }

    /// The bundle as a document.
    pub fn value(mut self) -> Value {
        let sigstore = self.sigstore;
        let own = KeyPair::generate(self.key_kind);
        let certificate = match &self.signer {
            Signer::Identity(identity) => {
                let template = certificate(identity, &own, self.signed_at, std::mem::take(&mut self.leaf));
                let mut sct = SctTemplate::at(self.signed_at);
                apply(std::mem::take(&mut self.sct), &mut sct);
                Some(sigstore.ca.issue_logged(&template, &sigstore.ct, &sct))
            }
            Signer::Registry(_) => None,
        };
        let (key, key_id) = match &self.signer {
            Signer::Identity(_) => (&own, String::new()),
            Signer::Registry(key) => (&key.pair, key.id()),
        };
        let message = match &self.content {
            Content::Envelope { payload_type, payload } => envelope_encoding(payload_type, payload),
            Content::Message(artifact) => artifact.clone(),
        };
        let mut signature = key.sign(&message);
        apply(std::mem::take(&mut self.signature), &mut signature);
        let logged = Logged {
            message: &message,
            payload: match &self.content {
                Content::Envelope { payload_type, payload } => Some((payload_type, payload)),
                Content::Message(_) => None,
            },
            signature: &signature,
            key_id: &key_id,
            verifier: certificate.as_deref().map_or(Verifier::Key(key.spki()), Verifier::Certificate),
            details: key.details(),
        };
        let entries = log(
            sigstore,
            &self.entries,
            &logged,
            &mut self.body,
            self.integrated_at.unwrap_or(self.signed_at),
        );
        let tokens = self.tokens(&signature);
        let mut material = material(certificate.as_deref(), self.version, sigstore, &key_id);
        material["tlogEntries"] = Value::from(entries);
        if !tokens.is_empty() {
            material["timestampVerificationData"] = json!({ "rfc3161Timestamps": tokens });
        }
        let mut bundle = json!({ "mediaType": self.version.media_type(), "verificationMaterial": material });
        match &self.content {
            Content::Envelope { payload_type, payload } => {
                bundle["dsseEnvelope"] = json!({
                    "payload": STANDARD.encode(payload),
                    "payloadType": payload_type,
                    "signatures": [{ "sig": STANDARD.encode(&signature), "keyid": key_id }],
                });
            }
            Content::Message(artifact) => {
                bundle["messageSignature"] = json!({
                    "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::of(artifact).0) },
                    "signature": STANDARD.encode(&signature),
                });
            }
        }
        apply(self.edit, &mut bundle);
        bundle
    }

    fn tokens(&mut self, signature: &[u8]) -> Vec<Value> {
        let second = self.entries.iter().any(|kind| kind.log() == LogVersion::V2);
        let default = if second { vec![self.signed_at] } else { vec![] };
        let mut change = std::mem::take(&mut self.token);
        self.timestamped_at
            .clone()
            .unwrap_or(default)
            .into_iter()
            .map(|at| {
                let mut token = TokenTemplate::new(signature, at);
                apply(std::mem::take(&mut change), &mut token);
                json!({ "signedTimestamp": STANDARD.encode(self.sigstore.tsa.token(&token)) })
            })
            .collect()
    }
}

/// A signer's certificate: ten minutes from the time of signing.
fn certificate(identity: &Identity, key: &KeyPair, at: Timestamp, change: Change<'_, Template>) -> Template {
    let mut template = Template::new("", key.spki(), at, at + Span::new().minutes(10));
    template.digital_signature().usages(false, &[usage::CODE_SIGNING]);
    identity.write(&mut template);
    apply(change, &mut template);
    template
}

fn log(
    sigstore: &Sigstore,
    kinds: &[EntryKind],
    logged: &Logged<'_>,
    change: &mut Change<'_, Value>,
    at: Timestamp,
) -> Vec<Value> {
    kinds
        .iter()
        .map(|kind| {
            let mut body = body(*kind, logged);
            apply(std::mem::take(change), &mut body);
            let body = serde_json::to_vec(&body).expect("json");
            let log = match kind.log() {
                LogVersion::V1 => &sigstore.rekor,
                LogVersion::V2 => &sigstore.rekor2,
            };
            log.append(kind.kind_version(), &body, at)
        })
        .collect()
}

fn material(certificate: Option<&[u8]>, version: BundleVersion, sigstore: &Sigstore, key_id: &str) -> Value {
    let raw = |der: &[u8]| json!({ "rawBytes": STANDARD.encode(der) });
    match (certificate, version) {
        (None, _) => json!({ "publicKey": { "hint": key_id } }),
        (Some(der), BundleVersion::V01 | BundleVersion::V02) => {
            json!({ "x509CertificateChain": { "certificates": [raw(der), raw(&sigstore.ca.intermediate)] } })
        }
        (Some(der), BundleVersion::V03 | BundleVersion::V03Parameter) => json!({ "certificate": raw(der) }),
    }
}

/// The bytes that an envelope's signature covers (DSSE pre-authentication encoding).
pub fn envelope_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend(payload);
    out
}

fn apply<T>(changes: Change<'_, T>, value: &mut T) {
    for change in changes {
        change(value);
    }
}
