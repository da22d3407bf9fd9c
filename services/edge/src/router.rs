//! From an HTTP request to the function that answers it.
//!
//! *Invariant:* the path is taken as it came, still encoded; each ecosystem's parser decodes it once.

use std::{net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use touchstone_domain::{Ecosystem, Refusal, RefusalKind};
use touchstone_ecosystems::{GoQuery, RawRequest, ReadRequest, RequestError, adapter};

use crate::{
    artifact, go, log, passthrough,
    records::{self, Client},
    refusal, render,
    serve::{self, Body},
    state::Edge,
    sumdb,
};

/// The longest request target, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Answers one request; every error is a response.
pub(crate) async fn handle(edge: &Arc<Edge>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let ambiguous = ambiguous(&parts);
    let mut response = match ambiguous {
        Some(problem) => plain(StatusCode::BAD_REQUEST, problem),
        None => dispatch(edge, &parts, body).await,
    };
    // Whoever is in front of us may see another end of such a request: hyper goes by the encoding and leaves out a length
    // that contradicts it (RFC 9112 section 6.1).
    if ambiguous.is_some() || parts.headers.contains_key(header::TRANSFER_ENCODING) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What two readers of a request could understand differently.
fn ambiguous(parts: &http::request::Parts) -> Option<&'static str> {
    if parts.headers.contains_key(header::TRANSFER_ENCODING) && parts.method != Method::POST {
        return Some("this method takes no body");
    }
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    (hosts > 1).then_some("the request names more than one host")
}

async fn dispatch(edge: &Arc<Edge>, parts: &http::request::Parts, body: Incoming) -> Response<Body> {
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if target.len() > TARGET_BYTES_MAX {
        return plain(StatusCode::URI_TOO_LONG, "the request target is too long");
    }
    let Some((ecosystem, rest)) = route(edge, host(parts), parts.uri.path()) else {
        return beside(edge, parts).await;
    };
    let raw = RawRequest {
        method: if parts.method == Method::HEAD { "GET" } else { parts.method.as_str() },
        path: rest,
        accept: accept(&parts.headers),
    };
    match adapter(ecosystem).parse(&raw) {
        Ok(read) => {
            let reference = reference(&read, rest);
            let root = parts.uri.path().strip_suffix(rest).unwrap_or("/");
            let answer = answer(edge, ecosystem, read, parts, root, body).await;
            answer.unwrap_or_else(|refused| refusal::response(ecosystem, &refused, &reference))
        }
        // below an ecosystem's root there may be nothing to name
        Err(error) if rest.is_empty() => malformed(ecosystem, &error, parts.uri.path()),
        Err(error) => malformed(ecosystem, &error, rest),
    }
}

/// Answers what is of no ecosystem.
async fn beside(edge: &Arc<Edge>, parts: &http::request::Parts) -> Response<Body> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return not_allowed("GET, HEAD");
    }
    let path = parts.uri.path();
    if let Some(file) = path.strip_prefix("/log/") {
        return log::respond(edge, file, &parts.method).await;
    }
    if let Some(sha256) = records::asked(path) {
        let client = parts.extensions.get().map_or(Ipv4Addr::UNSPECIFIED.into(), |Client(address)| *address);
        return records::respond(edge, sha256, &parts.method, client).await;
    }
    match path {
        "/healthz" => plain(StatusCode::OK, "ok"),
        "/readyz" => ready(edge).await,
        _ => plain(
            StatusCode::NOT_FOUND,
            "no such path; ecosystems are served below /npm/, /pypi/simple/, /cargo/ and /go/",
        ),
    }
}

async fn answer(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    read: ReadRequest,
    parts: &http::request::Parts,
    root: &str,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    let (method, headers) = (&parts.method, &parts.headers);
    match read {
        ReadRequest::Artifact(request) => artifact::respond(edge, &request, method, headers).await,
        ReadRequest::Index { package, form } => {
            render::respond(edge, ecosystem, &package, &form, method, headers).await
        }
        ReadRequest::Document(document) => {
            passthrough::document(edge, ecosystem, &document, method, headers).await
        }
        ReadRequest::GoInfo { package, query } => go::respond(edge, &package, &query, method).await,
        ReadRequest::Sumdb(request) => sumdb::respond(edge, &request, method).await,
        ReadRequest::BulkAudit => passthrough::bulk_audit(edge, ecosystem, headers, body).await,
        ReadRequest::Static(reply) => {
            let rendered = adapter(ecosystem).static_reply(reply, &edge.public_url(ecosystem));
            Ok(render::document(rendered, method, headers))
        }
        ReadRequest::Redirect(path) => {
            let mut response = plain(StatusCode::MOVED_PERMANENTLY, "the normal spelling is elsewhere");
            let location = format!("{root}{path}");
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
    }
}

/// The ecosystem that a request is for, and the path below its root: by host name, else by the first segment.
fn route<'a>(edge: &Edge, host: Option<&str>, path: &'a str) -> Option<(Ecosystem, &'a str)> {
    let path = path.strip_prefix('/')?;
    let named = |(ecosystem, name): (&Ecosystem, &String)| {
        host.is_some_and(|host| host.eq_ignore_ascii_case(name)).then_some((*ecosystem, path))
    };
    if let Some(found) = edge.config.hosts.iter().find_map(named) {
        return Some(found);
    }
    // npm takes the path of an attestation address from the root of the host, whatever the registry's own path is.
    if path.starts_with("-/npm/") {
        return Some((Ecosystem::Npm, path));
    }
    let (first, rest) = path.split_once('/')?;
    first.parse().ok().map(|ecosystem| (ecosystem, rest))
}

/// The host name that was asked for, without the port.
fn host(parts: &http::request::Parts) -> Option<&str> {
    let host = match parts.uri.host() {
        Some(host) => host,
        None => parts.headers.get(header::HOST)?.to_str().ok()?,
    };
    Some(host.rsplit_once(':').map_or(host, |(name, _)| name))
}

fn accept(headers: &HeaderMap) -> &str {
    headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// What an operator looks a refusal up by.
fn reference(read: &ReadRequest, path: &str) -> String {
    match read {
        ReadRequest::Artifact(request) => request.id.to_string(),
        ReadRequest::GoInfo { package, query: GoQuery::Version(version) } => format!("{package}@{version}"),
        ReadRequest::Index { package, .. } | ReadRequest::GoInfo { package, .. } => package.to_string(),
        ReadRequest::Document(_)
        | ReadRequest::Sumdb(_)
        | ReadRequest::BulkAudit
        | ReadRequest::Static(_)
        | ReadRequest::Redirect(_) => path.chars().filter(char::is_ascii_graphic).take(200).collect(),
    }
}

fn malformed(ecosystem: Ecosystem, error: &RequestError, path: &str) -> Response<Body> {
    let kind = match error {
        RequestError::NoSuchPath { .. } => RefusalKind::Unknown,
        RequestError::Name(_) | RequestError::Encoding { .. } => RefusalKind::Malformed,
        RequestError::Method { allowed } => return not_allowed(allowed),
    };
    let title = match kind {
        RefusalKind::Unknown => "No such path",
        _ => "Malformed request",
    };
    let reference: String = path.chars().filter(char::is_ascii_graphic).take(200).collect();
    refusal::response(ecosystem, &Refusal::new(kind, title, error.to_string()), &reference)
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not answered here");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

async fn ready(edge: &Edge) -> Response<Body> {
    if edge.log.standing().halted.is_some() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the transparency log cannot be relied on");
    }
    match edge.store.ping().await {
        Ok(()) => plain(StatusCode::OK, "ready"),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(serve::full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
