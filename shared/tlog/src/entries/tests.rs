//! Bundles and data tiles, and each with one thing changed.

use proptest::prelude::*;

use super::*;

fn tile(width: u16) -> EntryTile {
    EntryTile::new(0, width).unwrap()
}

#[test]
fn a_bundle_is_lengths_and_entries() {
    let entries: [&[u8]; 3] = [b"", b"abc", &[0xff; 300]];
    let bytes = bundle(entries).unwrap();
    assert_eq!(bytes[..9], [0, 0, 0, 3, b'a', b'b', b'c', 1, 44]);
    assert_eq!(parse_bundle(&tile(3), &bytes), Ok(entries.to_vec()));
    for width in [1, 2, 4, 256] {
        assert_eq!(parse_bundle(&tile(width), &bytes), Err(TileError::Entries), "{width}");
    }
    for length in 0..bytes.len() {
        assert_eq!(parse_bundle(&tile(3), &bytes[..length]), Err(TileError::Entries), "{length}");
    }
    assert_eq!(parse_bundle(&tile(3), &[&bytes[..], &[0]].concat()).unwrap_err().code(), "tile_entries");
    let longest = vec![1; ENTRY_BYTES_MAX];
    assert_eq!(parse_bundle(&tile(1), &bundle([&longest[..]]).unwrap()), Ok(vec![&longest[..]]));
    assert_eq!(bundle([&vec![0; ENTRY_BYTES_MAX + 1][..]]), Err(TileError::Entries));
}

#[test]
fn a_data_tile_is_records_with_empty_lines() {
    let records = ["a 1 x\na 1/go.mod y\n", "b\n"];
    let bytes = data_tile(records).unwrap();
    assert_eq!(bytes, b"a 1 x\na 1/go.mod y\n\nb\n\n");
    assert_eq!(parse_data_tile(&tile(2), &bytes), Ok(records.to_vec()));
    for width in [1, 3] {
        assert_eq!(parse_data_tile(&tile(width), &bytes), Err(TileError::Entries), "{width}");
    }
    let others: [&[u8]; 7] =
        [b"", b"a\n\nb\n", b"a\n\nb", b"a\n\nb\n\n\n", b"a\n\n\nb\n\n", b"a\n\nb\r\n\n", b"a\n\n\xff\n\n"];
    for other in others {
        assert_eq!(parse_data_tile(&tile(2), other), Err(TileError::Entries), "{other:?}");
    }
    let huge = vec![b'a'; 2 * (ENTRY_BYTES_MAX + 1) + 1];
    assert_eq!(parse_data_tile(&tile(2), &huge), Err(TileError::Entries));
    for text in ["", "a", "\n", "\na\n", "a\n\n", "a\n\nb\n", "a\tb\n"] {
        assert_eq!(data_tile([text]), Err(TileError::Entries), "{text:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_the_same(bytes: Vec<u8>, text in "[a\n]{0,12}", width in 1_u16..4) {
        if let Ok(entries) = parse_bundle(&tile(width), &bytes) {
            prop_assert_eq!(bundle(entries), Ok(bytes));
        }
        if let Ok(records) = parse_data_tile(&tile(width), text.as_bytes()) {
            prop_assert_eq!(data_tile(records), Ok(text.into_bytes()));
        }
    }
}
