use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::Amendment;

const PUBLIC: &str = "http://mirror.example/npm/";

fn package() -> PackageName {
    PackageName::new("@s/p").expect("name")
}

fn key(version: &str) -> (Version, FileName) {
    let version = name::version(version).expect(version);
    let file = name::file(&package(), &version).expect("file");
    (version, file)
}

/// A version's entry, written with white space, escapes and a number that a reader and writer of JSON would not keep.
fn entry(version: &str) -> String {
    format!(
        r#"{{ "name" : "@s/p","version":"{version}", "scripts":{{"install":"node x"}}, "dependencies":{{"b":"^1"}},
    "dist":{{"integrity": "sha512-A\u002b/{version}==","shasum":"00{version}","tarball":"https://files.example/odd/{version}?x=1",
    "unpackedSize":1.50e3, "signatures":[ {{"sig":"MEUC\/{version}","keyid":"k"}} ],
    "attestations":{{"url":"https://registry.example/x/-/npm/v1/attestations/@s%2fp@{version}","provenance":{{"predicateType":"t"}}}}}},
    "_npmUser":{{"name":"u"}} }}"#
    )
}

fn packument(versions: &[&str], tags: &Value) -> String {
    let entries: Vec<String> = versions.iter().map(|v| format!("\"{v}\": {}", entry(v))).collect();
    let times: Vec<String> =
        versions.iter().map(|v| format!("\"{v}\":\"2024-01-02T03:04:05.000Z\"")).collect();
    let (entries, times) = (entries.join(",\n "), times.join(" , "));
    format!(
        "{{\"_id\":\"@s/p\",\"name\":\"@s/p\",\"dist-tags\":{tags},\"versions\":{{{entries}}},\n\"time\":{{\"created\":\"c\",\"modified\":\"m\",{times}}},\"readme\":\"\\u00e9\"}}\n"
    )
}

fn parse(document: &str) -> Result<Packument, IndexError> {
    let document = Bytes::copy_from_slice(document.as_bytes());
    Packument::parse(&package(), "application/json; charset=utf-8", &document)
}

fn render(packument: &Packument, form: &IndexForm, amendments: &Amendments) -> String {
    let public_url = Url::parse(PUBLIC).expect("URL");
    let rendered = packument.render(form, &public_url, amendments).expect("rendered");
    String::from_utf8(rendered.body.concat()).expect("UTF-8")
}

fn full(packument: &Packument, amendments: &Amendments) -> Value {
    serde_json::from_str(&render(packument, &IndexForm::NpmFull, amendments)).expect("JSON")
}

fn refuse(versions: &[&str]) -> Amendments {
    versions.iter().map(|v| (key(v), Amendment::Refuse { reason: "no".into() })).collect()
}

fn problem(document: &str) -> String {
    parse(document).expect_err("refused").to_string()
}

#[test]
fn a_version_is_located_with_its_raw_claims() {
    let document = packument(&["1.0.0", "1.1.0"], &json!({"latest": "1.1.0"}));
    let index = parse(&document).expect("packument");
    let (version, file) = key("1.1.0");
    let located = index.locate(&version, &file).expect("listed");
    assert_eq!(located.url, "https://files.example/odd/1.1.0?x=1");
    assert_eq!(located.evidence, entry("1.1.0"));
    assert_eq!(located.published_at, Some("2024-01-02T03:04:05Z".parse().expect("timestamp")));
    let claim = |field, value: &str| Claim { field, value: value.into() };
    assert_eq!(
        located.claims,
        [claim(ClaimField::NpmIntegrity, "sha512-A+/1.1.0=="), claim(ClaimField::NpmShasum, "001.1.0")]
    );
    assert_eq!(index.locate(&version, &key("1.0.0").1), None, "the file of another version");
    assert_eq!(index.locate(&key("2.0.0").0, &file), None);
    let versions: Vec<&str> = index.entries().iter().map(|entry| entry.version.as_str()).collect();
    assert_eq!(versions, ["1.0.0", "1.1.0"]);
}

#[test]
fn a_version_is_attested_when_its_entry_says_so() {
    let document = packument(&["1.0.0"], &json!({}));
    let attested = |old: &str, new: &str| {
        assert!(document.contains(old), "{old}");
        parse(&document.replacen(old, new, 1)).expect("sound").entries()[0].attested
    };
    assert!(attested("\"attestations\":{", "\"attestations\":{"));
    assert!(attested("\"attestations\":{", "\"attestations\":[],\"x\":{"));
    assert!(!attested("\"attestations\":{", "\"attestations\":null,\"x\":{"));
    assert!(!attested("\"attestations\":{", "\"x\":{"));
}

#[test]
fn odd_claims_are_passed_on_to_be_found_malformed() {
    let claims = |dist: &str| {
        let document = format!(
            r#"{{"name":"@s/p","versions":{{"1.0.0":{{"name":"@s/p","version":"1.0.0","dist":{{"tarball":"x"{dist}}}}}}}}}"#
        );
        let (version, file) = key("1.0.0");
        let located = parse(&document).expect("packument").locate(&version, &file).expect("listed");
        located.claims.into_iter().map(|claim| claim.value).collect::<Vec<_>>()
    };
    assert_eq!(claims(""), [""; 0]);
    assert_eq!(claims(r#","integrity":null"#), [""; 0]);
    assert_eq!(claims(r#","integrity":"","shasum":7"#), ["", "7"]);
    assert_eq!(claims(r#","integrity":["sha512-x"]"#), [r#"["sha512-x"]"#]);
}

#[test]
fn the_full_form_changes_only_links() {
    let document = packument(&["1.0.0", "1.1.0"], &json!({"latest": "1.1.0", "old": "1.0.0"}));
    let index = parse(&document).expect("packument");
    let mut expected = document.clone();
    for version in ["1.0.0", "1.1.0"] {
        expected = expected
            .replace(
                &format!("https://files.example/odd/{version}?x=1"),
                &format!("{PUBLIC}@s/p/-/p-{version}.tgz"),
            )
            .replace("https://registry.example/x/-/", &format!("{PUBLIC}-/"));
    }
    assert_eq!(render(&index, &IndexForm::NpmFull, &Amendments::new()), expected);
}

#[test]
fn refused_versions_disappear_and_tags_are_repaired() {
    let tags = json!({"latest": "2.0.0", "next": "3.0.0-rc.1", "old": "1.0.0", "lost": "9.9.9"});
    let document = packument(&["1.0.0", "1.10.0", "1.9.0", "2.0.0", "3.0.0-rc.1"], &tags);
    let index = parse(&document).expect("packument");
    let shown = full(&index, &refuse(&["2.0.0"]));
    let keys = |value: &Value| value.as_object().expect("object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shown["versions"]), ["1.0.0", "1.10.0", "1.9.0", "3.0.0-rc.1"]);
    assert_eq!(keys(&shown["time"]), ["1.0.0", "1.10.0", "1.9.0", "3.0.0-rc.1", "created", "modified"]);
    assert_eq!(shown["dist-tags"], json!({"latest": "1.10.0", "next": "3.0.0-rc.1", "old": "1.0.0"}));
    let shown = full(&index, &refuse(&["1.0.0", "1.10.0", "1.9.0", "2.0.0"]));
    assert_eq!(shown["dist-tags"], json!({"latest": "3.0.0-rc.1", "next": "3.0.0-rc.1"}));
    let shown = full(&index, &refuse(&["1.0.0", "1.10.0", "1.9.0", "2.0.0", "3.0.0-rc.1"]));
    assert_eq!((&shown["dist-tags"], &shown["versions"]), (&json!({}), &json!({})));
    assert_eq!(keys(&shown["time"]), ["created", "modified"]);
}

#[test]
fn the_abbreviated_form_has_what_an_install_needs() {
    let index = parse(&packument(&["1.0.0", "1.1.0"], &json!({"latest": "1.1.0"}))).expect("packument");
    let public_url = Url::parse(PUBLIC).expect("URL");
    let rendered =
        index.render(&IndexForm::NpmAbbreviated, &public_url, &refuse(&["1.1.0"])).expect("rendered");
    assert_eq!(rendered.content_type, "application/vnd.npm.install-v1+json");
    let body = rendered.body.concat();
    let raw = r#""integrity": "sha512-A\u002b/1.0.0==","shasum":"001.0.0""#;
    assert!(String::from_utf8_lossy(&body).contains(raw));
    let shown: Value = serde_json::from_slice(&body).expect("JSON");
    let dist = full(&index, &Amendments::new())["versions"]["1.0.0"]["dist"].clone();
    assert_eq!(
        shown,
        json!({"name": "@s/p", "modified": "m", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
            "name": "@s/p", "version": "1.0.0", "dependencies": {"b": "^1"}, "hasInstallScript": true, "dist": dist,
        }}})
    );
}

#[test]
fn manifests_are_found_by_version_and_by_repaired_tag() {
    let index =
        parse(&packument(&["1.0.0", "1.1.0"], &json!({"latest": "1.1.0", "b": "1.1.0"}))).expect("packument");
    let of = |reference: &str, amendments: &Amendments| {
        let public_url = Url::parse(PUBLIC).expect("URL");
        let rendered = index.render(&IndexForm::NpmManifest(reference.into()), &public_url, amendments)?;
        let shown: Value = serde_json::from_slice(&rendered.body.concat()).expect("JSON");
        assert_eq!(shown["dist"]["tarball"], format!("{PUBLIC}@s/p/-/p-{}.tgz", shown["version"].as_str()?));
        Some((rendered.content_type, shown["version"].as_str()?.to_owned()))
    };
    let found = |version: &str| Some(("application/json", version.to_owned()));
    assert_eq!(of("latest", &Amendments::new()), found("1.1.0"));
    assert_eq!(of("latest", &refuse(&["1.1.0"])), found("1.0.0"));
    assert_eq!(of("b", &refuse(&["1.1.0"])), None);
    assert_eq!(of("1.0.0", &Amendments::new()), found("1.0.0"));
    assert_eq!(of("1.1.0", &refuse(&["1.1.0"])), None);
    assert_eq!(of("2.0.0", &Amendments::new()), None);
    let public_url = Url::parse(PUBLIC).expect("URL");
    assert_eq!(index.render(&IndexForm::CargoSparse, &public_url, &Amendments::new()), None);
}

#[test]
fn a_restored_entry_stands_in_the_place_of_the_new_one() {
    let document = packument(&["1.0.0", "1.1.0"], &json!({"latest": "1.1.0"}));
    let index = parse(&document.replace("sha512-A\\u002b/1.1.0", "sha512-Evil")).expect("packument");
    let restore =
        |entry: String| Amendments::from([(key("1.1.0"), Amendment::Restore { entry: entry.into() })]);
    let original = parse(&document).expect("packument");
    for form in [IndexForm::NpmFull, IndexForm::NpmAbbreviated, IndexForm::NpmManifest("1.1.0".into())] {
        let restored = render(&index, &form, &restore(entry("1.1.0")));
        assert_eq!(restored, render(&original, &form, &Amendments::new()), "{form:?}");
    }
    for useless in [entry("1.0.0"), String::new(), "{}".into(), format!("{} ", entry("1.1.0")), "]".into()] {
        let hidden = render(&index, &IndexForm::NpmFull, &restore(useless));
        assert_eq!(hidden, render(&index, &IndexForm::NpmFull, &refuse(&["1.1.0"])));
    }
}

#[test]
fn versions_that_are_not_what_they_are_called_are_left_out() {
    let good = entry("1.0.0");
    for (key, entry) in [
        ("1.0.1", good.clone()),
        ("1.0.1", entry("1.0.1").replace("\"@s/p\",\"version\"", "\"@s/q\",\"version\"")),
        ("1.0.1", entry("1.0.1").replace("\"tarball\":\"", "\"tarbal\":\"")),
        ("v1.0.1", entry("v1.0.1")),
        ("1.0", entry("1.0")),
        ("1.0.1", r#"{"name":"@s/p","version":"1.0.1"}"#.to_owned()),
    ] {
        let document = format!(
            r#"{{"name":"@s/p","dist-tags":{{"latest":"{key}"}},"versions":{{"1.0.0":{good},"{key}":{entry}}},"time":{{"{key}":"t"}}}}"#
        );
        let index = parse(&document).expect("packument");
        assert_eq!(index.entries().len(), 1, "{document}");
        let shown = full(&index, &Amendments::new());
        let left =
            (&shown["dist-tags"], &shown["time"], shown["versions"].as_object().map(serde_json::Map::len));
        assert_eq!(left, (&json!({"latest": "1.0.0"}), &json!({}), Some(1)), "{document}");
    }
}

#[test]
fn what_could_mean_two_things_is_refused() {
    let document = packument(&["1.0.0"], &json!({"latest": "1.0.0"}));
    assert!(parse(&document).is_ok());
    for (from, to, expected) in [
        ("\"_id\":\"@s/p\"", "\"name\":\"@s/p\"", "the key \"name\" is there twice"),
        ("\"readme\":\"\\u00e9\"", "\"versions\":{}", "the key \"versions\" is there twice"),
        ("\"readme\":\"\\u00e9\"", "\"ver\\u0073ions\":{}", "the key \"versions\" is there twice"),
        ("\"readme\":\"\\u00e9\"", "\"dist-tags\":{}", "the key \"dist-tags\" is there twice"),
        ("\"unpackedSize\":1.50e3", "\"integrity\":\"x\"", "the key \"integrity\" is there twice"),
        ("\"unpackedSize\":1.50e3", "\"shasum\":\"x\"", "the key \"shasum\" is there twice"),
        ("\"unpackedSize\":1.50e3", "\"tarball\":\"x\"", "the key \"tarball\" is there twice"),
        ("\"unpackedSize\":1.50e3", "\"signatures\":[]", "the key \"signatures\" is there twice"),
        ("\"_npmUser\":{\"name\":\"u\"}", "\"dist\":{}", "the key \"dist\" is there twice"),
        ("\"_npmUser\":{\"name\":\"u\"}", "\"version\":\"1.0.0\"", "the key \"version\" is there twice"),
        ("\"versions\":{", "\"versions\":{\"1.0.0\":{},", "the version \"1.0.0\" is there twice"),
        ("\"created\":\"c\"", "\"1.0.0\":\"c\"", "the time \"1.0.0\" is there twice"),
        (
            "\"latest\":\"1.0.0\"",
            "\"latest\":\"1.0.0\",\"latest\":\"2\"",
            "the dist-tag \"latest\" is there twice",
        ),
        ("\"latest\":\"1.0.0\"", "\"latest\":1", "a dist-tag: invalid type"),
        ("\"unpackedSize\":1.50e3", "\"unpackedSize\":NaN", "the packument: expected value"),
        ("\"readme\"", ",\"readme\"", "the packument: key must be a string"),
    ] {
        let changed = document.replacen(from, to, 1);
        assert_ne!(changed, document, "{from}");
        let found = problem(&changed);
        let prefix = format!("the upstream's metadata is malformed: {expected}");
        assert!(found.starts_with(&prefix), "{from} to {to}: {found}");
    }
    assert!(problem(&format!("\u{feff}{document}")).contains("the packument: "));
    assert!(problem(&document[..document.len() / 2]).contains("the packument: EOF"));
    assert!(problem("[]").contains("the packument: invalid type"));
    assert!(problem(r#"{"name":"@s/p","versions":[]}"#).contains("versions: invalid type"));
}

#[test]
fn other_documents_are_refused() {
    let document = packument(&["1.0.0"], &json!({}));
    let other = parse(&document.replacen("\"name\":\"@s/p\"", "\"name\":\"@s/q\"", 1)).expect_err("other");
    assert_eq!(other, IndexError::OtherPackage { expected: "@s/p".into(), found: "@s/q".into() });
    let html = Packument::parse(&package(), "text/html; charset=utf-8", &document.into()).expect_err("HTML");
    assert_eq!(html, IndexError::MediaType { expected: "application/json", found: "text/html".into() });
}

#[test]
fn depth_and_count_are_bounded() {
    let deep = format!(r#"{{"name":"@s/p","readme":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        parse(&deep).expect_err("deep"),
        IndexError::Limit { problem: "it is nested deeper than 128".into() }
    );
    let versions: Vec<String> = (0..=VERSIONS_MAX).map(|i| format!("\"0.0.{i}\":{{}}")).collect();
    let many = format!(r#"{{"name":"@s/p","versions":{{{}}}}}"#, versions.join(","));
    let problem = "100001 versions, of 100000 at most".to_owned();
    assert_eq!(parse(&many).expect_err("many"), IndexError::Limit { problem });
}

#[test]
fn a_render_of_a_large_document_shares_it() {
    let filler = "x".repeat(10_000);
    let versions: Vec<String> = (0..2_000)
        .map(|i| {
            let entry = entry(&format!("1.0.{i}")).replacen('{', &format!("{{\"readme\":\"{filler}\","), 1);
            format!("\"1.0.{i}\":{entry}")
        })
        .collect();
    let document = Bytes::from(format!(
        r#"{{"name":"@s/p","dist-tags":{{"latest":"1.0.1"}},"versions":{{{}}}}}"#,
        versions.join(",")
    ));
    assert!(document.len() > 19_000_000);
    let index = Packument::parse(&package(), "application/json", &document).expect("packument");
    let public_url = Url::parse(PUBLIC).expect("URL");
    for form in [IndexForm::NpmFull, IndexForm::NpmAbbreviated] {
        let rendered = index.render(&form, &public_url, &refuse(&["1.0.1", "1.0.7"])).expect("rendered");
        let shared = document.as_ptr_range();
        let owned = rendered.body.iter().filter(|piece| !shared.contains(&piece.as_ptr())).map(Bytes::len);
        let (owned, pieces) = (owned.sum::<usize>(), rendered.body.len());
        assert!(owned < document.len() / 50, "{form:?}: {owned} bytes of {} are copies", document.len());
        assert!(pieces < 2_000 * 20, "{form:?}: {pieces} pieces");
        let shown: Value = serde_json::from_slice(&rendered.body.concat()).expect("JSON");
        assert_eq!(shown["versions"].as_object().map(serde_json::Map::len), Some(1_998));
    }
}

proptest! {
    /// Whatever is refused, both forms are JSON, no tag dangles, and what is left has its integrity as it was written.
    #[test]
    fn renders_are_sound(
        numbers in proptest::collection::btree_set((0_u8..4, 0_u8..4, proptest::option::of(0_u8..2)), 0..12),
        refused in proptest::collection::vec(any::<bool>(), 12),
        tagged in proptest::collection::vec(0_usize..14, 0..4),
    ) {
        let versions: Vec<String> = numbers
            .iter()
            .map(|(major, minor, pre)| match pre {
                Some(pre) => format!("{major}.{minor}.0-{pre}"),
                None => format!("{major}.{minor}.0"),
            })
            .collect();
        let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
        let tags: serde_json::Map<String, Value> = ["latest", "a", "b", "c"]
            .iter()
            .zip(&tagged)
            .map(|(tag, at)| ((*tag).to_owned(), json!(versions.get(*at).unwrap_or(&"7.7.7"))))
            .collect();
        let document = packument(&versions, &Value::Object(tags)).replace("\"m\",}", "\"m\"}");
        let index = parse(&document).expect("packument");
        let gone: Vec<&str> = versions.iter().zip(&refused).filter(|(_, r)| **r).map(|(v, _)| *v).collect();
        for form in [IndexForm::NpmFull, IndexForm::NpmAbbreviated] {
            let text = render(&index, &form, &refuse(&gone));
            let shown: Value = serde_json::from_str(&text).expect("JSON");
            let listed = shown["versions"].as_object().expect("versions");
            for version in &versions {
                let raw = format!("\"integrity\": \"sha512-A\\u002b/{version}==\",\"shasum\":\"00{version}\"");
                let signature = format!("\"signatures\":[ {{\"sig\":\"MEUC\\/{version}\",\"keyid\":\"k\"}} ]");
                let kept = !gone.contains(version);
                prop_assert_eq!(listed.contains_key(*version), kept);
                prop_assert_eq!(text.contains(&raw) && text.contains(&signature), kept);
            }
            let tags = shown["dist-tags"].as_object().expect("tags");
            for (tag, at) in tags {
                prop_assert!(listed.contains_key(at.as_str().expect("text")), "{} dangles", tag);
            }
            prop_assert_eq!(tags.contains_key("latest"), !listed.is_empty());
        }
    }

    #[test]
    fn no_document_panics(at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut document = packument(&["1.0.0", "2.0.0"], &json!({"latest": "2.0.0"})).into_bytes();
        let at = at.index(document.len());
        document[at] = byte;
        document.truncate(if cut { at } else { document.len() });
        if let Ok(index) = Packument::parse(&package(), "application/json", &document.into()) {
            let public_url = Url::parse(PUBLIC).expect("URL");
            for form in [IndexForm::NpmFull, IndexForm::NpmAbbreviated] {
                let rendered = index.render(&form, &public_url, &refuse(&["1.0.0"])).expect("rendered");
                prop_assert!(serde_json::from_slice::<&RawValue>(&rendered.body.concat()).is_ok());
            }
        }
    }
}
