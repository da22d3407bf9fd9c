//! One request with its redirects: guard, breaker, credentials, status, framing.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Client, Method, Request, Response, StatusCode,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
        TRANSFER_ENCODING,
    },
};
use tokio::time::timeout;
use url::Url;

use crate::{
    breaker::Health,
    error::{FetchError, Phase},
    guard::{AllowedOrigins, decide, shown_origin},
    upstream::Inner,
};

/// A request, to be sent once or more.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a Client,
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) allowed: &'a AllowedOrigins,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// Whether 409 is an answer too.
    pub(crate) takes_conflict: bool,
}

impl Exchange<'_> {
    /// Sends it and follows redirects, to the same origin or a file host, until there is an answer of status 200 or 304, or 409.
    /// The caller tells the breaker how that went on; everything else it knows by then.
    pub(crate) async fn send(&self, inner: &Inner) -> Result<Response, FetchError> {
        let mut url = self.url.clone();
        url.set_fragment(None);
        decide(&url, self.allowed)?;
        let mut credentials = url.origin() == inner.url.origin();
        for _ in 0..=inner.limits.redirects_max {
            let response = self.hop(inner, &url, credentials).await?;
            if !is_redirect(response.status()) {
                return answered(response, self.takes_conflict)
                    .inspect_err(|error| inner.breaker(&url).record(Health::of(error)));
            }
            inner.breaker(&url).record(Health::Answered);
            let next = self.redirect(&response)?;
            // The body of a redirect is never read; dropping the response closes it.
            decide(&next, &inner.file_hosts.with(&url))?;
            credentials &= next.origin() == url.origin();
            url = next;
        }
        Err(FetchError::Redirects { origin: shown_origin(&url), problem: "there are too many" })
    }

    /// Sends it to one address, which the guard has allowed.
    async fn hop(&self, inner: &Inner, url: &Url, credentials: bool) -> Result<Response, FetchError> {
        let origin = shown_origin(url);
        let breaker = inner.breaker(url);
        if let Err(retry_after) = breaker.admit() {
            return Err(FetchError::BreakerOpen { origin, retry_after });
        }
        let mut request = Request::new(self.method.clone(), url.clone());
        request.headers_mut().clone_from(&self.headers);
        if let Some(bearer) = inner.bearer.as_ref().filter(|_| credentials) {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        *request.body_mut() = self.body.clone().map(Into::into);

        let after = inner.limits.read_timeout;
        let sent = match timeout(after, self.client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(FetchError::of_request(error, origin, inner.limits.connect_timeout)),
            Err(_) => Err(FetchError::Timeout { origin, phase: Phase::Answer, after }),
        };
        sent.inspect_err(|error| breaker.record(Health::of(error)))
    }

    fn redirect(&self, response: &Response) -> Result<Url, FetchError> {
        let refused = |problem| FetchError::Redirects { origin: shown_origin(response.url()), problem };
        if self.method != Method::GET {
            return Err(refused("the request has a body"));
        }
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| response.url().join(location).ok());
        let mut next = next.ok_or_else(|| refused("it has no usable Location"))?;
        next.set_fragment(None);
        Ok(next)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Only 200 and 304 are answers, and 409 where it is wanted; and only with one plain framing, and no encoding that was not undone.
fn answered(response: Response, takes_conflict: bool) -> Result<Response, FetchError> {
    let origin = shown_origin(response.url());
    let status = response.status().as_u16();
    let headers = response.headers();
    match status {
        200 | 304 => {}
        409 if takes_conflict => {}
        404 | 410 => return Err(FetchError::NotFound { origin, status }),
        _ => return Err(FetchError::Status { origin, status, retry_after: retry_after(headers) }),
    }
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err(FetchError::Malformed {
            origin,
            problem: "it has both a length and a transfer encoding",
        });
    }
    for (header, plain) in [(CONTENT_ENCODING, "identity"), (TRANSFER_ENCODING, "chunked")] {
        let is_plain = |value: &&HeaderValue| value.as_bytes().eq_ignore_ascii_case(plain.as_bytes());
        if let Some(other) = headers.get_all(header).iter().find(|value| !is_plain(value)) {
            return Err(FetchError::Encoding { origin, encoding: shortened(other.as_bytes()) });
        }
    }
    Ok(response)
}

/// In seconds only: the other form needs a clock that agrees with the upstream's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// A header's value for an error: bounded, and text.
pub(crate) fn shortened(value: &[u8]) -> String {
    const BYTES_MAX: usize = 100;
    String::from_utf8_lossy(&value[..value.len().min(BYTES_MAX)]).into_owned()
}
