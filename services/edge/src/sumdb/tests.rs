use touchstone_tlog::{entries::data_tile, note::SignerKey};

use super::*;

fn tile(path: &str) -> TilePath {
    TilePath::parse_sumdb(path).expect("a tile")
}

fn hashes(width: u8) -> Bytes {
    (0..width).flat_map(|n| [n; 32]).collect()
}

/// Records of different lengths.
fn records(count: usize) -> Bytes {
    let texts: Vec<String> = (0..count).map(|n| format!("m v1.{n}.0 h1:{}\n", "x".repeat(n % 7))).collect();
    Bytes::from(data_tile(texts.iter().map(String::as_str)).expect("records"))
}

#[test]
fn a_tile_has_the_bytes_that_its_path_says() {
    let partial = tile("tile/8/0/001.p/3");
    assert_eq!(is_tile(&partial, &hashes(3)), Ok(()));
    for width in [2, 4] {
        let TilePath::Hashes(place) = partial else { panic!("hashes") };
        let found = usize::from(width) * 32;
        assert_eq!(is_tile(&partial, &hashes(width)), Err(TileError::Length { tile: place, found }));
    }
    let one_less = hashes(3).slice(..95);
    assert!(matches!(is_tile(&partial, &one_less), Err(TileError::Length { found: 95, .. })));
    let data = tile("tile/8/data/001.p/3");
    assert_eq!(is_tile(&data, &records(3)), Ok(()));
    for count in [2, 4] {
        assert_eq!(is_tile(&data, &records(count)), Err(TileError::Entries), "{count}");
    }
    assert_eq!(is_tile(&data, b"<html></html>"), Err(TileError::Entries));
}

#[test]
fn a_partial_tile_is_the_beginning_of_the_full_one() {
    let whole: Bytes = (0..=255_u8).flat_map(|n| [n; 32]).collect();
    let partial = tile("tile/8/1/x001/234.p/5");
    assert_eq!(full(&partial), Some(tile("tile/8/1/x001/234")));
    assert_eq!(beginning(&partial, &whole), Ok(hashes(5)));
    assert!(matches!(beginning(&partial, &hashes(4)), Err(TileError::Length { found: 128, .. })));

    let partial = tile("tile/8/data/x001/234.p/5");
    assert_eq!(full(&partial), Some(tile("tile/8/data/x001/234")));
    assert_eq!(beginning(&partial, &records(256)), Ok(records(5)));
    assert_eq!(beginning(&partial, &records(255)), Err(TileError::Entries));

    for whole in ["tile/8/1/x001/234", "tile/8/data/x001/234"] {
        assert_eq!(full(&tile(whole)), None, "{whole}");
    }
}

#[test]
fn what_is_not_authenticated_is_used_for_a_few_minutes() {
    let edge =
        SumdbEdge::new(SignerKey::from_seed("sumdb.example", [7; 32]).expect("a key").verifier().clone());
    let minutes = [edge.latest_age_max, edge.tile_age_max, edge.record_age_max].map(|age| age.as_secs() / 60);
    assert_eq!(minutes, [1, 5, 24 * 60]);
}
