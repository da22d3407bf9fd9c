//! Files that are there again; and paths with `.` in them, for npm packages and for nobody else.

use super::*;

fn dotted(file: TarFile) -> Result<Vec<(Entry, Vec<u8>)>, InspectError> {
    read_as(file.tgz(), Limits::default(), Links::Refused, Paths::Dotted)
}

#[track_caller]
fn listed_dotted(file: TarFile) -> Vec<(String, String)> {
    let entries = dotted(file).expect("sound");
    entries.into_iter().map(|(entry, body)| (entry.name, String::from_utf8(body).expect("text"))).collect()
}

#[track_caller]
fn refused_dotted(file: TarFile) -> ArchiveRule {
    rule(dotted(file))
}

fn base() -> TarFile {
    TarFile::default().file("p/d/a", "1")
}

/// A file `p/a` with this mode.
fn with_mode(mode: &[u8]) -> [u8; 512] {
    patched(b'0', 1, &[(100, mode)])
}

#[test]
fn a_dot_between_two_names_is_dropped() {
    for name in ["p/./d/a", "p/d/./a", "p/././d/././a", "p/d/a"] {
        let long = TarFile::default().long(b'L', name).file("x", "1");
        let pax = TarFile::default().pax(&[("path", name)]).file("x", "1");
        for file in [TarFile::default().file(name, "1"), long, pax] {
            assert_eq!(listed_dotted(file.clone()), one("p/d/a", "1"), "{name}");
            assert_eq!(read(file.tgz()).is_ok(), name == "p/d/a", "{name} elsewhere");
        }
    }
    let prefixed = TarFile::default().entry(patched(b'0', 1, &[(345, b"dir/.")]), "1");
    assert_eq!(listed_dotted(prefixed), one("dir/p/a", "1"));
    assert_eq!(listed_dotted(TarFile::default().directory("p/./d/")), one("p/d", ""));
    assert_eq!(listed_dotted(TarFile::default().file("p/.a/..b/c.", "1")), one("p/.a/..b/c.", "1"));
}

#[test]
fn what_npm_renames_by_its_path_has_no_dots() {
    for name in [".gitignore", ".npmignore"] {
        assert_eq!(listed_dotted(TarFile::default().file(&format!("p/{name}"), "1")).len(), 1);
        for dotted in [format!("p/./{name}"), format!("p/./d/{name}")] {
            assert_eq!(refused_dotted(TarFile::default().file(&dotted, "1")), ArchiveRule::Path, "{dotted}");
        }
        assert_eq!(listed_dotted(TarFile::default().file(&format!("p/./{name}.d"), "1")).len(), 1);
    }
}

#[test]
fn what_a_dot_could_hide_is_refused() {
    for bad in [
        "./p/a", "././p/a", ".", "./a", "p/.", "p/./.", "p/a/.", "p/../a", "p/./../a", "p/.././a", "p//a",
        "p/.//a", "p//./a", "/./p/a", "/p/./a", "p/.\\a", "p/./C:/a",
    ] {
        assert_eq!(refused_dotted(TarFile::default().file(bad, "1")), ArchiveRule::Path, "{bad}");
        let pax = TarFile::default().pax(&[("path", bad)]).file("p/a", "1");
        assert_eq!(refused_dotted(pax), ArchiveRule::Path, "{bad}");
    }
    for bad in ["./", "p/./", "p/../", "p/.//"] {
        assert_eq!(refused_dotted(TarFile::default().directory(bad)), ArchiveRule::Path, "{bad}");
    }
    let slash = TarFile::default().file("p/./a/", "1");
    assert_eq!(refused_dotted(slash), ArchiveRule::Ambiguous, "a file with a slash at its end");
}

#[test]
fn bounds_count_the_dots_too() {
    // node-tar leaves out, without an error, what has more than 1,024 segments before it drops the dots
    let named = |name: &str| TarFile::default().pax(&[("path", name)]).file("x", "1");
    let (dotted, longest) = (format!("p/./{}", "a".repeat(1020)), format!("p/{}", "a".repeat(1020)));
    assert_eq!(listed_dotted(named(&dotted)), one(&longest, "1"));
    assert_eq!(refused_dotted(named(&format!("{dotted}a"))), ArchiveRule::Limit);
    let dotted = format!("p/{}a", "./".repeat(62));
    assert_eq!(listed_dotted(named(&dotted)), one("p/a", "1"));
    assert_eq!(refused_dotted(named(&dotted.replace("p/", "p/./"))), ArchiveRule::Limit);
}

#[test]
fn a_file_is_there_again_only_with_the_same_bytes_and_mode() {
    let large = "x".repeat(200_000);
    let twice = |second: &str| {
        TarFile::default().file("p/d/a", &large).file("p/b", "2").file("p/./d/a", second).file("p/c", "")
    };
    assert_eq!(listed_dotted(twice(&large)).len(), 4);
    let changed = [&large[..199_999], "y"].concat();
    for (what, second) in [
        ("a byte differs", changed.as_str()),
        ("a byte less", &large[1..]),
        ("a byte more", &(large.clone() + "x")),
        ("empty", ""),
    ] {
        assert_eq!(refused_dotted(twice(second)), ArchiveRule::Duplicate, "{what}");
    }
    assert_eq!(listed(base().file("p/b", "").file("p/d/a", "1")).len(), 3, "without dots, everywhere");
    assert_eq!(refused(base().file("p/b", "").file("p/d/a", "2")), ArchiveRule::Duplicate);
    for name in ["p/d/a", "p/./d/a", "p/d/./a"] {
        assert_eq!(listed_dotted(base().file(name, "1")).len(), 2, "{name}");
        assert_eq!(refused_dotted(base().file(name, "2")), ArchiveRule::Duplicate, "{name}");
        let thrice = base().file("p/d/a", "1");
        assert_eq!(listed_dotted(thrice.clone().file(name, "1")).len(), 3, "{name}");
        assert_eq!(refused_dotted(thrice.file(name, "2")), ArchiveRule::Duplicate, "{name}");
    }
    let empty = TarFile::default().file("p/a", "");
    assert_eq!(listed_dotted(empty.clone().file("p/./a", "")).len(), 2);
    assert_eq!(refused_dotted(empty.file("p/./a", "1")), ArchiveRule::Duplicate);

    let mode = |second: &[u8]| TarFile::default().file("p/./a", "1").entry(with_mode(second), "1");
    assert_eq!(listed_dotted(mode(b"0000644\0")).len(), 2);
    for other in [b"0000755\0", b"0000645\0", b"0000444\0", b"0100644\0"] {
        assert_eq!(refused_dotted(mode(other)), ArchiveRule::Duplicate, "{other:?}");
    }
}

#[test]
fn only_files_are_there_again() {
    for bad in [
        base().directory("p/./d/a/"),
        base().file("p/./d", "1"),
        base().file("p/d/./a/b", "1"),
        TarFile::default().directory("p/d/").directory("p/./d/"),
        TarFile::default().directory("p/d/").file("p/./d", ""),
        TarFile::default().file("p/./d", "").directory("p/d/"),
    ] {
        assert_eq!(refused_dotted(bad), ArchiveRule::Duplicate);
    }
    let linked = |file: TarFile| read_as(file.tgz(), Limits::default(), Links::Inside, Paths::Dotted);
    for bad in [
        base().file("p/b", "1").link(b'1', "p/./d/a", "p/b"),
        base().file("p/b", "1").link(b'2', "p/./d/a", "../b"),
        base().link(b'2', "p/l", "d/a").file("p/./l", "1"),
        base().link(b'1', "p/l", "p/d/a").file("p/./l", "1"),
        base().link(b'2', "p/l", "d").file("p/./l/b", "1"),
    ] {
        assert_eq!(rule(linked(bad)), ArchiveRule::Duplicate);
    }
    assert!(linked(TarFile::default().file("p/./a", "1").link(b'1', "p/l", "p/a")).is_ok());
    for target in ["p/./d/a", "./p/d/a", "p/d/./a"] {
        assert_eq!(rule(linked(base().link(b'1', "p/l", target))), ArchiveRule::Path, "{target}");
    }
    assert_eq!(rule(linked(base().link(b'2', "p/l", "./d/a"))), ArchiveRule::Path);
    assert_eq!(refused_dotted(base().link(b'1', "p/l", "p/d/a")), ArchiveRule::EntryType);
}

#[test]
fn a_file_that_a_link_leads_to_is_there_again() {
    let linked = |file: TarFile| read_with(file.tgz(), Limits::default(), Links::Inside);
    for kind in *b"12" {
        let target = if kind == b'1' { "p/d/a" } else { "d/a" };
        let again = |body: &str| base().link(kind, "p/l", target).file("p/d/a", body);
        assert_eq!(linked(again("1")).expect("the same").len(), 3);
        assert_eq!(rule(linked(again("2"))), ArchiveRule::Duplicate, "written through the link");
        assert_eq!(rule(linked(again("1").file("p/l", "1"))), ArchiveRule::Duplicate, "in the link's place");
        assert_eq!(
            rule(linked(again("1").link(kind, "p/l", target))),
            ArchiveRule::Duplicate,
            "a link again"
        );
    }
    let late = base().file("p/d/a", "1").link(b'1', "p/l", "p/d/a");
    assert_eq!(linked(late).expect("a link to what is there twice").len(), 3);
}

#[test]
fn files_that_are_there_again_count_as_paths() {
    let limits = Limits { entries_max: 4, ..Limits::default() };
    let read = |file: TarFile| read_as(file.tgz(), limits, Links::Refused, Paths::Dotted);
    let again = base().file("p/d/a", "1");
    assert_eq!(read(again.clone()).expect("p, p/d, p/d/a and p/d/a").len(), 2);
    assert_eq!(rule(read(again.clone().file("p/./d/a", "1"))), ArchiveRule::Limit);
    assert_eq!(rule(read(again.file("p/b", "1"))), ArchiveRule::Limit);
}

#[test]
fn bodies_that_nobody_reads_are_compared_all_the_same() {
    let skipped = |second: &str| {
        let mut file = Cursor::new(base().file("p/./d/a", second).tgz());
        let mut tar = Tar::open(&mut file, Limits::default(), Links::Refused, Paths::Dotted)?;
        let mut entries = 0;
        while tar.next()?.is_some() {
            entries += 1;
        }
        Ok(entries)
    };
    assert_eq!(skipped("1").expect("the same"), 2);
    assert_eq!(rule(skipped("2")), ArchiveRule::Duplicate);
}

#[test]
fn headers_before_an_entry_are_no_part_of_its_file() {
    let timed = |time: &str, body: &str| base().pax(&[("mtime", time)]).file("p/./d/a", body);
    assert_eq!(listed_dotted(timed("1.5", "1")), listed_dotted(timed("2.5", "1")));
    assert_eq!(refused_dotted(timed("1.5", "2")), ArchiveRule::Duplicate);
}
