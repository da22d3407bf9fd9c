//! Requests to answers.

use std::{net::SocketAddr, sync::atomic::Ordering};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use percent_encoding::percent_decode_str;
use touchstone_domain::{Ecosystem, Sha256};

use super::{Broken, Fault, Request, Shared, attestations, documents, lock};
use crate::{
    Package,
    goproxy::{self, Answer},
    sumdb::Endpoint,
};

type Body = UnsyncBoxBody<Bytes, Broken>;

/// What [`super::Registry::set_hostile_headers`] adds.
const HOSTILE: [(&str, &str); 9] = [
    ("set-cookie", "session=stolen; Domain=example; Path=/"),
    ("clear-site-data", "\"*\""),
    ("content-security-policy", "script-src *"),
    ("access-control-allow-origin", "*"),
    ("content-disposition", "attachment; filename=\"evil.exe\""),
    ("link", "<http://evil.example/>; rel=preload"),
    ("refresh", "0; url=http://evil.example/"),
    ("x-touchstone-reason", "fine"),
    ("cache-control", "public, max-age=31536000"),
];

pub(super) async fn answer(
    shared: &Shared,
    address: SocketAddr,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let mut response = honest_headers(shared, address, request).await?;
    if shared.hostile_headers.load(Ordering::SeqCst) {
        for (name, value) in HOSTILE {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

async fn honest_headers(
    shared: &Shared,
    address: SocketAddr,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    if shared.down.load(Ordering::SeqCst) {
        return Err(Broken);
    }
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    lock(&shared.log).push(Request { method: request.method().to_string(), path: path.clone() });
    let (parts, body) = request.into_parts();
    let sent = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let path = percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy().into_owned();
    let document = lock(&shared.documents).get(&path).cloned();
    if let Some((content_type, document)) = document.or_else(|| attestations::document(shared, &path)) {
        let fault = attestations::fault(shared, &path);
        return match fault {
            None => Ok(document_response(&parts.headers, &content_type, document)),
            Some(fault) => send(document, &content_type, Some(fault)).await,
        };
    }
    if path.starts_with("go/") || path.starts_with("sumdb/") {
        return golang(shared, &path).await;
    }
    if path == "npm/-/npm/v1/security/advisories/bulk" {
        // What was asked about comes back, so that tests see what left the mirror.
        return Ok(document_response(&parts.headers, "application/json", sent.to_vec()));
    }
    let accept = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if let Some((content_type, document)) = documents::metadata(shared, address, &path, accept) {
        return Ok(document_response(&parts.headers, content_type, document));
    }
    match artifact(shared, &path) {
        Some((package, bytes, file)) => {
            let fault = lock(&shared.faults).get(&file).cloned();
            drop(package);
            send(bytes, "application/octet-stream", fault).await
        }
        None => Ok(status(StatusCode::NOT_FOUND, "not found")),
    }
}

/// A module proxy and a checksum database, which the proxy passes through as well.
async fn golang(shared: &Shared, path: &str) -> Result<Response<Body>, Broken> {
    let passed_through = format!("go/sumdb/{}/", shared.sumdb.name());
    let database = path.strip_prefix(&passed_through).or_else(|| path.strip_prefix("sumdb/"));
    let (name, answer) = match database {
        Some(below) => (format!("sumdb/{below}"), shared.sumdb.answer(&Endpoint(below))),
        None => (path.to_owned(), goproxy::answer(&shared.go, path.strip_prefix("go/").unwrap_or_default())),
    };
    let fault = lock(&shared.faults).get(&name).cloned();
    let Some(Answer { content_type, body, lengthless }) = answer else {
        return match fault {
            Some(fault) => send(vec![], "text/plain; charset=utf-8", Some(fault)).await,
            None => Ok(status(StatusCode::NOT_FOUND, "not found: this registry has no such thing")),
        };
    };
    send(body, content_type, fault.or(lengthless.then_some(Fault::Lengthless))).await
}

/// The file that a path names, and its bytes.
fn artifact(shared: &Shared, path: &str) -> Option<(Package, Vec<u8>, String)> {
    let packages = lock(&shared.packages);
    let found = |ecosystem, file: &str, name: Option<&str>| {
        packages
            .iter()
            .find(|p| p.ecosystem == ecosystem && p.file == file && name.is_none_or(|n| n == p.name))
            .cloned()
    };
    if let Some(rest) = path.strip_prefix("npm/") {
        let (name, file) = rest.split_once("/-/")?;
        let package = found(Ecosystem::Npm, file, Some(name))?;
        return Some((package.clone(), package.bytes, file.to_owned()));
    }
    if let Some(file) = path.strip_prefix("pypi/files/") {
        if let Some(wheel) = file.strip_suffix(".metadata") {
            let package = found(Ecosystem::Pypi, wheel, None)?;
            return Some((package.clone(), package.metadata?, file.to_owned()));
        }
        let package = found(Ecosystem::Pypi, file, None)?;
        return Some((package.clone(), package.bytes, file.to_owned()));
    }
    let rest = path.strip_prefix("cargo/dl/")?;
    let mut parts = rest.split('/');
    let (name, version) = (parts.next()?, parts.next()?);
    let file = format!("{name}-{version}.crate");
    let package = found(Ecosystem::Cargo, &file, Some(name))?;
    Some((package.clone(), package.bytes, file))
}

async fn send(
    mut bytes: Vec<u8>,
    content_type: &str,
    fault: Option<Fault>,
) -> Result<Response<Body>, Broken> {
    let size = bytes.len();
    let mut announced = Some(size);
    let mut breaks = false;
    let mut version = Version::HTTP_11;
    let mut stall = None;
    match fault {
        None => (),
        Some(Fault::Tamper) => bytes[size / 2] ^= 1,
        Some(Fault::Truncate) => {
            bytes.truncate(size / 2);
            breaks = true;
        }
        Some(Fault::Short) => {
            bytes.truncate(size / 2);
            announced = None;
        }
        Some(Fault::Cut) => {
            bytes.truncate(size / 2);
            announced = None;
            version = Version::HTTP_10;
        }
        Some(Fault::Lengthless) => announced = None,
        Some(Fault::Status(code)) => {
            return Ok(status(StatusCode::from_u16(code).map_err(|_| Broken)?, "this registry fails here"));
        }
        Some(Fault::Html) => {
            let mut response = status(StatusCode::OK, "<html><body>Please sign in</body></html>");
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            return Ok(response);
        }
        Some(Fault::Redirect(to)) => {
            let mut response = status(StatusCode::FOUND, "elsewhere");
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&to).map_err(|_| Broken)?);
            return Ok(response);
        }
        Some(Fault::Hold(gate)) => gate.acquire().await.map_err(|_| Broken)?.forget(),
        Some(Fault::Stall(gate)) => stall = Some(gate),
        Some(Fault::Bytes(other)) => {
            announced = Some(other.len());
            bytes = other;
        }
        Some(Fault::Chunks(other)) => {
            announced = None;
            bytes = other;
        }
    }
    let pieces: Vec<Bytes> = bytes.chunks(64 * 1024).map(Bytes::copy_from_slice).collect();
    let end = stream::iter(breaks.then_some(())).then(|()| async {
        // What came before is sent first.
        tokio::task::yield_now().await;
        Err(Broken)
    });
    let frames = stream::iter(pieces.into_iter().enumerate()).then(move |(n, piece)| {
        let stall = stall.clone().filter(|_| n == 1);
        async move {
            if let Some(gate) = stall {
                gate.acquire().await.map_err(|_| Broken)?.forget();
            }
            Ok(Frame::data(piece))
        }
    });
    let mut response = Response::new(StreamBody::new(frames.chain(end)).boxed_unsync());
    // The older version has no chunks.
    *response.version_mut() = version;
    if let Some(announced) = announced {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(announced));
    }
    let content_type = HeaderValue::from_str(content_type).map_err(|_| Broken)?;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

fn document_response(headers: &HeaderMap, content_type: &str, document: Vec<u8>) -> Response<Body> {
    let etag = format!("\"{}\"", &Sha256::of(&document).to_string()[..16]);
    let same = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == etag.as_bytes());
    let mut response = if same {
        status(StatusCode::NOT_MODIFIED, "")
    } else {
        Response::new(Full::from(document).map_err(Broken::from).boxed_unsync())
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&etag).expect("hexadecimal"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a media type"));
    response
}

fn status(code: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::from(text).map_err(Broken::from).boxed_unsync());
    *response.status_mut() = code;
    response
}
