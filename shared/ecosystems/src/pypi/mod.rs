//! PyPI: PEP 503 and PEP 691 indexes, wheels, sdists, and core metadata sidecars, which pass the same gate as the files
//! that they describe.

use jiff::Timestamp;
use touchstone_domain::{Algorithm, ArtifactId, Claim, Ecosystem, NameError, PackageName, Refusal, Version};
use url::Url;

use crate::{
    Adapter, Declared, Index, IndexError, InspectError, Inspected, RawRequest, ReadRequest, ReadSeek,
    Rendered, RequestError, StaticReply, UpstreamPath,
};

mod accept;
pub mod attestation;
mod contents;
mod file;
mod html;
mod index;
mod integrity;
mod name;
mod protocol;
mod render;
#[cfg(test)]
mod samples;

pub use name::{distribution_of, sidecar_of};

/// The PyPI adapter.
pub(crate) struct Pypi;

impl Adapter for Pypi {
    fn ecosystem(&self) -> Ecosystem {
        Ecosystem::Pypi
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
        document: bytes::Bytes,
    ) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(index::parse(package, content_type, &document)?))
    }

    fn static_reply(&self, reply: StaticReply, _public_url: &Url) -> Rendered {
        match reply {
            // requests of other ecosystems; `parse` makes none of them
            StaticReply::CargoConfig | StaticReply::NpmPing => Rendered::of("text/plain", ""),
        }
    }

    fn declared(&self, claims: &[Claim]) -> Declared {
        integrity::declared(claims)
    }

    fn extra_algorithms(&self, claims: &[Claim]) -> Vec<Algorithm> {
        integrity::extra_algorithms(claims)
    }

    fn weak_digests_before(&self) -> Option<Timestamp> {
        None
    }

    fn inspect(
        &self,
        id: &ArtifactId,
        claims: &[Claim],
        archive: &mut dyn ReadSeek,
    ) -> Result<Inspected, InspectError> {
        contents::inspect(id, claims, archive)
    }

    fn refusal_body(&self, refusal: &Refusal, reference: &str) -> (&'static str, String) {
        protocol::refusal_body(refusal, reference)
    }
}
