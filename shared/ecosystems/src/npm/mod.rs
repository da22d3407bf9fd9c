//! npm: packuments, manifests and tarballs.

pub mod attestation;
mod contents;
mod index;
mod integrity;
mod name;
mod protocol;

use bytes::Bytes;
use jiff::Timestamp;
use touchstone_domain::{Algorithm, ArtifactId, Claim, Ecosystem, NameError, PackageName, Refusal, Version};
use url::Url;

use crate::{
    Adapter, Declared, Index, IndexError, InspectError, Inspected, RawRequest, ReadRequest, ReadSeek,
    Rendered, RequestError, StaticReply, UpstreamPath,
};

pub use protocol::{AuditError, filter_bulk_audit};

/// 2017-05-01: since then the registry declares SHA-512 for all that is published.
const STRONG_SINCE: Timestamp = Timestamp::constant(1_493_596_800, 0);

/// The npm adapter.
pub(crate) struct Npm;

impl Adapter for Npm {
    fn ecosystem(&self) -> Ecosystem {
        Ecosystem::Npm
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
        Ok(Box::new(index::Packument::parse(package, content_type, &document)?))
    }

    fn static_reply(&self, _reply: StaticReply, _public_url: &Url) -> Rendered {
        Rendered::of(protocol::JSON, &b"{}"[..])
    }

    fn declared(&self, claims: &[Claim]) -> Declared {
        integrity::declared(claims)
    }

    fn extra_algorithms(&self, claims: &[Claim]) -> Vec<Algorithm> {
        integrity::extra_algorithms(claims)
    }

    fn weak_digests_before(&self) -> Option<Timestamp> {
        Some(STRONG_SINCE)
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
