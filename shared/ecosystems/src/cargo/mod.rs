//! Cargo: the sparse index and crates.

mod contents;
mod index;
mod integrity;
mod name;
mod protocol;

use bytes::Bytes;
use jiff::Timestamp;
use touchstone_domain::{ArtifactId, Claim, Ecosystem, NameError, PackageName, Refusal, Version};
use url::Url;

use crate::{
    Adapter, Declared, Index, IndexError, InspectError, Inspected, RawRequest, ReadRequest, ReadSeek,
    Rendered, RequestError, StaticReply, UpstreamPath,
};

/// The Cargo adapter.
pub(crate) struct Cargo;

impl Adapter for Cargo {
    fn ecosystem(&self) -> Ecosystem {
        Ecosystem::Cargo
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
        Ok(Box::new(index::SparseIndex::parse(package, content_type, &document)?))
    }

    fn needs_download_template(&self) -> bool {
        true
    }

    fn parse_download_template(&self, config_json: &[u8]) -> Result<String, IndexError> {
        protocol::parse_download_template(config_json)
    }

    fn download_link(
        &self,
        template: &str,
        id: &ArtifactId,
        sha256_hex: Option<&str>,
    ) -> Result<String, IndexError> {
        protocol::download_link(template, id, sha256_hex)
    }

    fn static_reply(&self, _reply: StaticReply, public_url: &Url) -> Rendered {
        protocol::config_json(public_url)
    }

    fn declared(&self, claims: &[Claim]) -> Declared {
        integrity::declared(claims)
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
