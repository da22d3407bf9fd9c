//! pax headers and GNU long names.

use super::*;

#[test]
fn a_global_header_may_only_comment() {
    let global = |records: &[u8]| {
        TarFile::default()
            .entry(header("pax_global_header", b'g', records.len() as u64), records)
            .file("p/a", "1")
    };
    assert_eq!(listed(global(&pax_record("comment", "0123abcd"))), one("p/a", "1"));
    for key in ["path", "size", "mtime", "linkpath"] {
        assert_eq!(refused(global(&pax_record(key, "1"))), ArchiveRule::Ambiguous, "{key}");
    }
    let twice =
        TarFile::default().entry(header("g", b'g', 0), "").entry(header("g", b'g', 0), "").file("p/a", "1");
    assert_eq!(refused(twice), ArchiveRule::Ambiguous);
    let late = TarFile::default().file("p/a", "1").entry(header("g", b'g', 0), "");
    assert_eq!(refused(late), ArchiveRule::Ambiguous);
}

#[test]
fn a_pax_size_that_is_not_the_headers_size_is_ambiguous() {
    let nested = TarFile::default().file("p/hidden", "evil").bytes();
    let size = nested.len().to_string();
    let with = |size: &str, header_size: u64| {
        TarFile::default().pax(&[("size", size)]).entry(header("p/a", b'0', header_size), &nested)
    };
    assert_eq!(listed(with(&size, nested.len() as u64)).len(), 1, "equal sizes");
    assert_eq!(refused(with(&size, 0)), ArchiveRule::Ambiguous, "the nested archive is a body or entries");
    assert_eq!(refused(with("0", nested.len() as u64)), ArchiveRule::Ambiguous);
    assert_eq!(refused(with("512", nested.len() as u64)), ArchiveRule::Ambiguous);
    assert_eq!(refused(with("8589934592", 0)), ArchiveRule::Ambiguous);
}

#[test]
fn malformed_pax_records_are_refused() {
    let with =
        |body: &[u8]| TarFile::default().entry(header("x", b'x', body.len() as u64), body).file("p/a", "1");
    assert_eq!(listed(with(b"12 path=b/c\n")), one("b/c", "1"));
    for bad in [
        &b"13 path=b/c\n"[..],
        b"11 path=b/c\n",
        b"012 path=b/c\n",
        b"+2 path=b/c\n",
        b" 12 path=b/c\n",
        b"path=b/c\n",
        b"9 =path\n\n",
        b"8 path\n\n\n",
        b"12 path=b/c\0",
        b"0 \n",
        b"99999999999999999999 path=b/c\n",
        b"\0\0\0\0",
        b"12 path=b/c\n12 path=b/c\n",
        b"12 path=b/c\n12 path=b/d\n",
        b"10 size=x\n",
        b"11 size=+1\n",
        b"11 size=01\n",
    ] {
        assert_eq!(refused(with(bad)), ArchiveRule::Malformed, "{}", String::from_utf8_lossy(bad));
    }
    let ambiguous = [("path", ""), ("linkpath", ""), ("hdrcharset", "BINARY")];
    for (key, value) in ambiguous {
        assert_eq!(
            refused(TarFile::default().pax(&[(key, value)]).file("p/a", "1")),
            ArchiveRule::Ambiguous,
            "{key}"
        );
    }
    for key in ["GNU.sparse.major", "GNU.sparse.realsize", "SCHILY.realsize", "SUN.holesdata"] {
        assert_eq!(
            refused(TarFile::default().pax(&[(key, "1")]).file("p/a", "1")),
            ArchiveRule::EntryType,
            "{key}"
        );
    }
    assert_eq!(refused(TarFile::default().pax(&[("path", "a\0b")]).file("p/a", "1")), ArchiveRule::Path);
    assert_eq!(refused(with(&vec![b'1'; 64 * 1024 + 1])), ArchiveRule::Limit);
    let many: Vec<u8> = (0..257).flat_map(|i| pax_record(&format!("k{i}"), "v")).collect();
    assert_eq!(refused(with(&many)), ArchiveRule::Limit);
}

#[test]
fn a_newline_in_a_pax_record_is_ambiguous() {
    let smuggled = |key: &str, value: &str| {
        let record = pax_record(key, value);
        format!("x\n{}", str::from_utf8(&record).expect("text").trim_end())
    };
    for (key, value) in [
        ("comment", smuggled("path", "p/evil")),
        ("comment", smuggled("size", "0")),
        ("path", "p/a\nb".to_owned()),
        ("mtime", "1\n".to_owned()),
        ("LIBARCHIVE.xattr.x", "\n".to_owned()),
        ("SCHILY.xattr.user.x", "a\nb".to_owned()),
        ("com\nment", "x".to_owned()),
    ] {
        let global = |record: Vec<u8>| {
            TarFile::default().entry(header("g", b'g', record.len() as u64), record).file("p/a", "1")
        };
        let (plain_key, plain) = (key.replace('\n', ""), value.replace('\n', " "));
        let entry = |key: &str, value: &str| TarFile::default().pax(&[(key, value)]).file("p/a", "1");
        assert_eq!(listed(entry(&plain_key, &plain)).len(), 1, "{key:?}: {plain:?}");
        assert_eq!(refused(entry(key, &value)), ArchiveRule::Ambiguous, "{key:?}: {value:?}");
        assert_eq!(refused(global(pax_record(key, &value))), ArchiveRule::Ambiguous, "{key:?}: {value:?}");
    }
    // Every reader takes a name that is not in a pax header as it is.
    assert_eq!(listed(TarFile::default().file("p/a\nb", "1")), one("p/a\nb", "1"));
    assert_eq!(listed(TarFile::default().long(b'L', "p/a\nb").file("a", "1")), one("p/a\nb", "1"));
}

#[test]
fn long_names_end_with_their_only_nul() {
    let with =
        |body: &[u8]| TarFile::default().entry(header("L", b'L', body.len() as u64), body).file("p/a", "1");
    assert_eq!(listed(with(b"b/c\0")), one("b/c", "1"));
    for bad in [&b"b/c"[..], b"b/c\0d\0", b"\0", b""] {
        assert_eq!(refused(with(bad)), ArchiveRule::Malformed, "{bad:?}");
    }
    assert_eq!(refused(with(&[b'a'; 2000])), ArchiveRule::Limit);
}

#[test]
fn an_entry_has_one_header_that_says_how_to_read_it() {
    let a = |tar: TarFile| tar.file("p/a", "1");
    let new = TarFile::default;
    assert_eq!(refused(a(new().long(b'L', "b/c").pax(&[("path", "b/d")]))), ArchiveRule::Ambiguous);
    assert_eq!(refused(a(new().pax(&[("path", "b/d")]).long(b'L', "b/c"))), ArchiveRule::Ambiguous);
    assert_eq!(refused(a(new().pax(&[("mtime", "1")]).long(b'L', "b/c"))), ArchiveRule::Ambiguous);
    assert_eq!(refused(a(new().long(b'L', "b/c").long(b'L', "b/c"))), ArchiveRule::Ambiguous);
    assert_eq!(refused(a(new().pax(&[("path", "b/c")]).pax(&[("mtime", "1")]))), ArchiveRule::Ambiguous);
    let dangling = new().file("p/a", "1").pax(&[("path", "b/c")]);
    assert_eq!(refused(dangling), ArchiveRule::Malformed);
    assert_eq!(refused(new().long(b'L', "b/c")), ArchiveRule::Malformed);
}
