use std::io::Cursor;

use touchstone_domain::Ecosystem;

use super::*;
use crate::archive::build::{ZipEnd, ZipEntry, id, mismatched, rule, zip, zip_with};

const MODULE: &str = "code.example/Tiny";
const VERSION: &str = "v1.2.3";
const LINE: &str = "module code.example/Tiny\n";

fn of(version: &str, extension: &str, bytes: Vec<u8>) -> Result<Inspected, InspectError> {
    let id = id(Ecosystem::Go, MODULE, version, &format!("{version}{extension}"));
    inspect(&id, &mut Cursor::new(bytes))
}

fn inspected(entries: &[ZipEntry]) -> Result<Inspected, InspectError> {
    of(VERSION, ".zip", zip(entries))
}

/// A file of the module, as the go command writes it.
fn file(name: &str, body: impl AsRef<[u8]>) -> ZipEntry {
    utf8(ZipEntry::new(&format!("{MODULE}@{VERSION}/{name}"), body))
}

fn utf8(entry: ZipEntry) -> ZipEntry {
    let flags = if entry.central.name.is_ascii() { 0 } else { 1 << 11 };
    entry.both(|header| header.flags = flags).described()
}

/// The result for a sound module with one more file.
fn with(entry: ZipEntry) -> Result<Inspected, InspectError> {
    inspected(&[file("go.mod", LINE), entry, file("z.go", "package tiny\n")])
}

#[track_caller]
fn named(name: &str) -> ArchiveRule {
    rule(with(file(name, "")))
}

#[test]
fn a_sound_module_is_described() {
    let found = with(file("LICENSE", "none")).expect("sound");
    let unpacked_bytes = LINE.len() as u64 + 4 + 13;
    assert_eq!(
        found,
        Inspected { entries: 3, unpacked_bytes, manifest: Some(Sha256::of(LINE)), renamed: None }
    );
    let found = inspected(&[file("z.go", "package tiny\n")]).expect("from before modules");
    assert_eq!(found, Inspected { entries: 1, unpacked_bytes: 13, manifest: None, renamed: None });
    for good in [
        "a/b/c.go",
        "日本/é.go",
        "vendor/code.example/x/x.go",
        "a/_go.mod",
        "go.sum",
        "go.mod.txt",
        "go.modx/y",
    ] {
        assert!(with(file(good, "")).is_ok(), "{good}");
    }
}

#[test]
fn everything_is_below_the_module_and_its_version() {
    for bad in [
        "code.example/Tiny@v1.2.4/x.go",
        "code.example/tiny@v1.2.3/x.go",
        "code.example/!tiny@v1.2.3/x.go",
        "code.example/Tiny@v1.2.3x/x.go",
        "code.example/Tiny/x.go",
        "code.example/other@v1.2.3/x.go",
        "x.go",
        "code.example/",
    ] {
        assert_eq!(mismatched(with(ZipEntry::new(bad, ""))), "directory", "{bad}");
    }
    assert_eq!(
        mismatched(inspected(&[ZipEntry::new("code.example/Tiny@v1.2.3", "")])),
        "directory",
        "a file"
    );
    for bad in ["../x.go", "a/../x.go", "a//x.go", "./x.go", "/x.go"] {
        assert_eq!(named(bad), ArchiveRule::Path, "{bad}");
    }
}

#[test]
fn directories_may_have_entries_of_their_own() {
    let directory = |name: &str| ZipEntry::new(&format!("{MODULE}@{VERSION}/{name}"), "");
    for good in ["", "a/", "a/b/", "go.mod.d/"] {
        assert!(with(directory(good)).is_ok(), "{good}");
    }
    assert_eq!(rule(with(directory("a./"))), ArchiveRule::Path);
    assert_eq!(rule(inspected(&[directory("a/"), file("A/x", "")])), ArchiveRule::Duplicate);
    assert_eq!(rule(inspected(&[directory("a/"), directory("a/")])), ArchiveRule::Duplicate);
    let found = inspected(&[directory("go.mod/")]).expect("no file");
    assert_eq!(found.manifest, None);
}

#[test]
fn names_are_those_of_every_platform() {
    for bad in
        ["a\n.go", "a\r", "a\tb", "a\u{1}", "a:b", "a*", "a\"b", "con.go", "a/NUL", "a.", "☃", "a\u{7f}"]
    {
        assert_eq!(named(bad), ArchiveRule::Path, "{bad:?}");
    }
    let latin = file("é", "").both(|header| header.name.truncate(header.name.len() - 1));
    assert_eq!(rule(with(latin)), ArchiveRule::Path, "not UTF-8");
    let unflagged = ZipEntry::new(&format!("{MODULE}@{VERSION}/é"), "");
    assert_eq!(rule(with(unflagged)), ArchiveRule::Ambiguous, "no character set");
    for mode in [0o120_777, 0o020_666, 0o060_666, 0o010_666, 0o140_777, 0o104_755] {
        let special = file("x", "y").with(|entry| entry.attributes = mode << 16);
        assert_eq!(rule(with(special)), ArchiveRule::EntryType, "{mode:o}");
    }
    for mode in [0, 0o100_644, 0o100_755] {
        assert!(with(file("x", "y").with(|entry| entry.attributes = mode << 16)).is_ok(), "{mode:o}");
    }
}

#[test]
fn no_two_names_differ_only_in_case() {
    for (left, right) in [
        ("a.go", "A.go"),
        ("d/a.go", "D/b.go"),
        ("straße", "STRASSE"),
        ("k", "\u{212a}"),
        ("각", "\u{1100}\u{1161}\u{11a8}"),
        ("a", "a"),
        ("a", "a/b"),
    ] {
        let both = [file("go.mod", LINE), file(left, ""), file(right, "")];
        assert_eq!(rule(inspected(&both)), ArchiveRule::Duplicate, "{left} {right}");
    }
    assert!(inspected(&[file("a.go", ""), file("b.go", ""), file("A/a.go", "")]).is_ok());
}

#[test]
fn the_one_go_mod_is_at_the_root() {
    assert_eq!(named("sub/go.mod"), ArchiveRule::Path);
    assert_eq!(named("vendor/code.example/x/go.mod"), ArchiveRule::Path);
    for bad in ["GO.MOD", "Go.mod", "sub/go.MOD"] {
        assert_eq!(rule(inspected(&[file(bad, LINE)])), ArchiveRule::Duplicate, "{bad}");
    }
    assert_eq!(named("go.mod"), ArchiveRule::Duplicate);
}

#[test]
fn a_version_from_before_modules_has_no_go_mod() {
    let version = "v2.0.0+incompatible";
    let zip = |names: &[&str]| {
        let entry = |name: &&str| ZipEntry::new(&format!("{MODULE}@{version}/{name}"), LINE);
        of(version, ".zip", zip(&names.iter().map(entry).collect::<Vec<_>>()))
    };
    assert_eq!(zip(&["x.go"]).expect("sound").manifest, None);
    assert_eq!(mismatched(zip(&["go.mod", "x.go"])), "version");
    assert!(of(version, ".mod", LINE.into()).is_ok(), "the one that stands for it");
}

#[test]
fn another_path_in_the_module_line_is_told() {
    for extension in [".zip", ".mod"] {
        let says = |line: &str| {
            let bytes = if extension == ".mod" { line.into() } else { zip(&[file("go.mod", line)]) };
            of(VERSION, extension, bytes)
        };
        for good in
            [LINE, "module \"code.example/Tiny\"", "// x\nmodule (\n\tcode.example/Tiny\n)\ngo 1.22\n"]
        {
            let found = says(good).expect(good);
            assert_eq!((found.manifest, found.renamed), (Some(Sha256::of(good)), None));
        }
        let long = format!("module {}", "é".repeat(1 << 16));
        let (shortened, _) = long["module ".len()..].split_at(2 * 120);
        for (other, path) in [
            ("module code.example/tiny\n", "code.example/tiny"),
            ("module code.example/Tiny/v2\n", "code.example/Tiny/v2"),
            ("module other.example/Tiny", "other.example/Tiny"),
            ("module \"\"", ""),
            (&long, shortened),
        ] {
            let found = says(other).expect(other);
            assert_eq!((found.manifest, found.renamed.as_deref()), (Some(Sha256::of(other)), Some(path)));
        }
        assert_eq!(rule(says("go 1.22\n")), ArchiveRule::Missing);
        assert_eq!(rule(says(&LINE.repeat(2))), ArchiveRule::Ambiguous);
        assert_eq!(rule(says("module")), ArchiveRule::Malformed);
    }
    assert_eq!(rule(of(VERSION, ".mod", b"module \xff".to_vec())), ArchiveRule::Malformed);
}

#[test]
fn sizes_are_bounded() {
    let max = 16 << 20;
    let padded = |bytes: usize| format!("{LINE}{}", "\n".repeat(bytes - LINE.len()));
    assert!(of(VERSION, ".mod", padded(max).into()).is_ok());
    assert_eq!(rule(of(VERSION, ".mod", padded(max + 1).into())), ArchiveRule::Limit);
    assert!(inspected(&[file("go.mod", padded(max))]).is_ok());
    assert_eq!(rule(inspected(&[file("go.mod", padded(max + 1))])), ArchiveRule::Limit);
    assert!(with(file("LICENSE", vec![b'x'; max])).is_ok());
    assert_eq!(rule(with(file("LICENSE", vec![b'x'; max + 1]))), ArchiveRule::Limit);
    assert!(with(file("a/LICENSE", vec![b'x'; max + 1])).is_ok(), "the one at the root");
    // Declared is enough; nothing is unpacked then.
    let declared = |bytes: u32| {
        file("x", "x").both(move |header| header.flags = 0).with(move |entry| {
            entry.behind.clear();
            (entry.local, entry.central) = {
                let header = crate::archive::build::ZipHeader { size: bytes, ..entry.central.clone() };
                (header.clone(), header)
            };
        })
    };
    let left = 500 << 20;
    assert_eq!(
        rule(inspected(&[declared(left)])),
        ArchiveRule::Compression,
        "unpacked, and found to be short"
    );
    assert_eq!(rule(inspected(&[declared(left), file("y", "y")])), ArchiveRule::Limit);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    /// A file of any size that must not be read.
    struct Large(u64);
    impl std::io::Read for Large {
        fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("read"))
        }
    }
    impl std::io::Seek for Large {
        fn seek(&mut self, _to: std::io::SeekFrom) -> std::io::Result<u64> {
            Ok(self.0)
        }
    }
    let id = id(Ecosystem::Go, MODULE, VERSION, "v1.2.3.zip");
    assert_eq!(rule(inspect(&id, &mut Large((500 << 20) + 1))), ArchiveRule::Limit);
    assert!(matches!(inspect(&id, &mut Large(500 << 20)), Err(InspectError::Io(_))));
}

#[test]
fn nothing_is_in_the_file_that_h1_does_not_cover() {
    let sound = || vec![file("go.mod", LINE), file("x.go", "")];
    let extra = |id: u16, body: &[u8]| {
        let length = u16::try_from(body.len()).expect("short");
        [&id.to_le_bytes(), &length.to_le_bytes(), body].concat()
    };
    let time = || extra(0x5455, &[1, 2, 3, 4, 5]);
    let ended = |end: ZipEnd| of(VERSION, ".zip", zip_with(&sound(), &end));
    assert!(ended(ZipEnd::default()).is_ok());
    assert_eq!(rule(ended(ZipEnd { comment: b"x".to_vec(), ..ZipEnd::default() })), ArchiveRule::Ambiguous);
    assert_eq!(rule(ended(ZipEnd { gap: b"x".to_vec(), ..ZipEnd::default() })), ArchiveRule::Ambiguous);
    assert!(with(file("x", "y").both(|header| header.extra = time())).is_ok(), "as in the toolchain's");
    assert!(with(file("x", "y").with(|entry| entry.central.extra = time())).is_ok());
    let commented = file("x", "y").with(|entry| entry.comment = b"x".to_vec());
    assert_eq!(rule(with(commented)), ArchiveRule::Ambiguous);
    for bad in [
        extra(0x5455, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        extra(0x5455, &[3, 2, 3, 4, 5]),
        extra(0x7875, &[1, 0, 0]),
        extra(0xcafe, b""),
        [time(), time()].concat(),
    ] {
        let central = file("x", "y").with(|entry| entry.central.extra.clone_from(&bad));
        assert_eq!(rule(with(central)), ArchiveRule::Ambiguous, "{bad:?}");
        let local = file("x", "y").with(|entry| entry.local.extra.clone_from(&bad));
        assert_eq!(rule(with(local)), ArchiveRule::Ambiguous, "{bad:?}");
    }
    let prefixed = [b"#!/bin/sh\n".to_vec(), zip(&sound())].concat();
    assert_eq!(rule(of(VERSION, ".zip", prefixed)), ArchiveRule::Ambiguous);
    let trailed = [zip(&sound()), b"x".to_vec()].concat();
    assert_eq!(rule(of(VERSION, ".zip", trailed)), ArchiveRule::Truncated);
    let renamed = file("x", "y").with(|entry| *entry.local.name.last_mut().expect("a name") = b'z');
    assert_eq!(rule(with(renamed)), ArchiveRule::Ambiguous);
    let lying = file("x", "y").both(|header| header.flags = 0).with(|entry| entry.behind.clear());
    assert_eq!(rule(with(lying)), ArchiveRule::Ambiguous, "no sizes in the local header");
}

#[test]
fn the_files_of_a_version_are_its_zip_and_its_mod() {
    for file in ["v1.2.4.zip", "v1.2.3.info", "v1.2.3", "v1.2.3.zip.mod", "V1.2.3.mod"] {
        let id = id(Ecosystem::Go, MODULE, VERSION, file);
        assert_eq!(mismatched(inspect(&id, &mut Cursor::new(LINE))), "file", "{file}");
    }
    let file = |name: &str| FileName::new(name).expect(name);
    let (zip, go_mod) = (file("v1.2.3.zip"), file("v1.2.3.mod"));
    assert_eq!((zip_of(&go_mod), mod_of(&zip)), (Some(zip.clone()), Some(go_mod.clone())));
    assert_eq!((zip_of(&zip), mod_of(&go_mod), zip_of(&file("v1.2.3.info"))), (None, None, None));
}
