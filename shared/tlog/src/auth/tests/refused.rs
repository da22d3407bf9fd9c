//! Tiles that are not those of the tree.

use super::*;
use crate::{
    SIZE_MAX,
    note::{SignedNote, SignerKey},
};

/// Four full tiles of level 0, and one partial tile of each level.
const SIZE: u64 = 1_050;

fn tile(level: u8, index: u64, width: u16) -> Tile {
    Tile::new(level, index, width).unwrap()
}

fn honest() -> (TreeHead, Tiles) {
    accepted(SIZE, &wanted(&[0, 700], &[300]))
}

fn refused(change: impl FnOnce(&mut Tiles)) -> TileError {
    let (head, mut tiles) = honest();
    change(&mut tiles);
    check(&head, &tiles).unwrap_err()
}

#[test]
fn the_tiles_of_a_tree_are_planned_and_no_others() {
    let names: Vec<Tile> = honest().1.iter().map(|(tile, _)| *tile).collect();
    let expected = [tile(0, 0, 256), tile(0, 1, 256), tile(0, 2, 256), tile(0, 4, 26), tile(1, 0, 4)];
    assert_eq!(names, expected);
    assert_eq!(plan(0, &wanted(&[0], &[0, 1])), []);
    assert_eq!(plan(1, &Wanted::default()), [tile(0, 0, 1)]);
    assert_eq!(plan(256, &Wanted::default()), [tile(1, 0, 1)]);
    assert_eq!(plan(256, &wanted(&[255], &[])), [tile(0, 0, 256), tile(1, 0, 1)]);
    // The example of C2SP tlog-tiles.
    let all = wanted(&(0..70_000).collect::<Vec<_>>(), &[]);
    let tiles = plan(70_000, &all);
    assert_eq!(tiles.len(), 273 + 1 + 1 + 1 + 1);
    let last = [tile(0, 273, 112), tile(1, 0, 256), tile(1, 1, 17), tile(2, 0, 1)];
    assert_eq!(tiles[273..], last);
}

#[test]
fn a_tile_of_another_width_is_refused() {
    let narrower = |tiles: &mut Tiles, at: usize, width: u16| {
        let name = tile(tiles[at].0.level(), tiles[at].0.index(), width);
        tiles[at] = (name, naive::tile(name));
        name
    };
    for (at, width, expected) in [(0, 255, 256), (3, 25, 26), (3, 27, 26), (3, 256, 26), (4, 3, 4), (4, 5, 4)]
    {
        let mut name = None;
        let found = refused(|tiles| name = Some(narrower(tiles, at, width)));
        assert_eq!(found, TileError::Width { tile: name.unwrap(), expected });
        assert_eq!(found.code(), "tile_width");
    }
}

#[test]
fn a_tile_of_another_length_is_refused() {
    for at in 0..5 {
        for change in [-32_isize, -1, 1, 32] {
            let found = refused(|tiles| {
                let length = tiles[at].1.len().checked_add_signed(change).unwrap();
                tiles[at].1.resize(length, 0);
            });
            assert!(matches!(found, TileError::Length { tile, .. } if tile == honest().1[at].0), "{found:?}");
            assert_eq!(found.code(), "tile_length");
        }
    }
}

#[test]
fn a_tile_of_another_index_is_refused() {
    let found = refused(|tiles| tiles[0].1 = naive::tile(tile(0, 1, 256)));
    assert_eq!((found.code(), found), ("tile_mismatch", TileError::Mismatch(tile(0, 0, 256))));
    let found = refused(|tiles| tiles[3].1 = naive::tile(tile(0, 3, 26)));
    assert_eq!((found.code(), found), ("tile_root", TileError::Root { size: SIZE }));
    let found = refused(|tiles| tiles[4].1 = naive::tile(tile(0, 0, 4)));
    assert_eq!(found, TileError::Root { size: SIZE });
    // Two that stand for each other: the lower one is compared with a true parent.
    let found = refused(|tiles| {
        let first = std::mem::take(&mut tiles[0].1);
        tiles[0].1 = std::mem::replace(&mut tiles[1].1, first);
    });
    assert_eq!(found.code(), "tile_mismatch");
}

#[test]
fn a_tile_that_the_tree_does_not_have_is_refused() {
    for name in [tile(0, 5, 1), tile(1, 1, 1), tile(2, 0, 1)] {
        let found = refused(|tiles| tiles.push((name, vec![0; name.size_bytes()])));
        assert_eq!(found, TileError::BeyondTree { what: name.to_string(), size: SIZE });
        assert_eq!(found.code(), "tile_beyond_tree");
    }
    let (head, tiles) = (naive::head(0), fetch(&[tile(0, 0, 1)]));
    assert_eq!(check(&head, &tiles).unwrap_err().code(), "tile_beyond_tree");
}

#[test]
fn a_tile_twice_is_refused() {
    let found = refused(|tiles| tiles.push(tiles[0].clone()));
    assert_eq!((found.code(), found), ("tile_duplicate", TileError::Duplicate(tile(0, 0, 256))));
}

/// An additional tile is proved like the others, or refused.
#[test]
fn a_tile_that_was_not_asked_for_is_authenticated_too() {
    let (head, mut tiles) = honest();
    tiles.push((tile(0, 3, 256), naive::tile(tile(0, 3, 256))));
    assert_eq!(check(&head, &tiles).unwrap().tiles().count(), 6);
    tiles[5].1[8_191] ^= 1;
    assert_eq!(check(&head, &tiles), Err(TileError::Mismatch(tile(0, 3, 256))));
    // Its parent is a full tile, which is not there.
    let (head, mut tiles) = accepted(70_000, &Wanted::default());
    tiles.push((tile(0, 0, 256), naive::tile(tile(0, 0, 256))));
    assert_eq!(check(&head, &tiles), Err(TileError::Missing(tile(1, 0, 256))));
}

/// Two levels that are forged to fit each other.
#[test]
fn a_forged_tile_with_a_forged_parent_is_refused() {
    let forge = |tiles: &mut Tiles, level: u8| {
        let at = tiles.iter().position(|(name, _)| *name == tile(level, 0, 256)).unwrap();
        tiles[at].1[0] ^= 1;
        let root = complete_root(&tiles[at].1);
        let above = tiles.iter().position(|(name, _)| name.place() == (level + 1, 0)).unwrap();
        tiles[above].1[..HASH_BYTES].copy_from_slice(&root.0);
    };
    let (head, mut tiles) = accepted(70_000, &wanted(&[0], &[]));
    forge(&mut tiles, 0);
    assert_eq!(check(&head, &tiles), Err(TileError::Mismatch(tile(1, 0, 256))));
    let above = tiles.iter().position(|(name, _)| *name == tile(1, 0, 256)).unwrap();
    let root = complete_root(&tiles[above].1);
    tiles.last_mut().unwrap().1.copy_from_slice(&root.0);
    assert_eq!(check(&head, &tiles), Err(TileError::Root { size: 70_000 }));
}

#[test]
fn what_is_beyond_the_tree_or_was_not_planned_is_not_answered() {
    let (head, tiles) = honest();
    let tiles = check(&head, &tiles).unwrap();
    for leaf in [SIZE, SIZE_MAX, u64::MAX] {
        assert_eq!(tiles.leaf(leaf).unwrap_err().code(), "tile_beyond_tree");
        assert_eq!(tiles.root_of(leaf + u64::from(leaf == SIZE)).unwrap_err().code(), "tile_beyond_tree");
    }
    assert_eq!(tiles.leaf(800), Err(TileError::Missing(tile(0, 3, 256))));
    assert_eq!(tiles.root_of(800), Err(TileError::Missing(tile(0, 3, 256))));
    assert_eq!(tiles.root_of(1_024).map(|root| root == naive::head(1_024).root), Ok(true));
    assert_eq!(
        (tiles.subtree(64, 0), tiles.subtree(255, u64::MAX), tiles.subtree(0, SIZE)),
        (None, None, None)
    );
}

#[test]
fn the_root_is_that_of_the_signed_head() {
    let key = SignerKey::from_seed("sumdb.example", [7; 32]).unwrap();
    let sign = |head: TreeHead| {
        let note = SignedNote::parse(&key.sign(&head.sumdb_text()).unwrap()).unwrap();
        SignedHead::from_sumdb(note.verify(key.verifier()).unwrap()).unwrap()
    };
    let (head, tiles) = honest();
    assert_eq!(authenticate(&sign(head), &tiles).map(|tiles| *tiles.head()), Ok(head));
    let other = TreeHead { root: naive::head(SIZE - 1).root, ..head };
    assert_eq!(authenticate(&sign(other), &tiles), Err(TileError::Root { size: SIZE }));
    let empty = sign(naive::head(0));
    assert_eq!(authenticate(&empty, &[]).and_then(|tiles| tiles.root_of(0)), Ok(Sha256::of([])));
    assert_eq!(
        authenticate(&empty, &[]).and_then(|tiles| tiles.leaf(0)).unwrap_err().code(),
        "tile_beyond_tree"
    );
}
