//! The right edge of a tree: all that it takes to add leaves.

use touchstone_domain::Sha256;
use touchstone_tlog::{AuthenticatedTiles, HashReader, Tile, TreeHead, node_hash, tile::WIDTH_FULL};

/// The hashes of a full tile.
const FULL: usize = WIDTH_FULL as usize;

/// The partial tiles of a tree, from the lowest level up; a level without hashes has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    levels: Vec<Vec<Sha256>>,
}

impl Frontier {
    /// The edge of a tree without leaves.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The edge of the tree that these tiles were checked against.
    pub fn of(tiles: &AuthenticatedTiles) -> Self {
        let size = tiles.head().size;
        let mut levels: Vec<Vec<Sha256>> = vec![];
        for (tile, bytes) in tiles.tiles().filter(|(tile, _)| !tile.is_full()) {
            let level = usize::from(tile.level());
            levels.resize(levels.len().max(level + 1), vec![]);
            levels[level] = bytes.as_chunks::<32>().0.iter().copied().map(Sha256).collect();
        }
        Self { size, levels }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size and the root.
    pub fn head(&self) -> TreeHead {
        let root = self.root(self.size).expect("the partial tiles have all hashes that the root is made of");
        TreeHead { size: self.size, root }
    }

    /// The hashes of the last leaves, those that fill no tile.
    pub fn last_leaves(&self) -> &[Sha256] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Adds a leaf; returns the tiles that this filled.
    pub fn push(&mut self, leaf: Sha256) -> Vec<(Tile, Vec<u8>)> {
        let mut filled = vec![];
        let mut hash = leaf;
        self.size += 1;
        for level in 0_u8.. {
            let position = usize::from(level);
            if self.levels.len() == position {
                self.levels.push(vec![]);
            }
            self.levels[position].push(hash);
            if self.levels[position].len() < FULL {
                break;
            }
            let hashes = std::mem::take(&mut self.levels[position]);
            let index = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            let tile = Tile::new(level, index, WIDTH_FULL).expect("a tile of a tree that there is");
            filled.push((tile, hashes.iter().flat_map(|hash| hash.0).collect()));
            hash = complete_root(hashes);
        }
        filled
    }

    /// The partial tiles.
    pub fn partial(&self) -> Vec<(Tile, Vec<u8>)> {
        let tile = |(level, hashes): (u8, &Vec<Sha256>)| {
            let width = u16::try_from(hashes.len()).expect("at most 255");
            let index = self.size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            let tile = Tile::new(level, index, width).expect("a tile of a tree that there is");
            (tile, hashes.iter().flat_map(|hash| hash.0).collect())
        };
        (0_u8..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(tile).collect()
    }
}

impl HashReader for Frontier {
    /// Only what is in the partial tiles.
    fn subtree(&self, level: u8, index: u64) -> Option<Sha256> {
        let hashes = self.levels.get(usize::from(level / 8))?;
        let tile_first = self.size.checked_shr(8 * (u32::from(level / 8) + 1)).unwrap_or(0) * 256;
        let first = index.checked_mul(1 << (level % 8))?.checked_sub(tile_first)?;
        let first = usize::try_from(first).ok()?;
        let hashes = hashes.get(first..first.checked_add(1 << (level % 8))?)?;
        Some(complete_root(hashes.to_vec()))
    }
}

/// The root over hashes, which are as many as a power of two.
fn complete_root(mut hashes: Vec<Sha256>) -> Sha256 {
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes[0]
}
