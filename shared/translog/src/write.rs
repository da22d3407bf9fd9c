//! Publishing a log: bundles and tiles first, the checkpoint last.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use touchstone_tlog::{
    SignedHead, Tile, TreeHead, Wanted,
    entries::bundle,
    leaf_hash,
    tile::{C2SP_CHECKPOINT, EntryTile, TilePath, WIDTH_FULL},
};

use crate::{Frontier, LogError, LogReader, files};

/// Held while files are written: one writer at a time.
const LOCK: &str = ".lock";
/// The longest file of a log, in bytes.
const FILE_BYTES_MAX: u64 = 256 * (2 + 65_535);

/// Adds to a published log. Holds the right edge of the tree, never the whole log.
///
/// ```text
/// open ─▶ append* ─▶ publish ─▶ append* ─▶ publish …
///         full bundles and tiles     the partial ones, then the checkpoint
/// ```
#[derive(Debug)]
pub struct LogWriter {
    reader: LogReader,
    frontier: Frontier,
    /// The entries of the last, partial bundle.
    last_entries: Vec<Vec<u8>>,
    /// The checkpoint that is published, and its size.
    published: Option<(Vec<u8>, u64)>,
    /// Directories with files that a crash may still lose.
    unsynced: BTreeSet<PathBuf>,
    /// Directories of partial files that full ones stand for once the next checkpoint is published.
    outgrown: Vec<PathBuf>,
}

impl LogWriter {
    /// Goes on with what is published: `published` is the checkpoint that is in the directory. Creates the directory.
    pub fn open(dir: &Path, published: Option<&SignedHead>) -> Result<Self, LogError> {
        let mut writer = Self::rebuild(dir, published)?;
        if let Some(head) = published {
            let size = head.head().size;
            let last = Tile::in_tree(size, 0, size / u64::from(WIDTH_FULL));
            let leaves: Vec<u64> = size.checked_sub(1).into_iter().collect();
            let tiles = writer.reader.authenticate(head, &Wanted { leaves, prefixes: vec![] })?;
            writer.frontier = Frontier::of(&tiles);
            if let Some(last) = last {
                let first = size - u64::from(last.width());
                writer.last_entries = writer.reader.entries(EntryTile::new(last.index(), last.width())?)?;
                for (index, entry) in (first..).zip(&writer.last_entries) {
                    if leaf_hash(entry) != tiles.leaf(index)? {
                        return Err(LogError::Entry { index });
                    }
                }
            }
        }
        Ok(writer)
    }

    /// Begins with the first entry, whatever is published: what is there must be the same, and what is missing is written again.
    pub fn rebuild(dir: &Path, published: Option<&SignedHead>) -> Result<Self, LogError> {
        std::fs::create_dir_all(dir).map_err(|source| LogError::Io { path: dir.to_owned(), source })?;
        Ok(Self {
            reader: LogReader::open(dir)?,
            frontier: Frontier::empty(),
            last_entries: vec![],
            published: published.map(|head| (head.note().to_vec(), head.head().size)),
            unsynced: BTreeSet::new(),
            outgrown: vec![],
        })
    }

    /// The size and the root over what was added.
    pub fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    /// The checkpoint that is published.
    pub fn published(&self) -> Option<&[u8]> {
        self.published.as_ref().map(|(note, _)| note.as_slice())
    }

    /// The right edge of the tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Adds entries, the first of which has this number. Writes the bundles and tiles that they fill; nobody sees them yet.
    pub fn append(&mut self, first_index: u64, entries: &[Vec<u8>]) -> Result<(), LogError> {
        let found = self.frontier.size();
        if first_index != found {
            return Err(LogError::Sequence { expected: first_index, found });
        }
        let _lock = self.lock()?;
        for entry in entries {
            self.last_entries.push(entry.clone());
            let filled = self.frontier.push(leaf_hash(entry));
            for (tile, hashes) in filled {
                if tile.level() == 0 {
                    let entries = EntryTile::new(tile.index(), WIDTH_FULL)?;
                    let bytes = bundle(self.last_entries.iter().map(Vec::as_slice))?;
                    self.write(TilePath::Entries(entries), &bytes)?;
                    self.last_entries.clear();
                }
                self.write(TilePath::Hashes(tile), &hashes)?;
            }
        }
        Ok(())
    }

    /// Publishes what was added: `head` is the checkpoint over it.
    pub fn publish(&mut self, head: &SignedHead) -> Result<(), LogError> {
        if *head.head() != self.head() {
            return Err(LogError::Signed);
        }
        let _lock = self.lock()?;
        let published = self.reader.checkpoint()?;
        if published.as_deref() != self.published.as_ref().map(|(note, _)| note.as_slice()) {
            return Err(LogError::Published(C2SP_CHECKPOINT.to_owned()));
        }
        if let Some((_, size)) = self.published
            && size > head.head().size
        {
            return Err(LogError::Rollback { seen: size, found: head.head().size });
        }
        for (tile, hashes) in self.frontier.partial() {
            if tile.level() == 0 {
                let entries = EntryTile::new(tile.index(), tile.width())?;
                let bytes = bundle(self.last_entries.iter().map(Vec::as_slice))?;
                self.write(TilePath::Entries(entries), &bytes)?;
            }
            self.write(TilePath::Hashes(tile), &hashes)?;
        }
        while let Some(directory) = self.unsynced.pop_first() {
            files::sync(&directory)?;
        }
        write_beside(self.reader.dir(), C2SP_CHECKPOINT, head.note())?;
        self.published = Some((head.note().to_vec(), head.head().size));
        for directory in self.outgrown.drain(..) {
            // Readers with an older checkpoint cut theirs out of the full one.
            let _gone = std::fs::remove_dir_all(directory);
        }
        Ok(())
    }

    /// Writes a bundle or a tile, if it is not there already. One that the published checkpoint covers never changes.
    fn write(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), LogError> {
        let tile = match path {
            TilePath::Hashes(tile) => tile,
            TilePath::Entries(entries) => entries.hashes(),
        };
        let name = path.c2sp();
        if tile.is_full() {
            self.outgrown.push(self.reader.dir().join(format!("{name}.p")));
        }
        if let Some(there) = files::read(self.reader.dir(), &name, FILE_BYTES_MAX)? {
            if there == bytes {
                return Ok(());
            }
            let end = (tile.index() * u64::from(WIDTH_FULL) + u64::from(tile.width())) << (8 * tile.level());
            if self.published.as_ref().is_some_and(|(_, size)| end <= *size) {
                return Err(LogError::Published(name));
            }
        }
        self.unsynced.insert(files::write(self.reader.dir(), &name, bytes)?);
        Ok(())
    }

    /// Waits for the other writers. Where the file system has no locks, there is none.
    fn lock(&self) -> Result<Option<File>, LogError> {
        let path = self.reader.dir().join(LOCK);
        let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
        match locked {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
            Err(source) => Err(LogError::Io { path, source }),
        }
    }
}

/// Writes a file beside the log in its directory, such as what a witness said of its checkpoint.
pub fn write_beside(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    files::sync(&files::write(dir, name, bytes)?)
}
