use std::io::Cursor;

use touchstone_domain::{Ecosystem, Sha256};

use super::*;
use crate::archive::build::{TarFile, id, mismatched, rule};

const MANIFEST_A: &str = "[package]\nname = \"Ab_c\"\nversion = \"1.0.0-rc.1+x\"\n";

fn inspected(file: TarFile) -> Result<Inspected, InspectError> {
    let id = id(Ecosystem::Cargo, "ab_c", "1.0.0-rc.1+x", "Ab_c-1.0.0-rc.1+x.crate");
    inspect(&id, &[], &mut Cursor::new(file.tgz()))
}

fn says(manifest: impl AsRef<[u8]>) -> Result<Inspected, InspectError> {
    inspected(TarFile::default().file("Ab_c-1.0.0-rc.1+x/Cargo.toml", manifest))
}

#[test]
fn a_sound_crate_is_described() {
    let found = says(MANIFEST_A).expect("sound");
    let manifest = Some(Sha256::of(MANIFEST_A));
    assert_eq!(
        found,
        Inspected { entries: 1, unpacked_bytes: MANIFEST_A.len() as u64, manifest, renamed: None }
    );
    assert!(says(MANIFEST_A.replace("package", "project")).is_ok(), "the old spelling");
}

#[test]
fn the_directory_is_name_and_version() {
    for bad in ["ab_c-1.0.0-rc.1+x", "Ab-c-1.0.0-rc.1+x", "Ab_c-1.0.0", "Ab_c", "Ab_c-1.0.0-rc.1+x2"] {
        let file = TarFile::default().file(&format!("{bad}/Cargo.toml"), MANIFEST_A);
        assert_eq!(mismatched(inspected(file)), "directory", "{bad}");
    }
    let sound = TarFile::default().file("Ab_c-1.0.0-rc.1+x/Cargo.toml", MANIFEST_A);
    assert_eq!(
        mismatched(inspected(sound.clone().file("other-1.0.0/src/lib.rs", ""))),
        "directory",
        "a sibling"
    );
    assert_eq!(rule(inspected(sound.file("lib.rs", ""))), ArchiveRule::Path);
    let other = id(Ecosystem::Cargo, "ab_c", "1.0.0-rc.1+x", "other-1.0.0-rc.1+x.crate");
    assert_eq!(mismatched(inspect(&other, &[], &mut Cursor::new(TarFile::default().tgz()))), "file");
}

#[test]
fn each_path_is_plain_and_each_file_there_again_is_the_same() {
    let sound = || TarFile::default().file("Ab_c-1.0.0-rc.1+x/Cargo.toml", MANIFEST_A);
    let with = |name: &str, body: &str| inspected(sound().file(&format!("Ab_c-1.0.0-rc.1+x/{name}"), body));
    assert!(with("src/lib.rs", "").is_ok());
    assert_eq!(rule(with("./src/lib.rs", "")), ArchiveRule::Path, "npm packages may");
    assert_eq!(with("Cargo.toml", MANIFEST_A).expect("as in crates of 2015").entries, 2);
    let changed = MANIFEST_A.replace("Ab_c", "Ab_d");
    assert_eq!(rule(with("Cargo.toml", &changed)), ArchiveRule::Duplicate);
    assert_eq!(rule(with("Cargo.toml", &format!("{MANIFEST_A}\n"))), ArchiveRule::Duplicate);
}

#[test]
fn the_manifest_has_the_coordinates_name_and_version() {
    for (part, from, to) in [
        ("name", "Ab_c", "ab_c"),
        ("name", "Ab_c", "Ab-c"),
        ("name", "Ab_c", "../Ab_c"),
        ("version", "1.0.0-rc.1+x", "1.0.0-rc.1"),
        ("version", "1.0.0-rc.1+x", "1.0.0-rc.1+y"),
    ] {
        assert_eq!(mismatched(says(MANIFEST_A.replace(from, to))), part, "{to}");
    }
}

#[test]
fn the_manifest_is_toml_with_one_package() {
    for (expected, bad) in [
        (ArchiveRule::Malformed, format!("{MANIFEST_A}version = \"1.0.0-rc.1+x\"\n")),
        (ArchiveRule::Malformed, format!("{MANIFEST_A}{MANIFEST_A}")),
        (ArchiveRule::Malformed, "[package]\nname = \"Ab_c\"\nversion.workspace = true\n".to_owned()),
        (ArchiveRule::Malformed, "[package]\nname = \"Ab_c\"\n".to_owned()),
        (ArchiveRule::Malformed, format!("{MANIFEST_A}x = {}", "[".repeat(100_000))),
        (ArchiveRule::Missing, "[workspace]\n".to_owned()),
        (ArchiveRule::Ambiguous, format!("{MANIFEST_A}{}", MANIFEST_A.replace("package", "project"))),
    ] {
        assert_eq!(rule(says(&bad)), expected, "{}", &bad[..bad.len().min(90)]);
    }
    assert_eq!(rule(says(b"\xff")), ArchiveRule::Malformed);
    assert_eq!(rule(says(format!("{MANIFEST_A}#{}", "x".repeat(4 << 20)))), ArchiveRule::Limit);
}

#[test]
fn links_and_second_manifests_are_refused() {
    let base = "Ab_c-1.0.0-rc.1+x";
    let sound = || TarFile::default().file(&format!("{base}/Cargo.toml"), MANIFEST_A);
    assert!(inspected(sound().file(&format!("{base}/src/lib.rs"), "")).is_ok());
    for target in ["lib.rs", "../other-1.0.0/src/lib.rs", "/etc/passwd"] {
        let link = sound().link(b'2', &format!("{base}/l"), target);
        assert_eq!(rule(inspected(link)), ArchiveRule::EntryType, "{target}");
    }
    let hard = sound().link(b'1', &format!("{base}/l"), &format!("{base}/Cargo.toml"));
    assert_eq!(rule(inspected(hard)), ArchiveRule::EntryType);
    assert_eq!(rule(inspected(sound().file(&format!("{base}/cargo.toml"), ""))), ArchiveRule::Duplicate);
    assert_eq!(rule(inspected(sound().file(&format!("{base}/Cargo.toml"), ""))), ArchiveRule::Duplicate);
    assert!(
        inspected(sound().file(&format!("{base}/sub/Cargo.toml"), "")).is_ok(),
        "the manifest of an example"
    );
    let none = TarFile::default().file(&format!("{base}/Cargo.toml.orig"), MANIFEST_A);
    assert_eq!(rule(inspected(none)), ArchiveRule::Missing);
}
