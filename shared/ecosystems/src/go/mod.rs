//! Go: modules by the GOPROXY protocol.
//!
//! *Invariant:* module paths and versions are kept unescaped and case-sensitive; a request path must be the one escaped form
//! of what it names.
//!
//! *Invariant:* nothing the module proxy says about digests counts, because it says nothing: the checksum database does.

mod contents;
mod gomod;
mod h1;
mod index;
mod info;
mod name;
mod paths;
mod protocol;

use bytes::Bytes;
use jiff::Timestamp;
use touchstone_domain::{ArtifactId, Claim, Ecosystem, NameError, PackageName, Refusal, Version};
use url::Url;

use crate::{
    Adapter, Declared, Index, IndexError, InspectError, Inspected, RawRequest, ReadRequest, ReadSeek,
    Rendered, RequestError, StaticReply, UpstreamPath,
};

pub use contents::{mod_of, zip_of};
pub use h1::{ZipH1, h1_mod, h1_zip};
pub use info::{Info, read_info};
pub use name::{escape_path, escape_version};
pub use protocol::{info_path, is_zip, sumdb_path};

/// The Go adapter.
pub(crate) struct Go;

impl Adapter for Go {
    fn ecosystem(&self) -> Ecosystem {
        Ecosystem::Go
    }

    fn parse(&self, request: &RawRequest<'_>) -> Result<ReadRequest, RequestError> {
        protocol::parse(request)
    }

    fn package(&self, text: &str) -> Result<PackageName, NameError> {
        name::package(text)
    }

    fn version(&self, text: &str) -> Result<Version, NameError> {
        name::version(text)
    }

    fn index_path(&self, package: &PackageName) -> UpstreamPath {
        protocol::index_path(package)
    }

    fn parse_index(
        &self,
        package: &PackageName,
        content_type: &str,
        document: Bytes,
    ) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(index::VersionList::parse(package, content_type, &document)?))
    }

    fn direct(&self, id: &ArtifactId) -> Option<UpstreamPath> {
        Some(protocol::direct(id))
    }

    fn declares_digests(&self) -> bool {
        false
    }

    fn static_reply(&self, _reply: StaticReply, _public_url: &Url) -> Rendered {
        Rendered::of("text/plain; charset=utf-8", Bytes::new())
    }

    fn declared(&self, _claims: &[Claim]) -> Declared {
        Declared::default()
    }

    fn weak_digests_before(&self) -> Option<Timestamp> {
        None
    }

    fn inspect(
        &self,
        id: &ArtifactId,
        _claims: &[Claim],
        archive: &mut dyn ReadSeek,
    ) -> Result<Inspected, InspectError> {
        contents::inspect(id, archive)
    }

    fn refusal_body(&self, refusal: &Refusal, reference: &str) -> (&'static str, String) {
        protocol::refusal_body(refusal, reference)
    }
}
