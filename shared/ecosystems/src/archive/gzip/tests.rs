use std::io::{Cursor, Error, Read, Result as IoResult, Seek, SeekFrom};

use super::*;
use crate::archive::build::{gzip, rule};

fn unpack_with(file: impl Into<Vec<u8>>, limits: &Limits) -> Result<Vec<u8>, InspectError> {
    let mut file = Cursor::new(file.into());
    let mut gzip = Gzip::open(&mut file, limits)?;
    let mut bytes = vec![];
    loop {
        let piece = gzip.next(1000)?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(piece);
    }
}

fn unpack(file: impl Into<Vec<u8>>) -> Result<Vec<u8>, InspectError> {
    unpack_with(file, &Limits::default())
}

/// The same file with other header fields, and with a header CRC if the flags say so.
fn with_header(flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
    file.extend(fields);
    if flags & HAS_CRC != 0 {
        let mut crc = Crc::new();
        crc.update(&file);
        file.extend(&crc.sum().to_le_bytes()[..2]);
    }
    file.extend(&gzip(b"text")[10..]);
    file
}

#[test]
fn one_sound_member_is_unpacked_whatever_its_size() {
    for length in [0, 1, 512, BUFFER_BYTES, 3 * BUFFER_BYTES + 7] {
        let bytes: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).expect("small")).collect();
        assert!(unpack(gzip(&bytes)).expect("sound") == bytes, "{length} bytes");
    }
}

#[test]
fn header_fields_are_bounded_and_passed_over() {
    let extra = |length: u16| [&length.to_le_bytes()[..], &vec![7; length.into()]].concat();
    for (flags, fields) in [
        (0, vec![]),
        (HAS_EXTRA, extra(1024)),
        (HAS_NAME, b"dist/x-1.0.tar\0".to_vec()),
        (HAS_COMMENT, b"made by hand\0".to_vec()),
        (HAS_CRC | HAS_NAME, b"x\0".to_vec()),
    ] {
        assert_eq!(unpack(with_header(flags, &fields)).expect("sound"), b"text", "{flags:#b}");
    }
    assert_eq!(rule(unpack(with_header(HAS_EXTRA, &extra(1025)))), ArchiveRule::Limit);
    assert_eq!(rule(unpack(with_header(HAS_EXTRA, &extra(65_535)))), ArchiveRule::Limit);
    assert_eq!(rule(unpack(with_header(HAS_NAME, &[b'x'; 5000]))), ArchiveRule::Limit);
    assert_eq!(rule(unpack(with_header(1 << 5, &[]))), ArchiveRule::Compression);
    let mut broken = with_header(HAS_CRC, &[]);
    broken[10] ^= 1;
    assert_eq!(rule(unpack(broken)), ArchiveRule::Compression);
}

#[test]
fn nothing_follows_the_one_member() {
    let sound = gzip(b"text");
    for behind in [&b"\0"[..], b"garbage", &gzip(b""), &gzip(b"more"), &[0; 512]] {
        assert_eq!(rule(unpack([&sound, behind].concat())), ArchiveRule::Compression, "{behind:?}");
    }
}

#[test]
fn crc_and_size_are_verified() {
    let sound = gzip(b"text");
    let length = sound.len();
    for at in length - 8..length {
        let mut broken = sound.clone();
        broken[at] ^= 0x10;
        assert_eq!(rule(unpack(broken)), ArchiveRule::Compression, "byte {at}");
    }
    for end in 0..length {
        assert_eq!(rule(unpack(&sound[..end])), ArchiveRule::Truncated, "{end} bytes");
    }
    assert_eq!(rule(unpack(*b"PK\x03\x04 not gzip")), ArchiveRule::Compression);
    let broken_deflate = [&sound[..10], &[0x07, 0, 0], &sound[13..]].concat();
    assert_eq!(rule(unpack(broken_deflate)), ArchiveRule::Compression);
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let bomb = gzip(&vec![0; 2 << 20]);
    let limits = |free, ratio_max| Limits { ratio_free_bytes: free, ratio_max, ..Limits::default() };
    assert!(bomb.len() < 4096, "it is one");
    assert_eq!(rule(unpack_with(bomb.clone(), &limits(1 << 20, 200))), ArchiveRule::Limit);
    assert!(unpack_with(bomb.clone(), &limits(2 << 20, 200)).is_ok(), "within the free bytes");
    assert!(unpack_with(bomb.clone(), &limits(0, 2000)).is_ok(), "within the ratio");
    let small = Limits { unpacked_bytes_max: (2 << 20) - 1, ..limits(2 << 20, 2000) };
    assert_eq!(rule(unpack_with(bomb, &small)), ArchiveRule::Limit);
}

#[test]
fn a_file_that_cannot_be_read_is_no_verdict() {
    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> IoResult<usize> {
            Err(Error::other("bad sector"))
        }
    }

    impl Seek for Failing {
        fn seek(&mut self, _: SeekFrom) -> IoResult<u64> {
            Ok(100)
        }
    }

    assert!(matches!(Gzip::open(&mut Failing, &Limits::default()), Err(InspectError::Io(_))));
}
