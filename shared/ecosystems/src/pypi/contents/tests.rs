use std::io::Cursor;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use sha2::Digest as _;
use touchstone_domain::{ArchiveRule, Ecosystem};

use super::*;
use crate::archive::build::{TarFile, ZipEntry, id, mismatched, reason, rule, zip};

const METADATA: &str = "Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0RC1\n\nAbout it.\n";
const INFO: &str = "Foo_Bar-1.0rc1.dist-info";

fn coordinate(file: &str) -> ArtifactId {
    id(Ecosystem::Pypi, "foo-bar", "1.0rc1", file)
}

fn wheel_with_claims(files: &[(&str, &str)], claims: &[Claim]) -> Result<Inspected, InspectError> {
    let entries: Vec<_> = files.iter().map(|(name, body)| ZipEntry::new(name, body)).collect();
    inspect(&coordinate("foo_bar-1.0rc1-py3-none-any.whl"), claims, &mut Cursor::new(zip(&entries)))
}

/// A wheel of these files and a RECORD that fits them, but for `change`.
fn wheel_changed(
    files: &[(&str, &str)],
    change: impl FnOnce(String) -> String,
) -> Result<Inspected, InspectError> {
    let record = change(record(files));
    let path = format!("{INFO}/RECORD");
    wheel_with_claims(&[files, &[(path.as_str(), record.as_str())]].concat(), &[])
}

fn wheel(files: &[(&str, &str)]) -> Result<Inspected, InspectError> {
    wheel_changed(files, |record| record)
}

fn record(files: &[(&str, &str)]) -> String {
    let own = format!("{INFO}/RECORD,,\n");
    let files = files.iter().filter(|(name, _)| !name.ends_with('/'));
    files
        .map(|(name, body)| format!("{name},sha256={},{}\n", sha256(body), body.len()))
        .chain([own])
        .collect()
}

fn sha256(body: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::of(body).0)
}

const SOUND: [(&str, &str); 4] = [
    ("foo/", ""),
    ("foo/__init__.py", "print()"),
    ("Foo_Bar-1.0rc1.dist-info/METADATA", METADATA),
    ("Foo_Bar-1.0rc1.dist-info/WHEEL", "Wheel-Version: 1.0\n"),
];

/// The sound wheel with one file replaced, left out (`None`) or added.
fn replaced(name: &str, body: Option<&str>) -> Result<Inspected, InspectError> {
    let mut files: Vec<_> = SOUND.into_iter().filter(|(other, _)| *other != name).collect();
    files.extend(body.map(|body| (name, body)));
    wheel(&files)
}

#[test]
fn a_sound_wheel_is_described() {
    let found = wheel(&SOUND).expect("sound");
    assert_eq!((found.entries, found.manifest), (5, Some(Sha256::of(METADATA))));
    let unpacked: usize = SOUND.iter().map(|(_, body)| body.len()).sum();
    assert_eq!(found.unpacked_bytes, (unpacked + record(&SOUND).len()) as u64);
}

#[test]
fn a_wheel_has_one_dist_info_directory_of_its_coordinate() {
    let moved = |directory: &str| {
        let names = SOUND.map(|(name, body)| (name.replace(INFO, directory), body.to_owned()));
        let files: Vec<(&str, &str)> =
            names.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
        let path = format!("{directory}/RECORD");
        let record = record(&files).replace(INFO, directory);
        wheel_with_claims(&[&files[..], &[(path.as_str(), record.as_str())]].concat(), &[])
    };
    for good in ["foo_bar-1.0rc1.dist-info", "foo.bar-1.0.0RC1.dist-info", "FOO-BAR-1.0_rc1.dist-info"] {
        assert!(moved(good).is_ok(), "{good}");
    }
    for bad in
        ["foo-1.0rc1.dist-info", "foo_bar-1.0.dist-info", "foo_bar.dist-info", "foo_bar-1.0rc1.Dist-Info"]
    {
        assert_eq!(mismatched(moved(bad)), "directory", "{bad}");
    }
    assert_eq!(rule(moved("foo_bar-1.0rc1.egg-info")), ArchiveRule::Missing);
    assert_eq!(rule(replaced("foo_bar-1.0rc1.dist-info/METADATA", Some(METADATA))), ArchiveRule::Ambiguous);
    assert!(replaced("foo/_vendor/x-1.0.dist-info/METADATA", Some(METADATA)).is_ok(), "a vendored one");
}

#[test]
fn a_wheel_has_its_three_documents() {
    for file in ["METADATA", "WHEEL"] {
        assert_eq!(rule(replaced(&format!("{INFO}/{file}"), None)), ArchiveRule::Missing, "{file}");
        let twin = format!("{INFO}/{}", file.to_lowercase());
        assert_eq!(rule(replaced(&twin, Some(""))), ArchiveRule::Duplicate, "{twin}");
    }
    assert_eq!(rule(wheel_with_claims(&SOUND, &[])), ArchiveRule::Missing, "RECORD");
    assert_eq!(rule(replaced(&format!("{INFO}/record"), Some(""))), ArchiveRule::Duplicate);
}

#[test]
fn core_metadata_have_the_coordinates_name_and_version() {
    let says = |metadata: &str| replaced(&format!("{INFO}/METADATA"), Some(metadata));
    for good in ["Name: foo-bar\nVersion: 1.0.0c1\n", "name: FOO__BAR\r\nversion: v1.0-rc.1\r\n\r\nName: x"] {
        assert!(says(good).is_ok(), "{good}");
    }
    for (part, bad) in [
        ("name", "Name: foobar\nVersion: 1.0rc1\n"),
        ("name", "Name: foo/../bar\nVersion: 1.0rc1\n"),
        ("version", "Name: foo-bar\nVersion: 1.0\n"),
        ("version", "Name: foo-bar\nVersion: 1.0rc1+x\n"),
        ("version", "Name: foo-bar\nVersion: x\n"),
    ] {
        assert_eq!(mismatched(says(bad)), part, "{bad}");
    }
    assert_eq!(rule(says("Name: foo-bar\nVersion: 1.0rc1\nName: foo-bar\n")), ArchiveRule::Ambiguous);
    assert_eq!(rule(says("Name: foo-bar\n")), ArchiveRule::Missing);
    let large = format!("{METADATA}{}", "x".repeat(4 << 20));
    assert_eq!(rule(says(&large)), ArchiveRule::Limit);
}

#[test]
fn the_declared_digest_of_the_core_metadata_is_that_of_the_metadata_inside() {
    let record = record(&SOUND);
    let path = format!("{INFO}/RECORD");
    let files = [&SOUND[..], &[(path.as_str(), record.as_str())]].concat();
    let claimed =
        |value: String| wheel_with_claims(&files, &[Claim { field: ClaimField::PypiCoreMetadata, value }]);
    let (own, other) = (Sha256::of(METADATA).to_string(), Sha256::of("other").to_string());
    assert!(claimed(format!("sha256={own}")).is_ok());
    let expected = Reason::DigestMismatch {
        field: ClaimField::PypiCoreMetadata,
        algorithm: Algorithm::Sha256,
        declared: other.clone(),
        computed: own.clone(),
    };
    assert_eq!(reason(claimed(format!("sha256={other}"))), expected);
    for bad in
        ["true".to_owned(), own.clone(), format!("sha256={}", own.to_uppercase()), format!("sha512={own}")]
    {
        let found = reason(claimed(bad.clone()));
        assert!(matches!(found, Reason::ClaimMalformed { field: ClaimField::PypiCoreMetadata, .. }), "{bad}");
    }
}

#[test]
fn record_lists_every_file_with_its_digest_and_nothing_else() {
    let changed = |from: &str, to: &str| {
        wheel_changed(&SOUND, |record| {
            assert!(record.contains(from), "{from}");
            record.replacen(from, to, 1)
        })
    };
    let digest = sha256("print()");
    let line = format!("foo/__init__.py,sha256={digest},7\n");
    let strong =
        format!("foo/__init__.py,sha512={},7\n", URL_SAFE_NO_PAD.encode(sha2::Sha512::digest("print()")));
    let own = format!("{INFO}/RECORD,,\n");
    for (what, from, to) in [
        ("no size", ",7\n", ",\n"),
        ("SHA-512", line.as_str(), strong.as_str()),
        ("CR LF", "7\n", "7\r\n"),
        ("quotes", "foo/__init__.py", "\"foo/__init__.py\""),
        ("itself not listed", own.as_str(), ""),
    ] {
        assert!(changed(from, to).is_ok(), "{what}");
    }
    let vouching = format!("{INFO}/RECORD,sha256={digest},\n");
    for (what, from, to) in [
        ("missing", line.as_str(), ""),
        ("extra", line.as_str(), &format!("{line}foo/b.py,sha256={digest},7\n")),
        ("twice", line.as_str(), &format!("{line}{line}")),
        ("other digest", digest.as_str(), &sha256("x")),
        ("no digest", &format!("sha256={digest},7"), ","),
        ("other size", ",7\n", ",8\n"),
        ("signs itself", own.as_str(), vouching.as_str()),
        ("absolute path", "foo/__init__.py", "/foo/__init__.py"),
        ("backslash", "foo/__init__.py", "foo\\__init__.py"),
        ("climbs", "foo/__init__.py", "foo/../foo/__init__.py"),
        ("weak digest", &format!("sha256={digest}"), "md5=1B2M2Y8AsgTpgAmY7PhCfg"),
        ("no CSV", "foo/__init__.py", "\"foo/__init__.py"),
    ] {
        assert_eq!(rule(changed(from, to)), ArchiveRule::Record, "{what}");
    }
}

#[test]
fn signatures_of_record_are_not_listed_or_without_digest() {
    let jws = format!("{INFO}/RECORD.jws");
    let files = [&SOUND[..], &[(jws.as_str(), "{}")]].concat();
    let line = format!("{jws},sha256={},2\n", sha256("{}"));
    assert_eq!(rule(wheel(&files)), ArchiveRule::Record, "vouched for");
    assert!(wheel_changed(&files, |record| record.replace(&line, "")).is_ok());
    assert!(wheel_changed(&files, |record| record.replace(&line, &format!("{jws},,\n"))).is_ok());
}

#[test]
fn an_sdist_has_one_directory_with_its_core_metadata() {
    let tar =
        |file: TarFile| inspect(&coordinate("Foo.Bar-1.0rc1.tar.gz"), &[], &mut Cursor::new(file.tgz()));
    let sound = || TarFile::default().directory("Foo.Bar-1.0rc1/").file("Foo.Bar-1.0rc1/PKG-INFO", METADATA);
    let expected = Inspected {
        entries: 2,
        unpacked_bytes: METADATA.len() as u64,
        manifest: Some(Sha256::of(METADATA)),
        renamed: None,
    };
    assert_eq!(tar(sound()).expect("sound"), expected);
    assert!(tar(sound().link(b'2', "Foo.Bar-1.0rc1/l", "PKG-INFO")).is_ok(), "a link that stays inside");
    assert_eq!(rule(tar(sound().link(b'2', "Foo.Bar-1.0rc1/l", "../x"))), ArchiveRule::Path);
    assert_eq!(rule(tar(sound().file("other/x", ""))), ArchiveRule::Path);
    assert_eq!(rule(tar(sound().file("Foo.Bar-1.0rc1/pkg-info", ""))), ArchiveRule::Duplicate);
    assert_eq!(rule(tar(sound().file("Foo.Bar-1.0rc1/./x", ""))), ArchiveRule::Path, "npm packages may");
    let again = |body: &str| tar(sound().file("Foo.Bar-1.0rc1/PKG-INFO", body));
    assert_eq!(again(METADATA).expect("the same").manifest, Some(Sha256::of(METADATA)));
    assert_eq!(rule(again(&format!("{METADATA}\n"))), ArchiveRule::Duplicate);
    let linked = TarFile::default().file("f/real", METADATA).link(b'2', "f/PKG-INFO", "real");
    assert_eq!(rule(tar(linked)), ArchiveRule::EntryType);
    assert_eq!(rule(tar(TarFile::default().file("f/setup.py", ""))), ArchiveRule::Missing);
    let other = METADATA.replace("1.0RC1", "1.0");
    assert_eq!(mismatched(tar(TarFile::default().file("f/PKG-INFO", other))), "version");

    let declared = |of: &str| {
        let value = format!("sha256={}", Sha256::of(of));
        let claims = [Claim { field: ClaimField::PypiCoreMetadata, value }];
        inspect(&coordinate("Foo.Bar-1.0rc1.tar.gz"), &claims, &mut Cursor::new(sound().tgz()))
    };
    assert_eq!(declared(METADATA).expect("sound"), expected);
    let other = Reason::DigestMismatch {
        field: ClaimField::PypiCoreMetadata,
        algorithm: Algorithm::Sha256,
        declared: Sha256::of("other").to_string(),
        computed: Sha256::of(METADATA).to_string(),
    };
    assert_eq!(reason(declared("other")), other);

    let zipped =
        |files: &[ZipEntry]| inspect(&coordinate("Foo.Bar-1.0rc1.zip"), &[], &mut Cursor::new(zip(files)));
    let info = || ZipEntry::new("Foo.Bar-1.0rc1/PKG-INFO", METADATA);
    assert_eq!(zipped(&[ZipEntry::new("Foo.Bar-1.0rc1/", ""), info()]).expect("sound"), expected);
    assert_eq!(rule(zipped(&[info(), ZipEntry::new("x/y", "")])), ArchiveRule::Path);
    let broken = ZipEntry::new("Foo.Bar-1.0rc1/x", "text").both(|header| header.crc ^= 1);
    assert_eq!(
        rule(zipped(&[info(), broken])),
        ArchiveRule::Compression,
        "bodies that nobody needs are verified too"
    );
    assert_eq!(mismatched(zipped(&[ZipEntry::new("f/PKG-INFO", "Name: x\nVersion: 1.0rc1\n")])), "name");
}

#[test]
fn a_sidecar_is_the_metadata_of_its_wheel() {
    let sidecar = |document: &str| {
        let id = coordinate("foo_bar-1.0rc1-py3-none-any.whl.metadata");
        inspect(&id, &[], &mut Cursor::new(document.to_owned()))
    };
    let expected = Inspected {
        entries: 1,
        unpacked_bytes: METADATA.len() as u64,
        manifest: Some(Sha256::of(METADATA)),
        renamed: None,
    };
    assert_eq!(sidecar(METADATA).expect("sound"), expected);
    assert_eq!(mismatched(sidecar("Name: x\nVersion: 1.0rc1\n")), "name");
    assert_eq!(rule(sidecar("<html>")), ArchiveRule::Missing);
    assert_eq!(rule(sidecar(&"x".repeat((4 << 20) + 1))), ArchiveRule::Limit);
}

#[test]
fn the_file_name_says_what_it_is() {
    for bad in ["foo_bar-1.0rc1.egg", "foo_bar-1.0rc1.tar.bz2", "other-1.0rc1.tar.gz"] {
        assert_eq!(mismatched(inspect(&coordinate(bad), &[], &mut Cursor::new(""))), "file", "{bad}");
    }
}

proptest! {
    #[test]
    fn no_document_breaks_the_parsers(document in "(Name|Version|a|,|sha256=|:|\"| |\t|\r|\n|\u{e9}){0,40}") {
        let _either = Metadata::parse("METADATA", document.as_bytes());
        let _either = record::Record::parse(document.as_bytes(), &Limits::default());
    }
}
