//! The signed records of an artifact, for whoever has its bytes: the address that stands beside them.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use touchstone_domain::Sha256;
use url::Url;

use crate::{problem, serve::Body, state::Edge};

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

/// Answers a request for records.
pub(crate) async fn respond(_edge: &Arc<Edge>, sha256: Sha256, _method: &Method) -> Response<Body> {
    problem::response(StatusCode::NOT_FOUND, &format!("No records of sha256:{sha256} are known."))
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
