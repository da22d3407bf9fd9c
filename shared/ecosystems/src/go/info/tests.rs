use proptest::prelude::*;
use touchstone_domain::Ecosystem;

use super::*;

const GOOD: &str = r#"{"Version":"v1.0.0","Time":"2024-01-02T03:04:05Z","Origin":{"VCS":"git","Hash":"00"}}"#;

fn package() -> PackageName {
    name::package("example.com/a").expect("path")
}

fn at(version: &str) -> GoQuery {
    GoQuery::Version(name::version(version).expect(version))
}

fn read(query: &GoQuery, document: &str) -> Result<Info, IndexError> {
    read_info(&package(), query, &Bytes::copy_from_slice(document.as_bytes()))
}

fn said(version: &str) -> String {
    format!(r#"{{"Version":"{version}"}}"#)
}

fn malformed_as(problem: &str) -> IndexError {
    IndexError::Malformed { problem: problem.to_owned() }
}

fn other(expected: &str, found: &str) -> IndexError {
    IndexError::OtherPackage { expected: expected.to_owned(), found: found.to_owned() }
}

#[test]
fn the_document_is_passed_on_byte_for_byte() {
    let document = format!(" {GOOD}\n");
    let info = read(&at("v1.0.0"), &document).expect("info");
    assert_eq!(info.version.as_str(), "v1.0.0");
    assert_eq!(info.time, Some("2024-01-02T03:04:05Z".parse().expect("time")));
    let rendered = info.rendered();
    assert_eq!((rendered.content_type, rendered.body.concat()), ("application/json", document.into_bytes()));
}

#[test]
fn the_version_is_the_one_that_was_asked_for() {
    assert!(read(&at("v1.0.0"), GOOD).is_ok());
    assert_eq!(read(&at("v1.0.1"), GOOD), Err(other("v1.0.1", "v1.0.0")));
    assert_eq!(read(&at("v1.0.0"), &said("v1.0.0 ")), Err(other("v1.0.0", "v1.0.0 ")));
    assert_eq!(read(&at("v1.0.0-rc1"), &said("v1.0.0-RC1")), Err(other("v1.0.0-rc1", "v1.0.0-RC1")));
    assert_eq!(
        read(&at("v2.0.0+incompatible"), &said("v2.0.0")),
        Err(other("v2.0.0+incompatible", "v2.0.0"))
    );
}

#[test]
fn a_revision_or_the_latest_is_a_canonical_version_of_the_module() {
    let not = |text: &str, rule: &'static str| {
        let text = text.to_owned();
        let error = NameError::Grammar { what: "version", ecosystem: Ecosystem::Go, text, rule };
        malformed_as(&error.to_string())
    };
    for query in [GoQuery::Revision("main".to_owned()), GoQuery::Latest] {
        for good in ["v1.0.0", "v0.0.0-20240102030405-abcdefabcdef", "v2.0.0+incompatible"] {
            assert_eq!(read(&query, &said(good)).expect(good).version.as_str(), good);
        }
        for (bad, rule) in [
            ("main", "it is not a canonical semantic version behind a v"),
            ("v1.0", "it is not a canonical semantic version behind a v"),
            ("v1.0.0+meta", "it is not a canonical semantic version behind a v"),
            ("v2.0.0", "a module path without a major version has v0 and v1 only"),
            ("v0.0.0-20241302030405-abcdefabcdef", "the time of a pseudo-version is yyyymmddhhmmss"),
        ] {
            assert_eq!(read(&query, &said(bad)), Err(not(bad, rule)), "{bad}");
        }
        assert!(read(&query, &said("")).is_err());
    }
}

#[test]
fn a_tag_above_v1_of_a_path_that_does_not_say_so_is_incompatible_or_nothing() {
    let tag = GoQuery::Revision("v2.0.0".to_owned());
    let incompatible = "v2.0.0+incompatible";
    assert_eq!(read(&tag, &said(incompatible)).expect("info").version.as_str(), incompatible);
    for wrong in ["v2.0.0", "v1.0.0", "v2.0.1+incompatible", "v0.0.0-20240102030405-abcdefabcdef"] {
        assert_eq!(read(&tag, &said(wrong)), Err(other(incompatible, wrong)), "{wrong}");
    }
}

#[test]
fn every_reader_reads_one_version() {
    for (extra, problem) in [
        (r#""Version":"v1.0.0""#, "the document has the key \"Version\" twice in one object"),
        (r#""Ver\u0073ion":"v9.0.0""#, "the document has the key \"Version\" twice in one object"),
        (r#""version":"v9.0.0""#, "the key \"version\" means \"Version\" to some"),
        (r#""VERSION":"v1.0.0""#, "the key \"VERSION\" means \"Version\" to some"),
        (r#""Ver\u017fion":"v9.0.0""#, "the key \"Ver\u{17f}ion\" means \"Version\" to some"),
        (r#""time":null"#, "the key \"time\" means \"Time\" to some"),
        (r#""Origin":{"a":1,"a":2}"#, "the document has the key \"a\" twice in one object"),
    ] {
        let document = format!(r#"{{"Version":"v1.0.0",{extra}}}"#);
        assert_eq!(read(&at("v1.0.0"), &document), Err(malformed_as(problem)), "{extra}");
    }
    for unknown in [r#""Versions":1"#, r#""Name":"abc","Short":"a""#, r#""Origin":null"#] {
        assert!(read(&at("v1.0.0"), &format!(r#"{{"Version":"v1.0.0",{unknown}}}"#)).is_ok(), "{unknown}");
    }
}

#[test]
fn a_time_is_of_rfc_3339_or_not_there() {
    let timed = |time: &str| read(&at("v1.0.0"), &format!(r#"{{"Version":"v1.0.0","Time":{time}}}"#));
    for good in ["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.123456789+02:00", "0001-01-01T00:00:00Z"] {
        assert_eq!(timed(&format!("{good:?}")).expect(good).time, Some(good.parse().expect(good)));
    }
    assert_eq!(timed("null").expect("info").time, None);
    assert_eq!(read(&at("v1.0.0"), &said("v1.0.0")).expect("info").time, None);
    for bad in [
        "2024-01-02 03:04:05Z",
        "2024-01-02t03:04:05Z",
        "2024-01-02T03:04:05z",
        "2024-01-02T03:04:05",
        "2024-01-02T03:04:05+02",
        "2024-13-02T03:04:05Z",
        "20240102T030405Z",
        "2024-01-02T03:04:05Z[UTC]",
        "+002024-01-02T03:04:05Z",
        "yesterday",
        "",
    ] {
        let problem = format!("\"Time\" is {bad:?}, which is not of RFC 3339");
        assert_eq!(timed(&format!("{bad:?}")), Err(malformed_as(&problem)), "{bad}");
    }
    assert_eq!(timed("7"), Err(malformed_as("\"Time\" is 7, which is no text")));
}

#[test]
fn what_is_no_such_document_is_refused() {
    for (document, problem) in [
        ("{}", "it has no \"Version\""),
        (r#"{"Time":"2024-01-02T03:04:05Z"}"#, "it has no \"Version\""),
        (r#"{"Version":null}"#, "\"Version\" is null, which is no text"),
        (r#"{"Version":["v1.0.0"]}"#, "\"Version\" is [\"v1.0.0\"], which is no text"),
        (r#"["v1.0.0"]"#, "invalid type: sequence, expected an object at line 1 column 0"),
        ("<html>", "expected value at line 1 column 1"),
        ("", "EOF while parsing a value at line 1 column 0"),
        (r#"{"Version":"v1.0.0"}{}"#, "trailing characters at line 1 column 21"),
    ] {
        assert_eq!(read(&at("v1.0.0"), document), Err(malformed_as(problem)), "{document}");
    }
    let padded = |size: usize| said("v1.0.0") + &" ".repeat(size - said("v1.0.0").len());
    assert!(read(&at("v1.0.0"), &padded(INFO_BYTES_MAX)).is_ok());
    let limit = IndexError::Limit { problem: "65537 bytes, of 65536 at most".to_owned() };
    assert_eq!(read(&at("v1.0.0"), &padded(INFO_BYTES_MAX + 1)), Err(limit));
    let deep = format!(r#"{{"Version":"v1.0.0","Origin":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let limit = IndexError::Limit { problem: "it is nested too deeply".to_owned() };
    assert_eq!(read(&at("v1.0.0"), &deep), Err(limit));
}

proptest! {
    #[test]
    fn no_document_panics(place in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut document = GOOD.as_bytes().to_vec();
        let place = place.index(document.len());
        document[place] = byte;
        document.truncate(if cut { place } else { document.len() });
        if let Ok(info) = read_info(&package(), &at("v1.0.0"), &Bytes::from(document)) {
            prop_assert_eq!(info.version.as_str(), "v1.0.0");
        }
    }
}
