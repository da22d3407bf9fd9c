use std::io::Cursor;

use touchstone_domain::Ecosystem;

use super::*;
use crate::archive::build::{TarFile, gzip, id, mismatched, rule};

fn inspected(package: &str, version: &str, file: Vec<u8>) -> Result<Inspected, InspectError> {
    let id = id(Ecosystem::Npm, package, version, "file.tgz");
    inspect(&id, &[], &mut Cursor::new(file))
}

fn tarball(package_json: impl AsRef<[u8]>) -> Vec<u8> {
    TarFile::default().file("package/index.js", "").file("package/package.json", package_json).tgz()
}

/// A package `a` 1.0.0 with something changed.
fn with(change: impl FnOnce(TarFile) -> TarFile) -> Result<Inspected, InspectError> {
    let sound = TarFile::default().file("package/package.json", r#"{"name":"a","version":"1.0.0"}"#);
    inspected("a", "1.0.0", change(sound).tgz())
}

fn says(name: &str, version: &str, package_json: &str) -> Result<Inspected, InspectError> {
    inspected(name, version, tarball(package_json))
}

#[test]
fn a_sound_package_is_described() {
    let document = r#"{"version":"1.0.0","dependencies":{"name":"x"},"name":"@s/a"}"#;
    let found = says("@s/a", "1.0.0", document).expect("sound");
    let manifest = Some(touchstone_domain::Sha256::of(document));
    assert_eq!(
        found,
        Inspected { entries: 2, unpacked_bytes: document.len() as u64, manifest, renamed: None }
    );
}

#[test]
fn spellings_that_npm_reads_alike_are_one() {
    for good in [
        r#"{"name":"a","version":"v1.0.0"}"#,
        r#"{"name":" a ","version":" = 1.0.0 "}"#,
        r#"{"name":"a","version":"1.0.0+build.7"}"#,
        "\u{feff}{\"name\":\"a\",\"version\":\"1.0.0\"}",
        r#"{"name":"a","\u0076ersion":"1.0.0"}"#,
    ] {
        assert!(says("a", "1.0.0", good).is_ok(), "{good}");
    }
    assert!(says("JSONStream", "1.0.0", r#"{"name":"JSONStream","version":"1.0.0"}"#).is_ok());
    assert!(
        with(|tar| tar.file("package/readme", "").file("package/README", "")).is_ok(),
        "case of other files"
    );
    let other =
        TarFile::default().directory("node/").file("node/package.json", r#"{"name":"a","version":"1.0.0"}"#);
    assert!(inspected("a", "1.0.0", other.tgz()).is_ok(), "another name of the directory");
}

#[test]
fn the_manifest_has_the_coordinates_name_and_version() {
    for (part, bad) in [
        ("name", r#"{"name":"b","version":"1.0.0"}"#),
        ("name", r#"{"name":"A","version":"1.0.0"}"#),
        ("name", r#"{"name":"../a","version":"1.0.0"}"#),
        ("name", r#"{"name":"@s/a","version":"1.0.0"}"#),
        ("version", r#"{"name":"a","version":"1.0.1"}"#),
        ("version", r#"{"name":"a","version":"1.0.0-rc.1"}"#),
        ("version", r#"{"name":"a","version":"../1.0.0"}"#),
    ] {
        assert_eq!(mismatched(says("a", "1.0.0", bad)), part, "{bad}");
    }
}

#[test]
fn the_manifest_says_each_once_and_is_json() {
    for (expected, bad) in [
        (ArchiveRule::Ambiguous, r#"{"name":"a","version":"1.0.0","name":"a"}"#),
        (ArchiveRule::Ambiguous, r#"{"name":"a","version":"1.0.0","\u0076ersion":"9.0.0"}"#),
        (ArchiveRule::Missing, r#"{"name":"a"}"#),
        (ArchiveRule::Missing, r#"{"version":"1.0.0"}"#),
        (ArchiveRule::Malformed, r#"{"name":"a","version":1}"#),
        (ArchiveRule::Malformed, r#"[{"name":"a","version":"1.0.0"}]"#),
        (ArchiveRule::Malformed, r#"{"name":"a","version":"1.0.0",}"#),
        (ArchiveRule::Malformed, r#"{"name":"a","version":"1.0.0","x":NaN}"#),
        (ArchiveRule::Malformed, r#"{"name":"a","version":"1.0.0"} {}"#),
        (ArchiveRule::Malformed, ""),
    ] {
        assert_eq!(rule(says("a", "1.0.0", bad)), expected, "{bad}");
    }
    let deep =
        format!(r#"{{"x":{}{},"name":"a","version":"1.0.0"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(says("a", "1.0.0", &deep).is_ok(), "values that nobody needs are skipped without recursion");
    let large = format!(r#"{{"name":"a","version":"1.0.0","x":"{}"}}"#, "x".repeat(4 << 20));
    assert_eq!(rule(says("a", "1.0.0", &large)), ArchiveRule::Limit, "size");
}

#[test]
fn everything_is_below_one_directory_with_one_manifest() {
    assert!(with(|tar| tar).is_ok());
    assert_eq!(rule(with(|tar| tar.file("other/a.js", ""))), ArchiveRule::Path);
    assert_eq!(rule(with(|tar| tar.file("other/package.json", "{}"))), ArchiveRule::Path);
    assert_eq!(rule(with(|tar| tar.file("a.js", ""))), ArchiveRule::Path);
    assert_eq!(rule(with(|tar| tar.file("Package/a.js", ""))), ArchiveRule::Path);
    assert_eq!(rule(with(|tar| tar.file("package/package.json", "{}"))), ArchiveRule::Duplicate);
    assert_eq!(rule(with(|tar| tar.file("package/PACKAGE.json", "{}"))), ArchiveRule::Duplicate);
    assert_eq!(
        rule(with(|tar| tar.pax(&[("path", "package/pac\u{212a}age.json")]).file("x", ""))),
        ArchiveRule::Duplicate
    );
    assert_eq!(rule(with(|tar| tar.link(b'2', "package/a", "package.json"))), ArchiveRule::EntryType);
    assert_eq!(rule(with(|tar| tar.link(b'1', "package/a", "package/package.json"))), ArchiveRule::EntryType);
    let nested = TarFile::default().file("package/lib/package.json", r#"{"name":"a","version":"1.0.0"}"#);
    assert_eq!(rule(inspected("a", "1.0.0", nested.tgz())), ArchiveRule::Missing);
    let directory = TarFile::default().directory("package/package.json");
    assert_eq!(rule(inspected("a", "1.0.0", directory.tgz())), ArchiveRule::EntryType);
    assert_eq!(rule(inspected("a", "1.0.0", TarFile::default().tgz())), ArchiveRule::Missing);
    assert_eq!(rule(inspected("a", "1.0.0", gzip(b"no tar"))), ArchiveRule::Truncated);
}

#[test]
fn a_file_may_be_there_again_if_it_is_the_same() {
    let document = r#"{"name":"a","version":"1.0.0"}"#;
    let again = |first: &str, second: &str| {
        with(|tar| tar.file("package/dist/index.js", first).file("package/./dist/index.js", second))
    };
    let found = again("main()", "main()").expect("sound");
    assert_eq!((found.entries, found.unpacked_bytes), (3, document.len() as u64 + 12));
    assert_eq!(found.manifest, Some(touchstone_domain::Sha256::of(document)));
    assert_eq!(rule(again("main()", "main();")), ArchiveRule::Duplicate);
    assert_eq!(rule(again("main()", "mine()")), ArchiveRule::Duplicate, "as long");
    assert!(with(|tar| tar.file("package/x", "1").file("package/x", "1")).is_ok(), "no dot");
    assert_eq!(rule(with(|tar| tar.file("package/x", "1").file("package/x", "2"))), ArchiveRule::Duplicate);
    assert_eq!(rule(with(|tar| tar.file("package/../x", "1"))), ArchiveRule::Path);
    assert_eq!(rule(with(|tar| tar.file("package/.//x", "1"))), ArchiveRule::Path);
    assert_eq!(rule(with(|tar| tar.file("./package/x", "1"))), ArchiveRule::Path);
}

#[test]
fn no_spelling_of_the_manifests_path_hides_it() {
    let document = r#"{"name":"a","version":"1.0.0"}"#;
    let other = document.replace("1.0.0", "1.0.1");
    for name in ["package/package.json", "package/./package.json", "package/././package.json"] {
        assert!(with(|tar| tar.file(name, document)).is_ok(), "{name}");
        assert_eq!(rule(with(|tar| tar.file(name, &other))), ArchiveRule::Duplicate, "{name}");
        let alone = |document: &str| inspected("a", "1.0.0", TarFile::default().file(name, document).tgz());
        assert!(alone(document).is_ok(), "{name}");
        assert_eq!(mismatched(alone(&other)), "version", "{name}");
    }
    for name in ["package/./PACKAGE.json", "package/./package.json/x"] {
        assert_eq!(rule(with(|tar| tar.file(name, document))), ArchiveRule::Duplicate, "{name}");
    }
    assert_eq!(rule(with(|tar| tar.file("./package.json", document))), ArchiveRule::Path);
}
