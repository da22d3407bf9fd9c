//! Refusals as HTTP: one status each, with the reason in the body, a header and the HTTP/1.1 reason phrase.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::ext::ReasonPhrase;
use touchstone_domain::{Ecosystem, Refusal, RefusalKind};
use touchstone_ecosystems::adapter;

use crate::serve::{Body, full};

/// How soon a client should ask again, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// The status of a refusal (clients.md section 3: 404 and 410 make clients look elsewhere, 409, 425 and 451 make some of
/// them wait, 202 makes them fail on the body). Nothing is promised to a client that never tries again: what is pending for long
/// is refused to the go command, with the advice to run it again.
const fn status(ecosystem: Ecosystem, kind: &RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Pending => match ecosystem {
            Ecosystem::Go => StatusCode::FORBIDDEN,
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => StatusCode::SERVICE_UNAVAILABLE,
        },
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Rejected
        | RefusalKind::Held { .. }
        | RefusalKind::Revoked
        | RefusalKind::Denied
        | RefusalKind::Internal
        | RefusalKind::Diverged
        | RefusalKind::Unproven => StatusCode::FORBIDDEN,
        RefusalKind::Unknown => StatusCode::NOT_FOUND,
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        RefusalKind::UpstreamBroken | RefusalKind::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
    }
}

/// The response to a refused request; `reference` is what an operator looks it up by, a purl or a path.
pub(crate) fn response(ecosystem: Ecosystem, refusal: &Refusal, reference: &str) -> Response<Body> {
    let status = status(ecosystem, &refusal.kind);
    let (content_type, body) = adapter(ecosystem).refusal_body(refusal, reference);
    let mut response = Response::new(full(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("x-touchstone-code", HeaderValue::from_static(refusal.kind.code()));
    if let Ok(title) = HeaderValue::from_str(&refusal.title) {
        headers.insert("x-touchstone-reason", title.clone());
        if ecosystem == Ecosystem::Npm {
            headers.insert("npm-notice", title);
        }
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    if let Ok(phrase) = ReasonPhrase::try_from(refusal.title.as_bytes()) {
        response.extensions_mut().insert(phrase);
    }
    metrics::counter!("touchstone_refusals", "ecosystem" => ecosystem.as_str(), "code" => refusal.kind.code()).increment(1);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refusal_has_a_status_that_makes_clients_escape_stall_or_believe() {
        let kinds = [
            (RefusalKind::Pending, 503),
            (RefusalKind::Unavailable, 503),
            (RefusalKind::Rejected, 403),
            (RefusalKind::Held { eligible_at: None }, 403),
            (RefusalKind::Revoked, 403),
            (RefusalKind::Denied, 403),
            (RefusalKind::Internal, 403),
            (RefusalKind::Diverged, 403),
            (RefusalKind::Unproven, 403),
            (RefusalKind::Unknown, 404),
            (RefusalKind::Malformed, 400),
            (RefusalKind::UpstreamBroken, 502),
            (RefusalKind::UpstreamUnreachable, 502),
        ];
        for (kind, usual) in kinds {
            let refusal = Refusal::new(kind.clone(), "Held: r\u{e9}ason\r\n", "detail");
            for ecosystem in Ecosystem::ALL {
                // The go command never tries again.
                let refused_to_go = ecosystem == Ecosystem::Go && kind == RefusalKind::Pending;
                let expected = if refused_to_go { 403 } else { usual };
                let response = response(ecosystem, &refusal, "pkg:npm/a@1");
                assert_eq!(response.status(), expected, "{ecosystem} {kind:?}");
                assert_eq!(response.headers()["x-touchstone-code"], kind.code());
                assert_eq!(response.headers()["x-touchstone-reason"], "Held: r?ason??");
                let phrase = response.extensions().get::<ReasonPhrase>().expect("phrase");
                assert_eq!(phrase.as_bytes(), b"Held: r?ason??");
                assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
            }
        }
    }
}
