//! Sending the bytes of a promoted artifact.
//!
//! *Invariant:* every chunk is verified before any of its bytes is sent, ranges included. A bad chunk breaks the connection,
//! so that no client takes the response for complete; the blob is set aside and fetched again.

use std::{convert::Infallible, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use touchstone_blobs::ReadError;
use touchstone_custody::PromotedArtifact;
use touchstone_domain::{ArtifactId, Sha256};

use crate::{
    range::{self, Asked},
    records,
    state::Edge,
};

/// How long a response with a bad chunk waits to break off, so that the client's next request finds the blob healed.
const CUT_AFTER: Duration = Duration::from_secs(5);

/// Why a response breaks off.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A response body.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is in memory.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that streams.
pub(crate) fn stream(bytes: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Body {
    StreamBody::new(bytes.map_ok(Frame::data)).boxed_unsync()
}

/// The response with the artifact's bytes, or the part of them that is asked for. The first chunk is verified when this
/// returns; an error says that the stored copy cannot be used.
pub(crate) async fn response(
    edge: &Arc<Edge>,
    artifact: PromotedArtifact,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, ReadError> {
    let record = artifact.record();
    let (id, sha256, size) = (record.id().clone(), record.sha256(), record.size());
    let etag = format!("\"{sha256}\"");
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let mut response = Response::new(full(Bytes::new()));
    describe(&mut response, &etag);
    if let Ok(link) = HeaderValue::from_str(&records::link(&edge.config.public_url, sha256)) {
        response.headers_mut().insert(header::LINK, link);
    }
    if text(header::IF_NONE_MATCH).is_some_and(|tags| names_etag(tags, &etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    // Ranges are defined for GET only.
    let ranged = method == Method::GET && text(header::IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    let asked = range::parse(text(header::RANGE).filter(|_| ranged), size);
    let part: Range<u64> = match asked {
        Asked::Whole => 0..size,
        Asked::Part(part) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, ascii(&content_range));
            part
        }
        Asked::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            response.headers_mut().insert(header::CONTENT_RANGE, ascii(&format!("bytes */{size}")));
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return Ok(response);
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    let verified = edge.blobs.verified(Arc::new(artifact), part).await?;
    if method == Method::HEAD {
        return Ok(response);
    }
    let edge = Arc::clone(edge);
    *response.body_mut() = stream(verified.then(move |chunk| {
        let (edge, id) = (Arc::clone(&edge), id.clone());
        async move {
            match chunk {
                Ok(bytes) => {
                    metrics::counter!("touchstone_served_bytes").increment(bytes.len() as u64);
                    Ok(bytes)
                }
                Err(error) => Err(cut(&edge, &id, sha256, error).await),
            }
        }
    }));
    Ok(response)
}

/// Takes a blob out of service in the middle of a response. It is healed whether or not the client stays.
async fn cut(edge: &Arc<Edge>, id: &ArtifactId, sha256: Sha256, error: ReadError) -> BodyError {
    match &error {
        ReadError::Missing { .. } | ReadError::Damaged { .. } => {
            match crate::artifact::heal(edge, id, sha256, &error) {
                Ok(healed) => {
                    let _late = tokio::time::timeout(CUT_AFTER, healed.wait()).await;
                }
                Err(_full) => tracing::warn!(artifact.id = %id, %error, "a blob waits to be healed"),
            }
        }
        ReadError::Io { .. } | ReadError::Range { .. } | ReadError::TooLarge { .. } => {
            tracing::error!(artifact.id = %id, error = &error as &dyn std::error::Error, "cannot read a blob");
        }
    }
    Box::new(error)
}

fn describe(response: &mut Response<Body>, etag: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, ascii(etag));
    // Private: a cache in between would go on serving after a recall.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
}

/// Whether an `If-None-Match` list names the entity tag, weak comparison.
pub(crate) fn names_etag(list: &str, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("hexadecimal digits, numbers and ASCII punctuation")
}
