//! Slices of a JSON document, so that what is passed on is passed on byte for byte.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

/// Where a borrowed value stands in the document that it was parsed from; `None` if it is not part of it.
pub(crate) fn span(document: &[u8], part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(document.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= document.len()).then_some(start..end)
}

/// The bytes of a borrowed value, sharing the document's allocation.
pub(crate) fn slice(document: &Bytes, value: &RawValue) -> Option<Bytes> {
    span(document, value.get()).map(|range| document.slice(range))
}
