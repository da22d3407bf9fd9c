//! A plain tree, written from RFC 6962 as it stands and from nothing here: what the tests compare with.

use std::sync::LazyLock;

use touchstone_domain::Sha256;

use crate::{Tile, TreeHead};

/// The hashes of leaf 0, 1, 2 and so on, to 70,000.
pub(crate) static LEAVES: LazyLock<Vec<Sha256>> =
    LazyLock::new(|| (0..70_000).map(|leaf| hash(0, &[record(leaf).as_bytes()])).collect());
/// The roots over the first 256 leaves, the next 256, and so on.
static BLOCKS: LazyLock<Vec<Sha256>> = LazyLock::new(|| LEAVES.chunks_exact(256).map(root).collect());

/// What a leaf holds.
pub(crate) fn record(leaf: u64) -> String {
    format!("record {leaf}\n")
}

/// A digest of a byte and others.
fn hash(first: u8, rest: &[&[u8]]) -> Sha256 {
    Sha256::of([&[first], &rest.concat()[..]].concat())
}

/// The hash of a node.
pub(crate) fn node(left: Sha256, right: Sha256) -> Sha256 {
    hash(1, &[&left.0, &right.0])
}

/// MTH(D\[n]), from the hashes of the leaves.
pub(crate) fn root(leaves: &[Sha256]) -> Sha256 {
    match leaves {
        [] => Sha256::of([]),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            node(root(&leaves[..k]), root(&leaves[k..]))
        }
    }
}

/// The head of the tree over the first leaves.
pub(crate) fn head(size: u64) -> TreeHead {
    let leaves = usize::try_from(size).unwrap();
    // The leaves of whole blocks are as good as their roots, as a block is a subtree of every tree that has it and more.
    let root = if leaves <= 256 {
        root(&LEAVES[..leaves])
    } else {
        let blocks = &BLOCKS[..leaves / 256];
        match &LEAVES[leaves / 256 * 256..leaves] {
            [] => root(blocks),
            rest => root_with(blocks, root(rest)),
        }
    };
    TreeHead { size, root }
}

/// The root over blocks, the last of which is not whole.
fn root_with(blocks: &[Sha256], last: Sha256) -> Sha256 {
    root(&[blocks, &[last]].concat())
}

/// The bytes of a tile, whatever the tree.
pub(crate) fn tile(tile: Tile) -> Vec<u8> {
    let first = usize::try_from(tile.index()).unwrap() * 256;
    let hashes: Vec<Sha256> = match tile.level() {
        0 => LEAVES[first..].to_vec(),
        1 => BLOCKS[first..].to_vec(),
        2 => BLOCKS[first..].chunks_exact(256).map(root).collect(),
        level => panic!("no tree here has level {level}"),
    };
    hashes[..usize::from(tile.width())].iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn the_plain_tree_is_plain() {
    for size in [0, 1, 2, 255, 256, 257, 300, 511, 512, 513, 768, 1000, 70_000] {
        assert_eq!(head(size).root, root(&LEAVES[..usize::try_from(size).unwrap()]), "{size}");
    }
}
