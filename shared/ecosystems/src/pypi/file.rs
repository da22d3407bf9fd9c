//! One object of an index's `files`: the fields that we read, as ranges of bytes that stay as they are.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use touchstone_domain::{Claim, ClaimField, Sha256};

use super::name;
use crate::json::Object;

/// How many hashes a file may have.
const HASHES_MAX: usize = 16;
/// The longest name and value of a hash, in bytes.
const HASH_BYTES_MAX: usize = 256;

/// A file object. Unknown keys are not looked at; a key of ours that comes twice is an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) filename: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) url: Raw<'a, String>,
    pub(super) hashes: Hashes,
    pub(super) size: Option<u64>,
    #[serde(borrow)]
    pub(super) requires_python: Option<Cow<'a, str>>,
    #[serde(borrow)]
    upload_time: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) yanked: Option<Raw<'a, Option<Yanked>>>,
    #[serde(borrow)]
    pub(super) provenance: Option<Raw<'a, String>>,
    /// PEP 714, and the two names that came before it; clients read any of them.
    #[serde(borrow)]
    core_metadata: Option<Raw<'a, CoreMetadata>>,
    #[serde(borrow)]
    data_dist_info_metadata: Option<Raw<'a, CoreMetadata>>,
    #[serde(borrow)]
    dist_info_metadata: Option<Raw<'a, CoreMetadata>>,
}

impl<'a> File<'a> {
    /// Parses a file object.
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Object<Self>>(raw).map(|object| object.0)
    }

    /// The declared SHA-256, if it is one.
    pub(super) fn sha256(&self) -> Option<Sha256> {
        self.hashes.0.get("sha256")?.parse().ok()
    }

    /// The declared publish time, if it is one.
    pub(super) fn published_at(&self) -> Option<Timestamp> {
        self.upload_time.as_ref()?.parse().ok()
    }

    /// What is declared about the file's bytes.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let hashes = self.hashes.0.iter().map(|(algorithm, hex)| claim(ClaimField::PypiHash, algorithm, hex));
        let size = self.size.map(|size| Claim { field: ClaimField::Size, value: size.to_string() });
        let metadata =
            self.sidecar_sha256().into_iter().map(|hex| claim(ClaimField::PypiCoreMetadata, "sha256", hex));
        hashes.chain(size).chain(metadata).collect()
    }

    /// What is declared about the bytes of the core metadata sidecar; nothing, if it is not offered with a digest.
    pub(super) fn sidecar_claims(&self) -> Vec<Claim> {
        self.sidecar_sha256().into_iter().map(|hex| claim(ClaimField::PypiHash, "sha256", hex)).collect()
    }

    /// The address of the sidecar (PEP 658).
    pub(super) fn sidecar_url(&self) -> String {
        let url = self.url.value.split('#').next().unwrap_or_default();
        format!("{url}{}", name::SIDECAR)
    }

    /// The fields that offer a sidecar.
    pub(super) fn offers(&self) -> impl Iterator<Item = &str> {
        self.metadata().filter(|m| !matches!(m.value, CoreMetadata::Flag(false))).map(|m| m.raw)
    }

    /// Each digest of the sidecar that is declared. All of them must hold, whichever name a client reads.
    fn sidecar_sha256(&self) -> Vec<&str> {
        let mut found: Vec<&str> = self.metadata().filter_map(|m| m.value.sha256()).collect();
        found.dedup();
        found
    }

    fn metadata(&self) -> impl Iterator<Item = &Raw<'a, CoreMetadata>> {
        [&self.core_metadata, &self.data_dist_info_metadata, &self.dist_info_metadata].into_iter().flatten()
    }
}

fn claim(field: ClaimField, algorithm: &str, hex: &str) -> Claim {
    Claim { field, value: format!("{algorithm}={hex}") }
}

/// A value, and the bytes that it was read from.
#[derive(Debug)]
pub(super) struct Raw<'a, T> {
    /// A slice of the document.
    pub(super) raw: &'a str,
    /// What it says.
    pub(super) value: T,
}

impl<'de: 'a, 'a, T: Deserialize<'a>> Deserialize<'de> for Raw<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Self { raw, value: serde_json::from_str(raw).map_err(D::Error::custom)? })
    }
}

/// Reads a field so that `null` is told from an absent one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `yanked` (PEP 592).
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`yanked` is neither a flag nor a reason")]
pub(super) enum Yanked {
    /// Whether it is.
    Flag(bool),
    /// It is, and why.
    Reason(String),
}

/// `core-metadata` (PEP 714).
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`core-metadata` is neither a flag nor digests")]
enum CoreMetadata {
    /// Whether there is a sidecar; nobody could verify it.
    Flag(bool),
    /// Its digests.
    Hashes(Hashes),
}

impl CoreMetadata {
    fn sha256(&self) -> Option<&str> {
        match self {
            Self::Flag(_) => None,
            Self::Hashes(hashes) => hashes.0.get("sha256").map(String::as_str),
        }
    }
}

/// Digests by the name of their algorithm; a name that comes twice is an error.
#[derive(Debug)]
pub(super) struct Hashes(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Hashes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("digests by algorithm")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hashes, A::Error> {
                let mut hashes = BTreeMap::new();
                while let Some((algorithm, hex)) = map.next_entry::<String, String>()? {
                    if hashes.len() == HASHES_MAX || algorithm.len().max(hex.len()) > HASH_BYTES_MAX {
                        return Err(A::Error::custom("too many or too long hashes"));
                    }
                    if hashes.insert(algorithm, hex).is_some() {
                        return Err(A::Error::custom("an algorithm comes twice"));
                    }
                }
                Ok(Hashes(hashes))
            }
        }

        deserializer.deserialize_map(Names)
    }
}
