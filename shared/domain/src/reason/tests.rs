use serde_json::json;

use super::*;

#[test]
fn a_reason_of_another_version_is_read_as_unreadable_and_known_ones_as_they_are() {
    let read = |value: serde_json::Value| serde_json::from_value::<Reason>(value).expect("never an error");
    let size = Reason::SizeMismatch { declared: 1, computed: 2 };
    let unreadable = |code: &str| Reason::Unreadable { code: code.into() };
    for (written, expected) in [
        (json!({"code": "size_mismatch", "declared": 1, "computed": 2}), size.clone()),
        (json!({"code": "size_mismatch", "declared": "one"}), unreadable("size_mismatch")),
        (json!({"code": "of_a_newer_version", "planet": "mars"}), unreadable("of_a_newer_version")),
        (json!({}), unreadable("")),
        (json!("text"), unreadable("")),
    ] {
        assert_eq!(read(written), expected);
    }
    for reason in [size, Reason::Trivial, unreadable("x")] {
        assert_eq!(read(serde_json::to_value(&reason).expect("JSON")), reason);
    }
}
