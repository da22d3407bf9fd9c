use proptest::prelude::*;
use touchstone_domain::ClaimField;

use super::{super::samples::*, *};

#[test]
fn a_file_is_located_with_every_claim() {
    let project = parsed(&sample()).expect("a sample");
    let wheel = locate(&project, WHEEL).expect("listed");
    assert_eq!(wheel.url, format!("https://files.example/a/{WHEEL}"));
    assert_eq!(
        values(&wheel),
        [
            (ClaimField::PypiHash, "md5=acbd18db4cc2f85cedef654fccc4a4d8"),
            (ClaimField::PypiHash, &format!("sha256={A}")),
            (ClaimField::Size, "3"),
            (ClaimField::PypiCoreMetadata, &format!("sha256={B}")),
        ]
    );
    assert_eq!(wheel.published_at, "2026-01-02T03:04:05.678901Z".parse().ok());
    assert!(wheel.evidence.starts_with(b"{\"filename\"") && wheel.evidence.ends_with(b"}]}"));

    let sidecar = locate(&project, &format!("{WHEEL}.metadata")).expect("offered");
    assert_eq!(sidecar.url, format!("https://files.example/a/{WHEEL}.metadata"));
    assert_eq!(values(&sidecar), [(ClaimField::PypiHash, format!("sha256={B}").as_str())]);
    assert_eq!(sidecar.evidence, wheel.evidence);

    // without a digest nobody could verify the sidecar, so it is not there
    assert_eq!(locate(&project, &format!("{SDIST}.metadata")), None);
    assert_eq!(values(&locate(&project, SDIST).expect("listed")), []);
    assert_eq!(locate(&project, "foo-0.9.egg"), None);
    let other = Version::new("1.1").expect("plain");
    assert_eq!(project.locate(&other, &key(WHEEL).1), None);
}

#[test]
fn a_file_is_attested_when_it_has_an_address_of_its_provenance() {
    let attested = |sample: &str| -> Vec<bool> {
        parsed(sample).expect("an index").entries().iter().map(|entry| entry.attested).collect()
    };
    assert_eq!(attested(&sample()), [true, false]);
    assert_eq!(attested(&sample().replace("\"provenance\": \"", "\"x\": \"")), [false, false]);
}

#[test]
fn what_is_no_index_of_this_project_is_refused() {
    let media_type = |content_type: &str| parse(&foo(), content_type, &Bytes::from(sample())).err();
    assert_eq!(media_type("application/vnd.PyPI.simple.v1+json; charset=utf-8"), None);
    for other in ["text/plain", "", "application/vnd.pypi.simple.v2+json", "application/xhtml+xml"] {
        assert!(matches!(media_type(other), Some(IndexError::MediaType { .. })), "{other}");
    }
    assert_eq!(
        parsed(&sample().replace("\"Foo\"", "\"fo0\"")).err(),
        Some(IndexError::OtherPackage { expected: "foo".to_owned(), found: "fo0".to_owned() })
    );
    let file = format!(r#"{{"filename":"{SDIST}","url":"x","hashes":{{}}}}"#);
    assert_eq!(problem(with_files(&format!("{file},{file}"))), format!("{SDIST} is listed twice"));
    for (bad, expected) in [
        (r#"{"filename":"x","hashes":{}}"#, "files[0]: missing field `url`"),
        (r#"{"filename":"x","url":"x","url":"y","hashes":{}}"#, "files[0]: duplicate field `url`"),
        (r#"{"filename":"x","u\u0072l":"x","url":"y","hashes":{}}"#, "files[0]: duplicate field `url`"),
        (
            r#"{"filename":"x","url":"x","hashes":{"sha256":"a","sha256":"b"}}"#,
            "files[0]: an algorithm comes twice",
        ),
        (r#"{"filename":"x","url":"x","hashes":{"sha256":1}}"#, "files[0]: invalid type: integer"),
        (r#"{"filename":"x","url":"x","hashes":{},"size":-1}"#, "files[0]: invalid value: integer"),
        (r#"{"filename":"x","url":"x","hashes":{},"size":1e400}"#, "files[0]: number out of range"),
        (
            r#"{"filename":"x","url":"x","hashes":{},"size":18446744073709551616}"#,
            "files[0]: invalid type: floating",
        ),
        (r#"{"filename":"\ud800","url":"x","hashes":{}}"#, "files[0]: "),
        (
            r#"{"filename":"x","url":"x","hashes":{},"core-metadata":{"sha256":"a","sha256":"b"}}"#,
            "files[0]: `core-metadata` is neither a flag nor digests",
        ),
        ("[]", "files[0]: invalid type: sequence, expected an object"),
        (
            r#"["foo-1.0.zip","x",{},null,null,null,null,null,null,null,null]"#,
            "files[0]: invalid type: sequence, expected an object",
        ),
    ] {
        let problem = problem(with_files(bad));
        assert!(problem.starts_with(expected), "{bad}: {problem}");
    }
    let mut bom = vec![0xef, 0xbb, 0xbf];
    bom.extend(sample().as_bytes());
    let array = br#"[["1.1"],"foo",[],null]"#.to_vec();
    for bad in
        [array, b"".to_vec(), b"{}".to_vec(), b"\xff".to_vec(), bom, format!("{} x", sample()).into_bytes()]
    {
        assert!(matches!(parse(&foo(), protocol::JSON, &bad.into()), Err(IndexError::Malformed { .. })));
    }
    for version in ["2.0", "1", "1.x", ""] {
        let found = problem(parsed(&sample().replace("\"1.4\"", &format!("\"{version}\""))));
        assert_eq!(found, format!("api-version {version:?} is not 1.x"));
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = parsed(&sample().replace("1.10", &deep)).err();
    assert_eq!(deep, Some(IndexError::Limit { problem: "nested too deeply".to_owned() }));
    let many = vec!["0"; FILES_MAX + 1].join(",");
    assert_eq!(
        with_files(&many).err(),
        Some(IndexError::Limit { problem: format!("more than {FILES_MAX} files") })
    );
}

#[test]
fn disagreeing_names_of_the_sidecars_digest_are_all_claimed() {
    let file = format!(
        r#"{{"filename":"{WHEEL}","url":"x#y","hashes":{{}},"core-metadata":{{"sha256":"{A}"}},"dist-info-metadata":{{"sha256":"{B}"}}}}"#
    );
    let project = with_files(&file).expect("a sample");
    let sidecar = locate(&project, &format!("{WHEEL}.metadata")).expect("offered");
    assert_eq!(sidecar.url, "x.metadata");
    let (a, b) = (format!("sha256={A}"), format!("sha256={B}"));
    assert_eq!(values(&sidecar), [(ClaimField::PypiHash, a.as_str()), (ClaimField::PypiHash, b.as_str())]);
}

proptest! {
    #[test]
    fn no_document_makes_it_panic(document in proptest::collection::vec(any::<u8>(), 0..200), is_html in any::<bool>()) {
        let content_type = if is_html { protocol::HTML } else { protocol::JSON };
        let _ = parse(&foo(), content_type, &document.into());
    }
}
