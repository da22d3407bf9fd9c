//! Request paths below `/pypi/`, and refusals.
//!
//! | path | answer |
//! |---|---|
//! | `simple/{project}/` | the project's index, in the form that `Accept` prefers |
//! | `files/{sha256 or -}/{project}/{file}` | a distribution, or with `.metadata` at its end its sidecar |
//! | `integrity/{project}/{version}/{file}/provenance` | the provenance object, passed through |
//!
//! *Invariant:* what [`file_url`] and [`provenance_url`] write, [`parse`] reads as the same coordinate.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use touchstone_domain::{
    ArtifactId, Ecosystem, FileName, PackageName, Refusal, RefusalKind, Sha256, Version,
};
use url::Url;

use super::{accept, name};
use crate::{
    ArtifactRequest, Document, IndexForm, RawRequest, ReadRequest, RequestError, UpstreamBase, UpstreamPath,
};

/// The media type of PEP 691 JSON.
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// The media type of the same in HTML.
pub(super) const HTML_V1: &str = "application/vnd.pypi.simple.v1+html";
/// The media type of PEP 503.
pub(super) const HTML: &str = "text/html";

const UPSTREAM_ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
const PROVENANCE_ACCEPT: &str = "application/vnd.pypi.integrity.v1+json";
/// Everything but RFC 3986's unreserved characters; `+` and `!` of versions are escaped, as the registry's own links do.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parses a request.
pub(super) fn parse(request: &RawRequest<'_>) -> Result<ReadRequest, RequestError> {
    let segments = request.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let parsed = match segments.as_slice() {
        ["simple", project, rest @ ..] if !project.is_empty() && matches!(rest, [] | [""]) => {
            index(project, !rest.is_empty(), accept::form(request.accept))?
        }
        ["files", digest, project, file] => artifact(digest, project, file)?,
        ["integrity", project, version, file, "provenance"] => provenance(project, version, file)?,
        _ => return Err(RequestError::NoSuchPath { ecosystem: Ecosystem::Pypi }),
    };
    match request.method {
        "GET" | "HEAD" => Ok(parsed),
        _ => Err(RequestError::Method { allowed: "GET, HEAD" }),
    }
}

/// Where the upstream has a project's index: below the root that also has `integrity/`, so `simple/` is part of it.
pub(super) fn index_path(package: &PackageName) -> UpstreamPath {
    UpstreamPath { base: UpstreamBase::Index, path: format!("simple/{package}/"), accept: UPSTREAM_ACCEPT }
}

/// Where we serve a file; `-` stands for a digest that the upstream does not declare.
pub(super) fn file_url(
    public_url: &Url,
    sha256: Option<Sha256>,
    package: &PackageName,
    file: &FileName,
) -> String {
    let digest = sha256.map_or_else(|| "-".to_owned(), |sha256| sha256.to_string());
    format!("{public_url}files/{digest}/{package}/{}", escape(file.as_str()))
}

/// Where we serve a file's provenance object.
pub(super) fn provenance_url(
    public_url: &Url,
    package: &PackageName,
    version: &Version,
    file: &FileName,
) -> String {
    format!("{public_url}{}", provenance_path(package, version, file))
}

/// A refusal as problem details (RFC 9457).
pub(super) fn refusal_body(refusal: &Refusal, reference: &str) -> (&'static str, String) {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: String,
        title: &'a str,
        detail: &'a str,
        code: &'a str,
        reference: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        eligible_at: Option<jiff::Timestamp>,
    }
    let eligible_at = if let RefusalKind::Held { eligible_at } = refusal.kind { eligible_at } else { None };
    let code = refusal.kind.code();
    let problem = Problem {
        r#type: format!("urn:touchstone:refusal:{code}"),
        title: &refusal.title,
        detail: &refusal.detail,
        code,
        reference,
        eligible_at,
    };
    ("application/problem+json", serde_json::to_string(&problem).expect("strings serialise"))
}

fn index(project: &str, slash: bool, form: IndexForm) -> Result<ReadRequest, RequestError> {
    let package = name::package(project)?;
    if slash && package.as_str() == project {
        Ok(ReadRequest::Index { package, form })
    } else {
        Ok(ReadRequest::Redirect(format!("simple/{package}/")))
    }
}

fn artifact(digest: &str, project: &str, file: &str) -> Result<ReadRequest, RequestError> {
    let pinned = match digest {
        "-" => None,
        hex => Some(hex.parse().map_err(|_| RequestError::NoSuchPath { ecosystem: Ecosystem::Pypi })?),
    };
    let package = normal_package(project)?;
    let file = FileName::new(file)?;
    let version = name::file_version(&package, &file)?;
    // the digest beside a sidecar is its distribution's
    let pinned = pinned.filter(|_| !file.as_str().ends_with(name::SIDECAR));
    let id = ArtifactId { ecosystem: Ecosystem::Pypi, package, version, file };
    Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned }))
}

fn provenance(project: &str, version: &str, file: &str) -> Result<ReadRequest, RequestError> {
    let package = normal_package(project)?;
    let file = FileName::new(file)?;
    let found = name::distribution(&package, &file)?.version;
    if name::version(version)? != found {
        return Err(name::grammar("version", version, "it is the version in the file's name").into());
    }
    let upstream = provenance_at(&package, &found, &file);
    Ok(ReadRequest::Document(Document { package: Some(package), version: Some(found), upstream }))
}

/// Where the upstream has a file's provenance object.
pub(super) fn provenance_at(package: &PackageName, version: &Version, file: &FileName) -> UpstreamPath {
    let path = provenance_path(package, version, file);
    UpstreamPath { base: UpstreamBase::Attestations, path, accept: PROVENANCE_ACCEPT }
}

fn normal_package(project: &str) -> Result<PackageName, RequestError> {
    let package = name::package(project)?;
    if package.as_str() == project {
        Ok(package)
    } else {
        Err(name::grammar("package name", project, "links have the project's name in normal form").into())
    }
}

fn provenance_path(package: &PackageName, version: &Version, file: &FileName) -> String {
    format!("integrity/{package}/{}/{}/provenance", escape(version.as_str()), escape(file.as_str()))
}

fn escape(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, ESCAPED)
}

#[cfg(test)]
mod tests;
