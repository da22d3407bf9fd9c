//! Tiles: 256 neighbouring hashes of a tree, or fewer at its right edge, and what they are called.

mod path;

#[cfg(test)]
mod tests;

pub use path::{C2SP_CHECKPOINT, EntryTile, SUMDB_LATEST, TilePath};

use crate::SIZE_MAX;

/// The number of hashes of a full tile.
pub const WIDTH_FULL: u16 = 256;
/// The length of a hash, in bytes.
pub(crate) const HASH_BYTES: usize = 32;
/// The levels of tiles that a tree can have.
pub(crate) const LEVELS: u8 = 8;

/// Why tiles are not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// No tree has such a tile: a level above 7, a width that is not 1 to 256, or a leaf beyond [`SIZE_MAX`].
    #[error("no tree has a tile at level {level} with index {index} and width {width}")]
    Impossible {
        /// The level.
        level: u8,
        /// The index.
        index: u64,
        /// The width.
        width: u16,
    },
    /// Not the path of a tile as its encoding has it.
    #[error("not the path of a tile")]
    Path,
    /// Not the entries of a tile as their encoding has them.
    #[error("not the entries of a tile")]
    Entries,
    /// The tree has no such tile, leaf or prefix.
    #[error("{what} is beyond the tree, which has size {size}")]
    BeyondTree {
        /// What was asked for or given.
        what: String,
        /// The size of the tree.
        size: u64,
    },
    /// In this tree the tile has another width.
    #[error("{tile} has width {expected} in this tree")]
    Width {
        /// The tile.
        tile: Tile,
        /// The width that it must have.
        expected: u16,
    },
    /// The bytes are not as many as the hashes of the tile have.
    #[error("{tile} has {found} bytes")]
    Length {
        /// The tile.
        tile: Tile,
        /// The number of bytes.
        found: usize,
    },
    /// The tile was given twice.
    #[error("{0} is there twice")]
    Duplicate(Tile),
    /// The tile is needed, and was not given.
    #[error("{0} is missing")]
    Missing(Tile),
    /// The tiles at the right edge do not lead to the root that was signed: one of them, at least, is not of this tree.
    #[error("the tiles at the right edge do not lead to the root of the signed head, of size {size}")]
    Root {
        /// The size of the tree.
        size: u64,
    },
    /// The tile is not what the tile above it says.
    #[error("{0} does not lead to its hash in the tile above it")]
    Mismatch(Tile),
}

impl TileError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Impossible { .. } => "tile_impossible",
            Self::Path => "tile_path",
            Self::Entries => "tile_entries",
            Self::BeyondTree { .. } => "tile_beyond_tree",
            Self::Width { .. } => "tile_width",
            Self::Length { .. } => "tile_length",
            Self::Duplicate(_) => "tile_duplicate",
            Self::Missing(_) => "tile_missing",
            Self::Root { .. } => "tile_root",
            Self::Mismatch(_) => "tile_mismatch",
        }
    }
}

/// The name of a tile of hashes. Hash `i` of it is that of the complete subtree over the `256^level` leaves from
/// `(index * 256 + i) * 256^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// Names a tile that some tree has.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let tile = Self { level, index, width };
        let end = || index.checked_mul(256)?.checked_add(width.into())?.checked_mul(1 << (8 * level));
        let possible =
            level < LEVELS && (1..=WIDTH_FULL).contains(&width) && end().is_some_and(|end| end <= SIZE_MAX);
        possible.then_some(tile).ok_or(TileError::Impossible { level, index, width })
    }

    /// The tile that a tree has at this place, with the width that it has there. `None` if it has none.
    pub fn in_tree(size: u64, level: u8, index: u64) -> Option<Self> {
        let hashes = size.checked_shr(8 * u32::from(level))?;
        let width = hashes.saturating_sub(index.checked_mul(256)?).min(WIDTH_FULL.into());
        Self::new(level, index, u16::try_from(width).ok()?).ok()
    }

    /// Its level: 0 has the hashes of leaves, and each above it the roots of the full tiles below.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Its index in the level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The number of its hashes: 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Its level and index: what tells it from the other tiles of one tree.
    pub(crate) fn place(&self) -> (u8, u64) {
        (self.level, self.index)
    }

    /// The length of its hashes, in bytes.
    pub fn size_bytes(&self) -> usize {
        usize::from(self.width) * HASH_BYTES
    }

    /// Whether it has all its hashes, so that it is the same in every larger tree.
    pub fn is_full(&self) -> bool {
        self.width == WIDTH_FULL
    }

    /// The same tile with all its hashes, to ask for when a log no longer has the partial one.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: WIDTH_FULL, ..self }
    }

    /// This tile, out of the bytes of the same tile at this width or any above, from a larger tree. They are no better
    /// authenticated than before.
    pub fn truncate<'a>(&self, wider: &'a [u8]) -> Result<&'a [u8], TileError> {
        let whole = wider.len().is_multiple_of(HASH_BYTES) && wider.len() <= self.full().size_bytes();
        let bytes = whole.then(|| wider.get(..self.size_bytes())).flatten();
        bytes.ok_or(TileError::Length { tile: *self, found: wider.len() })
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the tile at level {} with index {} and width {}", self.level, self.index, self.width)
    }
}
