//! The parts of reasons: which attestation, which signature, which rule.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sha256;

/// One verified attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationNote {
    /// Its predicate type.
    pub predicate_type: String,
    /// The digest of the document that it came in.
    pub document: Sha256,
    /// How its log entry is proven: `proof` or `promise`.
    pub level: String,
    /// The earliest authenticated time of signing.
    pub signed_at: Timestamp,
    /// The numbers of its log entries, `log@index`.
    pub log_entries: Vec<String>,
}

/// What became of the registry's own signature over an artifact's coordinate and digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureNote {
    /// The ecosystem's registry signs nothing.
    NotApplicable,
    /// The metadata has none.
    Absent,
    /// Every one verifies.
    Verified,
    /// Every one verifies, one by a key that has expired since; only the upstream's word says that it was made before.
    WeakTime,
}

impl SignatureNote {
    /// The words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            Self::Absent => "absent",
            Self::Verified => "verified",
            Self::WeakTime => "verified, by a key that has expired since",
        }
    }
}

impl fmt::Display for SignatureNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule of archive hygiene (threats.md ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveRule {
    /// A size, count, ratio, depth or length bound.
    Limit,
    /// A compressed stream that is broken, has several members, or is followed by other bytes.
    Compression,
    /// The archive ends early, or goes on after its end.
    Truncated,
    /// Two readers could see different things.
    Ambiguous,
    /// A header or directory that is not of the format.
    Malformed,
    /// A link or special file where none may be.
    EntryType,
    /// An absolute path, `..`, a drive, a backslash, or a name outside the archive's own directory.
    Path,
    /// Two entries with one name, also after case folding; in a tar archive, files that are the same are not meant.
    Duplicate,
    /// The file that must be there is not.
    Missing,
    /// The archive's own list of its contents does not fit.
    Record,
}

impl ArchiveRule {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Compression => "compression",
            Self::Truncated => "truncated",
            Self::Ambiguous => "ambiguous",
            Self::Malformed => "malformed",
            Self::EntryType => "entry_type",
            Self::Path => "path",
            Self::Duplicate => "duplicate",
            Self::Missing => "missing",
            Self::Record => "record",
        }
    }
}
