//! Documents that the mirror does not interpret: attestations, keys, provenance, audits. Clients verify them themselves.

use std::{future::ready, io::Read, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, Method, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use touchstone_domain::{Admission, Ecosystem, Refusal, RefusalKind};
use touchstone_ecosystems::{Document, Rendered, UpstreamBase, check_document, filter_bulk_audit};

use crate::{
    documents::{self, Absence, DOCUMENT_BYTES_MAX, Kept, Renewal, Wanted},
    render,
    serve::Body,
    state::Edge,
    words,
};

/// Where npm registries take audit requests.
const AUDIT_PATH: &str = "-/npm/v1/security/advisories/bulk";
/// The largest audit request, compressed or not, in bytes.
const AUDIT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// How long a client may take to send one.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers a request for a document of the upstream.
pub(crate) async fn document(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    document: &Document,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    if let Some(package) = &document.package {
        let admission = match &document.version {
            Some(version) => edge.policy.admit_version(ecosystem, package, version),
            None => edge.policy.admit_package(ecosystem, package),
        };
        let what = words::package(ecosystem, package);
        if let Some(refusal) = words::admission(ecosystem, &what, &admission) {
            return Err(refusal);
        }
    }
    let upstream = edge.upstream(ecosystem)?;
    let path = &document.upstream;
    let what = format!("the document {}", path.path);
    let url = match path.base {
        UpstreamBase::Index => upstream.index_url(&path.path),
        UpstreamBase::Attestations => upstream.attestations_url(&path.path),
    }
    .map_err(|e| words::fetch(&what, &e))?;
    let max_age = edge.config.metadata_ttl;
    let (bytes_max, absence, renewal) = (DOCUMENT_BYTES_MAX, Absence::Asked, Renewal::Revalidated);
    let wanted = Wanted { ecosystem, url, accept: path.accept, what, max_age, bytes_max, absence, renewal };
    let read = |kept: Kept| ready(sound(&wanted.what, &kept.content_type, &kept.body));
    let rendered = documents::get(edge, &wanted, read).await?;
    Ok(render::document(rendered, method, headers))
}

/// What is kept and passed on: a JSON object of a document's size, which no two clients read differently.
fn sound(what: &str, content_type: &str, body: &Bytes) -> Result<Rendered, Refusal> {
    let rendered = json(what, content_type, body.clone())?;
    check_document(body).map_err(|error| words::broken(what, error))?;
    Ok(rendered)
}

/// Only JSON is passed on; anything else is an error page, or would be somebody else's page under our name.
fn json(what: &str, content_type: &str, body: Bytes) -> Result<Rendered, Refusal> {
    let known = match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => "application/json",
        "application/vnd.pypi.integrity.v1+json" => "application/vnd.pypi.integrity.v1+json",
        other => {
            let other: String = other.chars().take(100).collect();
            return Err(words::broken(
                what,
                format!("the upstream sent {other:?} instead of application/json"),
            ));
        }
    };
    Ok(Rendered::of(known, body))
}

/// Passes npm's bulk advisory request on, without the internal names in it.
pub(crate) async fn bulk_audit(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    let malformed =
        |problem: String| Refusal::new(RefusalKind::Malformed, "Malformed audit request", problem);
    let received = received(body).await.map_err(malformed)?;
    let body = decoded(headers, received).map_err(malformed)?;
    let keep = |name: &_| edge.policy.admit_package(ecosystem, name) != Admission::Internal;
    let filtered = filter_bulk_audit(&body, keep).map_err(|e| malformed(e.to_string()))?;
    let upstream = edge.upstream(ecosystem)?;
    let what = "the advisories".to_owned();
    let url = upstream.index_url(AUDIT_PATH).map_err(|e| words::fetch(&what, &e))?;
    let answer = upstream.post(&url, "application/json", Bytes::from(filtered)).await;
    let answer = answer.map_err(|e| words::fetch(&what, &e))?;
    let rendered = json(&what, &answer.content_type, answer.body)?;
    Ok(render::document(rendered, &Method::POST, headers))
}

/// The body, bounded in size and time.
async fn received(body: Incoming) -> Result<Bytes, String> {
    if body.size_hint().lower() > AUDIT_BYTES_MAX as u64 {
        return Err(format!("the audit request is larger than {AUDIT_BYTES_MAX} bytes"));
    }
    match tokio::time::timeout(AUDIT_TIMEOUT, Limited::new(body, AUDIT_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(format!("the audit request cannot be read: {error}")),
        Err(_) => Err(format!("the audit request took longer than {AUDIT_TIMEOUT:?}")),
    }
}

/// npm compresses its audit requests; the unpacked size has the same bound.
fn decoded(headers: &HeaderMap, body: Bytes) -> Result<Bytes, String> {
    match headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?")) {
        None | Some("identity") => Ok(body),
        Some("gzip") => {
            let mut plain = Vec::new();
            let limit = AUDIT_BYTES_MAX as u64 + 1;
            MultiGzDecoder::new(&body[..])
                .take(limit)
                .read_to_end(&mut plain)
                .map_err(|e| format!("bad gzip: {e}"))?;
            if plain.len() > AUDIT_BYTES_MAX {
                return Err(format!("the audit request unpacks to more than {AUDIT_BYTES_MAX} bytes"));
            }
            Ok(Bytes::from(plain))
        }
        Some(other) => Err(format!("the content encoding {other:?} is not understood")),
    }
}
