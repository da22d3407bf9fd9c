//! Response bodies: an artifact as it comes, a document as a whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Response, Version, header::TRANSFER_ENCODING};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use url::Url;

use crate::{
    error::{FetchError, Phase},
    guard::shown_origin,
    options::Limits,
};

/// How the end of a body is told from an early one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Its length was announced.
    Announced,
    /// It says where it ends: by the last of its chunks, or by a frame of HTTP/2. Without that end it is truncated.
    Delimited,
    /// It ends with the connection: a body that was cut off looks like a whole one.
    Closing,
}

/// The bytes of an artifact, exactly as they were sent. They are unverified.
#[derive(Debug)]
pub struct ArtifactBody {
    /// Where they came from in the end, without credentials, query and fragment.
    pub url: Url,
    /// The `Content-Length`, if there was one.
    pub length: Option<u64>,
    /// How its end is told.
    pub framing: Framing,
    body: Body,
    deadline: Instant,
    artifact_timeout: Duration,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl ArtifactBody {
    pub(crate) fn new(url: Url, body: Body, limits: &Limits, permit: OwnedSemaphorePermit) -> Self {
        Self {
            url,
            length: body.length,
            framing: body.framing(),
            body,
            deadline: Instant::now() + limits.artifact_timeout,
            artifact_timeout: limits.artifact_timeout,
            ended: false,
            _permit: permit,
        }
    }

    /// The next piece. `None` only after the whole body came; an error ends it too, and what came before it is then
    /// worth nothing. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, FetchError>> {
        if self.ended {
            return None;
        }
        let piece = match tokio::time::timeout_at(self.deadline, self.body.next()).await {
            Ok(piece) => piece,
            Err(_) => Err(FetchError::Timeout {
                origin: self.body.origin.clone(),
                phase: Phase::Total,
                after: self.artifact_timeout,
            }),
        };
        let piece = match piece {
            Ok(None) if self.body.got == 0 => Err(FetchError::Empty { origin: self.body.origin.clone() }),
            piece => piece,
        };
        self.ended = !matches!(piece, Ok(Some(_)));
        piece.transpose()
    }
}

/// A response body with its bounds.
#[derive(Debug)]
pub(crate) struct Body {
    response: Response,
    origin: String,
    length: Option<u64>,
    got: u64,
    bytes_max: u64,
    read_timeout: Duration,
}

impl Body {
    /// Refuses a body that is announced as too long.
    pub(crate) fn new(response: Response, bytes_max: u64, limits: &Limits) -> Result<Self, FetchError> {
        let origin = shown_origin(response.url());
        let length = response.content_length();
        if length.is_some_and(|length| length > bytes_max) {
            return Err(FetchError::TooLarge { origin, limit: bytes_max });
        }
        Ok(Self { response, origin, length, got: 0, bytes_max, read_timeout: limits.read_timeout })
    }

    pub(crate) fn framing(&self) -> Framing {
        let chunked = self.response.headers().contains_key(TRANSFER_ENCODING);
        match (self.length, self.response.version()) {
            (Some(_), _) => Framing::Announced,
            (None, Version::HTTP_2) => Framing::Delimited,
            // Of the encodings, only this one is let through.
            (None, _) if chunked => Framing::Delimited,
            (None, _) => Framing::Closing,
        }
    }

    /// The whole of it.
    pub(crate) async fn buffered(mut self) -> Result<Bytes, FetchError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next piece; `None` after the last one of a complete body.
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let piece = match timeout(self.read_timeout, self.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                return Err(FetchError::of_body(&error, self.origin.clone(), self.length, self.got));
            }
            Err(_) => return Err(self.stalled()),
        };
        self.got += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.got > self.bytes_max {
            return Err(FetchError::TooLarge { origin: self.origin.clone(), limit: self.bytes_max });
        }
        // The HTTP library sees to both already; a length is too important to rest on that.
        match self.length {
            Some(length) if self.got > length => Err(FetchError::Malformed {
                origin: self.origin.clone(),
                problem: "more bytes than announced",
            }),
            Some(length) if piece.is_none() && self.got < length => Err(FetchError::Truncated {
                origin: self.origin.clone(),
                expected: self.length,
                got: self.got,
            }),
            Some(_) | None => Ok(piece),
        }
    }

    fn stalled(&self) -> FetchError {
        FetchError::Timeout { origin: self.origin.clone(), phase: Phase::Body, after: self.read_timeout }
    }
}
