//! npm's request paths, its bulk audit request, and its refusals.

use serde_json::json;
use touchstone_domain::{ArtifactId, Ecosystem, PackageName, Refusal, Version};

use super::name;
use crate::{
    ArtifactRequest, Document, IndexForm, RawRequest, ReadRequest, RequestError, StaticReply, UpstreamBase,
    UpstreamPath, json,
};

/// The media type of full packuments, manifests, refusals and everything else.
pub(super) const JSON: &str = "application/json";
/// The media type of abbreviated packuments.
pub(super) const ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

const READ: &str = "GET, HEAD";
const POST: &str = "POST";

/// Parses a request path; see ecosystems.md 4.1.1.
pub(super) fn parse(request: &RawRequest<'_>) -> Result<ReadRequest, RequestError> {
    let segments = request.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (parsed, allowed) = match segments.as_slice() {
        ["-", service @ ..] => parse_service(service)?,
        path => (parse_package(path, request.accept)?, READ),
    };
    if allowed.split(", ").any(|method| method == request.method) {
        Ok(parsed)
    } else {
        Err(RequestError::Method { allowed })
    }
}

/// Paths below `-/`, and the methods that they have.
fn parse_service(path: &[&str]) -> Result<(ReadRequest, &'static str), RequestError> {
    Ok(match path {
        ["ping"] => (ReadRequest::Static(StaticReply::NpmPing), READ),
        ["npm", "v1", "keys"] => (document(keys_path(), None), READ),
        ["npm", "v1", "attestations", rest @ ..] => (parse_attestations(rest)?, READ),
        ["npm", "v1", "security", "advisories", "bulk"] => (ReadRequest::BulkAudit, POST),
        _ => return Err(no_such_path()),
    })
}

fn parse_attestations(path: &[&str]) -> Result<ReadRequest, RequestError> {
    let (package, at) = match path {
        [one] => one.rsplit_once('@').ok_or_else(no_such_path)?,
        [scope, rest] if scope.starts_with('@') => {
            let (base, at) = rest.rsplit_once('@').ok_or_else(no_such_path)?;
            (&*format!("{scope}/{base}"), at)
        }
        _ => return Err(no_such_path()),
    };
    let (package, version) = (name::package(package)?, name::version(at)?);
    Ok(document(attestations_path(&package, &version), Some((package, version))))
}

/// Paths that start with a package, in any of the three spellings of a scoped name.
fn parse_package(path: &[&str], accept: &str) -> Result<ReadRequest, RequestError> {
    let (package, rest) = match path {
        [scope, base, rest @ ..] if scope.starts_with('@') && !scope.contains('/') => {
            (name::package(&format!("{scope}/{base}"))?, rest)
        }
        [package, rest @ ..] => (name::package(package)?, rest),
        [] => return Err(no_such_path()),
    };
    match rest {
        [] => Ok(ReadRequest::Index { package, form: form(accept) }),
        [reference] => {
            let reference = name::tag(reference)?.to_owned();
            Ok(ReadRequest::Index { package, form: IndexForm::NpmManifest(reference) })
        }
        ["-", file] => {
            let (version, file) = name::version_of_file(&package, file)?;
            let id = ArtifactId { ecosystem: Ecosystem::Npm, package, version, file };
            Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned: None }))
        }
        _ => Err(no_such_path()),
    }
}

fn document(upstream: UpstreamPath, about: Option<(PackageName, Version)>) -> ReadRequest {
    let (package, version) = about.unzip();
    ReadRequest::Document(Document { package, version, upstream })
}

/// Where the upstream has a version's attestations.
pub(super) fn attestations_path(package: &PackageName, version: &Version) -> UpstreamPath {
    let path = format!("-/npm/v1/attestations/{}@{version}", encoded(package));
    UpstreamPath { base: UpstreamBase::Attestations, path, accept: JSON }
}

/// Where the upstream has its public keys.
pub(super) fn keys_path() -> UpstreamPath {
    UpstreamPath { base: UpstreamBase::Attestations, path: "-/npm/v1/keys".to_owned(), accept: JSON }
}

fn no_such_path() -> RequestError {
    RequestError::NoSuchPath { ecosystem: Ecosystem::Npm }
}

/// Abbreviated if it is asked for, and nothing asks for the full form more.
fn form(accept: &str) -> IndexForm {
    let (mut abbreviated, mut full) = (0.0, 0.0);
    for range in accept.split(',') {
        let mut parameters = range.split(';').map(str::trim);
        let media_type = parameters.next().unwrap_or_default();
        let quality =
            parameters.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0_f32));
        if media_type.eq_ignore_ascii_case(ABBREVIATED) {
            abbreviated = quality;
        } else if media_type.eq_ignore_ascii_case(JSON) {
            full = quality;
        }
    }
    if abbreviated > 0.0 && abbreviated >= full { IndexForm::NpmAbbreviated } else { IndexForm::NpmFull }
}

/// The whole packument, whatever the client asked for: both forms are rendered from it.
pub(super) fn index_path(package: &PackageName) -> UpstreamPath {
    UpstreamPath { base: UpstreamBase::Index, path: encoded(package), accept: JSON }
}

/// A name as one path segment. Nothing else in the grammar of names needs an escape.
fn encoded(package: &PackageName) -> String {
    package.as_str().replace('/', "%2f")
}

/// npm shows `error`; scripts read `code` and `reference`.
pub(super) fn refusal_body(refusal: &Refusal, reference: &str) -> (&'static str, String) {
    let Refusal { kind, title, detail } = refusal;
    let error = format!("{title}: {detail} (reference {reference})");
    (JSON, json!({ "error": error, "code": kind.code(), "reference": reference }).to_string())
}

/// A body that is no bulk audit request.
#[derive(Debug, thiserror::Error)]
#[error("the audit request is not a JSON object of version lists by package")]
pub struct AuditError(#[source] serde_json::Error);

/// Leaves only the packages that `keep` accepts in the body of a bulk audit request, so that internal names are not told
/// to the upstream; names outside the grammar are left out too. The body must have no content encoding, and is bounded by the caller.
pub fn filter_bulk_audit(body: &[u8], keep: impl Fn(&PackageName) -> bool) -> Result<Vec<u8>, AuditError> {
    let mut kept = serde_json::Map::new();
    for member in json::members(body, 0..body.len()).map_err(AuditError)? {
        let versions: Vec<String> = json::value(body, &member.value).map_err(AuditError)?;
        if let Some(package) = name::package(&member.key).ok().filter(&keep) {
            kept.insert(package.into(), versions.into());
        }
    }
    Ok(serde_json::Value::Object(kept).to_string().into_bytes())
}

#[cfg(test)]
mod tests;
