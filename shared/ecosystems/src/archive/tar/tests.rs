//! What is read and what is refused of tar archives; `extensions` has the headers that extend the next one, `repeats` files
//! that are there again, and the dots that npm packages alone may have.

mod extensions;
mod repeats;

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::archive::build::{TarFile, gzip, header, pax_record, rule, sealed};

fn read_as(
    file: Vec<u8>,
    limits: Limits,
    links: Links,
    paths: Paths,
) -> Result<Vec<(Entry, Vec<u8>)>, InspectError> {
    let mut file = Cursor::new(file);
    let mut tar = Tar::open(&mut file, limits, links, paths)?;
    let mut entries = vec![];
    while let Some(entry) = tar.next()? {
        let mut body = vec![];
        tar.unpack(&mut |piece| body.extend_from_slice(piece))?;
        entries.push((entry, body));
    }
    assert!(tar.next()?.is_none(), "the end is the end");
    Ok(entries)
}

fn read_with(file: Vec<u8>, limits: Limits, links: Links) -> Result<Vec<(Entry, Vec<u8>)>, InspectError> {
    read_as(file, limits, links, Paths::Plain)
}

fn read(file: Vec<u8>) -> Result<Vec<(Entry, Vec<u8>)>, InspectError> {
    read_with(file, Limits::default(), Links::Refused)
}

/// The names and bodies of a file that is sound.
#[track_caller]
fn listed(file: TarFile) -> Vec<(String, String)> {
    let entries = read(file.tgz()).expect("sound");
    entries.into_iter().map(|(entry, body)| (entry.name, String::from_utf8(body).expect("text"))).collect()
}

#[track_caller]
fn refused(file: TarFile) -> ArchiveRule {
    rule(read(file.tgz()))
}

fn one(name: &str, body: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), body.to_owned())]
}

/// A header with some bytes changed and the checksum right.
fn patched(kind: u8, size: u64, changes: &[(usize, &[u8])]) -> [u8; 512] {
    let mut block = header("p/a", kind, size);
    for (at, bytes) in changes {
        block[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    sealed(block)
}

#[test]
fn files_and_directories_are_listed_with_their_bodies() {
    let body = "x".repeat(1500);
    let entries =
        read(TarFile::default().directory("p/").file("p/a", &body).file("p/b", "").tgz()).expect("sound");
    let kinds: Vec<_> =
        entries.iter().map(|(e, body)| (e.name.as_str(), e.kind, e.size, body.len())).collect();
    let expected = [("p", Kind::Directory, 0, 0), ("p/a", Kind::File, 1500, 1500), ("p/b", Kind::File, 0, 0)];
    assert_eq!(kinds, expected);
}

#[test]
fn bodies_that_nobody_reads_are_skipped() {
    let mut file =
        Cursor::new(TarFile::default().file("p/a", "1").file("p/b", "2".repeat(512)).file("p/c", "").tgz());
    let mut tar = Tar::open(&mut file, Limits::default(), Links::Refused, Paths::Plain).expect("gzip");
    let mut names = vec![];
    while let Some(entry) = tar.next().expect("sound") {
        names.push(entry.name);
    }
    assert_eq!(names, ["p/a", "p/b", "p/c"]);
}

#[test]
fn every_form_of_header_is_read_as_its_writer_meant_it() {
    let long = "d/".repeat(60) + "a";
    let gnu: &[(usize, &[u8])] = &[(257, b"ustar  \0")];
    let old: &[(usize, &[u8])] = &[(156, b"\0"), (257, &[0; 8])];
    let times = [&[(345, &b"dir"[..])][..], &[(476, b"15270440050\0"), (488, b"15270440050\0")]].concat();
    let spaces: &[(usize, &[u8])] = &[(124, b"          1 ")];
    for (what, file, name) in [
        ("GNU", TarFile::default().entry(patched(b'0', 1, gnu), "1"), "p/a"),
        ("before ustar", TarFile::default().entry(patched(0, 1, old), "1"), "p/a"),
        ("ustar prefix", TarFile::default().entry(patched(b'0', 1, &[(345, b"dir")]), "1"), "dir/p/a"),
        ("times behind the prefix", TarFile::default().entry(patched(b'0', 1, &times), "1"), "dir/p/a"),
        ("spaces around the size", TarFile::default().entry(patched(b'0', 9, spaces), "1"), "p/a"),
        ("GNU long name", TarFile::default().long(b'L', &long).file("d", "1"), long.as_str()),
        ("pax path", TarFile::default().pax(&[("path", &long), ("size", "1")]).file("d", "1"), long.as_str()),
        (
            "pax times",
            TarFile::default().pax(&[("mtime", "1.5"), ("LIBARCHIVE.xattr.x", "")]).file("p/a", "1"),
            "p/a",
        ),
    ] {
        assert_eq!(listed(file), one(name, "1"), "{what}");
    }
}

#[test]
fn the_end_is_two_zero_blocks_and_nothing_but_zeros() {
    let tar = TarFile::default().file("p/a", "1");
    for zeros in [2, 3, 18] {
        assert!(read(gzip(&tar.clone().zero_blocks(zeros).bytes())).is_ok(), "{zeros}");
    }
    for zeros in [0, 1] {
        let file = gzip(&tar.clone().zero_blocks(zeros).bytes());
        assert_eq!(rule(read(file)), ArchiveRule::Truncated, "{zeros}");
    }
    let behind = [tar.clone().zero_blocks(2).bytes(), vec![1]].concat();
    assert_eq!(rule(read(gzip(&behind))), ArchiveRule::Truncated);
    let between = tar.clone().zero_blocks(1).file("p/b", "2").zero_blocks(2).bytes();
    assert_eq!(rule(read(gzip(&between))), ArchiveRule::Truncated);
    let hidden = tar.clone().zero_blocks(2).file("p/b", "2").zero_blocks(2).bytes();
    assert_eq!(rule(read(gzip(&hidden))), ArchiveRule::Truncated);
    let whole = tar.zero_blocks(2).bytes();
    for end in [0, 1, 511, 512, 513, 1023, 1024, 1536, 2047] {
        assert_eq!(rule(read(gzip(&whole[..end]))), ArchiveRule::Truncated, "{end} bytes");
    }
}

#[test]
fn headers_that_are_none_are_malformed() {
    let with = |changes: &[(usize, &[u8])]| TarFile::default().entry(patched(b'0', 1, changes), "1");
    assert_eq!(listed(with(&[])), one("p/a", "1"));
    for (what, change) in [
        ("magic", (257, &b"ustax\x0000"[..])),
        ("version", (263, b"99")),
        ("size", (124, b"0000000000x\0")),
        ("no size", (124, b"\0\0\0\0\0\0\0\0\0\0\0\0")),
        ("negative size", (124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("base-256 size", (124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01")),
        ("8 EiB", (124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("base-256 mode", (100, b"\x80\0\0\0\0\0\x01\xa4")),
        ("mode", (100, b"rw-r--r-")),
    ] {
        assert_eq!(refused(with(&[change])), ArchiveRule::Malformed, "{what}");
    }
    let mut unsealed = header("p/a", b'0', 1);
    unsealed[0] = b'q';
    assert_eq!(refused(TarFile::default().entry(unsealed, "1")), ArchiveRule::Malformed, "checksum");
}

#[test]
fn fields_that_readers_take_for_different_things_are_ambiguous() {
    let with = |changes: &[(usize, &[u8])]| TarFile::default().entry(patched(b'0', 1, changes), "1");
    assert_eq!(refused(with(&[(4, b"\nb")])), ArchiveRule::Ambiguous, "name behind its NUL");
    assert_eq!(refused(with(&[(345, b"dir\0x")])), ArchiveRule::Ambiguous, "prefix behind its NUL");
    assert_eq!(
        refused(with(&[(257, b"ustar  \0"), (345, b"dir")])),
        ArchiveRule::Ambiguous,
        "GNU with a prefix"
    );
    assert_eq!(
        refused(with(&[(257, &[0; 8]), (345, b"dir")])),
        ArchiveRule::Ambiguous,
        "no magic, with a prefix"
    );
    let directory = TarFile::default().entry(header("p/d", b'5', 1), "1");
    assert_eq!(refused(directory), ArchiveRule::Ambiguous, "a directory with a body");
    assert_eq!(refused(TarFile::default().file("p/a/", "1")), ArchiveRule::Ambiguous, "a file with a slash");
}

#[test]
fn a_header_that_begins_with_a_nul_is_the_end_to_some_readers() {
    let first = TarFile::default().file("p/a", "1");
    let nameless = |kind, size, prefix: &[u8]| patched(kind, size, &[(0, &[0; 3]), (345, prefix)]);
    let pax = || first.clone().pax(&[("path", "p/b")]);
    assert_eq!(listed(pax().file("b", "2")).len(), 2);
    assert_eq!(refused(pax().entry(nameless(b'0', 1, b""), "2")), ArchiveRule::Ambiguous);
    assert_eq!(listed(first.clone().long(b'L', "p/b").file("b", "2")).len(), 2);
    let long = first.clone().long(b'L', "p/b").entry(nameless(b'0', 1, b""), "2");
    assert_eq!(refused(long), ArchiveRule::Ambiguous);
    let prefixed = first.clone().entry(nameless(b'5', 0, b"p/d"), "");
    assert_eq!(refused(prefixed), ArchiveRule::Ambiguous, "a directory with a prefix only");
    for (kind, body) in [(b'x', &b"12 path=p/b\n"[..]), (b'L', b"p/b\0"), (b'K', b"p/b\0"), (b'g', b"")] {
        let size = body.len() as u64;
        let named = TarFile::default().entry(header("x", kind, size), body).file("b", "2");
        assert_eq!(listed(named).len(), 1, "{}", char::from(kind));
        let unnamed = TarFile::default().entry(nameless(kind, size, b""), body).file("b", "2");
        assert_eq!(refused(unnamed), ArchiveRule::Ambiguous, "{}", char::from(kind));
    }
}

#[test]
fn special_files_are_refused() {
    for kind in *b"3467SVMDNXA" {
        let file = TarFile::default().entry(header("p/a", kind, 0), "");
        assert_eq!(refused(file), ArchiveRule::EntryType, "{}", char::from(kind));
    }
    let mode = |kind, mode: &[u8]| TarFile::default().entry(patched(kind, 0, &[(100, mode)]), "");
    assert_eq!(refused(mode(b'0', b"0004755\0")), ArchiveRule::EntryType, "set-user-id");
    assert_eq!(refused(mode(b'0', b"0002755\0")), ArchiveRule::EntryType, "set-group-id");
    assert!(read(mode(b'5', b"0002775\0").tgz()).is_ok(), "directories hand down their group");
}

#[test]
fn links_are_refused_or_stay_inside() {
    let base = || TarFile::default().file("p/d/a", "1");
    let inside = |tar: TarFile| read_with(tar.tgz(), Limits::default(), Links::Inside);
    for good in [
        base().link(b'2', "p/d/l", "../d/a"),
        base().link(b'2', "p/l", "d/a"),
        base().link(b'1', "p/l", "p/d/a"),
        base().pax(&[("linkpath", "p/d/a")]).link(b'1', "p/l", "/etc"),
        base().long(b'K', "d/a").link(b'2', "p/l", "/etc"),
    ] {
        assert_eq!(inside(good.clone()).expect("inside").len(), 2);
        assert_eq!(rule(read(good.tgz())), ArchiveRule::EntryType);
    }
    for bad in [
        base().link(b'2', "p/l", "../x"),
        base().link(b'2', "p/d/l", "../../x"),
        base().link(b'2', "p/l", "/etc/passwd"),
        base().link(b'2', "p/l", "d/../../x"),
        base().link(b'2', "l", "p/d/a"),
        base().link(b'1', "p/l", "../p/d/a"),
        base().link(b'1', "p/l", "q/d/a"),
        base().link(b'1', "p/l", "p/later").file("p/later", "2"),
        base().link(b'1', "p/l", "p/d"),
        base().link(b'2', "p/s", "d").link(b'1', "p/l", "p/s"),
        base().pax(&[("linkpath", "../x")]).link(b'2', "p/l", "d/a"),
        base().long(b'K', "../x").link(b'2', "p/l", "d/a"),
    ] {
        assert_eq!(rule(inside(bad)), ArchiveRule::Path);
    }
    let through = base().link(b'2', "p/l", "d").file("p/l/b", "2");
    assert_eq!(rule(inside(through)), ArchiveRule::Duplicate, "an entry below a link");
    let replaced = base().file("p/l/b", "2").link(b'2', "p/l", "d");
    assert_eq!(rule(inside(replaced)), ArchiveRule::Duplicate, "a link in the place of a directory");
    let body = base().entry(patched(b'2', 1, &[(157, b"d/a")]), "1");
    assert_eq!(rule(inside(body)), ArchiveRule::Ambiguous, "a link with a body");
}

#[test]
fn names_are_plain_and_meet_nobody() {
    for bad in ["/p/a", "../a", "p/../a", "p//a", "./p/a", "p/./a", "p/a/.", "p\\a", "C:/a", "p/c:evil"] {
        assert_eq!(refused(TarFile::default().file(bad, "1")), ArchiveRule::Path, "{bad}");
        assert_eq!(
            refused(TarFile::default().pax(&[("path", bad)]).file("p/a", "1")),
            ArchiveRule::Path,
            "{bad}"
        );
        assert_eq!(refused(TarFile::default().long(b'L', bad).file("p/a", "1")), ArchiveRule::Path, "{bad}");
    }
    let latin = TarFile::default().entry(patched(b'0', 1, &[(2, b"\xe9")]), "1");
    assert_eq!(refused(latin), ArchiveRule::Path, "not UTF-8");
    let twice = TarFile::default().file("p/a", "1");
    assert_eq!(refused(twice.clone().file("p/a", "2")), ArchiveRule::Duplicate);
    assert_eq!(refused(twice.clone().file("p/a/b", "1")), ArchiveRule::Duplicate);
    assert_eq!(refused(twice.clone().pax(&[("path", "p/a")]).file("p/b", "2")), ArchiveRule::Duplicate);
    assert_eq!(listed(twice.file("p/A", "2")).len(), 2, "names that differ in case only");
}

#[test]
fn counts_and_sizes_are_bounded() {
    let limits = Limits { entries_max: 3, ..Limits::default() };
    let three = TarFile::default().file("p/a", "1").file("p/b", "1");
    assert!(read_with(three.clone().tgz(), limits, Links::Refused).is_ok());
    let four = three.file("p/c", "1");
    assert_eq!(rule(read_with(four.tgz(), limits, Links::Refused)), ArchiveRule::Limit);
    let huge = TarFile::default().entry(patched(b'0', 0, &[(124, b"777777777777")]), "");
    assert_eq!(refused(huge), ArchiveRule::Limit, "64 GiB");
    let long = TarFile::default().pax(&[("path", &format!("p/{}", "a".repeat(1023)))]).file("p/a", "1");
    assert_eq!(refused(long), ArchiveRule::Limit);
    let deep = TarFile::default().pax(&[("path", &"d/".repeat(64))]).directory("p/a");
    assert_eq!(listed(deep.clone()).len(), 1, "64 segments");
    let deeper = TarFile::default().pax(&[("path", &("d/".repeat(64) + "a"))]).file("p/a", "1");
    assert_eq!(refused(deeper), ArchiveRule::Limit);
}

#[test]
fn no_changed_bit_changes_what_is_read() {
    let tar = TarFile::default()
        .directory("p/")
        .pax(&[("path", "p/é")])
        .file("p/a", "text")
        .long(b'L', "p/b")
        .file("b", "");
    let sound = tar.tgz();
    no_bit_changes(&sound, Paths::Plain);
    let again = TarFile::default().file("p/./a", "text").file("p/a", "text").tgz();
    no_bit_changes(&again, Paths::Dotted);
}

#[track_caller]
fn no_bit_changes(sound: &[u8], paths: Paths) {
    let read = |file: Vec<u8>| read_as(file, Limits::default(), Links::Refused, paths);
    let expected = read(sound.to_vec()).expect("sound");
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut changed = sound.to_vec();
            changed[at] ^= 1 << bit;
            if let Ok(entries) = read(changed) {
                assert!(entries == expected, "byte {at}, bit {bit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_header_and_no_extension_breaks_the_walker(
        fields in prop::collection::vec(any::<u8>(), 512),
        kind in prop::sample::select(b"0125xgLK".to_vec()),
        body in prop::collection::vec(any::<u8>(), 0..600),
        paths in prop::sample::select(vec![Paths::Plain, Paths::Dotted]),
    ) {
        let mut block: [u8; 512] = fields.try_into().expect("512 bytes");
        block[100..156].copy_from_slice(&header("a", kind, body.len() as u64)[100..156]);
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let file = TarFile::default().entry(sealed(block), &body).file("p/a", "1").tgz();
        let _either = read_as(file, Limits::default(), Links::Inside, paths);
    }
}
