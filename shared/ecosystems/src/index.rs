//! A package's metadata: parsed once, filtered and rewritten at each render.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use touchstone_domain::{Claim, FileName, Version};
use url::Url;

use crate::IndexForm;

/// Parsed metadata of one package. Keeps the document's bytes; entries are ranges into it.
pub trait Index: Send + Sync {
    /// Every listed artifact, in the document's order.
    fn entries(&self) -> &[IndexEntry];

    /// What a fetch needs to know of one artifact; `None` if the document does not list it.
    fn locate(&self, version: &Version, file: &FileName) -> Option<Located>;

    /// The document as a client gets it: refused entries hidden or yanked as the ecosystem does, dist-tags repaired, links
    /// pointing to `public_url` (the ecosystem's root, with a trailing slash), integrity fields untouched. `None` if
    /// `form` names a version or tag that is not there.
    fn render(&self, form: &IndexForm, public_url: &Url, amendments: &Amendments) -> Option<Rendered>;
}

/// One listed artifact. Versions and files outside the grammar are left out of the index altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The version, normalised.
    pub version: Version,
    /// The file.
    pub file: FileName,
    /// The declared publish time; unsigned.
    pub published_at: Option<Timestamp>,
    /// Whether it is listed as having attestations.
    pub attested: bool,
}

/// What the upstream says of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where its bytes are: absolute, or relative to the document's own address. Checked by the egress guard, not here.
    pub url: String,
    /// What is declared about them.
    pub claims: Vec<Claim>,
    /// The declared publish time; unsigned.
    pub published_at: Option<Timestamp>,
    /// The entry, byte for byte.
    pub evidence: Bytes,
}

/// What is changed in a render, by version and file.
pub type Amendments = HashMap<(Version, FileName), Amendment>;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// The artifact is refused: hidden, or listed as yanked with the reason, as design.md section 8 says per ecosystem.
    Refuse {
        /// For people; one line.
        reason: String,
    },
    /// The upstream now declares other bytes than those on record: list the entry as it was when it was first seen.
    Restore {
        /// The entry's bytes, from the evidence of the artifact on record.
        entry: Bytes,
    },
}

/// A response body, in pieces that are mostly slices of the upstream's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<Bytes>,
}

impl Rendered {
    /// A body of one piece.
    pub fn of(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { content_type, body: vec![body.into()] }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// Refuses a document whose `Content-Type` is none of `accepted`, of which the first is the one to name.
pub(crate) fn expect_media_type(content_type: &str, accepted: &[&'static str]) -> Result<(), IndexError> {
    let found = media_type(content_type);
    if accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(found)) {
        return Ok(());
    }
    let expected = accepted.first().copied().unwrap_or_default();
    Err(IndexError::MediaType { expected, found: shortened(found) })
}

/// A `Content-Type` without its parameters.
pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// As much of an outsider's text as an error message carries.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(SHORTENED_CHARS).collect()
}

const SHORTENED_CHARS: usize = 100;

/// Why a document is no index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not of the expected media type: an error page or a captive portal.
    #[error("the upstream sent {found:?} instead of {expected}")]
    MediaType {
        /// What was asked for.
        expected: &'static str,
        /// What came, shortened.
        found: String,
    },
    /// Not of the format.
    #[error("the upstream's metadata is malformed: {problem}")]
    Malformed {
        /// What is wrong, and where.
        problem: String,
    },
    /// About another package.
    #[error("the upstream's metadata is for {found:?}, not {expected:?}")]
    OtherPackage {
        /// What was asked for.
        expected: String,
        /// What it says.
        found: String,
    },
    /// Over a bound.
    #[error("the upstream's metadata is over a limit: {problem}")]
    Limit {
        /// Which.
        problem: String,
    },
}
