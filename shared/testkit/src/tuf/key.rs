//! Keys, and the bytes that they sign.

use std::{fmt::Write as _, sync::Arc};

use serde_json::{Value, json};
use touchstone_domain::Sha256;

use crate::sigstore::{KeyKind, KeyPair};

/// A key with the id that documents call it by.
#[derive(Clone)]
pub struct TufKey {
    id: String,
    kind: KeyKind,
    public: String,
    pair: Arc<KeyPair>,
}

impl TufKey {
    /// A new ECDSA P-256 key, written as PEM.
    pub fn ecdsa() -> Self {
        let pair = KeyPair::generate(KeyKind::P256);
        let public = pair.pem();
        Self::of(pair, KeyKind::P256, public)
    }

    /// A new Ed25519 key, written in hexadecimal.
    pub fn ed25519() -> Self {
        let pair = KeyPair::generate(KeyKind::Ed25519);
        let public = hex::encode(pair.raw_public());
        Self::of(pair, KeyKind::Ed25519, public)
    }

    fn of(pair: KeyPair, kind: KeyKind, public: String) -> Self {
        Self { id: Sha256::of(&public).to_string(), kind, public, pair: Arc::new(pair) }
    }

    /// The same key under another id, written a little differently.
    #[must_use]
    pub fn alias(&self) -> Self {
        let public = match self.kind {
            KeyKind::Ed25519 => self.public.to_uppercase(),
            _ => format!("{}\n", self.public),
        };
        Self { id: Sha256::of(&public).to_string(), public, ..self.clone() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it stands in metadata.
    pub(super) fn to_json(&self) -> Value {
        let (keytype, scheme) = match self.kind {
            KeyKind::Ed25519 => ("ed25519", "ed25519"),
            _ => ("ecdsa", "ecdsa-sha2-nistp256"),
        };
        json!({ "keytype": keytype, "scheme": scheme, "keyval": { "public": self.public } })
    }

    /// An entry of `signatures`.
    pub fn sign(&self, signed: &Value) -> Value {
        let mut canonical = String::new();
        write_canonical(signed, &mut canonical);
        json!({ "keyid": self.id, "sig": hex::encode(self.pair.sign(canonical.as_bytes())) })
    }
}

/// Canonical JSON as TUF means it (OLPC): sorted keys, no white space, and of all characters only `"` and `\` escaped.
fn write_canonical(value: &Value, out: &mut String) {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _infallible = write!(out, "{value}");
        }
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                out.push_str(&quoted(key));
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
    }
}
