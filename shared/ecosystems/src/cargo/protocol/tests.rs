use proptest::prelude::*;
use touchstone_domain::{NameError, RefusalKind};

use super::*;

const SHA256: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

fn get(path: &str) -> Result<ReadRequest, RequestError> {
    parse(&RawRequest { method: "GET", path, accept: "" })
}

fn id(spelling: &str, version: &str) -> ArtifactId {
    let version = name::version(version).expect(version);
    ArtifactId {
        ecosystem: Ecosystem::Cargo,
        package: name::package(spelling).expect(spelling),
        file: name::file(spelling, &version).expect(spelling),
        version,
    }
}

#[test]
fn index_paths_are_canonical() {
    for path in ["1/a", "2/ab", "3/a/abc", "ab/cd/abcd", "se/rd/serde_json"] {
        let package = name::package(path.rsplit('/').next().expect("segment")).expect(path);
        assert_eq!(index_path(&package).path, path);
        assert_eq!(get(path), Ok(ReadRequest::Index { package, form: IndexForm::CargoSparse }), "{path}");
    }
    assert_eq!(get("%73e/rd/serde"), get("se/rd/serde"));
    let nowhere = Err(RequestError::NoSuchPath { ecosystem: Ecosystem::Cargo });
    for path in [
        "2/a",
        "1/ab",
        "3/b/abc",
        "ab/ce/abcd",
        "Ab/cd/Abcd",
        "ab/cd/Abcd",
        "ab//abcd",
        "/1/a",
        "ab%2fcd/abcd/abcd",
        "serde",
        "me/crates",
        "api/v1/crates",
    ] {
        assert_eq!(get(path), nowhere, "{path}");
    }
    for path in ["1/a/", "../1/a%2fb", "1/..", "1/_"] {
        assert!(matches!(get(path), Err(RequestError::Name(_))), "{path}");
    }
    assert_eq!(get("1%252fa"), Err(RequestError::Encoding { problem: "it is escaped twice" }));
}

#[test]
fn a_download_names_its_digest() {
    let path = format!("crates/Inflector/0.11.4/{SHA256}/download");
    let Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned })) = get(&path) else { panic!("{path}") };
    assert_eq!((id.package.as_str(), id.file.as_str()), ("inflector", "Inflector-0.11.4.crate"));
    assert_eq!(pinned.map(|digest| digest.to_string()).as_deref(), Some(SHA256));
    for path in [
        format!("crates/a/1.0.0/{}/download", SHA256.to_uppercase()),
        format!("crates/a/1.0.0/{}/download", &SHA256[2..]),
        format!("crates/a/1.0.0/{SHA256}"),
        format!("crates/a/1.0.0/{SHA256}/download/x"),
        "crates/a/1.0.0/download".to_owned(),
    ] {
        assert!(get(&path).is_err(), "{path}");
    }
    let Err(RequestError::Name(NameError::Grammar { what: "version", .. })) =
        get(&format!("crates/a/1.0/{SHA256}/download"))
    else {
        panic!("loose version")
    };
    let post = parse(&RawRequest { method: "POST", path: &path, accept: "" });
    assert_eq!(post, Err(RequestError::Method { allowed: "GET, HEAD" }));
}

#[test]
fn our_own_template_leads_back_to_our_own_path() {
    let public_url = Url::parse("http://mirror.example/cargo/").expect("URL");
    let rendered = config_json(&public_url);
    let body = rendered.body.concat();
    assert_eq!(rendered.content_type, "application/json");
    let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(keys.len(), 1, "no `api`");
    let template = parse_download_template(&body).expect("`dl`");
    let id = id("In-flector", "1.0.0+b.1");
    let link = download_link(&template, &id, Some(SHA256)).expect("complete");
    let path = link.strip_prefix(public_url.as_str()).expect("below our root");
    let pinned = Some(SHA256.parse().expect("digest"));
    assert_eq!(get(path), Ok(ReadRequest::Artifact(ArtifactRequest { id, pinned })));
}

#[test]
fn templates_expand_as_cargo_expands_them() {
    let id = id("InFlector", "1.2.3");
    for (template, link) in [
        ("https://dl.example/crates", "https://dl.example/crates/InFlector/1.2.3/download".to_owned()),
        ("https://dl.example/{crate}-{version}.crate", "https://dl.example/InFlector-1.2.3.crate".to_owned()),
        ("/{prefix}/{lowerprefix}/{crate}", "/In/Fl/in/fl/InFlector".to_owned()),
        ("https://dl.example/{sha256-checksum}", format!("https://dl.example/{SHA256}")),
        ("https://dl.example/{other}", "https://dl.example/{other}/InFlector/1.2.3/download".to_owned()),
    ] {
        assert_eq!(download_link(template, &id, Some(SHA256)), Ok(link), "{template}");
    }
    let checksum = "https://dl.example/{sha256-checksum}";
    for hex in [None, Some("x"), Some("../../x")] {
        assert!(matches!(download_link(checksum, &id, hex), Err(IndexError::Malformed { .. })), "{hex:?}");
    }
}

#[test]
fn a_config_without_one_template_is_refused() {
    let long = format!(r#"{{"dl":"{}"}}"#, "a".repeat(TEMPLATE_BYTES_MAX + 1));
    for bad in ["", "{}", "<html>", r#"{"dl":1}"#, r#"{"dl":""}"#, r#"{"dl":"a","dl":"b"}"#, &long] {
        assert!(
            matches!(parse_download_template(bad.as_bytes()), Err(IndexError::Malformed { .. })),
            "{bad}"
        );
    }
}

#[test]
fn a_refusal_is_a_few_lines_of_text() {
    let detail = format!("why.\nAsk the operators. {}", "x".repeat(5000));
    let refusal = Refusal::new(RefusalKind::Revoked, "Recalled", detail);
    let (content_type, body) = refusal_body(&refusal, "pkg:cargo/a@1.0.0");
    assert_eq!(content_type, "text/plain; charset=utf-8");
    let lines: Vec<&str> = body.lines().collect();
    assert!(lines[0].starts_with("Recalled: why. Ask the operators. xxx") && lines[0].len() < 700, "{body}");
    assert_eq!(lines[1..], ["reference: pkg:cargo/a@1.0.0 (revoked)"]);
}

proptest! {
    #[test]
    fn names_and_paths_round_trip(name in "[a-z][a-z0-9_-]{0,30}") {
        let package = name::package(&name).expect("in the grammar");
        let path = index_path(&package).path;
        prop_assert_eq!(get(&path), Ok(ReadRequest::Index { package, form: IndexForm::CargoSparse }));
    }

    #[test]
    fn no_path_panics(path in "\\PC{0,60}") {
        let _ = get(&path);
    }
}
