//! The `Range` header, as RFC 9110 section 14 defines it; one range is served, more are answered with the whole.

use std::ops::Range;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything: no range, one that is malformed, or several.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that are not there: 416.
    Unsatisfiable,
}

/// Parses a `Range` header for a representation of `size` bytes.
pub(crate) fn parse(header: Option<&str>, size: u64) -> Asked {
    let Some(spec) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Asked::Whole };
    if spec.contains(',') || !digits(first) || !digits(last) {
        return Asked::Whole;
    }
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let range = match (first, last) {
        ("", "") => return Asked::Whole,
        ("", suffix) => size.saturating_sub(number(suffix))..size,
        (first, "") => number(first)..size,
        (first, last) if number(first) > number(last) => return Asked::Whole,
        (first, last) => number(first)..number(last).saturating_add(1).min(size),
    };
    if range.start >= range.end { Asked::Unsatisfiable } else { Asked::Part(range) }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_the_rfc() {
        for (header, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-", Asked::Part(0..10)),
            ("bytes=3-5", Asked::Part(3..6)),
            ("bytes=3-500", Asked::Part(3..10)),
            ("bytes=-4", Asked::Part(6..10)),
            ("bytes=-400", Asked::Part(0..10)),
            ("bytes=9-", Asked::Part(9..10)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=99999999999999999999999-", Asked::Unsatisfiable),
            ("bytes=5-3", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=abc", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=0-,0-", Asked::Whole),
            ("items=0-1", Asked::Whole),
        ] {
            assert_eq!(parse(Some(header), 10), expected, "{header}");
        }
        assert_eq!(parse(None, 10), Asked::Whole);
        assert_eq!(parse(Some("bytes=0-"), 0), Asked::Unsatisfiable);
    }
}
