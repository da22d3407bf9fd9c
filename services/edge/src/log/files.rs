//! The log's files for whoever audits it: `/log/checkpoint` and `/log/tile/…`, as C2SP tlog-tiles has them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use touchstone_tlog::tile::{C2SP_CHECKPOINT, TilePath};
use touchstone_translog::LogReader;

use crate::{
    problem,
    serve::{self, Body},
    state::Edge,
};

/// A checkpoint is replaced by the next one.
const CHECKPOINT_CACHE: &str = "no-cache";
/// A full tile never changes.
const FULL_CACHE: &str = "public, max-age=31536000, immutable";
/// A partial one does not either, but goes when it is full.
const PARTIAL_CACHE: &str = "public, max-age=60";

/// Answers a request for a file of the log; `path` is what follows `/log/`, as it came.
pub(crate) async fn respond(edge: &Arc<Edge>, path: &str, method: &Method) -> Response<Body> {
    let Some((content_type, cache)) = describe(path) else {
        return problem::response(StatusCode::NOT_FOUND, "The transparency log has no such path.");
    };
    let (dir, name) = (edge.log.dir.clone(), path.to_owned());
    let reading = tokio::task::spawn_blocking(move || LogReader::open(&dir)?.file(&name));
    let bytes = match reading.await {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Ok(None)) => {
            return problem::response(StatusCode::NOT_FOUND, "The transparency log does not have this file.");
        }
        Ok(Err(error)) => {
            tracing::warn!(
                path,
                error = &error as &dyn std::error::Error,
                "a file of the log cannot be read"
            );
            return problem::response(
                StatusCode::SERVICE_UNAVAILABLE,
                "The transparency log cannot be read.",
            );
        }
        Err(_panic) => {
            return problem::response(
                StatusCode::SERVICE_UNAVAILABLE,
                "The transparency log cannot be read.",
            );
        }
    };
    let length = HeaderValue::from(bytes.len());
    let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from(bytes) };
    let mut response = Response::new(serve::full(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The content type and the caching of a path that the log may have; `None` for any other.
fn describe(path: &str) -> Option<(&'static str, &'static str)> {
    if path == C2SP_CHECKPOINT {
        return Some(("text/plain; charset=utf-8", CHECKPOINT_CACHE));
    }
    let full = match TilePath::parse_c2sp(path).ok()? {
        TilePath::Hashes(tile) => tile.is_full(),
        TilePath::Entries(entries) => entries.hashes().is_full(),
    };
    Some(("application/octet-stream", if full { FULL_CACHE } else { PARTIAL_CACHE }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_log_name_files() {
        let (text, binary) = ("text/plain; charset=utf-8", "application/octet-stream");
        for (path, expected) in [
            ("checkpoint", Some((text, "no-cache"))),
            ("tile/0/000", Some((binary, FULL_CACHE))),
            ("tile/entries/x001/234", Some((binary, FULL_CACHE))),
            ("tile/0/000.p/255", Some((binary, PARTIAL_CACHE))),
            ("tile/entries/000.p/1", Some((binary, PARTIAL_CACHE))),
            ("", None),
            ("checkpoint/", None),
            ("checkpoint%00", None),
            ("../checkpoint", None),
            ("tile/../checkpoint", None),
            ("tile/0/../0/000", None),
            ("tile/0/%2e%2e/000", None),
            ("tile/0/0", None),
            ("tile/0/000.p/256", None),
            ("tile/8/000", None),
            ("tile//000", None),
            ("/etc/passwd", None),
            (".lock", None),
            ("witness/a", None),
        ] {
            assert_eq!(describe(path), expected, "{path}");
        }
    }
}
