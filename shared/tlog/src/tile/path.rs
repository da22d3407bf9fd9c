//! The two ways to name tiles in URLs: of the Go checksum database, and of C2SP tlog-tiles.

use std::fmt::Write as _;

use super::{Tile, TileError, WIDTH_FULL};

/// Where a Go checksum database has its newest tree note.
pub const SUMDB_LATEST: &str = "latest";
/// Where a C2SP log has its newest checkpoint.
pub const C2SP_CHECKPOINT: &str = "checkpoint";
/// The longest path.
const PATH_BYTES_MAX: usize = 64;

/// A tile of entries: what the leaves of a tile of level 0 hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryTile(Tile);

impl EntryTile {
    /// Names a tile of entries that some tree has.
    pub fn new(index: u64, width: u16) -> Result<Self, TileError> {
        Tile::new(0, index, width).map(Self)
    }

    /// The tile with the hashes of these entries.
    pub fn hashes(&self) -> Tile {
        self.0
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// Hashes of the tree.
    Hashes(Tile),
    /// Entries, which the leaves of the tree are the hashes of.
    Entries(EntryTile),
}

impl TilePath {
    /// Reads `tile/8/LEVEL/INDEX[.p/WIDTH]` or `tile/8/data/INDEX[.p/WIDTH]`, without a slash before it. Every tile has one path:
    /// another spelling is none.
    pub fn parse_sumdb(path: &str) -> Result<Self, TileError> {
        Self::parse(path, "tile/8/", "data", Self::sumdb)
    }

    /// Reads `tile/LEVEL/INDEX[.p/WIDTH]` or `tile/entries/INDEX[.p/WIDTH]`, without a slash before it.
    pub fn parse_c2sp(path: &str) -> Result<Self, TileError> {
        Self::parse(path, "tile/", "entries", Self::c2sp)
    }

    /// The path in a Go checksum database, without a slash before it.
    pub fn sumdb(&self) -> String {
        self.path("tile/8/", "data")
    }

    /// The path in a C2SP log, without a slash before it.
    pub fn c2sp(&self) -> String {
        self.path("tile/", "entries")
    }

    fn path(&self, before: &str, entries: &str) -> String {
        let tile = self.tile();
        let level = match self {
            Self::Hashes(tile) => tile.level.to_string(),
            Self::Entries(_) => entries.to_owned(),
        };
        let mut path = format!("{before}{level}/{}", groups(tile.index));
        if tile.width != WIDTH_FULL {
            write!(path, ".p/{}", tile.width).expect("a string takes everything");
        }
        path
    }

    /// Of the same shape as what it names.
    fn tile(&self) -> Tile {
        match self {
            Self::Hashes(tile) => *tile,
            Self::Entries(entries) => entries.0,
        }
    }

    fn parse(
        path: &str,
        before: &str,
        entries: &str,
        encode: fn(&Self) -> String,
    ) -> Result<Self, TileError> {
        let named = (path.len() <= PATH_BYTES_MAX).then(|| read(path, before, entries)).flatten();
        // No sign, leading zero, empty group or width 256 comes back as it was.
        named.filter(|named| encode(named) == path).ok_or(TileError::Path)
    }
}

/// Reads a path, and other spellings of it.
fn read(path: &str, before: &str, entries: &str) -> Option<TilePath> {
    let (level, rest) = path.strip_prefix(before)?.split_once('/')?;
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok()?),
        None => (rest, WIDTH_FULL),
    };
    let mut index = 0_u64;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group).parse::<u16>().ok()?;
        index = index.checked_mul(1000)?.checked_add(digits.into())?;
    }
    Some(if level == entries {
        TilePath::Entries(EntryTile::new(index, width).ok()?)
    } else {
        TilePath::Hashes(Tile::new(level.parse().ok()?, index, width).ok()?)
    })
}

/// Groups of three digits, each but the last after an `x`.
fn groups(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}
