//! A registry's own keys: what it signs, and how it publishes them.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::key::{KeyKind, KeyPair};

/// When a key may be used for something.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first second.
    pub start: Timestamp,
    /// The last second; open if there is none.
    pub end: Option<Timestamp>,
}

/// One key of a registry, P-256.
pub struct RegistryKey {
    /// The key.
    pub pair: KeyPair,
    /// When it may sign releases.
    pub signatures: Option<Window>,
    /// When it may sign attestations.
    pub attestations: Option<Window>,
}

impl RegistryKey {
    /// A new key with the same window for both usages.
    pub fn new(start: Timestamp, end: Option<Timestamp>) -> Self {
        let window = Some(Window { start, end });
        Self { pair: KeyPair::generate(KeyKind::P256), signatures: window, attestations: window }
    }

    /// The key's id: `SHA256:` and the unpadded base64 of its digest.
    pub fn id(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(self.pair.id()))
    }

    /// An entry of `dist.signatures` over `name@version:integrity`.
    pub fn sign(&self, name: &str, version: &str, integrity: &str) -> Value {
        let signature = self.pair.sign(format!("{name}@{version}:{integrity}").as_bytes());
        json!({ "keyid": self.id(), "sig": STANDARD.encode(signature) })
    }
}

/// The keys as the TUF target spells them: one entry for each usage, with its window.
pub(super) fn tuf_target(keys: &[&RegistryKey]) -> Value {
    let mut listed = Vec::new();
    for key in keys {
        let usages = [("npm:signatures", key.signatures), ("npm:attestations", key.attestations)];
        for (usage, window) in usages {
            let Some(window) = window else { continue };
            let mut valid_for = json!({ "start": window.start.to_string() });
            if let Some(end) = window.end {
                valid_for["end"] = Value::from(end.to_string());
            }
            listed.push(json!({
                "keyId": key.id(),
                "keyUsage": usage,
                "publicKey": {
                    "rawBytes": STANDARD.encode(key.pair.spki()),
                    "keyDetails": key.pair.details(),
                    "validFor": valid_for,
                },
            }));
        }
    }
    json!({ "keys": listed })
}

/// The keys as the registry's endpoint spells them.
pub(super) fn endpoint(keys: &[&RegistryKey]) -> Value {
    let listed: Vec<Value> = keys
        .iter()
        .map(|key| {
            let expires = key.signatures.and_then(|window| window.end).map(|end| end.to_string());
            json!({
                "keyid": key.id(),
                "keytype": "ecdsa-sha2-nistp256",
                "scheme": "ecdsa-sha2-nistp256",
                "key": STANDARD.encode(key.pair.spki()),
                "expires": expires,
            })
        })
        .collect();
    json!({ "keys": listed })
}
