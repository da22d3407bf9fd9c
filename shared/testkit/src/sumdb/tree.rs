//! A Merkle tree as RFC 6962 defines it, in memory: every complete subtree's hash is kept.

use sha2::{Digest as _, Sha256 as Hasher};
use touchstone_domain::Sha256;

/// How many levels of the tree one level of tiles spans.
const TILE_HEIGHT: u8 = 8;

#[derive(Clone, Default)]
pub(super) struct Tree {
    /// The hashes of the complete subtrees of one leaf, of two, of four...
    levels: Vec<Vec<Sha256>>,
}

impl Tree {
    pub(super) fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    pub(super) fn push(&mut self, leaf: &[u8]) {
        let mut hash = leaf_hash(leaf);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(vec![]);
            }
            let row = &mut self.levels[level];
            row.push(hash);
            if row.len() % 2 == 1 {
                return;
            }
            hash = node_hash(&row[row.len() - 2], &hash);
        }
    }

    /// The root over the first `size` leaves: the largest complete subtree on the left, and the rest.
    pub(super) fn root(&self, size: u64) -> Sha256 {
        assert!((1..=self.size()).contains(&size), "a tree of {size} was never there");
        let mut end = size;
        let mut root = None;
        // From the right: the smallest complete subtree first.
        while end > 0 {
            let level = end.trailing_zeros();
            let left = self.levels[level as usize][usize::try_from((end >> level) - 1).expect("in memory")];
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
            end -= 1 << level;
        }
        root.expect("not empty")
    }

    /// The hashes of a tile as far as they are there, at most 256.
    pub(super) fn tile(&self, level: u8, index: u64) -> Vec<Sha256> {
        let row = self.levels.get(usize::from(level) * usize::from(TILE_HEIGHT));
        let start = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(256);
        row.into_iter().flatten().skip(start).take(256).copied().collect()
    }
}

fn leaf_hash(leaf: &[u8]) -> Sha256 {
    hash(&[&[0], leaf])
}

fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    hash(&[&[1], &left.0, &right.0])
}

fn hash(parts: &[&[u8]]) -> Sha256 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    Sha256(hasher.finalize().into())
}
