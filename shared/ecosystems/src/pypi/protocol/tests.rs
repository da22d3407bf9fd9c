use touchstone_domain::NameError;

use super::*;

const HEX: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn get(path: &str) -> Result<ReadRequest, RequestError> {
    parse(&RawRequest { method: "GET", path, accept: JSON })
}

fn artifact_of(path: &str) -> ArtifactRequest {
    match get(path) {
        Ok(ReadRequest::Artifact(artifact)) => artifact,
        other => panic!("{path}: {other:?}"),
    }
}

fn root() -> Url {
    "https://mirror.example/pypi/".parse().expect("a constant")
}

#[test]
fn an_index_has_one_address() {
    let package = name::package("foo-bar").expect("plain");
    assert_eq!(get("simple/foo-bar/"), Ok(ReadRequest::Index { package, form: IndexForm::PypiJson }));
    for other in ["simple/foo-bar", "simple/Foo.Bar/", "simple/foo__bar", "simple/Foo%2DBar/"] {
        assert_eq!(get(other), Ok(ReadRequest::Redirect("simple/foo-bar/".to_owned())), "{other}");
    }
    // an escape that was not needed is the same path (threats.md P-03)
    assert_eq!(get("simple/foo%2dbar/"), get("simple/foo-bar/"));
}

#[test]
fn other_paths_are_not_there() {
    for path in [
        "",
        "/",
        "simple",
        "simple/",
        "simple/foo/bar",
        "simple/foo//",
        "/simple/foo/",
        "Simple/foo/",
        "pypi/foo/json",
        "files/foo-1.0.tar.gz",
        "files/2c26/foo/foo-1.0.tar.gz",
        &format!("files/{}/foo/foo-1.0.tar.gz", HEX.to_uppercase()),
        &format!("files/sha256:{HEX}/foo/foo-1.0.tar.gz"),
        &format!("files/{HEX}/foo/foo-1.0.tar.gz/"),
        "integrity/foo/1.0/foo-1.0.tar.gz",
        "integrity/foo/1.0/foo-1.0.tar.gz/provenance/",
    ] {
        assert_eq!(get(path), Err(RequestError::NoSuchPath { ecosystem: Ecosystem::Pypi }), "{path}");
    }
}

#[test]
fn only_reading_is_answered() {
    let with = |method| parse(&RawRequest { method, path: "simple/foo/", accept: "" });
    assert_eq!(with("HEAD"), with("GET"));
    assert_eq!(with("POST"), Err(RequestError::Method { allowed: "GET, HEAD" }));
}

#[test]
fn a_file_is_pinned_by_its_path_and_a_sidecar_is_not() {
    let found = artifact_of(&format!("files/{HEX}/torch/torch-2.0%2Bcu118-cp311-cp311-linux_x86_64.whl"));
    assert_eq!(found.pinned, Some(HEX.parse().expect("a digest")));
    assert_eq!(found.id.version.as_str(), "2.0+cu118");
    assert_eq!(found.id.file.as_str(), "torch-2.0+cu118-cp311-cp311-linux_x86_64.whl");
    assert_eq!(artifact_of("files/-/foo/foo-1.0.zip").pinned, None);

    let sidecar = artifact_of(&format!("files/{HEX}/foo/foo-1.0-py3-none-any.whl.metadata"));
    assert_eq!(sidecar.pinned, None);
    assert_eq!(sidecar.id.file.as_str(), "foo-1.0-py3-none-any.whl.metadata");
    assert_eq!(sidecar.id.version.as_str(), "1.0");
}

#[test]
fn provenance_is_passed_through_from_a_path_built_of_parsed_names() {
    let Ok(ReadRequest::Document(document)) =
        get("integrity/foo/1.0RC1/foo-1.0rc1-py3-none-any.whl/provenance")
    else {
        panic!("no document")
    };
    assert_eq!(
        document.upstream,
        UpstreamPath {
            base: UpstreamBase::Attestations,
            path: "integrity/foo/1.0rc1/foo-1.0rc1-py3-none-any.whl/provenance".to_owned(),
            accept: "application/vnd.pypi.integrity.v1+json",
        }
    );
    assert_eq!(document.version.map(String::from), Some("1.0rc1".to_owned()));
    for path in [
        "integrity/foo/2.0/foo-1.0.tar.gz/provenance",
        "integrity/bar/1.0/foo-1.0.tar.gz/provenance",
        "integrity/Foo/1.0/foo-1.0.tar.gz/provenance",
        "integrity/foo/1.0/foo-1.0.tar.gz.metadata/provenance",
    ] {
        assert!(matches!(get(path), Err(RequestError::Name(NameError::Grammar { .. }))), "{path}");
    }
}

#[test]
fn tricks_are_refused() {
    for path in [
        "simple/..%2f..%2fetc/",
        "simple/%2e%2e/",
        "simple/../",
        "simple/..;/",
        "simple/foo%5c..%5c/",
        "simple/foo%00/",
        "simple/foo%2500/",
        "simple/foo%0d%0a/",
        "simple/%252e%252e%252f/",
        "simple/%c0%ae%c0%ae/",
        "simple/\u{ff0e}\u{ff0e}/",
        "simple/%ef%bc%8e/",
        "simple/foo%/",
        "simple/foo%2/",
        "simple/foo%zz/",
        "simple/f%u0130o/",
        "simple/foo;v=1/",
        "simple/foo%7f/",
        "simple/ſet/",
        "files/-/foo/..%2ffoo-1.0.tar.gz",
        "files/-/foo/foo-1.0%2f..%2fbar.tar.gz",
        "files/-/foo/foo-1.0.tar.gz%00.metadata",
        "files/-/foo/foo-1.0\\.tar.gz",
        "files/-/foo/bar-1.0.tar.gz",
        "files/-/Foo/foo-1.0.tar.gz",
        "files/-/foo/foo-1.0.exe",
        "files/-/foo/foo-1.0.tar.gz;rm",
        "files/-/..%2fbar/foo-1.0.tar.gz",
        "integrity/foo/..%2f1.0/foo-1.0.tar.gz/provenance",
        "integrity/foo/--upload-pack=x/foo-1.0.tar.gz/provenance",
    ] {
        match get(path) {
            Err(RequestError::Name(_) | RequestError::Encoding { .. }) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    let long = format!("files/-/foo/foo-1.0{}.tar.gz", ".0".repeat(200));
    assert!(matches!(get(&long), Err(RequestError::Name(NameError::TooLong { what: "file name", .. }))));
}

#[test]
fn the_addresses_we_write_are_the_ones_we_read() {
    for (project, file) in [
        ("foo", "foo-1.0.tar.gz"),
        ("torch", "torch-1!2.0+cu.118-1-cp311-cp311-linux_x86_64.whl"),
        ("foo-bar", "Foo_Bar-1.0~x.zip"),
    ] {
        let package = name::package(project).expect(project);
        let file = FileName::new(file).expect(file);
        let Ok(version) = name::file_version(&package, &file) else { continue };
        let sha256 = Some(Sha256::of(project));
        let url = file_url(&root(), sha256, &package, &file);
        let found = artifact_of(url.strip_prefix(root().as_str()).expect("below the root"));
        assert_eq!((found.pinned, &found.id.package, &found.id.file), (sha256, &package, &file));
        assert_eq!(found.id.version, version);
        assert!(Url::parse(&url).is_ok_and(|parsed| parsed.as_str() == url), "{url} is in normal form");
        let url = provenance_url(&root(), &package, &version, &file);
        let found = get(url.strip_prefix(root().as_str()).expect("below the root"));
        assert!(matches!(found, Ok(ReadRequest::Document(d)) if d.version == Some(version)));
    }
}

#[test]
fn refusals_are_problem_details() {
    let at = "2026-11-25T00:00:00Z".parse().expect("a constant");
    let refusal =
        Refusal::new(RefusalKind::Held { eligible_at: Some(at) }, "Held until 2026-11-25", "It is \"new\".");
    let (content_type, body) = refusal_body(&refusal, "pkg:pypi/foo@1.0");
    assert_eq!(content_type, "application/problem+json");
    assert_eq!(
        body,
        r#"{"type":"urn:touchstone:refusal:held","title":"Held until 2026-11-25","detail":"It is \"new\".","code":"held","reference":"pkg:pypi/foo@1.0","eligible_at":"2026-11-25T00:00:00Z"}"#
    );
    let (_, body) = refusal_body(&Refusal::new(RefusalKind::Rejected, "Blocked", "why"), "r");
    assert!(!body.contains("eligible_at"), "{body}");
}
