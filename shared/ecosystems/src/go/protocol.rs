//! Request paths, upstream paths and refusals of the GOPROXY protocol (ecosystems.md 7.1, 7.4).

mod refusal;

use touchstone_domain::{ArtifactId, Ecosystem, FileName, NameError, PackageName, Version};

pub(super) use self::refusal::refusal_body;
use super::name::{self, FileKind, escape_path, escape_version};
use crate::{
    ArtifactRequest, GoQuery, IndexForm, RawRequest, ReadRequest, RequestError, SumdbRequest, SumdbTarget,
    UpstreamBase, UpstreamPath,
};

const READ: &str = "GET, HEAD";
/// The longest name of a checksum database, in bytes.
const DATABASE_BYTES_MAX: usize = 255;
/// The most parts of a tile's path after `tile/`; the largest tree has fewer.
const TILE_PARTS_MAX: usize = 12;
/// The longest of them, in bytes.
const TILE_PART_BYTES_MAX: usize = 8;

/// Parses a request path. What is asked for must be spelled in the one escaped form.
pub(super) fn parse(request: &RawRequest<'_>) -> Result<ReadRequest, RequestError> {
    let segments = request.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if segments.iter().any(|segment| segment.is_empty() || segment.contains('/')) {
        return Err(no_such_path());
    }
    let parsed = match segments.as_slice() {
        ["sumdb", path @ ..] => ReadRequest::Sumdb(parse_sumdb(path)?),
        [module @ .., "@latest"] if !module.is_empty() => {
            ReadRequest::GoInfo { package: parse_module(module)?, query: GoQuery::Latest }
        }
        [module @ .., "@v", name] if !module.is_empty() => parse_version(module, name)?,
        _ => return Err(no_such_path()),
    };
    match request.method {
        "GET" | "HEAD" => Ok(parsed),
        _ => Err(RequestError::Method { allowed: READ }),
    }
}

fn parse_module(segments: &[&str]) -> Result<PackageName, NameError> {
    name::package(&name::unescape("package name", &segments.join("/"))?)
}

/// What stands behind `@v/`.
fn parse_version(module: &[&str], name: &str) -> Result<ReadRequest, RequestError> {
    let (escaped, kind) = match (name, name.rsplit_once('.')) {
        ("list", _) => {
            return Ok(ReadRequest::Index { package: parse_module(module)?, form: IndexForm::GoList });
        }
        (_, Some((escaped, "info"))) => (escaped, None),
        (_, Some((escaped, "mod"))) => (escaped, Some(FileKind::Mod)),
        (_, Some((escaped, "zip"))) => (escaped, Some(FileKind::Zip)),
        _ => return Err(no_such_path()),
    };
    let (package, text) = (parse_module(module)?, name::unescape("version", escaped)?);
    let Some(kind) = kind else {
        return Ok(ReadRequest::GoInfo { query: name::query(&package, &text)?, package });
    };
    let version = name::version_of(&package, &text)?;
    let file = name::file(&version, kind)?;
    let id = ArtifactId { ecosystem: Ecosystem::Go, package, version, file };
    Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned: None }))
}

/// What stands behind `sumdb/`. A database is a host, or a host and a path.
fn parse_sumdb(path: &[&str]) -> Result<SumdbRequest, RequestError> {
    let verb = |part: &&str| ["supported", "latest", "lookup", "tile"].contains(part);
    let at = path.iter().position(verb).filter(|at| *at > 0).ok_or_else(no_such_path)?;
    let database = path[..at].join("/");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b);
    if database.len() > DATABASE_BYTES_MAX
        || !database.bytes().all(plain)
        || path[..at].iter().any(|part| part.starts_with('.'))
    {
        return Err(no_such_path());
    }
    let target = match &path[at..] {
        ["supported"] => SumdbTarget::Supported,
        ["latest"] => SumdbTarget::Latest,
        ["lookup", coordinate @ ..] => parse_lookup(coordinate)?,
        ["tile", parts @ ..] if is_tile(parts) => SumdbTarget::Tile(format!("tile/{}", parts.join("/"))),
        _ => return Err(no_such_path()),
    };
    Ok(SumdbRequest { database, target })
}

fn parse_lookup(coordinate: &[&str]) -> Result<SumdbTarget, RequestError> {
    let [before @ .., last] = coordinate else { return Err(no_such_path()) };
    let (end, version) = last.split_once('@').ok_or_else(no_such_path)?;
    let package = parse_module(&[before, &[end]].concat())?;
    let version = name::version_of(&package, &name::unescape("version", version)?)?;
    Ok(SumdbTarget::Lookup { package, version })
}

/// Whether it has the characters of a tile's path.
fn is_tile(parts: &[&str]) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.';
    let is_part =
        |part: &&str| part.len() <= TILE_PART_BYTES_MAX && !part.starts_with('.') && part.bytes().all(plain);
    (3..=TILE_PARTS_MAX).contains(&parts.len()) && parts.iter().all(is_part)
}

fn no_such_path() -> RequestError {
    RequestError::NoSuchPath { ecosystem: Ecosystem::Go }
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
        GoQuery::Revision(revision) => format!("{module}/@v/{}.info", name::escaped(revision)),
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
pub(super) fn direct(id: &ArtifactId) -> UpstreamPath {
    let kind = if is_zip(&id.file) { FileKind::Zip } else { FileKind::Mod };
    let (module, version) = (escape_path(&id.package), escape_version(&id.version));
    below(format!("{module}/@v/{version}.{}", kind.extension()))
}

/// Whether a file of a module is its zip, not its `go.mod`.
pub fn is_zip(file: &FileName) -> bool {
    file.as_str().rsplit_once('.').is_some_and(|(_, extension)| extension == FileKind::Zip.extension())
}

fn below(path: String) -> UpstreamPath {
    UpstreamPath { base: UpstreamBase::Index, path, accept: "*/*" }
}

#[cfg(test)]
mod tests;
