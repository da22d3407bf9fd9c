use std::io::Cursor;

use super::*;
use crate::archive::build::{ZipEnd, ZipEntry, ZipHeader, rule, wide, zip, zip_with};

fn read(file: Vec<u8>) -> Result<Vec<(Entry, Vec<u8>)>, InspectError> {
    read_with(file, &Limits::default())
}

fn read_with(file: Vec<u8>, limits: &Limits) -> Result<Vec<(Entry, Vec<u8>)>, InspectError> {
    let mut file = Cursor::new(file);
    let mut zip = Zip::open(&mut file, limits)?;
    let mut entries = vec![];
    while let Some(entry) = zip.next()? {
        let mut body = vec![];
        zip.unpack(&mut |piece| body.extend_from_slice(piece))?;
        entries.push((entry, body));
    }
    assert!(zip.next()?.is_none(), "the end is the end");
    Ok(entries)
}

fn a() -> ZipEntry {
    ZipEntry::new("p/a", "text text text text")
}

fn b() -> ZipEntry {
    ZipEntry::new("p/b", "other")
}

#[track_caller]
fn refused(entries: &[ZipEntry]) -> ArchiveRule {
    rule(read(zip(entries)))
}

/// The rule for `a` with something changed, in front of another entry.
#[track_caller]
fn changed(change: impl FnOnce(&mut ZipEntry)) -> ArchiveRule {
    refused(&[a().with(change), b()])
}

#[track_caller]
fn ended(end: &ZipEnd) -> ArchiveRule {
    rule(read(zip_with(&[a(), b()], end)))
}

/// How long the directory of `a` and `b` is, and where it is.
fn directory_of_two() -> (u32, u32) {
    let file = zip(&[a(), b()]);
    let field = |from_end: usize| {
        let at = file.len() - from_end;
        u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
    };
    (field(10), field(6))
}

fn extra(id: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short");
    [&id.to_le_bytes(), &length.to_le_bytes(), body].concat()
}

fn zip64(values: &[u64]) -> Vec<u8> {
    extra(1, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

#[test]
fn entries_are_listed_in_the_order_of_the_file_with_their_bodies() {
    let big = "0123456789abcdef".repeat(20_000);
    let file =
        zip(&[ZipEntry::new("p/", ""), a(), ZipEntry::stored("p/s", "stored"), ZipEntry::new("p/big", &big)]);
    let entries = read(file).expect("sound");
    let found: Vec<_> =
        entries.iter().map(|(e, body)| (e.name.as_str(), e.kind, e.size, body.as_slice())).collect();
    let expected = [
        ("p", Kind::Directory, 0, &b""[..]),
        ("p/a", Kind::File, 19, b"text text text text"),
        ("p/s", Kind::File, 6, b"stored"),
        ("p/big", Kind::File, 320_000, big.as_bytes()),
    ];
    assert!(found == expected);
    assert!(read(zip(&[])).expect("empty").is_empty());
}

#[test]
fn what_writers_do_differently_is_read_alike() {
    let expected = read(zip(&[a(), b()])).expect("sound");
    let (directory_bytes, directory_offset) = directory_of_two();
    let saturated = ZipEnd {
        entries: Some(u16::MAX),
        directory_bytes: Some(u32::MAX),
        directory_offset: Some(u32::MAX),
        before: wide(2, directory_bytes.into(), directory_offset.into()),
        ..ZipEnd::default()
    };
    let repeated = ZipEnd { before: saturated.before.clone(), ..ZipEnd::default() };
    let comment = ZipEnd { comment: b"0123abcd".to_vec(), ..ZipEnd::default() };
    let timed = a().both(|header| header.extra = extra(0x5455, &[1, 0, 0, 0, 0]));
    let forced = a().with(|entry| {
        entry.local.extra = zip64(&[entry.local.size.into(), entry.local.packed.into()]);
        (entry.local.size, entry.local.packed) = (u32::MAX, u32::MAX);
    });
    let forced_and_described = a().described().with(|entry| {
        entry.local.extra = zip64(&[0, 0]);
        (entry.local.size, entry.local.packed) = (u32::MAX, u32::MAX);
        let ZipHeaderSizes(crc, packed, size) = sizes(entry);
        entry.behind =
            [&b"PK\x07\x08"[..], &crc.to_le_bytes(), &packed.to_le_bytes(), &size.to_le_bytes()].concat();
    });
    let utf8 = a().both(|header| header.flags = 1 << 11);
    for (what, file) in [
        ("a ZIP64 record", zip_with(&[a(), b()], &saturated)),
        ("a ZIP64 record that repeats", zip_with(&[a(), b()], &repeated)),
        ("a comment", zip_with(&[a(), b()], &comment)),
        ("an extra field", zip(&[timed, b()])),
        ("a local ZIP64 field", zip(&[forced, b()])),
        ("a data descriptor", zip(&[a().described(), b()])),
        ("a wide data descriptor", zip(&[forced_and_described, b()])),
        ("the UTF-8 flag", zip(&[utf8, b()])),
        ("no mode", zip(&[a().with(|entry| entry.attributes = 0), b()])),
        ("a comment of an entry", zip(&[a().with(|entry| entry.comment = b"hello".to_vec()), b()])),
    ] {
        assert!(read(file).expect(what) == expected, "{what}");
    }
}

struct ZipHeaderSizes(u32, u64, u64);

fn sizes(entry: &ZipEntry) -> ZipHeaderSizes {
    ZipHeaderSizes(entry.central.crc, entry.central.packed.into(), entry.central.size.into())
}

#[test]
fn the_directory_may_be_in_another_order() {
    let (first, second) = (a(), b());
    let file = zip(&[first, second]);
    let (bytes, offset) = directory_of_two();
    let (bytes, offset) = (usize::try_from(bytes).expect("small"), usize::try_from(offset).expect("small"));
    let half = bytes / 2;
    let mut turned = file.clone();
    turned[offset..offset + half].copy_from_slice(&file[offset + half..offset + bytes]);
    turned[offset + half..offset + bytes].copy_from_slice(&file[offset..offset + half]);
    assert!(turned != file);
    assert!(read(turned).expect("sound") == read(file).expect("sound"));
}

#[test]
fn local_headers_and_directory_are_equal_in_everything() {
    assert!(read(zip(&[a(), b()])).is_ok());
    assert_eq!(changed(|entry| entry.local.name = b"p/x".to_vec()), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.name = b"p/A".to_vec()), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.name = b"p/a/".to_vec()), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.size += 1), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.packed += 1), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.size = 0), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.crc ^= 1), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.method = 0), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.flags = 1 << 11), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.local.flags = 1 << 3), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.central.size += 1), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.central.name = b"p/x".to_vec()), ArchiveRule::Ambiguous);
}

#[test]
fn every_byte_before_the_directory_belongs_to_one_entry() {
    let local_only = [a(), b()];
    let file = zip(&local_only);
    let with_first_only = zip(&[a()]);
    let local_bytes = with_first_only.len() - 22 - 46 - 3;
    // The local part of two entries with the directory of the first.
    let hidden = ZipEnd { gap: file[local_bytes..][..30 + 3 + b().body.len()].to_vec(), ..ZipEnd::default() };
    assert_eq!(
        rule(read(zip_with(&[a()], &hidden))),
        ArchiveRule::Ambiguous,
        "an entry that only streams show"
    );
    let twice = a().with(|entry| entry.offset = Some(0)).both(|header| header.name = b"p/c".to_vec());
    assert_eq!(refused(&[a(), twice]), ArchiveRule::Ambiguous, "two entries at one place");
    assert_eq!(changed(|entry| entry.behind = b"gap".to_vec()), ArchiveRule::Ambiguous);
    assert_eq!(changed(|entry| entry.offset = Some(1)), ArchiveRule::Ambiguous);
    assert_eq!(ended(&ZipEnd { gap: vec![0], ..ZipEnd::default() }), ArchiveRule::Ambiguous);
    let prefixed = [b"#!python\n".to_vec(), file.clone()].concat();
    assert_eq!(rule(read(prefixed)), ArchiveRule::Ambiguous, "prefix");
    // A directory entry for something that is not there: its header is somebody's body.
    let stored = ZipEntry::stored("p/s", "not a local header, although an entry says so");
    let pointing = b().with(|entry| entry.offset = Some(33));
    assert_eq!(refused(&[stored, pointing]), ArchiveRule::Ambiguous);
}

#[test]
fn data_descriptors_tell_the_truth() {
    let described = |change: fn(&mut ZipEntry)| {
        changed(|entry| {
            *entry = a().described();
            change(entry);
        })
    };
    assert_eq!(described(|entry| entry.behind[4] ^= 1), ArchiveRule::Ambiguous, "CRC");
    assert_eq!(described(|entry| entry.behind[8] ^= 1), ArchiveRule::Ambiguous, "packed size");
    assert_eq!(described(|entry| entry.behind[12] ^= 1), ArchiveRule::Ambiguous, "size");
    assert_eq!(described(|entry| entry.behind[0] ^= 1), ArchiveRule::Malformed, "signature");
    assert_eq!(described(|entry| entry.behind.clear()), ArchiveRule::Malformed, "none");
    assert_eq!(described(|entry| drop(entry.behind.drain(..4))), ArchiveRule::Malformed, "no signature");
    assert_eq!(described(|entry| entry.behind.extend([0; 8])), ArchiveRule::Ambiguous, "wide without ZIP64");
    assert_eq!(described(|entry| entry.local.size = 7), ArchiveRule::Ambiguous, "a size in both places");
    let stored = ZipEntry::stored("p/s", "where does it end?").described();
    assert_eq!(refused(&[stored, b()]), ArchiveRule::Ambiguous);
}

#[test]
fn there_is_one_end_record_and_it_is_the_end() {
    let comment = |comment: &[u8]| ZipEnd { comment: comment.to_vec(), ..ZipEnd::default() };
    let (directory_bytes, directory_offset) = directory_of_two();
    assert_eq!(ended(&comment(b"PK\x05\x06")), ArchiveRule::Truncated, "a second one in the comment");
    let second = zip(&[]);
    assert_eq!(ended(&comment(&second)), ArchiveRule::Ambiguous, "a whole second one in the comment");
    assert_eq!(
        ended(&ZipEnd { before: second, ..ZipEnd::default() }),
        ArchiveRule::Ambiguous,
        "one before the other"
    );
    assert_eq!(ended(&ZipEnd { comment_bytes: Some(1), ..ZipEnd::default() }), ArchiveRule::Truncated);
    assert_eq!(
        ended(&ZipEnd { comment: vec![b'x'; 9], comment_bytes: Some(8), ..ZipEnd::default() }),
        ArchiveRule::Truncated
    );
    let trailing = [zip(&[a()]), vec![0]].concat();
    assert_eq!(rule(read(trailing)), ArchiveRule::Truncated);
    assert_eq!(ended(&ZipEnd { disk: 1, ..ZipEnd::default() }), ArchiveRule::Malformed);
    assert_eq!(ended(&ZipEnd { entries_here: Some(1), ..ZipEnd::default() }), ArchiveRule::Malformed);
    assert_eq!(ended(&ZipEnd { entries: Some(1), ..ZipEnd::default() }), ArchiveRule::Ambiguous);
    assert_eq!(ended(&ZipEnd { entries: Some(3), ..ZipEnd::default() }), ArchiveRule::Ambiguous);
    assert_eq!(
        ended(&ZipEnd { directory_offset: Some(directory_offset - 1), ..ZipEnd::default() }),
        ArchiveRule::Ambiguous
    );
    let shifted = ZipEnd {
        directory_offset: Some(directory_offset + 1),
        directory_bytes: Some(directory_bytes - 1),
        ..ZipEnd::default()
    };
    assert_eq!(ended(&shifted), ArchiveRule::Malformed);
    assert_eq!(changed(|entry| entry.comment = b"PK\x05\x06".to_vec()), ArchiveRule::Ambiguous);
    for end in 0..22 {
        assert_eq!(rule(read(zip(&[])[..end].to_vec())), ArchiveRule::Truncated, "{end} bytes");
    }
}

#[test]
fn zip64_records_agree_with_what_they_extend() {
    let (bytes, offset) = directory_of_two();
    let with = |before: Vec<u8>, entries: u16| {
        ended(&ZipEnd { before, entries: Some(entries), ..ZipEnd::default() })
    };
    let sound = wide(2, bytes.into(), offset.into());
    assert_eq!(with(vec![], u16::MAX), ArchiveRule::Malformed, "no record");
    assert_eq!(with(wide(3, bytes.into(), offset.into()), 2), ArchiveRule::Ambiguous, "other count");
    assert_eq!(with(wide(2, u64::from(bytes) - 1, u64::from(offset) + 1), 2), ArchiveRule::Ambiguous);
    let patched = |at: usize, value: u8| {
        let mut record = sound.clone();
        record[at] = value;
        with(record, u16::MAX)
    };
    assert_eq!(patched(0, b'Q'), ArchiveRule::Malformed, "signature of the record");
    assert_eq!(patched(4, 45), ArchiveRule::Malformed, "a longer record");
    assert_eq!(patched(16, 1), ArchiveRule::Malformed, "disk");
    assert_eq!(patched(24, 1), ArchiveRule::Malformed, "count on this disk");
    assert_eq!(patched(56, b'Q'), ArchiveRule::Malformed, "signature of the locator");
    assert_eq!(patched(64, 0), ArchiveRule::Ambiguous, "place of the record");
    assert_eq!(patched(72, 2), ArchiveRule::Ambiguous, "number of disks");
    assert_eq!(
        with([sound.clone(), vec![0]].concat(), u16::MAX),
        ArchiveRule::Malformed,
        "not before the end record"
    );
    assert_eq!(with([vec![0], sound].concat(), u16::MAX), ArchiveRule::Ambiguous, "not behind the directory");
}

#[test]
fn extra_fields_are_whole_and_change_no_name() {
    let both = |extra: &[u8]| refused(&[a().both(|header| header.extra = extra.to_vec()), b()]);
    assert_eq!(both(&extra(0x7075, b"\x01\0\0\0\0p/evil")), ArchiveRule::Ambiguous, "another name");
    let behind = [extra(0x5455, &[1]), extra(0x7075, b"x")].concat();
    assert_eq!(both(&behind), ArchiveRule::Ambiguous, "another name behind another field");
    assert_eq!(changed(|entry| entry.local.extra = extra(0x7075, b"x")), ArchiveRule::Ambiguous);
    assert_eq!(both(&[1]), ArchiveRule::Malformed);
    assert_eq!(both(&[0x55, 0x54, 9, 0, 1]), ArchiveRule::Malformed);
    assert_eq!(both(&zip64(&[19])), ArchiveRule::Malformed, "a ZIP64 value that nothing asks for");
    assert_eq!(changed(|entry| entry.central.size = u32::MAX), ArchiveRule::Malformed, "no ZIP64 field");
    let widened = |values: &'static [u64]| {
        changed(|entry| {
            entry.central.size = u32::MAX;
            entry.central.extra = zip64(values);
        })
    };
    assert_eq!(widened(&[19, 19]), ArchiveRule::Malformed, "a ZIP64 field that is too long");
    assert_eq!(widened(&[20]), ArchiveRule::Ambiguous, "another size");
    assert_eq!(widened(&[u64::MAX]), ArchiveRule::Limit, "a size that lies");
    let twice = changed(|entry| {
        entry.central.size = u32::MAX;
        entry.central.extra = [zip64(&[19]), zip64(&[19])].concat();
    });
    assert_eq!(twice, ArchiveRule::Ambiguous, "two ZIP64 fields");
}

#[test]
fn bodies_are_what_their_headers_say() {
    let both = |change: fn(&mut ZipHeader)| refused(&[a().both(change), b()]);
    assert_eq!(both(|header| header.crc ^= 1), ArchiveRule::Compression, "CRC");
    assert_eq!(both(|header| header.size += 1), ArchiveRule::Compression, "too few bytes");
    assert_eq!(both(|header| header.size -= 1), ArchiveRule::Compression, "too many bytes");
    let longer = a().with(|entry| entry.body.push(0)).both(|header| header.packed += 1);
    assert_eq!(refused(&[longer, b()]), ArchiveRule::Compression, "bytes behind the deflate stream");
    let shorter =
        a().with(|entry| entry.body.truncate(entry.body.len() - 1)).both(|header| header.packed -= 1);
    assert_eq!(refused(&[shorter, b()]), ArchiveRule::Truncated, "no end of the deflate stream");
    let broken = a().with(|entry| entry.body[0] = 0x07);
    assert_eq!(refused(&[broken, b()]), ArchiveRule::Compression, "no deflate stream");
    let stored = ZipEntry::stored("p/s", "text").both(|header| header.size -= 1);
    assert_eq!(refused(&[stored]), ArchiveRule::Ambiguous, "two sizes of a stored body");
    for flag in [1_u16, 1 << 5, 1 << 6, 1 << 13] {
        assert_eq!(
            refused(&[a().both(|header| header.flags = flag), b()]),
            ArchiveRule::Compression,
            "flag {flag:#x}"
        );
    }
    for method in [1, 6, 9, 12, 14, 93, 95, 99] {
        let entry = a().both(|header| header.method = method);
        assert_eq!(refused(&[entry, b()]), ArchiveRule::Compression, "method {method}");
    }
}

#[test]
fn special_files_and_names_are_refused() {
    for mode in [0o120_777, 0o020_666, 0o060_666, 0o010_666, 0o140_777, 0o104_755, 0o102_755, 0o040_755] {
        let rule = changed(|entry| entry.attributes = mode << 16);
        assert_eq!(rule, ArchiveRule::EntryType, "mode {mode:o}");
    }
    let named = |name: &str| refused(&[ZipEntry::new(name, "1")]);
    for bad in ["/a", "../a", "a/../b", "a//b", "a\\b", "C:/a", "./a", "", "a\0b"] {
        assert_eq!(named(bad), ArchiveRule::Path, "{bad:?}");
    }
    assert_eq!(named("p/é"), ArchiveRule::Ambiguous, "no character set");
    assert!(read(zip(&[ZipEntry::new("p/é", "1").both(|header| header.flags = 1 << 11)])).is_ok());
    assert_eq!(refused(&[a(), a()]), ArchiveRule::Duplicate);
    assert_eq!(refused(&[a(), ZipEntry::new("p/a/b", "1")]), ArchiveRule::Duplicate);
    assert_eq!(refused(&[a(), ZipEntry::new("p/a/", "")]), ArchiveRule::Duplicate);
    let slashed = ZipEntry::stored("p/d/", "text").with(|entry| entry.attributes = 0);
    assert_eq!(refused(&[slashed]), ArchiveRule::Ambiguous, "a directory with a body");
}

#[test]
fn counts_and_sizes_are_bounded() {
    let limits = |entries_max, list_bytes_max, unpacked_bytes_max| Limits {
        unpacked_bytes_max,
        entries_max,
        list_bytes_max,
        ..Limits::default()
    };
    let file = || zip(&[a(), b()]);
    let (directory_bytes, _) = directory_of_two();
    assert!(read_with(file(), &limits(3, directory_bytes.into(), 24)).is_ok());
    assert_eq!(
        rule(read_with(file(), &limits(2, 1000, 24))),
        ArchiveRule::Limit,
        "paths, the directory included"
    );
    assert_eq!(rule(read_with(file(), &limits(1, 1000, 24))), ArchiveRule::Limit, "entries");
    assert_eq!(rule(read_with(file(), &limits(3, u64::from(directory_bytes) - 1, 24))), ArchiveRule::Limit);
    assert_eq!(rule(read_with(file(), &limits(3, 1000, 23))), ArchiveRule::Limit, "unpacked bytes");
    let bomb = zip(&[ZipEntry::new("p/a", vec![0; 2 << 20])]);
    let ratio = |ratio_max| Limits { ratio_max, ratio_free_bytes: 1 << 20, ..Limits::default() };
    assert_eq!(rule(read_with(bomb.clone(), &ratio(200))), ArchiveRule::Limit);
    assert!(read_with(bomb, &ratio(2000)).is_ok());
}

#[test]
fn no_changed_bit_and_no_lost_byte_changes_what_is_read() {
    let sound = zip(&[ZipEntry::new("p/", ""), a().described(), ZipEntry::stored("p/s", "stored"), b()]);
    let expected = read(sound.clone()).expect("sound");
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut changed = sound.clone();
            changed[at] ^= 1 << bit;
            if let Ok(entries) = read(changed) {
                assert!(entries == expected, "byte {at}, bit {bit}");
            }
        }
        let shorter = [&sound[..at], &sound[at + 1..]].concat();
        if let Ok(entries) = read(shorter) {
            assert!(entries == expected, "without byte {at}");
        }
        assert!(matches!(read(sound[..at].to_vec()), Err(InspectError::Refused(_))), "{at} bytes");
    }
}
