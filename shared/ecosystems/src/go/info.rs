//! `.info` and `@latest`: what a module proxy says of a version. Informational: it never selects bytes (threats.md G-15).

use jiff::Timestamp;
use touchstone_domain::Version;

use crate::{GoQuery, IndexError};

/// What a module proxy says of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The canonical version.
    pub version: Version,
    /// When it was committed, by the proxy's word.
    pub time: Option<Timestamp>,
}

/// Reads such a document; the version must be the one asked for, where one was.
pub fn read_info(_query: &GoQuery, _document: &[u8]) -> Result<Info, IndexError> {
    Err(IndexError::Malformed { problem: "not read yet".to_owned() })
}
