//! Request paths, upstream paths and refusals of the GOPROXY protocol (ecosystems.md 7.1, 7.4).

use touchstone_domain::{ArtifactId, Ecosystem, FileName, PackageName, Refusal, Version};

use super::name::{escape_path, escape_version};
use crate::{
    Direct, GoQuery, RawRequest, ReadRequest, RequestError, SumdbTarget, UpstreamBase, UpstreamPath,
};

/// Parses a request path.
pub(super) fn parse(request: &RawRequest<'_>) -> Result<ReadRequest, RequestError> {
    let _segments = request.segments()?;
    Err(RequestError::NoSuchPath { ecosystem: Ecosystem::Go })
}

/// The list of a module's versions.
pub(super) fn index_path(package: &PackageName) -> UpstreamPath {
    below(format!("{}/@v/list", escape_path(package)))
}

/// Where a module proxy answers what it knows of a version.
pub fn info_path(package: &PackageName, query: &GoQuery) -> UpstreamPath {
    let module = escape_path(package);
    below(match query {
        GoQuery::Version(version) => format!("{module}/@v/{}.info", escape_version(version)),
        GoQuery::Revision(revision) => format!("{module}/@v/{revision}.info"),
        GoQuery::Latest => format!("{module}/@latest"),
    })
}

/// Where a checksum database answers, below its own address.
pub fn sumdb_path(target: &SumdbTarget) -> UpstreamPath {
    let path = match target {
        SumdbTarget::Supported => "supported".to_owned(),
        SumdbTarget::Latest => "latest".to_owned(),
        SumdbTarget::Lookup { package, version } => lookup(package, version),
        SumdbTarget::Tile(path) => path.clone(),
    };
    UpstreamPath { base: UpstreamBase::Attestations, path, accept: "*/*" }
}

fn lookup(package: &PackageName, version: &Version) -> String {
    format!("lookup/{}@{}", escape_path(package), escape_version(version))
}

/// Where the bytes of a `.mod` or `.zip` are.
pub(super) fn direct(id: &ArtifactId) -> Direct {
    let extension = if is_zip(&id.file) { "zip" } else { "mod" };
    let (module, version) = (escape_path(&id.package), escape_version(&id.version));
    Direct {
        info: info_path(&id.package, &GoQuery::Version(id.version.clone())),
        bytes: below(format!("{module}/@v/{version}.{extension}")),
    }
}

/// Whether a file of a module is its zip, not its `go.mod`.
pub fn is_zip(file: &FileName) -> bool {
    file.as_str().ends_with(".zip")
}

fn below(path: String) -> UpstreamPath {
    UpstreamPath { base: UpstreamBase::Index, path, accept: "*/*" }
}

/// The go command prints the first lines of a plain text.
pub(super) fn refusal_body(refusal: &Refusal, reference: &str) -> (&'static str, String) {
    let Refusal { kind, title, detail } = refusal;
    ("text/plain; charset=utf-8", format!("{title}: {detail}\nreference: {reference} ({})\n", kind.code()))
}
