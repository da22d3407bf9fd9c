//! Trees of hashes: what is common to all that hold one, and one in memory.

#[cfg(test)]
mod tests;

use touchstone_domain::Sha256;

use crate::{Tile, empty_root, node_hash};

/// Somewhere that the hashes of complete subtrees are read from.
pub trait HashReader {
    /// The hash of the complete subtree over the leaves from `index << level` until `(index + 1) << level`. `None` if it is not
    /// there.
    fn subtree(&self, level: u8, index: u64) -> Option<Sha256>;

    /// The root of the tree over the first `size` leaves.
    fn root(&self, size: u64) -> Option<Sha256> {
        range_root(0, size, |level, index| self.subtree(level, index).ok_or(())).ok()
    }

    /// The bytes of a tile.
    fn tile(&self, tile: Tile) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(tile.size_bytes());
        for entry in 0..u64::from(tile.width()) {
            let index = tile.index().checked_mul(256)?.checked_add(entry)?;
            bytes.extend(self.subtree(tile.level() * 8, index)?.0);
        }
        Some(bytes)
    }
}

/// A tree in memory, which only grows.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The hashes of the complete subtrees, by level.
    levels: Vec<Vec<Sha256>>,
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Adds the hash of a leaf. Its number is the size before.
    pub fn push(&mut self, leaf: Sha256) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(vec![]);
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            let [.., left, right] = &hashes[..] else { return };
            if hashes.len() % 2 == 1 {
                return;
            }
            hash = node_hash(left, right);
        }
    }
}

impl Extend<Sha256> for Tree {
    fn extend<T: IntoIterator<Item = Sha256>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl HashReader for Tree {
    fn subtree(&self, level: u8, index: u64) -> Option<Sha256> {
        self.levels.get(usize::from(level))?.get(usize::try_from(index).ok()?).copied()
    }
}

/// The complete subtrees that the leaves from `start` on consist of, `size` leaves, as (level, index) from left to right.
/// `start` is a multiple of a power of two that is at least `size`, as it is for every range that the tree is cut into.
pub(crate) fn subtrees(start: u64, size: u64) -> impl DoubleEndedIterator<Item = (u8, u64)> {
    (0..64_u8).rev().filter(move |level| size >> level & 1 == 1).map(move |level| {
        // Until the end of this subtree, that is `size` without its lower bits.
        (level, (start >> level) + (size >> level) - 1)
    })
}

/// The root over a range, from the hashes of its complete subtrees.
pub(crate) fn range_root<E>(
    start: u64,
    size: u64,
    mut subtree: impl FnMut(u8, u64) -> Result<Sha256, E>,
) -> Result<Sha256, E> {
    let mut root = None;
    for (level, index) in subtrees(start, size).rev() {
        let left = subtree(level, index)?;
        root = Some(root.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(root.unwrap_or_else(empty_root))
}
