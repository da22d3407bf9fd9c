//! DSSE envelopes (secure-systems-lab/dsse v1.0.2): one payload, one signature.
//!
//! *Invariant:* a payload is read only after its signature was verified with a key of the ring; of an envelope that is not verified
//! nothing is used but the key's number, which finds the key.
//!
//! *Invariant:* an envelope and a payload have one encoding only, the one that they are written in: no byte of them can be changed
//! without being noticed.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use curve25519_dalek::EdwardsPoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::{KeyId, Sha256};

use crate::{
    KeyKind, KeyProblem, KeyRing, PublicKey, SignError, Signer, StatementError,
    batch::{self, Claim},
    link::shortened,
};

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
    /// Parses; strict: known members only, none twice, one signature, in the form that [`sign`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::Size(bytes.len()));
        }
        if let Some(envelope) = Self::written(bytes) {
            return Ok(envelope);
        }
        // says why not
        let malformed = |problem: &str| EnvelopeError::Malformed(problem.to_owned());
        let wire: WireEnvelope<'_> =
            serde_json::from_slice(bytes).map_err(|e| EnvelopeError::Malformed(shortened(e.to_string())))?;
        if wire.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(shortened(wire.payload_type.into_owned())));
        }
        let [WireSignature { keyid, sig }] = &wire.signatures;
        let key = keyid.parse().map(KeyId).map_err(|_| malformed("the key's number is none"))?;
        let signature = STANDARD.decode(sig.as_ref()).ok().and_then(|bytes| bytes.try_into().ok());
        let signature = signature.ok_or_else(|| malformed("the signature is none of 64 bytes in base64"))?;
        let payload = STANDARD.decode(wire.payload.as_ref());
        let payload = payload.map_err(|_| malformed("the payload is no base64"))?;
        if serde_json::to_vec(&wire).ok().as_deref() != Some(bytes) {
            return Err(malformed("it is written in another form"));
        }
        Ok(Self { payload, key, signature })
    }

    /// Reads what [`sign`] writes, byte for byte, without reading it as JSON.
    fn written(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(HEAD.as_bytes())?;
        let (payload, rest) = rest.split_at_checked(rest.len().checked_sub(AFTER_PAYLOAD)?)?;
        let (keyid, rest) = rest.strip_prefix(BEFORE_KEY.as_bytes())?.split_at_checked(KEY_DIGITS)?;
        let (sig, rest) =
            rest.strip_prefix(BEFORE_SIGNATURE.as_bytes())?.split_at_checked(SIGNATURE_DIGITS)?;
        if rest != TAIL.as_bytes() {
            return None;
        }
        let key = KeyId(str::from_utf8(keyid).ok()?.parse().ok()?);
        let signature = STANDARD.decode(sig).ok()?.try_into().ok()?;
        let payload = STANDARD.decode(payload).ok()?;
        Some(Self { payload, key, signature })
    }
}

/// What is around the parts of an envelope: the JSON of [`WireEnvelope`], none of whose texts has anything to escape.
const HEAD: &str = "{\"payload\":\"";
const BEFORE_KEY: &str = "\",\"payloadType\":\"application/vnd.in-toto+json\",\"signatures\":[{\"keyid\":\"";
const BEFORE_SIGNATURE: &str = "\",\"sig\":\"";
const TAIL: &str = "\"}]}";
/// A key's number, in hexadecimal.
const KEY_DIGITS: usize = 64;
/// A signature, in base64.
const SIGNATURE_DIGITS: usize = 88;
const AFTER_PAYLOAD: usize =
    BEFORE_KEY.len() + KEY_DIGITS + BEFORE_SIGNATURE.len() + SIGNATURE_DIGITS + TAIL.len();

/// An envelope's JSON. An array of one is the only number of signatures that this reads.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireEnvelope<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(borrow)]
    payload_type: Cow<'a, str>,
    #[serde(borrow)]
    signatures: [WireSignature<'a>; 1],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature<'a> {
    #[serde(borrow)]
    keyid: Cow<'a, str>,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

/// What is signed in place of the payload: DSSE's pre-authentication encoding, which no other type of payload can be mistaken for.
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    [pre_authentication_head(payload).as_bytes(), payload].concat()
}

/// What it has before the payload.
fn pre_authentication_head(payload: &[u8]) -> String {
    format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len())
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
pub fn sign(signer: &dyn Signer, payload: &[u8]) -> Result<Vec<u8>, SignError> {
    let signature = signer.sign(&pre_authentication_encoding(payload))?;
    let mut text = String::with_capacity(HEAD.len() + payload.len().div_ceil(3) * 4 + AFTER_PAYLOAD);
    text.push_str(HEAD);
    STANDARD.encode_string(payload, &mut text);
    text.push_str(BEFORE_KEY);
    text.push_str(&signer.key_id().to_string());
    text.push_str(BEFORE_SIGNATURE);
    STANDARD.encode_string(signature, &mut text);
    text.push_str(TAIL);
    let bytes = text.into_bytes();
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(SignError::Size(bytes.len()));
    }
    Ok(bytes)
}

/// A payload that says which kind of key must have signed it, and when.
pub(crate) trait Statement: Sized {
    /// Reads a payload whose signature was verified.
    fn parse(payload: &[u8]) -> Result<Self, StatementError>;
    fn kind(&self) -> KeyKind;
    fn dated(&self) -> Timestamp;
}

/// An envelope whose signature is that of the key in the ring that it names. Whether that key counts for it is still to be asked.
pub(crate) struct Opened<'a> {
    bytes: &'a [u8],
    pub(crate) payload: Vec<u8>,
    pub(crate) key: KeyId,
}

impl Opened<'_> {
    /// Reads the statement, and asks whether the key counts for it.
    pub(crate) fn read<T: Statement>(self, ring: &KeyRing) -> Result<Signed<T>, Refused> {
        let statement = T::parse(&self.payload)?;
        ring.accept(self.key, statement.kind(), statement.dated())?;
        Ok(Signed { statement, key: self.key, envelope: Sha256::of(self.bytes) })
    }
}

/// Verifies one.
pub(crate) fn verify<T: Statement>(bytes: &[u8], ring: &KeyRing) -> Result<Signed<T>, Refused> {
    open(bytes, ring)?.read(ring)
}

/// Opens one.
pub(crate) fn open<'a>(bytes: &'a [u8], ring: &KeyRing) -> Result<Opened<'a>, Refused> {
    open_many(&[bytes], ring).pop().expect("one answer for one envelope")
}

/// Opens many at once, which is cheaper than one by one; answers in their order.
pub(crate) fn open_many<'a>(envelopes: &[&'a [u8]], ring: &KeyRing) -> Vec<Result<Opened<'a>, Refused>> {
    let named: Vec<Result<Named<'_>, Refused>> =
        envelopes.iter().map(|bytes| Named::find(Envelope::parse(bytes)?, ring)).collect();
    let claims: Vec<Claim<'_>> = named.iter().flatten().map(Named::claim).collect();
    let mut hold = batch::which_hold(&claims).into_iter();
    let opened = |(bytes, named): (&&'a [u8], Result<Named<'_>, Refused>)| {
        let Envelope { payload, key, signature: _ } = named?.envelope;
        let holds = hold.next().expect("an answer for each claim");
        if holds { Ok(Opened { bytes, payload, key }) } else { Err(Refused::Signature(key)) }
    };
    envelopes.iter().zip(named).map(opened).collect()
}

/// An envelope, and the key in the ring that it names. UNVERIFIED.
struct Named<'a> {
    envelope: Envelope,
    head: String,
    public: &'a PublicKey,
    point: Option<&'a EdwardsPoint>,
}

impl<'a> Named<'a> {
    fn find(envelope: Envelope, ring: &'a KeyRing) -> Result<Self, Refused> {
        let entry = ring.entry(envelope.key).ok_or(KeyProblem::Unknown(envelope.key))?;
        let head = pre_authentication_head(&envelope.payload);
        Ok(Self { head, public: &entry.public, point: ring.point(envelope.key), envelope })
    }

    fn claim(&self) -> Claim<'_> {
        let message = [self.head.as_bytes(), &self.envelope.payload];
        Claim { public: self.public, point: self.point, message, signature: &self.envelope.signature }
    }
}

#[cfg(test)]
mod tests;
