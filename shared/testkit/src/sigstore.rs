//! A private sigstore: a certificate authority, a CT log, both generations of the transparency log, a timestamp authority
//! and a registry's keys, with the trusted root that describes them.
//!
//! It mints any bundle, honest, or with exactly one thing wrong:
//!
//! ```
//! # use touchstone_testkit::sigstore::{Identity, Sigstore};
//! # use touchstone_domain::Sha512;
//! let sigstore = Sigstore::new();
//! let root = sigstore.trusted_root_json();
//! let identity = Identity::github("org/name").git_ref("refs/tags/v1.0.0");
//! let document = sigstore.npm_document(&identity, "@org/name", "1.0.0", &Sha512::of(b"tarball"));
//! let forged = sigstore
//!     .npm(&identity, "@org/name", "1.0.0", &Sha512::of(b"tarball"))
//!     .provenance(|bundle| bundle.sct(|sct| sct.break_signature = true))
//!     .json();
//! # assert_ne!(document, forged);
//! # assert!(!root.is_empty());
//! ```
//!
//! There are three places to lie. Methods of [`Bundle`] change what is certified, logged or timestamped *before* it is
//! signed, and the rest is honest about the changed thing. [`Bundle::edit`] changes the finished document. And each part of
//! [`Sigstore`] is a public field: replace one after the trusted root was taken, and bundles come from a stranger.
//!
//! Keys are made at run time and never written anywhere.

mod authority;
mod bundle;
pub mod certificate;
mod entry;
mod identity;
mod key;
mod log;
pub mod npm;
pub mod pypi;
mod registry;
#[cfg(test)]
mod tests;
mod timestamp;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use touchstone_domain::{Sha256, Sha512};

pub use authority::{Authority, CtLog, SctTemplate};
pub use bundle::{Bundle, BundleVersion, IN_TOTO, envelope_encoding};
pub use entry::EntryKind;
pub use identity::{Forge, Identity};
pub use key::{KeyKind, KeyPair};
pub use log::{Log, LogVersion};
pub use npm::NpmDocument;
pub use registry::{RegistryKey, Window};
pub use timestamp::{TimestampAuthority, TokenTemplate};

/// Everything that signs, and the time at which it does.
pub struct Sigstore {
    /// The time of signing where nothing else is said, in whole seconds.
    pub now: Timestamp,
    /// The certificate authority.
    pub ca: Authority,
    /// The CT log.
    pub ct: CtLog,
    /// The transparency log of the first generation.
    pub rekor: Log,
    /// The transparency log of the second generation.
    pub rekor2: Log,
    /// The timestamp authority.
    pub tsa: TimestampAuthority,
    /// The registry's key in use.
    pub registry_key: RegistryKey,
    /// The registry's key before it, which ended a month ago.
    pub registry_key_old: RegistryKey,
    /// The address that publish attestations name.
    pub registry_url: String,
}

impl Sigstore {
    /// New keys, signing at the present time.
    pub fn new() -> Self {
        Self::at(clock())
    }

    /// New keys, signing at `now`. The trusted root starts a year before.
    pub fn at(now: Timestamp) -> Self {
        let month = Span::new().hours(30 * 24);
        Self {
            now,
            ca: Authority::new(now),
            ct: CtLog::new(),
            rekor: Log::new(LogVersion::V1),
            rekor2: Log::new(LogVersion::V2),
            tsa: TimestampAuthority::new(now),
            registry_key: RegistryKey::new(now - month - month, None),
            registry_key_old: RegistryKey::new(year_before(now), Some(now - month)),
            registry_url: "https://registry.example".to_owned(),
        }
    }

    /// The trusted root (`trusted_root.json`) that describes everything here.
    pub fn trusted_root_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.trusted_root()).expect("json")
    }

    /// The same as a document, to be changed.
    pub fn trusted_root(&self) -> Value {
        let from = year_before(self.now);
        let raw = |der: &[u8]| json!({ "rawBytes": STANDARD.encode(der) });
        let authority = |name: &str, certificates: [Value; 2]| {
            json!({
                "subject": { "organization": "testkit.example", "commonName": name },
                "uri": format!("https://{name}.testkit.example"),
                "certChain": { "certificates": certificates },
                "validFor": { "start": from.to_string() },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.rekor.described(from), self.rekor2.described(from)],
            "certificateAuthorities": [authority("fulcio", [raw(&self.ca.intermediate), raw(&self.ca.root)])],
            "ctlogs": [{
                "baseUrl": "https://ct.testkit.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(self.ct.key.spki()),
                    "keyDetails": self.ct.key.details(),
                    "validFor": { "start": from.to_string() },
                },
                "logId": { "keyId": STANDARD.encode(self.ct.key.id()) },
            }],
            "timestampAuthorities": [authority("tsa", [raw(&self.tsa.leaf), raw(&self.tsa.root)])],
        })
    }

    /// The registry's keys as its TUF target spells them (`keys.json`).
    pub fn registry_keys_json(&self) -> Vec<u8> {
        let keys = registry::tuf_target(&[&self.registry_key_old, &self.registry_key]);
        serde_json::to_vec(&keys).expect("json")
    }

    /// The registry's keys as its endpoint spells them (`/-/npm/v1/keys`).
    pub fn registry_keys_endpoint_json(&self) -> Vec<u8> {
        let keys = registry::endpoint(&[&self.registry_key_old, &self.registry_key]);
        serde_json::to_vec(&keys).expect("json")
    }

    /// An entry of `dist.signatures` by the registry's key in use.
    pub fn registry_signature(&self, name: &str, version: &str, integrity: &str) -> Value {
        self.registry_key.sign(name, version, integrity)
    }

    /// [`Identity::github`].
    pub fn github(&self, repository: &str) -> Identity {
        Identity::github(repository)
    }

    /// A statement in a bundle, signed by `identity`.
    pub fn attest(&self, identity: &Identity, statement: &Value) -> Bundle<'_> {
        Bundle::statement(self, identity, statement)
    }

    /// A statement in a bundle, signed by a registry's key.
    pub fn attest_by_registry<'a>(&'a self, key: &'a RegistryKey, statement: &Value) -> Bundle<'a> {
        Bundle::by_registry(self, key, statement)
    }

    /// An artifact's own signature in a bundle, without a statement.
    pub fn sign_artifact(&self, identity: &Identity, artifact: &[u8]) -> Bundle<'_> {
        Bundle::artifact(self, identity, artifact)
    }

    /// An honest attestation document of an npm release.
    pub fn npm_document(&self, identity: &Identity, name: &str, version: &str, sha512: &Sha512) -> Vec<u8> {
        self.npm(identity, name, version, sha512).json()
    }

    /// An attestation document of an npm release, to be changed.
    pub fn npm(&self, identity: &Identity, name: &str, version: &str, sha512: &Sha512) -> NpmDocument<'_> {
        NpmDocument::new(self, identity, name, version, sha512)
    }

    /// An honest provenance object of a Python file.
    pub fn pypi_provenance(&self, identity: &Identity, file: &str, sha256: &Sha256) -> Vec<u8> {
        let attestation = pypi::attestation(&self.pypi_bundle(identity, file, sha256).value());
        serde_json::to_vec(&pypi::provenance(identity, &[attestation])).expect("json")
    }

    /// The bundle behind a publish attestation of a Python file, to be changed; [`pypi::attestation`] rewrites it.
    pub fn pypi_bundle(&self, identity: &Identity, file: &str, sha256: &Sha256) -> Bundle<'_> {
        pypi::publish(self, identity, file, sha256)
    }
}

impl Default for Sigstore {
    fn default() -> Self {
        Self::new()
    }
}

/// The machine's time, in whole seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "verifiers compare with the machine's clock, so a test must read the same"
)]
pub fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    Timestamp::from_second(i64::try_from(since).expect("before the year 10000"))
        .expect("before the year 10000")
}

/// 365 days before.
fn year_before(now: Timestamp) -> Timestamp {
    now - Span::new().hours(365 * 24)
}
