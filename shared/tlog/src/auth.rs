//! Which tiles prove what, and the proof (ecosystems.md 7.3; CVE-2026-56865).
//!
//! In a tree of any size, a tile is one of two kinds. A **full** tile is the same in every larger tree, and its root is one of the
//! hashes of the tile above it, which is always there. A **partial** tile is at the right edge, at most one for each level; its
//! hashes are in no other tile, but in the root of the tree: a tile of width `w` adds a complete subtree for each bit of `w`.
//! So the partial tiles together, and nothing less, give the root; and each full tile leads upwards to one of them.
//!
//! *Invariant:* no tile is exempt. Either all tiles that were given lead to the root of the signed head, or none comes out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use touchstone_domain::Sha256;

use crate::{
    HashReader, SignedHead, Tile, TileError, TreeHead, node_hash,
    tile::{HASH_BYTES, LEVELS},
    tree::{range_root, subtrees},
};

/// What is asked of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The numbers of leaves.
    pub leaves: Vec<u64>,
    /// The sizes of older trees, whose roots are asked for.
    pub prefixes: Vec<u64>,
}

/// The tiles of a tree of this size that it takes to authenticate what is wanted, and no others, in order. A tile may be cut out of
/// one that is wider, from a larger tree ([`Tile::truncate`]). What is beyond the tree adds nothing, and is refused later.
pub fn plan(size: u64, wanted: &Wanted) -> Vec<Tile> {
    let mut tiles: BTreeSet<Tile> = edge(size).collect();
    let leaves = wanted.leaves.iter().filter(|leaf| **leaf < size).map(|leaf| (0, *leaf));
    let prefixes = wanted.prefixes.iter().filter(|prefix| **prefix <= size);
    for (level, index) in leaves.chain(prefixes.flat_map(|prefix| subtrees(0, *prefix))) {
        let mut next = place(level, index).and_then(|(tile, _)| Tile::in_tree(size, tile.0, tile.1));
        while let Some(tile) = next.filter(|tile| tiles.insert(*tile)) {
            next = parent(size, tile);
        }
    }
    tiles.into_iter().collect()
}

/// Checks all tiles, up to the root of the head. The widths are those of a tree of its size.
pub fn authenticate(head: &SignedHead, tiles: &[(Tile, Vec<u8>)]) -> Result<AuthenticatedTiles, TileError> {
    check(head.head(), tiles)
}

fn check(head: &TreeHead, given: &[(Tile, Vec<u8>)]) -> Result<AuthenticatedTiles, TileError> {
    let mut tiles = AuthenticatedTiles { head: *head, tiles: BTreeMap::new() };
    for (tile, bytes) in given {
        tiles.insert(*tile, bytes)?;
    }
    if let Some(missing) = edge(head.size).find(|tile| !tiles.tiles.contains_key(&tile.place())) {
        return Err(TileError::Missing(missing));
    }
    // Nothing but the partial tiles, which are all there, is read for this.
    if tiles.root_of(head.size)? != head.root {
        return Err(TileError::Root { size: head.size });
    }
    // From the top, so that the tile that is named is one whose parent is true.
    for (tile, hashes) in
        tiles.tiles().collect::<Vec<_>>().into_iter().rev().filter(|(tile, _)| tile.is_full())
    {
        if complete_root(hashes) != tiles.hash(8 * (tile.level() + 1), tile.index())? {
            return Err(TileError::Mismatch(tile));
        }
    }
    Ok(tiles)
}

/// Tiles that lead to the root of a signed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedTiles {
    head: TreeHead,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl AuthenticatedTiles {
    /// The head that they lead to.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The hash of a leaf. Its tile must have been planned for.
    pub fn leaf(&self, index: u64) -> Result<Sha256, TileError> {
        if index >= self.head.size {
            return Err(self.beyond(format!("leaf {index}")));
        }
        self.hash(0, index)
    }

    /// The root that the tree had when it had this size. Its tiles must have been planned for.
    pub fn root_of(&self, prefix_size: u64) -> Result<Sha256, TileError> {
        if prefix_size > self.head.size {
            return Err(self.beyond(format!("a prefix of size {prefix_size}")));
        }
        range_root(0, prefix_size, |level, index| self.hash(level, index))
    }

    /// All tiles, to keep.
    pub fn tiles(&self) -> impl Iterator<Item = (Tile, &[u8])> {
        self.names().zip(self.tiles.values().map(Vec::as_slice))
    }

    fn names(&self) -> impl DoubleEndedIterator<Item = Tile> {
        let name = |(level, index): &(u8, u64)| Tile::in_tree(self.head.size, *level, *index);
        self.tiles.keys().map(move |place| name(place).expect("only tiles of the tree were taken"))
    }

    fn insert(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), TileError> {
        let size = self.head.size;
        let expected = Tile::in_tree(size, tile.level(), tile.index());
        let expected = expected.ok_or_else(|| self.beyond(tile.to_string()))?;
        if tile != expected {
            return Err(TileError::Width { tile, expected: expected.width() });
        }
        if bytes.len() != tile.size_bytes() {
            return Err(TileError::Length { tile, found: bytes.len() });
        }
        if self.tiles.insert(tile.place(), bytes.to_vec()).is_some() {
            return Err(TileError::Duplicate(tile));
        }
        Ok(())
    }

    /// The hash of a complete subtree, out of the tile that it is in.
    fn hash(&self, level: u8, index: u64) -> Result<Sha256, TileError> {
        let beyond = || self.beyond(format!("the subtree at level {level} with index {index}"));
        let ((tile_level, tile_index), first) = place(level, index).ok_or_else(beyond)?;
        let tile = Tile::in_tree(self.head.size, tile_level, tile_index).ok_or_else(beyond)?;
        let hashes = self.tiles.get(&tile.place()).ok_or(TileError::Missing(tile))?;
        let hashes = hashes.get(first * HASH_BYTES..(first + (1 << (level % 8))) * HASH_BYTES);
        Ok(complete_root(hashes.ok_or_else(beyond)?))
    }

    fn beyond(&self, what: String) -> TileError {
        TileError::BeyondTree { what, size: self.head.size }
    }
}

impl HashReader for AuthenticatedTiles {
    fn subtree(&self, level: u8, index: u64) -> Option<Sha256> {
        self.hash(level, index).ok()
    }
}

/// The partial tiles of a tree of this size.
fn edge(size: u64) -> impl Iterator<Item = Tile> {
    let last =
        move |level| Tile::in_tree(size, level, size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0));
    (0..LEVELS).filter_map(last)
}

/// The tile whose hashes include the root of a full one.
fn parent(size: u64, tile: Tile) -> Option<Tile> {
    tile.is_full().then(|| Tile::in_tree(size, tile.level() + 1, tile.index() / 256)).flatten()
}

/// The tile (its level and index) that a complete subtree is in, and the place of its first hash there.
fn place(level: u8, index: u64) -> Option<((u8, u64), usize)> {
    let first = index.checked_mul(1 << (level % 8)).filter(|_| level < 8 * LEVELS)?;
    Some(((level / 8, first / 256), usize::try_from(first % 256).ok()?))
}

/// The root over hashes, which are as many as a power of two.
fn complete_root(hashes: &[u8]) -> Sha256 {
    let (pairs, _) = hashes.as_chunks::<HASH_BYTES>();
    let mut hashes: Vec<Sha256> = pairs.iter().copied().map(Sha256).collect();
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes[0]
}
