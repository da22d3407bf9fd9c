//! The signed records of an artifact, for whoever has its bytes: the address that stands beside them.

mod turns;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use touchstone_chain::{Sources, Wanted};
use touchstone_domain::Sha256;
use url::Url;

use crate::{
    problem,
    serve::{self, Body},
    state::Edge,
};

pub(crate) use turns::{Client, Turns};

/// How long gathering records may take.
const GATHERING_MAX: Duration = Duration::from_secs(10);
/// What stands before the digest.
const BEFORE: &str = "/api/v1/artifacts/";
/// What stands after it.
const AFTER: &str = "/records";

/// The `Link` header of an artifact (RFC 8288).
pub(crate) fn link(public_url: &Url, sha256: Sha256) -> String {
    let root = public_url.as_str().trim_end_matches('/');
    format!("<{root}{BEFORE}{sha256}{AFTER}>; rel=\"describedby\"; type=\"application/json\"")
}

/// The digest that a path asks for the records of; digits are in lower case.
pub(crate) fn asked(path: &str) -> Option<Sha256> {
    let hex = path.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    hex.parse().ok().filter(|digest: &Sha256| digest.to_string() == hex)
}

/// Answers a request for records: what verifies, and what is missing.
pub(crate) async fn respond(
    edge: &Arc<Edge>,
    sha256: Sha256,
    method: &Method,
    client: IpAddr,
) -> Response<Body> {
    let Some(_turn) = edge.gathering.turn(client).await else {
        return unavailable("Too many records are being gathered. Try again shortly.");
    };
    let sources = Sources {
        store: edge.store.clone(),
        records: edge.records.clone(),
        ring: Arc::clone(&edge.ring.borrow()),
        environment: edge.signing.environment.to_string(),
    };
    let wanted = Wanted::Digest(sha256);
    let Ok(gathered) = tokio::time::timeout(GATHERING_MAX, sources.gather(&wanted)).await else {
        return unavailable("The mirror's database or its disk took too long. Try again shortly.");
    };
    let artifacts = match gathered {
        Ok(artifacts) => artifacts,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "records cannot be gathered");
            return unavailable("The mirror's database did not answer. Try again shortly.");
        }
    };
    if artifacts.is_empty() {
        let detail = format!("No artifact with the digest sha256:{sha256} is on record.");
        return problem::response(StatusCode::NOT_FOUND, &detail);
    }
    let body = match serde_json::to_vec(&json!({ "artifacts": artifacts })) {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "records cannot be written as JSON");
            return unavailable("The records cannot be written.");
        }
    };
    let length = HeaderValue::from(body.len());
    let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
    let mut response = Response::new(serve::full(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn unavailable(detail: &str) -> Response<Body> {
    problem::response(StatusCode::SERVICE_UNAVAILABLE, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_leads_to_the_path_that_is_answered() {
        let sha256 = Sha256::of("a");
        for root in ["https://mirror.example", "https://mirror.example/", "https://mirror.example/a/b/"] {
            let link = link(&Url::parse(root).unwrap(), sha256);
            let (url, parameters) = link.strip_prefix('<').and_then(|l| l.split_once('>')).unwrap();
            assert_eq!(parameters, "; rel=\"describedby\"; type=\"application/json\"");
            let path = url.strip_prefix(root.trim_end_matches('/')).unwrap();
            assert_eq!(asked(path), Some(sha256), "{link}");
        }
    }

    #[test]
    fn only_a_digest_in_lower_case_names_records() {
        let sha256 = Sha256::of("a").to_string();
        let path = |hex: &str| format!("/api/v1/artifacts/{hex}/records");
        assert!(asked(&path(&sha256)).is_some());
        for other in [
            path(&sha256.to_uppercase()),
            path(&sha256[1..]),
            path(&format!("{sha256}0")),
            path(""),
            path("../x"),
            path(&sha256) + "/",
            path(&sha256).replacen("v1", "v2", 1),
        ] {
            assert_eq!(asked(&other), None, "{other}");
        }
    }
}
