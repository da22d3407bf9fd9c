//! Against vectors, and a plain tree.

use super::*;
use crate::{leaf_hash, naive};

/// What the tests of certificate transparency have as leaves.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
/// The roots of the trees over them, of size 0 to 8. Computed from RFC 6962 by another program.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn known_trees_have_their_roots() {
    let mut tree = Tree::new();
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(tree.root(size as u64).unwrap().to_string(), *root);
        tree.extend(LEAVES.get(size).map(|leaf| leaf_hash(leaf)));
    }
    assert_eq!(tree.size(), 8);
    assert_eq!(
        (tree.root(9), tree.subtree(0, 8), tree.subtree(3, 1), tree.subtree(200, 0)),
        (None, None, None, None)
    );
    assert_eq!(tree.root(u64::MAX), None);
}

#[test]
fn a_tree_is_the_plain_tree_at_every_size() {
    let mut tree = Tree::new();
    for (size, leaf) in naive::LEAVES.iter().enumerate() {
        let size = size as u64;
        if size <= 2_000 || size.is_multiple_of(997) {
            assert_eq!(tree.root(size), Some(naive::head(size).root), "{size}");
            assert_eq!(tree.root(size / 3), Some(naive::head(size / 3).root), "{size}");
        }
        tree.push(*leaf);
    }
    for tile in [(0, 0, 256), (0, 273, 112), (0, 9, 3), (1, 0, 256), (1, 1, 17), (2, 0, 1)] {
        let tile = Tile::new(tile.0, tile.1, tile.2).unwrap();
        assert_eq!(HashReader::tile(&tree, tile), Some(naive::tile(tile)));
    }
    for (level, index, width) in [(0, 273, 113), (1, 1, 18), (2, 0, 2), (3, 0, 1), (0, 1 << 53, 1)] {
        assert_eq!(HashReader::tile(&tree, Tile::new(level, index, width).unwrap()), None);
    }
}
