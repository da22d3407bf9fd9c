//! The ecosystems: request grammar, metadata, declared integrity and archive hygiene, a folder each with the same files.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the [`Adapter`]: one type, one match arm in [`adapter`] |
//! | `name.rs` | names, versions and file names: grammar and normal form |
//! | `protocol.rs` | request path → [`ReadRequest`]; refusals in the client's dialect |
//! | `index.rs` | upstream metadata → [`Index`]: locate, filter, rewrite, render |
//! | `integrity.rs` | declared digests → [`Declared`] |
//! | `contents.rs` | what the archive must say about itself |
//! | `attestation.rs` | what the upstream says of who published it, where the ecosystem has that; unverified |
//!
//! *Invariant:* pure. Bytes in, typed values out: no I/O but reading from a given reader, no clock, no async.
//!
//! *Invariant:* upstream addresses are built from parsed names, never from request text (threats.md KD11).
//!
//! *Invariant:* integrity fields reach the client byte for byte as the upstream wrote them.

pub mod archive;
mod cargo;
mod document;
pub mod go;
mod index;
pub mod integrity;
mod json;
pub mod npm;
pub mod pypi;
mod request;
mod splice;
mod version;

use std::io::{Read, Seek};

use jiff::Timestamp;
use touchstone_domain::{
    Algorithm, ArtifactId, Claim, Ecosystem, PackageName, Purl, Reason, Refusal, Sha256, Version,
};
use url::Url;

pub use document::{DocumentError, check_document};
pub use index::{Amendment, Amendments, Index, IndexEntry, IndexError, Located, Rendered};
pub use integrity::{Comparison, Computed, Declared};
pub use npm::{AuditError, filter_bulk_audit};
pub use request::{
    ArtifactRequest, Document, GoQuery, IndexForm, RawRequest, ReadRequest, RequestError, StaticReply,
    SumdbRequest, SumdbTarget, UpstreamBase, UpstreamPath,
};
pub use version::{release_line, version_lower};

/// Everything that is particular to one ecosystem.
pub trait Adapter: Send + Sync {
    /// Which one.
    fn ecosystem(&self) -> Ecosystem;

    /// Parses a request below the ecosystem's root. Decodes percent signs once, and refuses what does not round-trip.
    fn parse(&self, request: &RawRequest<'_>) -> Result<ReadRequest, RequestError>;

    /// A package name as a user, a purl or a policy writes it, in normal form.
    fn package(&self, text: &str) -> Result<PackageName, touchstone_domain::NameError>;

    /// A version as a user, a purl or a policy writes it, in normal form.
    fn version(&self, text: &str) -> Result<Version, touchstone_domain::NameError>;

    /// Where the upstream keeps a package's metadata, and the `Accept` header to ask with.
    fn index_path(&self, package: &PackageName) -> UpstreamPath;

    /// Parses what the upstream sent for [`Adapter::index_path`]; bounded in size by the caller, in depth and count here.
    fn parse_index(
        &self,
        package: &PackageName,
        content_type: &str,
        document: bytes::Bytes,
    ) -> Result<Box<dyn Index>, IndexError>;

    /// Whether [`Located::url`] is empty and links come from [`Adapter::download_link`], with the template that the
    /// upstream's own `config.json` (a document at the root of its index) gives.
    fn needs_download_template(&self) -> bool {
        false
    }

    /// Reads the template for download links from the upstream's `config.json`; only where
    /// [`Adapter::needs_download_template`] says so.
    fn parse_download_template(&self, _config_json: &[u8]) -> Result<String, IndexError> {
        Err(IndexError::Malformed { problem: format!("{} has no download template", self.ecosystem()) })
    }

    /// Where the bytes of an artifact are, by the upstream's template and the declared SHA-256 in hexadecimal. The result
    /// may be relative to the index and may point anywhere: it is checked by the egress guard, not here.
    fn download_link(
        &self,
        _template: &str,
        _id: &ArtifactId,
        _sha256_hex: Option<&str>,
    ) -> Result<String, IndexError> {
        Err(IndexError::Malformed { problem: format!("{} has no download template", self.ecosystem()) })
    }

    /// Where the bytes of an artifact are, below the upstream's index address, in ecosystems whose addresses follow from the coordinate and where no listing has
    /// every version; `None` elsewhere. Whether it exists is found out by asking.
    fn direct(&self, _id: &ArtifactId) -> Option<UpstreamPath> {
        None
    }

    /// Whether the upstream's metadata declares digests. Where it does not, another check than hash has to have them.
    fn declares_digests(&self) -> bool {
        true
    }

    /// A document that is answered without asking anybody, `config.json` for instance.
    fn static_reply(&self, reply: StaticReply, public_url: &Url) -> Rendered;

    /// Parses declared digests. Nothing that is malformed counts, and nothing malformed is ignored.
    fn declared(&self, claims: &[Claim]) -> Declared;

    /// The digest algorithms, beyond SHA-1, SHA-256 and SHA-512, that the claims need.
    fn extra_algorithms(&self, _claims: &[Claim]) -> Vec<Algorithm> {
        vec![]
    }

    /// Before when this ecosystem's registry declared only weak digests; `None` if it never did.
    fn weak_digests_before(&self) -> Option<Timestamp>;

    /// Reads the whole archive in bounded memory and time, refuses what is ambiguous, and compares what it says about itself with the
    /// coordinate and the claims.
    fn inspect(
        &self,
        id: &ArtifactId,
        claims: &[Claim],
        archive: &mut dyn ReadSeek,
    ) -> Result<Inspected, InspectError>;

    /// The body of a refusal, and its content type, as this ecosystem's clients show it.
    fn refusal_body(&self, refusal: &Refusal, reference: &str) -> (&'static str, String);
}

/// A reader that can go back; ZIP archives are read from their end.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek + ?Sized> ReadSeek for T {}

/// What an accepted archive was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// How many entries it has.
    pub entries: u64,
    /// Their unpacked size in bytes.
    pub unpacked_bytes: u64,
    /// The digest of the manifest that names the package: the one inside, or the file itself where it is nothing else. `None`
    /// for a Go module without a `go.mod`; nothing then has to be equal to it.
    pub manifest: Option<Sha256>,
    /// The other name that the manifest gives, cut short, where the policy may allow that: the module path in the `go.mod` of a
    /// fork. Not accepted until whoever knows the policy has said so.
    pub renamed: Option<String>,
}

/// Why an archive was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is refused; this is a verdict.
    #[error("{0}")]
    Refused(Reason),
    /// It could not be read; this is no verdict.
    #[error("cannot read the archive")]
    Io(#[from] std::io::Error),
}

/// What a person wrote, as it is on record: names and versions in the normal form of their ecosystem.
pub fn normal(purl: Purl) -> Result<Purl, touchstone_domain::NameError> {
    let adapter = adapter(purl.ecosystem);
    let version = purl.version.map(|version| adapter.version(version.as_str())).transpose()?;
    Ok(Purl { package: adapter.package(purl.package.as_str())?, version, ..purl })
}

/// The adapter of an ecosystem.
pub fn adapter(ecosystem: Ecosystem) -> &'static dyn Adapter {
    match ecosystem {
        Ecosystem::Cargo => &cargo::Cargo,
        Ecosystem::Go => &go::Go,
        Ecosystem::Npm => &npm::Npm,
        Ecosystem::Pypi => &pypi::Pypi,
    }
}
