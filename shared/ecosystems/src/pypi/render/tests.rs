use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use touchstone_domain::Sha256;

use super::super::{index::parse, protocol, samples::*};
use crate::{Amendment, Amendments, Index as _, IndexForm};

#[test]
fn json_is_passed_on_with_our_addresses_and_all_else_as_it_came() {
    let project = parsed(&sample()).expect("a sample");
    let files: Vec<&str> = project.entries().iter().map(|e| e.file.as_str()).collect();
    assert_eq!(files, [WHEEL, SDIST]);
    let egg = "    {\"filename\": \"foo-0.9.egg\", \"url\": \"foo-0.9.egg\", \"hashes\": {}},\n";
    let expected = sample()
        .replace(egg, "")
        .replace(
            &format!("https://files.example/a/{WHEEL}"),
            &format!("https://mirror.example/pypi/files/{A}/foo/{WHEEL}"),
        )
        .replace("https://pypi.example/", "https://mirror.example/pypi/")
        .replace(&format!("../../a/{SDIST}"), &format!("https://mirror.example/pypi/files/-/foo/{SDIST}"))
        .replace("\"core-metadata\":true", "\"core-metadata\":false")
        .replace("[\n    {\"filename\"", "[{\"filename\"")
        .replace("},\n    {\"url\"", "},{\"url\"")
        .replace("null}\n  ]", "null}]");
    assert_eq!(shown(&project, &IndexForm::PypiJson, &Amendments::new()), expected);
}

#[test]
fn html_says_the_same() {
    let project = parsed(&sample()).expect("a sample");
    let expected = format!(
        r#"<!DOCTYPE html>
<html>
<head>
<meta name="pypi:repository-version" content="1.4">
<title>Links for foo</title>
</head>
<body>
<h1>Links for foo</h1>
<a href="https://mirror.example/pypi/files/{A}/foo/{WHEEL}#sha256={A}" data-requires-python="&gt;=3.9,&lt;4" data-core-metadata="sha256={B}" data-dist-info-metadata="sha256={B}" data-provenance="https://mirror.example/pypi/integrity/foo/1.0/{WHEEL}/provenance">{WHEEL}</a><br>
<a href="https://mirror.example/pypi/files/-/foo/{SDIST}">{SDIST}</a><br>
</body>
</html>
"#
    );
    assert_eq!(shown(&project, &IndexForm::PypiHtml, &Amendments::new()), expected);
    let v1 = project.render(&IndexForm::PypiHtmlV1, &root(), &Amendments::new()).expect("a form");
    assert_eq!((v1.content_type, text(&v1)), (protocol::HTML_V1, expected));
    assert_eq!(project.render(&IndexForm::NpmFull, &root(), &Amendments::new()), None);
}

#[test]
fn refused_files_are_yanked_with_the_reason() {
    let reason = "Rejected: \"digest\" <mismatch>\r\n& more".to_owned();
    let refuse = Amendment::Refuse { reason: reason.clone() };
    let amendments: Amendments = [key(WHEEL), key(SDIST)].map(|key| (key, refuse.clone())).into();
    let project = parsed(&sample()).expect("a sample");
    let json: Value =
        serde_json::from_str(&shown(&project, &IndexForm::PypiJson, &amendments)).expect("JSON");
    // one with `yanked` before, one without
    assert_eq!(json["files"][0]["yanked"], reason);
    assert_eq!(json["files"][1]["yanked"], reason);
    assert_eq!(json["versions"], json!(["0.9", "1.0"]));
    let html = shown(&project, &IndexForm::PypiHtml, &amendments);
    let escaped = "data-yanked=\"Rejected: &quot;digest&quot; &lt;mismatch&gt;  &amp; more\"";
    assert_eq!(html.matches(escaped).count(), 2, "{html}");
}

#[test]
fn what_the_upstream_yanked_stays_yanked() {
    let yanked = |value: &str| {
        let file = format!(r#"{{"filename":"{SDIST}","url":"x","hashes":{{}},"yanked":{value}}}"#);
        let project = with_files(&file).expect("a sample");
        let html = shown(&project, &IndexForm::PypiHtml, &Amendments::new());
        let json = shown(&project, &IndexForm::PypiJson, &Amendments::new());
        assert!(json.contains(&format!("\"yanked\":{value}")), "{json}");
        html.split_once("data-yanked=")
            .map(|(_, rest)| rest[..rest.find('>').expect("a tag ends")].to_owned())
    };
    assert_eq!(yanked("\"bro\\u006ben\""), Some("\"broken\"".to_owned()));
    assert_eq!(yanked("true"), Some("\"\"".to_owned()));
    assert_eq!(yanked("false"), None);
    assert_eq!(yanked("null"), None);
    let file = format!(r#"{{"filename":"{SDIST}","url":"x","hashes":{{}},"yanked":1}}"#);
    assert!(problem(with_files(&file)).starts_with("files[0]: `yanked` is neither a flag nor a reason"));
}

#[test]
fn an_entry_on_record_replaces_one_about_other_bytes() {
    let file = |sha256: &str, url: &str| {
        format!(r#"{{"filename":"{SDIST}","url":"{url}","hashes":{{"sha256":"{sha256}"}},"old":1}}"#)
    };
    let project = with_files(&file(B, "new")).expect("a sample");
    let restored = |entry: String| {
        let amendments = Amendments::from([(key(SDIST), Amendment::Restore { entry: entry.into() })]);
        shown(&project, &IndexForm::PypiJson, &amendments)
    };
    let ours = file(A, &format!("https://mirror.example/pypi/files/{A}/foo/{SDIST}"));
    assert!(restored(file(A, "first")).ends_with(&format!("\"files\":[{ours}]}}")));
    // a record that cannot be read, or is about another file, hides the file: the new entry is about other bytes
    let other = file(A, "x").replace("1.0", "1.1");
    for unusable in ["", "{}", "\u{0}", &other] {
        assert!(restored(unusable.to_owned()).ends_with("\"files\":[]}"), "{unusable}");
    }
}

#[test]
fn a_sidecar_that_is_amended_is_no_longer_offered() {
    let project = parsed(&sample()).expect("a sample");
    let amend = |amendment| Amendments::from([(key(&format!("{WHEEL}.metadata")), amendment)]);
    for amendments in [
        amend(Amendment::Refuse { reason: "r".to_owned() }),
        amend(Amendment::Restore { entry: Bytes::new() }),
    ] {
        let json: Value =
            serde_json::from_str(&shown(&project, &IndexForm::PypiJson, &amendments)).expect("JSON");
        assert_eq!(json["files"][0]["core-metadata"], false);
        assert_eq!(json["files"][0]["data-dist-info-metadata"], false);
        assert_eq!(json["files"][0]["yanked"], false);
        assert!(!shown(&project, &IndexForm::PypiHtml, &amendments).contains("metadata"));
    }
}

#[test]
fn a_quarantined_project_offers_nothing() {
    let with = |status: &str| {
        parsed(&sample().replace("\"versions\"", &format!("\"project-status\":{status},\"versions\"")))
    };
    let quarantined = with(r#"{"status":"quarantined","reason":"<malware>"}"#).expect("a sample");
    assert_eq!(quarantined.entries(), []);
    assert_eq!(locate(&quarantined, WHEEL), None);
    let json = shown(&quarantined, &IndexForm::PypiJson, &Amendments::new());
    assert!(json.contains("\"files\": []") && json.contains("\"quarantined\""), "{json}");
    let html = shown(&quarantined, &IndexForm::PypiHtml, &Amendments::new());
    assert!(html.contains("<meta name=\"pypi:project-status\" content=\"quarantined\">\n<meta name=\"pypi:project-status-reason\" content=\"&lt;malware&gt;\">"));
    assert!(!html.contains("<a "));
    assert_eq!(with(r#"{"status":"archived"}"#).expect("a sample").entries().len(), 2);
}

fn one_of(values: &[Value; 4], at: usize) -> Value {
    values[at].clone()
}

prop_compose! {
    fn any_file()(
        minor in 0_u8..20,
        kind in 0_usize..5,
        seed in any::<u8>(),
        hashed in any::<bool>(),
        size in proptest::option::of(any::<u64>()),
        text in "[\"\\\\<>&é\u{1f600} a-z]{0,8}",
        yanked in 0_usize..4,
        metadata in 0_usize..4,
        time in proptest::option::of(0_i64..4_000_000_000),
        provenance in any::<bool>(),
    ) -> Value {
        let suffix = ["-py3-none-any.whl", ".tar.gz", ".zip", ".egg", "+loc-1-cp312-abi3-linux_x86_64.whl"][kind];
        let digest = Sha256::of([seed]).to_string();
        let hashes = if hashed { json!({ "sha256": digest }) } else { json!({}) };
        let time = time.map(|t| Timestamp::from_second(t).expect("in range").to_string());
        json!({
            "filename": format!("foo-1.{minor}{suffix}"), "url": format!("https://files.example/{text}/{seed}"),
            "hashes": hashes, "size": size, "upload-time": time, "requires-python": text,
            "yanked": one_of(&[false.into(), true.into(), text.clone().into(), Value::Null], yanked),
            "core-metadata": one_of(&[false.into(), true.into(), json!({ "sha256": digest }), Value::Null], metadata),
            "provenance": provenance.then(|| text.clone()), "unknown": { "k": [text] },
        })
    }
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_same_entries(mut files in proptest::collection::vec(any_file(), 0..12)) {
        files.sort_by_key(|f| f["filename"].to_string());
        files.dedup_by_key(|f| f["filename"].to_string());
        let document = json!({ "meta": { "api-version": "1.3" }, "name": "foo", "files": files });
        let project = parsed(&document.to_string()).expect("a valid index");
        let rendered = project.render(&IndexForm::PypiJson, &root(), &Amendments::new()).expect("a form");
        let again = parse(&foo(), rendered.content_type, &text(&rendered).into()).expect("our own index");
        prop_assert_eq!(project.entries(), again.entries());
        for entry in project.entries() {
            let before = project.locate(&entry.version, &entry.file).expect("listed");
            let after = again.locate(&entry.version, &entry.file).expect("listed");
            prop_assert_eq!(before.claims, after.claims);
            prop_assert!(after.url.starts_with("https://mirror.example/pypi/files/"));
        }
        // rendering is the same a second time, and nothing of the upstream's own addresses is left
        let twice = again.render(&IndexForm::PypiJson, &root(), &Amendments::new()).expect("a form");
        prop_assert_eq!(text(&twice), text(&rendered));
        prop_assert!(!text(&rendered).contains("files.example"));
    }
}
