//! Why a request gets no bytes, in words for the person who reads them in npm, pip or cargo.
//!
//! The edge turns a refusal into a status and a body; the words are here so that every role says the same.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A refusal: a short title for places such as an HTTP/1.1 reason phrase, and a sentence that says what, why and what next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class, from which the edge derives the status.
    pub kind: RefusalKind,
    /// At most 100 characters of printable ASCII.
    pub title: String,
    /// What, why, and what to do next.
    pub detail: String,
}

/// The classes of refusals. Statuses are those of clients.md section 3: never 202, 404 (but for what is really
/// unknown), 409, 425 or 451.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RefusalKind {
    /// The checks have not answered in time; trying again helps. 503 with Retry-After.
    Pending,
    /// A check rejected it. 403.
    Rejected,
    /// It is kept back by policy, for now. 403.
    Held {
        /// When it may be served, if age is what keeps it back.
        eligible_at: Option<Timestamp>,
    },
    /// It was recalled. 403.
    Revoked,
    /// The deny list names it. 403.
    Denied,
    /// The name is internal and is never asked for upstream. 403.
    Internal,
    /// Another digest is on record for this coordinate. 403.
    Diverged,
    /// The database says that it may be served, and no signature that counts says so: an alarm. 403.
    Unproven,
    /// The upstream has no such package, version or file. 404.
    Unknown,
    /// The request is malformed. 400.
    Malformed,
    /// The upstream answered wrongly, or with bytes that contradict its own metadata. 502.
    UpstreamBroken,
    /// The upstream cannot be reached. 502.
    UpstreamUnreachable,
    /// Touchstone itself cannot decide now: the database is away, or limits are reached. 503 with Retry-After.
    Unavailable,
}

impl RefusalKind {
    /// The stable, machine-readable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Held { .. } => "held",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
            Self::Internal => "internal",
            Self::Diverged => "diverged",
            Self::Unproven => "unproven",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::UpstreamBroken => "upstream_broken",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Refusal {
    /// Cleans the title for the header and the status line it will stand in.
    pub fn new(kind: RefusalKind, title: &str, detail: impl Into<String>) -> Self {
        let title =
            title.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(100).collect();
        Self { kind, title, detail: detail.into() }
    }
}
