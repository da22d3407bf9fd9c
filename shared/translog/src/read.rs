//! Reading a published log.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use touchstone_domain::Sha256;
use touchstone_tlog::{
    AuthenticatedTiles, SignedHead, Tile, TreeHead, Wanted, authenticate,
    entries::parse_bundle,
    leaf_hash, plan,
    tile::{C2SP_CHECKPOINT, EntryTile, TilePath, WIDTH_FULL},
};

use crate::{LogError, LogKeys, files};

/// The longest checkpoint that is read, in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024;
/// The longest bundle of entries that is read, in bytes: a full one of the longest entries.
const BUNDLE_BYTES_MAX: u64 = 256 * (2 + 16 * 1024);
/// The number of entries of a full bundle.
const BUNDLE_ENTRIES: u64 = WIDTH_FULL as u64;

/// A directory that a log is published in. Nothing that it returns is verified, unless it says so.
#[derive(Clone, Debug)]
pub struct LogReader {
    dir: PathBuf,
}

impl LogReader {
    /// Reads from this directory, which exists; whether a log is in it shows later.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let failed = |source| LogError::Io { path: dir.to_owned(), source };
        if !std::fs::metadata(dir).map_err(failed)?.is_dir() {
            return Err(LogError::File(dir.display().to_string()));
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where it reads.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The checkpoint as it is published; none in an empty log. UNVERIFIED.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, LogError> {
        files::read(&self.dir, C2SP_CHECKPOINT, CHECKPOINT_BYTES_MAX)
    }

    /// The checkpoint, verified.
    pub fn head(&self, keys: &LogKeys) -> Result<Option<SignedHead>, LogError> {
        self.checkpoint()?.map(|note| keys.verify(&note).map_err(LogError::from)).transpose()
    }

    /// A tile of hashes, cut out of the full one where the partial one is gone. UNVERIFIED.
    pub fn tile(&self, tile: Tile) -> Result<Vec<u8>, LogError> {
        let full = tile.full();
        let bytes_max = full.size_bytes() as u64;
        if let Some(bytes) = files::read(&self.dir, &TilePath::Hashes(tile).c2sp(), bytes_max)? {
            return Ok(bytes);
        }
        let path = TilePath::Hashes(full).c2sp();
        let bytes = files::read(&self.dir, &path, bytes_max)?.ok_or(LogError::Missing(path))?;
        Ok(tile.truncate(&bytes)?.to_vec())
    }

    /// The entries of a bundle, out of the full one where the partial one is gone. UNVERIFIED.
    pub fn entries(&self, bundle: EntryTile) -> Result<Vec<Vec<u8>>, LogError> {
        let owned = |tile: &EntryTile, bytes: &[u8]| -> Result<Vec<Vec<u8>>, LogError> {
            Ok(parse_bundle(tile, bytes)?.into_iter().map(<[u8]>::to_vec).collect())
        };
        if let Some(bytes) = files::read(&self.dir, &TilePath::Entries(bundle).c2sp(), BUNDLE_BYTES_MAX)? {
            return owned(&bundle, &bytes);
        }
        let full = EntryTile::new(bundle.hashes().index(), WIDTH_FULL)?;
        let path = TilePath::Entries(full).c2sp();
        let bytes = files::read(&self.dir, &path, BUNDLE_BYTES_MAX)?.ok_or(LogError::Missing(path))?;
        let mut entries = owned(&full, &bytes)?;
        entries.truncate(bundle.hashes().width().into());
        Ok(entries)
    }

    /// A file of the log as it is, to pass on; only the checkpoint and tiles have such paths. UNVERIFIED.
    pub fn file(&self, path: &str) -> Result<Option<Vec<u8>>, LogError> {
        if path == C2SP_CHECKPOINT {
            return self.checkpoint();
        }
        let bytes_max = match TilePath::parse_c2sp(path)? {
            TilePath::Hashes(tile) => tile.full().size_bytes() as u64,
            TilePath::Entries(_) => BUNDLE_BYTES_MAX,
        };
        files::read(&self.dir, path, bytes_max)
    }

    /// Reads the tiles that it takes, and checks them up to the root of the head.
    pub fn authenticate(&self, head: &SignedHead, wanted: &Wanted) -> Result<AuthenticatedTiles, LogError> {
        let tiles = plan(head.head().size, wanted);
        let tiles: Vec<(Tile, Vec<u8>)> =
            tiles.into_iter().map(|tile| Ok((tile, self.tile(tile)?))).collect::<Result<_, LogError>>()?;
        Ok(authenticate(head, &tiles)?)
    }

    /// Checks that the tree of this head begins with an older one: neither smaller, nor another tree.
    pub fn consistent(&self, head: &SignedHead, old: &TreeHead) -> Result<(), LogError> {
        let size = head.head().size;
        if old.size > size {
            return Err(LogError::Rollback { seen: old.size, found: size });
        }
        let found = if old.size == size { head.head().root } else { self.root_of(head, old.size)? };
        if found == old.root { Ok(()) } else { Err(LogError::Fork { size: old.size, seen: old.root, found }) }
    }

    /// The root over the first entries of the tree of this head.
    pub fn root_of(&self, head: &SignedHead, prefix_size: u64) -> Result<Sha256, LogError> {
        let wanted = Wanted { prefixes: vec![prefix_size], leaves: vec![] };
        Ok(self.authenticate(head, &wanted)?.root_of(prefix_size)?)
    }

    /// The entries of the tree of this head, from one number until before another, each compared with its leaf. Ends after an
    /// error.
    pub fn iterate<'a>(&'a self, head: &'a SignedHead, from: u64, until: u64) -> Entries<'a> {
        Entries {
            reader: self,
            head,
            next: from,
            until: until.min(head.head().size),
            bundle: VecDeque::new(),
        }
    }
}

/// Entries that led to the root of a signed head, with their numbers; see [`LogReader::iterate`].
#[derive(Debug)]
pub struct Entries<'a> {
    reader: &'a LogReader,
    head: &'a SignedHead,
    next: u64,
    until: u64,
    /// The rest of the bundle that was read last.
    bundle: VecDeque<Vec<u8>>,
}

impl Entries<'_> {
    /// Reads the bundle that has the next entry, and checks what follows in it.
    fn refill(&mut self) -> Result<(), LogError> {
        let index = self.next / BUNDLE_ENTRIES;
        let first = index * BUNDLE_ENTRIES;
        let width = (self.head.head().size - first).min(BUNDLE_ENTRIES);
        let bundle = EntryTile::new(index, u16::try_from(width).expect("at most 256"))?;
        let tiles =
            self.reader.authenticate(self.head, &Wanted { leaves: vec![self.next], prefixes: vec![] })?;
        let skipped = usize::try_from(self.next - first).expect("at most 256");
        for (index, entry) in (self.next..).zip(self.reader.entries(bundle)?.into_iter().skip(skipped)) {
            if leaf_hash(&entry) != tiles.leaf(index)? {
                return Err(LogError::Entry { index });
            }
            self.bundle.push_back(entry);
        }
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, Vec<u8>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.until {
            return None;
        }
        if self.bundle.is_empty()
            && let Err(error) = self.refill()
        {
            self.until = self.next;
            return Some(Err(error));
        }
        let entry = self.bundle.pop_front().expect("a bundle has an entry for each leaf of the tree");
        self.next += 1;
        Some(Ok((self.next - 1, entry)))
    }
}
