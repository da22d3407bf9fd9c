//! `.info` and `@latest`: what a module proxy says of a version. Informational: it never selects bytes (threats.md G-15).
//!
//! *Invariant:* what is passed on names the version that was asked for, and names it to every reader: the go command reads a
//! key in any case, and the last one of several.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use touchstone_domain::{NameError, PackageName, Version};

use super::name;
use crate::{
    GoQuery, IndexError, Rendered,
    document::{self, DocumentError},
    index::shortened,
};

/// The largest document, in bytes. The go command's own have a few hundred.
const INFO_BYTES_MAX: usize = 64 * 1024;
const VERSION: &str = "Version";
const TIME: &str = "Time";

/// What a module proxy says of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The canonical version.
    pub version: Version,
    /// When it was committed, by the proxy's word.
    pub time: Option<Timestamp>,
    document: Bytes,
}

impl Info {
    /// The document, byte for byte as the proxy sent it.
    pub fn rendered(&self) -> Rendered {
        Rendered::of("application/json", self.document.clone())
    }
}

/// Reads such a document: an object with a `Version`, and with a `Time` or not; other fields are not read. The version must be the
/// one asked for, where one was, and else a canonical one that the module can have.
pub fn read_info(package: &PackageName, query: &GoQuery, document: &Bytes) -> Result<Info, IndexError> {
    let size = document.len();
    if size > INFO_BYTES_MAX {
        return Err(IndexError::Limit { problem: format!("{size} bytes, of {INFO_BYTES_MAX} at most") });
    }
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = document::read(document).map_err(of_document)?;
    for known in [VERSION, TIME] {
        if let Some(key) = fields.keys().find(|key| *key != known && folded(key) == folded(known)) {
            return Err(malformed(format!("the key {:?} means {known:?} to some", shortened(key))));
        }
    }
    let text = |key| fields.get(key).map(|raw| text(key, raw)).transpose();
    let said = text(VERSION)?.ok_or_else(|| malformed(format!("it has no {VERSION:?}")))?;
    let version = expected(package, query, &said)?;
    let time = match fields.get(TIME).map(|raw| raw.get()) {
        None | Some("null") => None,
        Some(_) => text(TIME)?.map(|at| time(&at)).transpose()?,
    };
    Ok(Info { version, time, document: document.clone() })
}

fn expected(package: &PackageName, query: &GoQuery, said: &str) -> Result<Version, IndexError> {
    let other = |expected: String| IndexError::OtherPackage { expected, found: shortened(said) };
    match query {
        GoQuery::Version(version) if version.as_str() == said => Ok(version.clone()),
        GoQuery::Version(version) => Err(other(version.to_string())),
        GoQuery::Revision(tag) if name::version(tag).is_ok() && said != format!("{tag}+incompatible") => {
            Err(other(format!("{tag}+incompatible")))
        }
        GoQuery::Revision(_) | GoQuery::Latest => name::version_of(package, said).map_err(|e| of_name(&e)),
    }
}

/// A time as RFC 3339 writes it, and no other of the forms that ISO 8601 has.
fn time(text: &str) -> Result<Timestamp, IndexError> {
    let plain = |b: u8| b.is_ascii_digit() || b"-+:.TZ".contains(&b);
    let has_zone = text.ends_with('Z') || text.get(text.len().saturating_sub(6)..).is_some_and(is_offset);
    let is_rfc3339 = text.as_bytes().get(10) == Some(&b'T') && has_zone && text.bytes().all(plain);
    let parsed = if is_rfc3339 { text.parse().ok() } else { None };
    parsed.ok_or_else(|| malformed(format!("{TIME:?} is {:?}, which is not of RFC 3339", shortened(text))))
}

fn is_offset(text: &str) -> bool {
    text.starts_with(['+', '-']) && text.as_bytes().get(3) == Some(&b':')
}

fn text(key: &str, raw: &RawValue) -> Result<String, IndexError> {
    serde_json::from_str(raw.get())
        .map_err(|_| malformed(format!("{key:?} is {}, which is no text", shortened(raw.get()))))
}

/// As the go command folds the keys that it reads: the long s is an s too.
fn folded(key: &str) -> String {
    key.chars().map(|c| if c == '\u{17f}' { 's' } else { c.to_ascii_lowercase() }).collect()
}

fn malformed(problem: String) -> IndexError {
    IndexError::Malformed { problem }
}

fn of_name(error: &NameError) -> IndexError {
    malformed(error.to_string())
}

fn of_document(error: DocumentError) -> IndexError {
    match error {
        DocumentError::Limit { problem } => IndexError::Limit { problem },
        DocumentError::DuplicateKey { .. } => malformed(error.to_string()),
        DocumentError::Malformed { problem } => malformed(problem),
    }
}

#[cfg(test)]
mod tests;
