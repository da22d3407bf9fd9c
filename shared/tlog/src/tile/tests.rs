//! Names and paths of tiles, and each with one thing changed.

use proptest::prelude::*;

use super::*;

fn hashes(level: u8, index: u64, width: u16) -> TilePath {
    TilePath::Hashes(Tile::new(level, index, width).unwrap())
}

fn entries(index: u64, width: u16) -> TilePath {
    TilePath::Entries(EntryTile::new(index, width).unwrap())
}

#[test]
fn a_tile_has_one_path_in_each_encoding() {
    for (path, sumdb, c2sp) in [
        (hashes(0, 0, 256), "tile/8/0/000", "tile/0/000"),
        (hashes(0, 0, 1), "tile/8/0/000.p/1", "tile/0/000.p/1"),
        (hashes(1, 999, 255), "tile/8/1/999.p/255", "tile/1/999.p/255"),
        (hashes(2, 1_000, 256), "tile/8/2/x001/000", "tile/2/x001/000"),
        // The example of C2SP tlog-tiles.
        (hashes(3, 1_234_067, 9), "tile/8/3/x001/x234/067.p/9", "tile/3/x001/x234/067.p/9"),
        (hashes(7, 0, 64), "tile/8/7/000.p/64", "tile/7/000.p/64"),
        (entries(0, 256), "tile/8/data/000", "tile/entries/000"),
        (entries(123_456, 17), "tile/8/data/x123/456.p/17", "tile/entries/x123/456.p/17"),
        (
            hashes(0, (1 << 54) - 1, 256),
            "tile/8/0/x018/x014/x398/x509/x481/983",
            "tile/0/x018/x014/x398/x509/x481/983",
        ),
    ] {
        assert_eq!((path.sumdb(), path.c2sp()), (sumdb.to_owned(), c2sp.to_owned()));
        assert_eq!((TilePath::parse_sumdb(sumdb), TilePath::parse_c2sp(c2sp)), (Ok(path), Ok(path)));
    }
}

#[test]
fn another_spelling_is_no_path() {
    for path in [
        "",
        "tile",
        "tile/8",
        "tile/8/",
        "tile/8/0",
        "tile/8/0/",
        "/tile/8/0/000",
        "tile/8/0/000/",
        "tile/8/0/0",
        "tile/8/0/00",
        "tile/8/0/0000",
        "tile/8/0/1234",
        "tile/8/0/x000/001",
        "tile/8/0/001/234",
        "tile/8/0/x001/x234",
        "tile/8/0/x001//234",
        "tile/8/0/xx01/234",
        "tile/8/0/+01",
        "tile/8/0/-01",
        "tile/8/0/ 01",
        "tile/8/0/0\u{661}1",
        "tile/8/00/001",
        "tile/8/+0/001",
        "tile/8/-1/001",
        "tile/8/8/000",
        "tile/8/255/000",
        "tile/8/256/000",
        "tile/8/Data/000",
        "tile/8/entries/000",
        "tile/9/0/000",
        "tile/08/0/000",
        "TILE/8/0/000",
        "tile/8/0/000.p",
        "tile/8/0/000.p/",
        "tile/8/0/000.p/0",
        "tile/8/0/000.p/01",
        "tile/8/0/000.p/+1",
        "tile/8/0/000.p/256",
        "tile/8/0/000.p/257",
        "tile/8/0/000.p/65537",
        "tile/8/0/000.p/1.p/1",
        "tile/8/0/000.p/1/",
        "tile/8/0/000?x",
        "tile/8/0/000\n",
        "tile/8/0/../000",
        // Beyond the largest tree, and the largest number.
        "tile/8/7/000.p/65",
        "tile/8/0/x018/x014/x398/x509/x481/984",
        "tile/8/0/x018/x446/x744/x073/x709/x551/616",
        "tile/8/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(TilePath::parse_sumdb(path), Err(TileError::Path), "{path:?}");
        let c2sp = path.replacen("tile/8/", "tile/", 1);
        if c2sp != "tile/entries/000" && c2sp != path {
            assert_eq!(TilePath::parse_c2sp(&c2sp), Err(TileError::Path), "{c2sp:?}");
        }
    }
    assert_eq!(TilePath::parse_c2sp("tile/data/000"), Err(TileError::Path));
    assert_eq!(TilePath::parse_sumdb("latest").unwrap_err().code(), "tile_path");
}

#[test]
fn only_a_tile_that_some_tree_has_can_be_named() {
    let impossible = |level, index, width| Err(TileError::Impossible { level, index, width });
    for (level, index, width) in [
        (0, 0, 0),
        (0, 0, 257),
        (0, 1 << 54, 1),
        (0, u64::MAX, 1),
        (7, 0, 65),
        (7, 1, 1),
        (8, 0, 1),
        (255, 0, 1),
    ] {
        assert_eq!(Tile::new(level, index, width), impossible(level, index, width));
    }
    let tile = Tile::new(7, 0, 64).unwrap();
    assert_eq!(
        (tile.level(), tile.index(), tile.width(), tile.size_bytes(), tile.is_full()),
        (7, 0, 64, 2_048, false)
    );
}

#[test]
fn a_tree_has_its_tiles_at_their_widths() {
    let width = |size, level, index| Tile::in_tree(size, level, index).map(|tile| tile.width());
    assert_eq!(
        [0, 1, 2, 272, 273, 274].map(|index| width(70_000, 0, index)),
        [256, 256, 256, 256, 112, 0].map(|w| (w > 0).then_some(w))
    );
    assert_eq!([0, 1, 2].map(|index| width(70_000, 1, index)), [Some(256), Some(17), None]);
    assert_eq!([0, 1].map(|index| width(70_000, 2, index)), [Some(1), None]);
    assert_eq!((width(70_000, 3, 0), width(0, 0, 0), width(256, 1, 0)), (None, None, Some(1)));
    assert_eq!(
        (width(SIZE_MAX, 7, 0), width(SIZE_MAX, 8, 0), width(u64::MAX, 255, u64::MAX)),
        (Some(64), None, None)
    );
}

#[test]
fn a_wider_tile_is_cut_and_nothing_else_is() {
    let tile = Tile::new(0, 5, 3).unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(8_192).collect();
    for hashes in [3, 4, 255, 256] {
        assert_eq!(tile.truncate(&bytes[..hashes * 32]), Ok(&bytes[..96]));
    }
    let longer = [&bytes[..], &bytes[..32]].concat();
    for found in [0, 32, 64, 95, 97, 100, 8_191, 8_193, 8_224] {
        assert_eq!(tile.truncate(&longer[..found]), Err(TileError::Length { tile, found }));
    }
    assert_eq!(tile.full().truncate(&bytes), Ok(&bytes[..]));
    assert_eq!(tile.full().truncate(&bytes[..8_160]).unwrap_err().code(), "tile_length");
}

proptest! {
    #[test]
    fn every_path_is_read_as_it_was_written(level in 0_u8..8, index: u64, width in 1_u16..=256) {
        let Ok(tile) = Tile::new(level, index.checked_shr(8 * u32::from(level) + 10).unwrap_or(0), width) else { return Ok(()) };
        for path in [TilePath::Hashes(tile), entries(tile.index(), width)] {
            prop_assert_eq!(TilePath::parse_sumdb(&path.sumdb()), Ok(path));
            prop_assert_eq!(TilePath::parse_c2sp(&path.c2sp()), Ok(path));
        }
    }

    #[test]
    fn whatever_is_read_is_written_the_same(path in "tile/(8/)?([0-9]|data|entries)(/x?[0-9]{1,4}){1,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(read) = TilePath::parse_sumdb(&path) {
            prop_assert_eq!(read.sumdb(), path.as_str());
        }
        if let Ok(read) = TilePath::parse_c2sp(&path) {
            prop_assert_eq!(read.c2sp(), path);
        }
    }

    #[test]
    fn no_tile_panics(level: u8, index: u64, width: u16, size: u64, path: String) {
        let _ = (Tile::new(level, index, width), Tile::in_tree(size, level, index), TilePath::parse_c2sp(&path));
    }
}
