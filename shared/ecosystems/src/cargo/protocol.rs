//! Cargo's request paths, download links and refusals.

use serde::Deserialize;
use serde_json::json;
use touchstone_domain::{ArtifactId, Ecosystem, PackageName, Refusal, Sha256};
use url::Url;

use super::name;
use crate::{
    ArtifactRequest, IndexError, IndexForm, RawRequest, ReadRequest, Rendered, RequestError, StaticReply,
    UpstreamBase, UpstreamPath, index::shortened, json::Object,
};

const READ: &str = "GET, HEAD";
/// The path that [`config_json`] sends clients to. It names the digest, so that a link is bound to its bytes.
const DOWNLOAD: &str = "crates/{crate}/{version}/{sha256-checksum}/download";
/// A longer template is none.
const TEMPLATE_BYTES_MAX: usize = 2048;
/// A refusal's sentence is cut here, so that it stays readable in a terminal.
const DETAIL_CHARS_MAX: usize = 600;

/// Parses a request path; see ecosystems.md 6.1.
pub(super) fn parse(request: &RawRequest<'_>) -> Result<ReadRequest, RequestError> {
    let segments = request.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let parsed = match segments.as_slice() {
        ["config.json"] => ReadRequest::Static(StaticReply::CargoConfig),
        ["crates", spelling, version, sha256, "download"] => parse_artifact(spelling, version, sha256)?,
        [folders @ .., name] if !folders.is_empty() => parse_index(folders, name)?,
        _ => return Err(no_such_path()),
    };
    match request.method {
        "GET" | "HEAD" => Ok(parsed),
        _ => Err(RequestError::Method { allowed: READ }),
    }
}

fn parse_artifact(spelling: &str, version: &str, sha256: &str) -> Result<ReadRequest, RequestError> {
    let (package, version) = (name::package(spelling)?, name::version(version)?);
    let file = name::file(spelling, &version)?;
    let pinned: Sha256 = sha256.parse().map_err(|_| no_such_path())?;
    let id = ArtifactId { ecosystem: Ecosystem::Cargo, package, version, file };
    Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned: Some(pinned) }))
}

fn parse_index(folders: &[&str], name: &str) -> Result<ReadRequest, RequestError> {
    let package = name::package(name)?;
    if package.as_str() != name || folders.join("/") != name::prefix(name) {
        return Err(no_such_path());
    }
    Ok(ReadRequest::Index { package, form: IndexForm::CargoSparse })
}

fn no_such_path() -> RequestError {
    RequestError::NoSuchPath { ecosystem: Ecosystem::Cargo }
}

/// The sparse index file of a crate.
pub(super) fn index_path(package: &PackageName) -> UpstreamPath {
    let path = format!("{}/{package}", name::prefix(package.as_str()));
    UpstreamPath { base: UpstreamBase::Index, path, accept: "text/plain, */*;q=0.5" }
}

/// Our `config.json`: downloads come here, and there is no web API.
pub(super) fn config_json(public_url: &Url) -> Rendered {
    Rendered::of("application/json", json!({ "dl": format!("{public_url}{DOWNLOAD}") }).to_string())
}

#[derive(Deserialize)]
struct Config {
    dl: String,
}

/// The upstream's `dl`.
pub(super) fn parse_download_template(config_json: &[u8]) -> Result<String, IndexError> {
    let Object(Config { dl }) = serde_json::from_slice(config_json)
        .map_err(|e| IndexError::Malformed { problem: format!("config.json: {e}") })?;
    match dl.len() {
        1..=TEMPLATE_BYTES_MAX => Ok(dl),
        size => Err(IndexError::Malformed { problem: format!("`dl` in config.json has {size} bytes") }),
    }
}

/// Expands the template's markers, or appends what a template without markers means.
pub(super) fn download_link(
    template: &str,
    id: &ArtifactId,
    sha256_hex: Option<&str>,
) -> Result<String, IndexError> {
    let malformed = |problem: String| IndexError::Malformed { problem };
    let Some(spelling) = name::spelling(&id.file, &id.version) else {
        return Err(malformed(format!("{:?} is not the file of a crate", id.file.as_str())));
    };
    let values = [
        ("{crate}", spelling.to_owned()),
        ("{version}", id.version.to_string()),
        ("{prefix}", name::prefix(spelling)),
        ("{lowerprefix}", name::prefix(id.package.as_str())),
    ];
    let checksum = "{sha256-checksum}";
    let has_marker =
        values.iter().any(|(marker, _)| template.contains(marker)) || template.contains(checksum);
    if !has_marker {
        return Ok(format!("{template}/{spelling}/{}/download", id.version));
    }
    let mut link = template.to_owned();
    if link.contains(checksum) {
        let hex = sha256_hex.ok_or_else(|| {
            malformed("the download template asks for a checksum, and none is declared".into())
        })?;
        let sha256: Sha256 =
            hex.parse().map_err(|_| malformed(format!("{:?} is no SHA-256", shortened(hex))))?;
        link = link.replace(checksum, &sha256.to_string());
    }
    Ok(values.iter().fold(link, |link, (marker, value)| link.replace(marker, value)))
}

/// Cargo prints the body: the sentence first, then what to look it up by.
pub(super) fn refusal_body(refusal: &Refusal, reference: &str) -> (&'static str, String) {
    let Refusal { kind, title, detail } = refusal;
    let detail: String =
        detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect();
    ("text/plain; charset=utf-8", format!("{title}: {detail}\nreference: {reference} ({})\n", kind.code()))
}

#[cfg(test)]
mod tests;
