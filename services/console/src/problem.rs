//! Errors as RFC 9457 problem details.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use touchstone_store::StoreError;

use crate::recall::RecallError;

/// An error that a caller of the API reads.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into() }
    }

    /// The caller's mistake.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad request", detail)
    }
}

/// The cause goes to the log, not to the caller.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the database did not answer");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Database unavailable",
            "the database did not answer; try again shortly",
        )
    }
}

impl From<RecallError> for Problem {
    fn from(error: RecallError) -> Self {
        let detail = error.to_string();
        match error {
            RecallError::Record(error) => error.into(),
            RecallError::Hold(cause) => {
                let cause = &cause as &dyn std::error::Error;
                tracing::error!(
                    error = cause,
                    "a recall is on record, and what it names may not be held yet"
                );
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Recall not seen to hold", detail)
            }
            RecallError::Late(_) => {
                tracing::error!("a recall took too long, and is not known to hold");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Recall not seen to hold", detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "type": "about:blank", "title": self.title, "status": self.status.as_u16(), "detail": self.detail });
        let mut response = (self.status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
