use std::io::Cursor;

use touchstone_domain::{ArchiveRule, PackageName, TrustRank, Version};

use super::*;
use crate::archive::build::{TarFile, rule};

fn package(name: &str) -> PackageName {
    PackageName::new(name).expect(name)
}

fn version(text: &str) -> Version {
    Version::new(text).expect(text)
}

fn malformed(problem: &str) -> DocumentError {
    DocumentError::Malformed { problem: problem.to_owned() }
}

/// Without the place in the document.
fn placeless(error: DocumentError) -> DocumentError {
    match error {
        DocumentError::Malformed { problem } => {
            malformed(problem.split(" at line ").next().unwrap_or_default())
        }
        DocumentError::Limit { .. } | DocumentError::DuplicateKey { .. } => error,
    }
}

const SOUND: &str = r#"{ "attestations": [ {"predicateType":"https://a.example/v1","bundle":{ "x" : [1.0, "\u0041"] }},
  {"bundle":{}, "signedAccessSignatureUrl": "", "predicateType":"b"} ], "more": null }"#;

#[test]
fn bundles_are_kept_as_they_were_received() {
    let found = document(SOUND.as_bytes()).expect("sound");
    let found: Vec<_> = found
        .iter()
        .map(|a| (a.predicate_type.as_str(), std::str::from_utf8(&a.bundle).expect("text")))
        .collect();
    assert_eq!(found, [("https://a.example/v1", r#"{ "x" : [1.0, "\u0041"] }"#), ("b", "{}")]);
}

#[test]
fn a_document_of_another_shape_is_refused() {
    let problem = |old: &str, new: &str| {
        assert!(SOUND.contains(old), "{old}");
        document(SOUND.replacen(old, new, 1).as_bytes()).map_err(placeless).expect_err("changed")
    };
    assert_eq!(problem(r#""x" :"#, r#""x":2, "\u0078":"#), DocumentError::DuplicateKey { key: "x".into() });
    assert_eq!(
        problem(r#""bundle":{},"#, r#""bundle":{},"bundle":{},"#),
        DocumentError::DuplicateKey { key: "bundle".into() }
    );
    assert_eq!(problem(r#""bundle":{},"#, r#""bundle":[],"#), malformed("a bundle is no object"));
    assert_eq!(problem(r#""bundle":{},"#, r#""bundle":"{}","#), malformed("a bundle is no object"));
    assert_eq!(problem(r#""bundle":{},"#, ""), malformed("missing field `bundle`"));
    let other = problem(r#""predicateType":"b""#, r#""predicateType":null"#);
    assert_eq!(other, malformed("invalid type: null, expected a string"));
    let array =
        problem(r#"{"bundle":{}, "signedAccessSignatureUrl": "", "predicateType":"b"}"#, r#"["b",{}]"#);
    assert_eq!(array, malformed("invalid type: sequence, expected an object"));
    let array = document(br#"[[{"predicateType":"b","bundle":{}}]]"#).map_err(placeless);
    assert_eq!(array, Err(malformed("invalid type: sequence, expected an object")));
    assert_eq!(problem(r#""attestations""#, r#""attestation""#), malformed("missing field `attestations`"));
    assert_eq!(document(br#"{"attestations":[]}"#), Err(malformed("it lists no attestation")));
    assert_eq!(document(b"").map_err(placeless), Err(malformed("EOF while parsing a value")));
    assert_eq!(document(b"<html>").map_err(placeless), Err(malformed("expected value")));
}

#[test]
fn the_number_and_length_of_everything_is_bounded() {
    let list = |n: usize| {
        format!(r#"{{"attestations":[{}]}}"#, vec![r#"{"predicateType":"a","bundle":{}}"#; n].join(","))
    };
    assert_eq!(document(list(16).as_bytes()).map(|found| found.len()), Ok(16));
    let limit = |problem: &str| DocumentError::Limit { problem: problem.to_owned() };
    assert_eq!(document(list(17).as_bytes()), Err(limit("17 attestations, of 16 at most")));
    let long = list(1).replace(":\"a\"", &format!(":\"{}\"", "a".repeat(2049)));
    assert_eq!(document(long.as_bytes()), Err(limit("2049 bytes in predicateType, of 2048 at most")));
    let huge = vec![b' '; 4 * 1024 * 1024 + 1];
    assert_eq!(document(&huge), Err(limit("4194305 bytes, of 4194304 at most")));
}

#[test]
fn documents_are_asked_for_below_the_attestations_address() {
    assert_eq!(path(&package("a"), &version("1.0.0")).path, "-/npm/v1/attestations/a@1.0.0");
    assert_eq!(path(&package("@s/a"), &version("1.0.0+b")).path, "-/npm/v1/attestations/@s%2fa@1.0.0+b");
    assert_eq!(keys_path().path, "-/npm/v1/keys");
    assert_eq!(keys_path().base, crate::UpstreamBase::Attestations);
}

#[test]
fn a_subject_is_a_purl_that_is_decoded_once() {
    let (name, at) = (package("@Scope/name"), version("1.0.0-rc.1"));
    assert_eq!(subject(&name, &at), "pkg:npm/%40Scope/name@1.0.0-rc.1");
    assert_eq!(subject(&package("a"), &version("1.0.0")), "pkg:npm/a@1.0.0");
    for good in [
        "pkg:npm/%40Scope/name@1.0.0-rc.1",
        "pkg:npm/@Scope/name@1.0.0-rc.1",
        "pkg:npm/%40Scope%2fname@1.0.0-rc.1",
    ] {
        assert!(subject_matches(good, &name, &at), "{good}");
    }
    for bad in [
        "",
        "@Scope/name@1.0.0-rc.1",
        "pkg:npm/%2540Scope/name@1.0.0-rc.1",
        "pkg:npm/%40scope/name@1.0.0-rc.1",
        "pkg:npm/%40Scope/name@1.0.0-rc.2",
        "pkg:npm/%40Scope/name@1.0.0-rc.1?x=y",
        "pkg:npm/%40Scope/name@1.0.0-rc.1 ",
        "pkg:npm/%40Scope/name",
        "pkg:npm/name@1.0.0-rc.1",
        "pkg:pypi/%40Scope/name@1.0.0-rc.1",
        "pkg:npm/%40Scope/name@1.0.0-rc.1%00",
        "pkg:npm/%ff40Scope/name@1.0.0-rc.1",
    ] {
        assert!(!subject_matches(bad, &name, &at), "{bad}");
    }
}

const ENTRY: &str = r#"{"name":"a","version":"1.0.0","repository":{"type":"git","url":"git+https://github.com/o/r.git"},
 "dist":{"integrity":"sha512-AAAA","shasum":"11f6ad8ec52a2984abaafd7c3b516503785c2072","tarball":"x","new":1,
  "signatures":[{"keyid":"SHA256:k","sig":"c2ln"}],"attestations":{"url":"u","provenance":{"predicateType":"p"}}},
 "_npmUser":{"name":"n","trustedPublisher":{"id":"github"},"approver":null}}"#;

fn changed(old: &str, new: &str) -> Result<Dist, DocumentError> {
    assert!(ENTRY.contains(old), "{old}");
    dist(ENTRY.replacen(old, new, 1).as_bytes())
}

#[test]
fn a_metadata_entry_says_who_stands_behind_a_version() {
    let found = dist(ENTRY.as_bytes()).expect("sound");
    let signatures = vec![RegistrySignature { keyid: "SHA256:k".into(), sig: "c2ln".into() }];
    let expected = Dist {
        integrity: Some("sha512-AAAA".into()),
        shasum: Some("11f6ad8ec52a2984abaafd7c3b516503785c2072".into()),
        signatures,
        attestations: true,
        rank: TrustRank::TrustedPublisher,
        repository: Some("git+https://github.com/o/r.git".into()),
    };
    assert_eq!(found, expected);
    let with = |old: &str, new: &str| changed(old, new).expect("sound");
    assert_eq!(with("\"approver\":null", "\"approver\":{}").rank, TrustRank::StagedPublish);
    assert_eq!(with("\"trustedPublisher\":{\"id\":\"github\"},", "").rank, TrustRank::Provenance);
    assert_eq!(with("\"_npmUser\":{", "\"_npmUser\":\"n\",\"x\":{").rank, TrustRank::Provenance);
    assert!(!with("\"attestations\":{", "\"attestations\":null,\"x\":{").attestations);
    assert!(!with("\"attestations\":{", "\"Attestations\":{").attestations);
    assert_eq!(with("\"signatures\":[", "\"signatures\":null,\"x\":[").signatures, []);
    assert_eq!(with("{\"type\":\"git\",", "\"o/r\",\"x\":{").repository.as_deref(), Some("o/r"));
    for other in ["{\"directory\":\"d\"},\"x\":{", "[],\"x\":{", "null,\"x\":{", "{\"url\":1},\"x\":{"] {
        assert_eq!(with("{\"type\":\"git\",", other).repository, None, "{other}");
    }
}

#[test]
fn a_metadata_entry_that_could_mean_two_things_is_refused() {
    for (old, new, field) in [
        ("\"dist\":", "\"dist\":{},\"dist\":", "dist"),
        ("\"integrity\":", "\"integrity\":\"x\",\"\\u0069ntegrity\":", "integrity"),
        ("\"signatures\":", "\"signatures\":[],\"signatures\":", "signatures"),
        ("\"attestations\":", "\"attestations\":null,\"attestations\":", "attestations"),
        ("\"sig\":", "\"sig\":\"x\",\"sig\":", "sig"),
        ("\"repository\":", "\"repository\":null,\"repository\":", "repository"),
    ] {
        let DocumentError::Malformed { problem } = changed(old, new).expect_err(field) else {
            panic!("{field}")
        };
        assert!(problem.starts_with(&format!("duplicate field `{field}`")), "{problem}");
    }
    for (old, new) in [
        ("\"dist\":", "\"Dist\":"),
        ("\"keyid\":", "\"keyId\":"),
        ("\"sha512-AAAA\"", "1"),
        ("[{\"keyid\"", "{\"x\":[{\"keyid\""),
        (r#"{"keyid":"SHA256:k","sig":"c2ln"}"#, r#"["SHA256:k","c2ln"]"#),
    ] {
        assert!(matches!(changed(old, new), Err(DocumentError::Malformed { .. })), "{new}");
    }
    let many = vec![r#"{"keyid":"k","sig":"s"}"#; 17].join(",");
    let limit = |problem: &str| Err(DocumentError::Limit { problem: problem.to_owned() });
    assert_eq!(
        changed(r#"{"keyid":"SHA256:k","sig":"c2ln"}"#, &many),
        limit("17 registry signatures, of 16 at most")
    );
    assert_eq!(changed("c2ln", &"a".repeat(2049)), limit("2049 bytes in a signature, of 2048 at most"));
}

#[test]
fn registry_signatures_are_over_the_integrity_as_it_stands() {
    let message = |old: &str, new: &str| {
        changed(old, new).expect("sound").signature_message(&package("@s/a"), &version("1.0.0"))
    };
    assert_eq!(message("AAAA", "AAAA sha1-x ").as_deref(), Some("@s/a@1.0.0:sha512-AAAA sha1-x "));
    let by_shasum = message("\"integrity\":\"sha512-AAAA\",", "");
    assert_eq!(by_shasum.as_deref(), Some("@s/a@1.0.0:sha1-EfatjsUqKYSrqv18O1FlA3hcIHI="));
    assert_eq!(message("\"integrity\":\"sha512-AAAA\",\"shasum\":\"11", "\"shasum\":\"1"), None);
    assert_eq!(message("\"integrity\":\"sha512-AAAA\",\"shasum\"", "\"x\""), None);
}

#[test]
fn repositories_have_one_form() {
    for same in [
        "https://github.com/Owner/repo.js",
        "git+https://github.com/Owner/repo.js.git",
        "git://github.com/Owner/repo.js.git#main",
        "http://GitHub.com/Owner/repo.js/",
        "git+ssh://git@github.com/Owner/repo.js.git",
        "ssh://git@github.com/Owner/repo.js",
        "git+ssh://git@github.com:Owner/repo.js.git",
        "git@github.com:Owner/repo.js.git",
        "https://user:pass@github.com/Owner/repo.js",
        "github:Owner/repo.js",
        "github:Owner/repo.js#v1",
        "Owner/repo.js",
        " https://github.com/Owner/repo.js ",
    ] {
        assert_eq!(repository_url(same).as_deref(), Some("https://github.com/Owner/repo.js"), "{same}");
    }
    assert_eq!(repository_url("gitlab:a/b").as_deref(), Some("https://gitlab.com/a/b"));
    assert_eq!(repository_url("https://git.example/a/b/c.git").as_deref(), Some("https://git.example/a/b/c"));
    assert_eq!(
        repository_url("https://github.com@evil.example/o/r").as_deref(),
        Some("https://evil.example/o/r")
    );
    for none in [
        "",
        "repo",
        "a/b/c",
        "https://github.com",
        "https://github.com/owner",
        "https://github.com//repo",
        "https://github.com/o/../r",
        "https://github.com/o/r?x=1",
        "https://github.com/o/r%2f",
        "https://github.com/o\\r/x",
        "https://github.com:8443/o/r",
        "ssh://git@github.com:22/o/r",
        "file:///o/r",
        "javascript://github.com/o/r",
        "gist:0123",
        "https://localhost/o/r",
        "https://github.com./o/r",
        "https://githüb.example/o/r",
        "https:github.com/o/r",
        &format!("https://github.com/o/{}", "r".repeat(1024)),
    ] {
        assert_eq!(repository_url(none), None, "{none}");
    }
}

#[test]
fn the_repository_of_a_tarball_is_that_of_its_one_manifest() {
    let read = |tar: TarFile| package_repository(&mut Cursor::new(tar.tgz()));
    let with = |manifest: &str| read(TarFile::default().file("package/package.json", manifest));
    let sound = r#"{"repository":{"type":"git","url":"git+https://github.com/o/r.git"}}"#;
    assert_eq!(with(sound).expect("sound").as_deref(), Some("git+https://github.com/o/r.git"));
    assert_eq!(
        with(&format!("\u{feff}{sound}")).expect("sound").as_deref(),
        Some("git+https://github.com/o/r.git")
    );
    assert_eq!(with(r#"{"repository":"o/r"}"#).expect("sound").as_deref(), Some("o/r"));
    assert_eq!(with(r#"{"repository":7}"#).expect("sound"), None);
    assert_eq!(with("{}").expect("sound"), None);
    assert_eq!(rule(with(r#"{"repository":"o/r","repository":"o/s"}"#)), ArchiveRule::Malformed);
    assert_eq!(rule(with("[]")), ArchiveRule::Malformed);
    assert_eq!(rule(read(TarFile::default().file("package/index.js", ""))), ArchiveRule::Missing);
    let twice = TarFile::default().file("package/package.json", sound).file("package/package.json", "{}");
    assert_eq!(rule(read(twice)), ArchiveRule::Duplicate);
}
