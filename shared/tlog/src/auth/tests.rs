//! Every tile is proved, at every size: against a plain tree to 70,000 leaves, and against one of equal leaves beyond.

mod beyond;
mod refused;

use proptest::prelude::*;

use super::*;
use crate::naive;

type Tiles = Vec<(Tile, Vec<u8>)>;

fn wanted(leaves: &[u64], prefixes: &[u64]) -> Wanted {
    Wanted { leaves: leaves.to_vec(), prefixes: prefixes.to_vec() }
}

/// What a log would answer.
fn fetch(plan: &[Tile]) -> Tiles {
    plan.iter().map(|tile| (*tile, naive::tile(*tile))).collect()
}

/// All that was wanted, out of tiles.
fn answers(tiles: &AuthenticatedTiles, wanted: &Wanted) -> Result<Vec<Sha256>, TileError> {
    let leaves = wanted.leaves.iter().map(|leaf| tiles.leaf(*leaf));
    leaves.chain(wanted.prefixes.iter().map(|prefix| tiles.root_of(*prefix))).collect()
}

/// The same, if they are authentic.
fn ask(head: &TreeHead, wanted: &Wanted, tiles: &Tiles) -> Result<Vec<Sha256>, TileError> {
    answers(&check(head, tiles)?, wanted)
}

/// What is planned is enough, says the same as the plain tree, and is what comes out to be kept.
fn accepted(size: u64, wanted: &Wanted) -> (TreeHead, Tiles) {
    let (head, tiles) = (naive::head(size), fetch(&plan(size, wanted)));
    let leaves = wanted.leaves.iter().map(|leaf| naive::LEAVES[usize::try_from(*leaf).unwrap()]);
    let expected = leaves.chain(wanted.prefixes.iter().map(|prefix| naive::head(*prefix).root)).collect();
    let authenticated = check(&head, &tiles).unwrap_or_else(|error| panic!("{wanted:?} of {size}: {error}"));
    assert_eq!(answers(&authenticated, wanted), Ok(expected), "{wanted:?} of {size}");
    assert!(authenticated.tiles().eq(tiles.iter().map(|(tile, bytes)| (*tile, &bytes[..]))), "{size}");
    (head, tiles)
}

/// Each tile with one bit flipped in one hash is refused, as what it is.
fn refuses_forged(head: &TreeHead, tiles: &mut Tiles, hashes: impl Fn(Tile) -> Vec<u16>) {
    for at in 0..tiles.len() {
        let tile = tiles[at].0;
        let size = head.size;
        let refused = if tile.is_full() { TileError::Mismatch(tile) } else { TileError::Root { size } };
        for hash in hashes(tile) {
            let byte = usize::from(hash) * HASH_BYTES + usize::from(hash) % HASH_BYTES;
            tiles[at].1[byte] ^= 1 << (hash % 8);
            assert_eq!(check(head, tiles), Err(refused.clone()), "hash {hash} of {tile} of {size}");
            tiles[at].1[byte] ^= 1 << (hash % 8);
        }
    }
}

/// No tile that is planned could be left out.
fn refuses_missing(head: &TreeHead, wanted: &Wanted, tiles: &mut Tiles) {
    for at in 0..tiles.len() {
        let tile = tiles.remove(at);
        assert_eq!(ask(head, wanted, tiles), Err(TileError::Missing(tile.0)), "of {}", head.size);
        tiles.insert(at, tile);
    }
}

/// One hash of a tile: an end, or one inside that depends on the tree.
fn some_hash(size: u64) -> impl Fn(Tile) -> Vec<u16> {
    move |tile| {
        let inside = u16::try_from(size * 31 % u64::from(tile.width())).unwrap();
        vec![[inside, 0, inside, tile.width() - 1][usize::try_from(size % 4).unwrap()]]
    }
}

/// The promise, and CVE-2026-56865.
#[test]
fn every_tile_is_authenticated_at_every_size_to_2000() {
    for size in 0..=2_000 {
        let (some, other) = (size * 7 / 11, size * 5 / 13);
        let leaves: &[u64] = if size == 0 { &[] } else { &[some, size - 1] };
        let wanted = wanted(leaves, &[other]);
        let (head, mut tiles) = accepted(size, &wanted);
        refuses_forged(&head, &mut tiles, some_hash(size));
        refuses_missing(&head, &wanted, &mut tiles);
    }
}

#[test]
fn every_hash_of_every_tile_is_authenticated() {
    for size in [1, 2, 3, 7, 8, 100, 255, 256, 257, 259, 511, 512, 513, 515, 767, 768] {
        let leaves: Vec<u64> = (0..size).step_by(256).collect();
        let (head, mut tiles) = accepted(size, &wanted(&leaves, &[]));
        let count: u64 = [size, size >> 8].map(|hashes| hashes.div_ceil(256)).iter().sum();
        assert_eq!(tiles.len() as u64, count);
        refuses_forged(&head, &mut tiles, |tile| (0..tile.width()).collect());
    }
}

#[test]
fn every_leaf_and_prefix_of_a_tree_is_reached() {
    for size in [1, 2, 255, 256, 257, 515, 600] {
        let (all, prefixes): (Vec<u64>, Vec<u64>) = ((0..size).collect(), (0..=size).collect());
        accepted(size, &wanted(&all, &prefixes));
        for at in (0..size).step_by(17) {
            accepted(size, &wanted(&[at], &[]));
            accepted(size, &wanted(&[], &[at, size]));
        }
    }
}

fn holds_at(size: u64, leaf: u64, prefix: u64) {
    let wanted = wanted(&[leaf % size], &[prefix % (size + 1)]);
    let (head, mut tiles) = accepted(size, &wanted);
    refuses_forged(&head, &mut tiles, some_hash(size));
    refuses_missing(&head, &wanted, &mut tiles);
}

#[test]
fn every_tile_is_authenticated_at_the_edges_of_three_levels() {
    for size in [65_535, 65_536, 65_537, 65_791, 65_792, 65_793, 66_047, 69_888, 69_999, 70_000] {
        for (leaf, prefix) in [(0, 256), (size - 1, 65_536), (65_535, size - 1), (40_000, 65_535)] {
            holds_at(size, leaf, prefix);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_tile_is_authenticated_at_sizes_to_70000(size in 1_u64..=70_000, leaf: u64, prefix: u64) {
        holds_at(size, leaf, prefix);
    }

    /// A log may have dropped a partial tile: a wider one of a larger tree is cut.
    #[test]
    fn wider_tiles_are_cut(size in 1_u64..70_000, more in 0_u64..70_000, leaf: u64, prefix: u64) {
        let larger = (size + more).min(70_000);
        let wanted = wanted(&[leaf % size], &[prefix % (size + 1)]);
        let cut = |tile: &Tile| {
            let wider = Tile::in_tree(larger, tile.level(), tile.index()).unwrap();
            let bytes = naive::tile(wider);
            (*tile, tile.truncate(&bytes).unwrap().to_vec())
        };
        let tiles: Tiles = plan(size, &wanted).iter().map(cut).collect();
        prop_assert_eq!(&tiles, &accepted(size, &wanted).1);
    }
}
