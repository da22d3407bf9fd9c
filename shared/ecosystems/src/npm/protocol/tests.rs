use touchstone_domain::{FileName, NameError, RefusalKind};

use super::*;

fn get(path: &str) -> Result<ReadRequest, RequestError> {
    parse(&RawRequest { method: "GET", path, accept: "" })
}

fn index(name: &str, form: IndexForm) -> ReadRequest {
    ReadRequest::Index { package: PackageName::new(name).expect(name), form }
}

#[test]
fn packuments_tarballs_and_manifests_have_three_spellings_of_a_scope() {
    let id = ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new("@s/p").expect("name"),
        version: Version::new("1.0.0-a").expect("version"),
        file: FileName::new("p-1.0.0-a.tgz").expect("file"),
    };
    for name in ["@s/p", "@s%2fp", "@s%2Fp", "%40s%2fp", "%40s/%70"] {
        assert_eq!(get(name), Ok(index("@s/p", IndexForm::NpmFull)), "{name}");
        let manifest = index("@s/p", IndexForm::NpmManifest("next".into()));
        assert_eq!(get(&format!("{name}/next")), Ok(manifest), "{name}");
        let tarball = ReadRequest::Artifact(ArtifactRequest { id: id.clone(), pinned: None });
        assert_eq!(get(&format!("{name}/-/p-1.0.0-a.tgz")), Ok(tarball), "{name}");
        let Ok(ReadRequest::Document(document)) = get(&format!("-/npm/v1/attestations/{name}@1.0.0-a"))
        else {
            panic!("{name}");
        };
        let upstream = UpstreamPath {
            base: UpstreamBase::Attestations,
            path: "-/npm/v1/attestations/@s%2fp@1.0.0-a".into(),
            accept: JSON,
        };
        let expected =
            Document { package: Some(id.package.clone()), version: Some(id.version.clone()), upstream };
        assert_eq!(document, expected, "{name}");
    }
    assert_eq!(get("left-pad"), Ok(index("left-pad", IndexForm::NpmFull)));
    assert_eq!(get("JSONStream"), Ok(index("JSONStream", IndexForm::NpmFull)));
    assert_eq!(get("a/1.0.0%2bb"), Ok(index("a", IndexForm::NpmManifest("1.0.0+b".into()))));
}

#[test]
fn other_paths_are_refused() {
    let nowhere = Err(RequestError::NoSuchPath { ecosystem: Ecosystem::Npm });
    for path in [
        "-",
        "-/v1/search",
        "-/whoami",
        "-/npm/v1/keys/",
        "-/npm/v1/security/audits/quick",
        "-/npm/v1/attestations/a",
        "-/npm/v1/attestations/a/b@1.0.0",
        "a/-/b/a-1.0.0.tgz",
        "a/1.0.0/x",
        "@s/p/-/@s/p-1.0.0.tgz",
        "a//",
    ] {
        assert_eq!(get(path), nowhere, "{path}");
    }
    let twice = Err(RequestError::Encoding { problem: "it is escaped twice" });
    for path in ["@s%252fp", "%252e%252e%252f", "a/-/a%252d1.0.0.tgz"] {
        assert_eq!(get(path), twice, "{path}");
    }
    for path in [
        "",
        "@s",
        "..",
        "%2e%2e",
        "%2e%2e%2fx",
        "@s%2f..%2fx",
        "@s/../x",
        "a%2f-%2fa-1.0.0.tgz",
        ".a",
        "_a",
        "node_modules",
        "favicon.ico",
        "a;b",
        "a/..",
        "a/",
        "a/^1.0.0",
        "a/-/b-1.0.0.tgz",
        "a/-/a-latest.tgz",
        "a/-/a-1.0.0.tgz;x",
        "-/npm/v1/attestations/a@latest",
    ] {
        assert!(matches!(get(path), Err(RequestError::Name(_))), "{path}: {:?}", get(path));
    }
    let Err(RequestError::Name(NameError::TooLong { .. })) = get(&"a".repeat(300)) else {
        panic!("300 characters")
    };
}

#[test]
fn each_path_has_its_methods() {
    let of = |method, path| parse(&RawRequest { method, path, accept: "" });
    assert_eq!(of("HEAD", "a"), Ok(index("a", IndexForm::NpmFull)));
    assert_eq!(of("POST", "a"), Err(RequestError::Method { allowed: "GET, HEAD" }));
    assert_eq!(of("DELETE", "a/-/a-1.0.0.tgz"), Err(RequestError::Method { allowed: "GET, HEAD" }));
    let bulk = "-/npm/v1/security/advisories/bulk";
    assert_eq!(of("POST", bulk), Ok(ReadRequest::BulkAudit));
    assert_eq!(of("GET", bulk), Err(RequestError::Method { allowed: "POST" }));
    assert_eq!(of("GET", "-/ping"), Ok(ReadRequest::Static(StaticReply::NpmPing)));
    let Ok(ReadRequest::Document(Document { package: None, version: None, upstream })) =
        of("GET", "-/npm/v1/keys")
    else {
        panic!("keys")
    };
    assert_eq!((upstream.base, &*upstream.path), (UpstreamBase::Attestations, "-/npm/v1/keys"));
}

#[test]
fn the_accept_header_chooses_the_form() {
    let of = |accept| match parse(&RawRequest { method: "GET", path: "a", accept }) {
        Ok(ReadRequest::Index { form, .. }) => form,
        other => panic!("{other:?}"),
    };
    for accept in [
        "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
        "application/vnd.npm.install-v1+json",
        "application/json;q=0.5, Application/vnd.npm.install-v1+json ; q=0.6",
    ] {
        assert_eq!(of(accept), IndexForm::NpmAbbreviated, "{accept}");
    }
    for accept in [
        "",
        "*/*",
        "application/json",
        "application/json, application/vnd.npm.install-v1+json;q=0.9",
        "application/vnd.npm.install-v1+json;q=0",
        "application/vnd.npm.install-v1+json;q=x",
        "application/vnd.npm.install-v1+jsonx",
    ] {
        assert_eq!(of(accept), IndexForm::NpmFull, "{accept}");
    }
}

#[test]
fn the_upstream_path_is_built_from_the_name() {
    let of = |name: &str| index_path(&PackageName::new(name).expect(name));
    assert_eq!((of("@s/p").path, of("a").path), ("@s%2fp".to_owned(), "a".to_owned()));
    assert_eq!(get(&of("@s/p").path), Ok(index("@s/p", IndexForm::NpmFull)));
}

#[test]
fn internal_names_leave_the_audit_request() {
    let keep = |name: &PackageName| !name.as_str().starts_with("@acme/");
    let filtered = |body: &str| filter_bulk_audit(body.as_bytes(), keep);
    let body = r#"{"left-pad":["1.0.0","1.1.0"],"@acme/core":["2.0.0"],"@\u0061cme/x":["1.0.0"],"../x":[]}"#;
    assert_eq!(filtered(body).expect("valid"), br#"{"left-pad":["1.0.0","1.1.0"]}"#);
    assert_eq!(filtered(r#"{"@acme/core":["2.0.0"]}"#).expect("valid"), b"{}");
    for bad in ["", "[]", "{\"a\":1}", "{\"a\":[1]}", "{\"a\":[\"1.0.0\"]", "\u{1f}\u{8b}"] {
        assert!(filtered(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_refusal_is_shown_by_npm_and_read_by_scripts() {
    let refusal =
        Refusal::new(RefusalKind::Rejected, "Rejected by check hash", "it says \"no\".\nTry 1.2.3.");
    let (content_type, body) = refusal_body(&refusal, "pkg:npm/a@1.0.0");
    assert_eq!(content_type, "application/json");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        body["error"],
        "Rejected by check hash: it says \"no\".\nTry 1.2.3. (reference pkg:npm/a@1.0.0)"
    );
    assert_eq!((&body["code"], &body["reference"]), (&json!("rejected"), &json!("pkg:npm/a@1.0.0")));
}
