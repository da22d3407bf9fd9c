//! What one reading means.

use super::*;

const SMALL: JsonLimits = JsonLimits { bytes: 64, depth: 3, values: 8 };

fn problem(text: impl AsRef<[u8]>) -> Option<Problem> {
    strict_json(text.as_ref(), JsonLimits::BUNDLE).err().map(|refused| refused.problem)
}

fn problem_when_small(text: &str) -> Option<Problem> {
    strict_json(text.as_bytes(), SMALL).err().map(|refused| refused.problem)
}

#[test]
fn a_key_stands_once_in_its_object() {
    assert_eq!(problem(r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}"#), None);
    assert_eq!(problem(r#"{"a":1,"a":1}"#), Some(Problem::DuplicateKey));
    assert_eq!(problem(r#"{"x":[1,{"y":{"a":1,"b":2,"a":3}}]}"#), Some(Problem::DuplicateKey));
    assert_eq!(
        problem(r#"{"a":1,"\u0061":1}"#),
        Some(Problem::DuplicateKey),
        "the same key, written otherwise"
    );
    let many = |last: usize| {
        let keys: Vec<_> = (0..1000).chain([last]).map(|n| format!("\"k{n}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    assert_eq!(problem(many(1000)), None);
    for twin in [0, 23, 24, 999] {
        assert_eq!(problem(many(twin)), Some(Problem::DuplicateKey), "{twin}");
    }
}

#[test]
fn numbers_keep_their_digits() {
    for whole in
        ["0", "-1", "1.5", "1e3", "9223372036854775807", "-9223372036854775808", "18446744073709551615"]
    {
        assert_eq!(problem(whole), None, "{whole}");
    }
    for lost in [
        "18446744073709551616",
        "-9223372036854775809",
        "1e300",
        "1e999",
        "NaN",
        "Infinity",
        "01",
        "+1",
        "0x1",
    ] {
        assert_eq!(problem(lost), Some(Problem::Malformed), "{lost}");
    }
}

#[test]
fn only_one_document_of_whole_characters_is_read() {
    assert_eq!(problem(" {} "), None);
    for bad in
        ["", "{}{}", "{} x", "{\"a\":1,}", "[1,]", "'a'", "\u{feff}{}", "\"\\ud800\"", "\"\n\"", "// c\n{}"]
    {
        assert_eq!(problem(bad), Some(Problem::Malformed), "{bad}");
    }
    assert_eq!(problem([b'"', 0xff, b'"']), Some(Problem::Malformed));
}

#[test]
fn bounds_hold() {
    assert_eq!(problem_when_small("[[[1]]]"), None);
    assert_eq!(problem_when_small("[[[[1]]]]"), Some(Problem::Limit));
    assert_eq!(problem_when_small("[1,2,3,4,5,6,7]"), None);
    assert_eq!(problem_when_small("[1,2,3,4,5,6,7,8]"), Some(Problem::Limit));
    assert_eq!(problem_when_small(&format!("\"{}\"", "x".repeat(62))), None);
    assert_eq!(problem_when_small(&format!("\"{}\"", "x".repeat(63))), Some(Problem::Limit));
    assert_eq!(problem("[".repeat(500_000)), Some(Problem::Limit), "deep, and never closed");
    assert_eq!(problem(format!("[{}1]", "1,".repeat(100_000))), Some(Problem::Limit));
    assert_eq!(problem(vec![b' '; 1024 * 1024 + 1]), Some(Problem::Limit));
}
