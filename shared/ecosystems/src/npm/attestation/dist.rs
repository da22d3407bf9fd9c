//! What a packument says of one version besides its digests: registry signatures, the mark that there are attestations, and
//! who published it how. All of it unsigned, but for what the signatures cover.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use touchstone_domain::{PackageName, TrustRank, Version};

use crate::{
    document::{self, DocumentError},
    json::Object,
};

/// How many registry signatures a version may have.
const SIGNATURES_MAX: usize = 16;

/// What a version's metadata entry says about who stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dist {
    /// `dist.integrity`, as it stands.
    pub integrity: Option<String>,
    /// `dist.shasum`, as it stands.
    pub shasum: Option<String>,
    /// `dist.signatures`.
    pub signatures: Vec<RegistrySignature>,
    /// Whether `dist.attestations` is there.
    pub attestations: bool,
    /// How much the registry says stands behind the version, given that its provenance verifies. Unsigned: it only counts
    /// where ranks are compared, and as the reason for a late publish.
    pub rank: TrustRank,
    /// The address of its repository, as it stands.
    pub repository: Option<String>,
}

/// A signature of the registry over name, version and integrity, unverified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegistrySignature {
    /// The key's name.
    pub keyid: String,
    /// The signature: base64 of ASN.1 DER.
    pub sig: String,
}

impl Dist {
    /// What the registry's signatures are over (ecosystems.md 4.1.3): the integrity string as it stands or, if there is only
    /// a shasum, that one as an integrity string. `None` if the version declares neither.
    pub fn signature_message(&self, package: &PackageName, version: &Version) -> Option<String> {
        let integrity = match (&self.integrity, &self.shasum) {
            (Some(integrity), _) => integrity.clone(),
            (None, Some(shasum)) => format!("sha1-{}", STANDARD.encode(hex::decode(shasum).ok()?)),
            (None, None) => return None,
        };
        Some(format!("{package}@{version}:{integrity}"))
    }
}

/// Reads a version's metadata entry: the object in the packument, as it was received.
pub fn dist(entry: &[u8]) -> Result<Dist, DocumentError> {
    document::check_size(entry)?;
    let Object(read): Object<Entry<'_>> =
        serde_json::from_slice(entry).map_err(|e| DocumentError::malformed(e.to_string()))?;
    let Object(RawDist { integrity, shasum, signatures, attestations }) = read.dist;
    let signatures: Vec<_> =
        signatures.unwrap_or_default().into_iter().map(|signature| signature.0).collect();
    document::check_count("registry signatures", signatures.len(), SIGNATURES_MAX)?;
    for RegistrySignature { keyid, sig } in &signatures {
        document::check_text("a keyid", keyid)?;
        document::check_text("a signature", sig)?;
    }
    let Object(publisher): Object<Publisher> =
        read.npm_user.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let rank = match (publisher.approver, publisher.trusted_publisher) {
        (Some(_), _) => TrustRank::StagedPublish,
        (None, Some(_)) => TrustRank::TrustedPublisher,
        (None, None) => TrustRank::Provenance,
    };
    let repository = read.repository.and_then(repository_text);
    Ok(Dist { integrity, shasum, signatures, attestations: attestations.is_some(), rank, repository })
}

#[derive(Deserialize)]
struct Entry<'a> {
    dist: Object<RawDist>,
    /// Old versions have other things there.
    #[serde(rename = "_npmUser", borrow)]
    npm_user: Option<&'a RawValue>,
    #[serde(borrow)]
    repository: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawDist {
    integrity: Option<String>,
    shasum: Option<String>,
    signatures: Option<Vec<Object<RegistrySignature>>>,
    attestations: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publisher {
    approver: Option<serde::de::IgnoredAny>,
    trusted_publisher: Option<serde::de::IgnoredAny>,
}

/// The address in a `repository` field, which is a text or an object with a `url`; old packages have other things there,
/// which name no repository.
pub(super) fn repository_text(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Repository {
        url: String,
    }
    let text = serde_json::from_str::<String>(raw.get());
    text.or_else(|_| serde_json::from_str::<Object<Repository>>(raw.get()).map(|object| object.0.url)).ok()
}
