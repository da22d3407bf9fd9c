//! Trees of up to 2^62 leaves, which are all equal, so that every complete subtree of a level is.

use std::sync::LazyLock;

use super::*;
use crate::SIZE_MAX;

/// The roots of the complete subtrees, by level.
static ROOTS: LazyLock<Vec<Sha256>> = LazyLock::new(|| {
    std::iter::successors(Some(naive::LEAVES[0]), |root| Some(naive::node(*root, *root))).take(64).collect()
});

fn head_of(size: u64) -> TreeHead {
    fn root(size: u64) -> Sha256 {
        let level = size.ilog2();
        let rest = size - (1 << level);
        let left = ROOTS[level as usize];
        if rest == 0 { left } else { naive::node(left, root(rest)) }
    }
    TreeHead { size, root: if size == 0 { Sha256::of([]) } else { root(size) } }
}

fn fetch(plan: &[Tile]) -> Tiles {
    let bytes = |tile: &Tile| ROOTS[usize::from(tile.level()) * 8].0.repeat(tile.width().into());
    plan.iter().map(|tile| (*tile, bytes(tile))).collect()
}

fn holds_at(size: u64, leaf: u64, prefix: u64) {
    let wanted = wanted(&[leaf % size], &[prefix % (size + 1)]);
    let (head, mut tiles) = (head_of(size), fetch(&plan(size, &wanted)));
    // A partial tile for each level, the way of a leaf, and the way of a prefix for each level.
    assert!(tiles.len() <= 8 + 8 + 8 * 8, "{}", tiles.len());
    let expected = vec![naive::LEAVES[0], head_of(wanted.prefixes[0]).root];
    assert_eq!(ask(&head, &wanted, &tiles), Ok(expected), "{wanted:?} of {size}");
    refuses_forged(&head, &mut tiles, some_hash(size % 1_000_003));
    refuses_missing(&head, &wanted, &mut tiles);
}

#[test]
fn trees_of_two_to_the_62_leaves_work() {
    for level in [16, 24, 31, 32, 33, 47, 48, 49, 56, 57, 61, 62] {
        let size = 1 << level;
        for size in [size - 1, size, size + 1].into_iter().filter(|size| *size <= SIZE_MAX) {
            holds_at(size, size - 1, size - 1);
            holds_at(size, size / 3, size / 5 * 3);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_tile_is_authenticated_at_any_size(size in 1..=SIZE_MAX, shift in 0_u32..60, leaf: u64, prefix: u64) {
        holds_at((size >> shift).max(1), leaf, prefix);
    }

    #[test]
    fn no_size_leaf_or_prefix_panics(size: u64, leaf: u64, prefix: u64) {
        let tiles = fetch(&plan(size, &wanted(&[leaf], &[prefix])));
        let _ = check(&TreeHead { size, root: ROOTS[0] }, &tiles);
    }
}
