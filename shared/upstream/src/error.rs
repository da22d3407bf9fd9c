//! Why a fetch failed, in words that are safe to show.

use std::{error::Error, io, time::Duration};

use crate::guard::EgressRefusal;

/// A failed fetch. `origin` is scheme, host and port.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The upstream does not have it: 404 or 410.
    #[error("{origin} does not have it (status {status})")]
    NotFound {
        /// Who answered.
        origin: String,
        /// 404 or 410.
        status: u16,
    },
    /// Any other status than the expected one.
    #[error("{origin} answered with status {status}")]
    Status {
        /// Who answered.
        origin: String,
        /// The status.
        status: u16,
        /// What it says about trying again.
        retry_after: Option<Duration>,
    },
    /// The egress guard.
    #[error(transparent)]
    Egress(#[from] EgressRefusal),
    /// No answer: no such name, no connection, no acceptable certificate, or the connection broke before the answer.
    #[error("cannot reach {origin}")]
    Unreachable {
        /// Who was asked.
        origin: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Too slow.
    #[error("{origin} took longer than {after:?} {phase}")]
    Timeout {
        /// Who was asked.
        origin: String,
        /// At what.
        phase: Phase,
        /// The limit.
        after: Duration,
    },
    /// Larger than allowed.
    #[error("{origin} sent more than {limit} bytes")]
    TooLarge {
        /// Who sent it.
        origin: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The body ended before it was complete.
    #[error("the body from {origin} ended early, after {got} bytes")]
    Truncated {
        /// Who sent it.
        origin: String,
        /// The `Content-Length`, if there was one.
        expected: Option<u64>,
        /// How many bytes came.
        got: u64,
    },
    /// An encoding that was not asked for, or that does not decode.
    #[error("{origin} sent an unexpected or broken encoding: {encoding:?}")]
    Encoding {
        /// Who sent it.
        origin: String,
        /// What it is called, shortened.
        encoding: String,
    },
    /// Not HTTP as it should be: two lengths, more bytes than announced, broken chunks.
    #[error("the answer of {origin} is malformed: {problem}")]
    Malformed {
        /// Who answered.
        origin: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A redirect that is not followed.
    #[error("a redirect from {origin} is not followed: {problem}")]
    Redirects {
        /// Who redirected.
        origin: String,
        /// Why not.
        problem: &'static str,
    },
    /// A web page where an artifact should be.
    #[error("{origin} sent a web page ({content_type:?}) instead of an artifact")]
    NotAnArtifact {
        /// Who sent it.
        origin: String,
        /// Its content type, shortened.
        content_type: String,
    },
    /// An artifact without a byte.
    #[error("{origin} sent an empty body")]
    Empty {
        /// Who sent it.
        origin: String,
    },
    /// Too many requests to this origin failed just now; this one was not sent.
    #[error("{origin} failed too often just now; it is asked again in {} s", retry_after.as_secs() + 1)]
    BreakerOpen {
        /// Who was not asked.
        origin: String,
        /// How long to wait.
        retry_after: Duration,
    },
    /// No request could be built from this; nothing was sent.
    #[error("no request can be made: {problem}")]
    Request {
        /// What is wrong.
        problem: &'static str,
    },
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening the connection.
    Connect,
    /// Waiting for the answer to begin.
    Answer,
    /// Waiting for the next piece of the body.
    Body,
    /// The whole of it, waiting for a free slot and retries included.
    Total,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "to accept a connection",
            Self::Answer => "to begin its answer",
            Self::Body => "to send more of its body",
            Self::Total => "in all",
        })
    }
}

impl FetchError {
    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Truncated { .. }
            | Self::BreakerOpen { .. } => true,
            Self::NotFound { .. }
            | Self::Egress(_)
            | Self::TooLarge { .. }
            | Self::Encoding { .. }
            | Self::Malformed { .. }
            | Self::Redirects { .. }
            | Self::NotAnArtifact { .. }
            | Self::Empty { .. }
            | Self::Request { .. } => false,
        }
    }

    /// An error before the answer.
    pub(crate) fn of_request(error: reqwest::Error, origin: String, connect_timeout: Duration) -> Self {
        if let Some(refusal) = cause::<EgressRefusal>(&error) {
            return Self::Egress(refusal.clone());
        }
        if error.is_timeout() {
            return Self::Timeout { origin, phase: Phase::Connect, after: connect_timeout };
        }
        if error.is_builder() {
            return Self::Request { problem: "a header or the address is malformed" };
        }
        if cause::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) {
            return Self::Malformed { origin, problem: "its head is not HTTP, or its lengths contradict" };
        }
        // The address may carry credentials in its query.
        Self::Unreachable { origin, source: error.without_url() }
    }

    /// An error within the body, `got` bytes after its begin.
    pub(crate) fn of_body(error: &reqwest::Error, origin: String, expected: Option<u64>, got: u64) -> Self {
        if cause::<hyper::Error>(error).is_none() {
            return Self::Encoding { origin, encoding: "gzip".to_owned() };
        }
        let garbage = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        };
        if cause::<io::Error>(error).is_some_and(garbage) {
            return Self::Malformed { origin, problem: "its chunks are broken" };
        }
        Self::Truncated { origin, expected, got }
    }
}

/// The first error of this type in the chain of causes.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
