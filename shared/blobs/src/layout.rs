//! The directory: where things are, and the order of system calls that makes them durable. Everything here blocks.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, Metadata, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::io::Errno;
use tempfile::NamedTempFile;
use touchstone_domain::Sha256;

use self::files::{digest, open_read, open_regular, rename, sync_directory};
use crate::{BlobError, ReadError, error::is_device_error};

mod files;

/// Blobs never change, and nobody but their group reads them.
const BLOB_MODE: u32 = 0o440;
const DIRECTORY_MODE: u32 = 0o750;
/// Where packs are.
const PACKS: &str = "packs";
/// Damaged copies kept of one blob.
const ASIDE_MAX: u32 = 100;
/// How often a name may be contended before giving up; each attempt lost means another process got further.
const ATTEMPTS_MAX: u32 = 8;

/// Paths below one root.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    /// Prefixes whose directories this process has synced. A sibling may have created them without having synced them
    /// yet, so seeing them is not enough. At most 66,048 entries.
    durable: Mutex<HashSet<Prefix>>,
}

/// The directories that are made when they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    /// `sha256/ab`
    Blob(u8),
    /// `sha256/ab/cd`
    Blobs(u8, u8),
    /// `packs/ab`
    Packs(u8),
}

/// What is stored under the name of a blob.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// The blob.
    Whole,
    /// Something else.
    Damaged(Suspect),
}

/// What was examined and found damaged. The name may belong to a healed blob by the time somebody acts on it.
#[derive(Debug)]
pub(crate) struct Suspect {
    inode: Inode,
    /// Kept open: the number of a file that is open is not given to another one.
    _open: Option<File>,
}

/// The device and the number of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode(u64, u64);

impl Inode {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }

    /// What has the name now, links not followed; `None` if nothing has.
    fn at(path: &Path) -> Result<Option<Self>, BlobError> {
        match path.symlink_metadata() {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobError::io("look at", path)(error)),
        }
    }
}

impl Layout {
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        let layout = Self { root: root.to_owned(), durable: Mutex::default() };
        let names = ["sha256", PACKS, "tmp", "aside"];
        for directory in names.map(|name| layout.root.join(name)) {
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(&directory)
                .map_err(BlobError::io("create", &directory))?;
        }
        sync_directory(root)?;
        layout.remove_stale()?;
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn blob_path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root.join("sha256").join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Packs are many and small, and come while others wait: in 256 directories each is in one that is there already.
    pub(crate) fn pack_path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root.join(PACKS).join(&name[..2]).join(name)
    }

    /// Opens a blob and tells its size; never follows a link, never waits for a pipe.
    pub(crate) fn open_blob(&self, sha256: Sha256) -> Result<(File, u64), ReadError> {
        open_regular(&self.blob_path(sha256), sha256)
    }

    /// Opens a pack; those of older versions are among the blobs.
    pub(crate) fn open_pack(&self, sha256: Sha256) -> Result<(File, u64), ReadError> {
        match open_regular(&self.pack_path(sha256), sha256) {
            Err(ReadError::Missing { .. }) => self.open_blob(sha256),
            opened => opened,
        }
    }

    /// Hashes what is stored under a name; a size, when known, spares the work for a file that is too long.
    pub(crate) fn examine(&self, sha256: Sha256, size: Option<u64>) -> Result<Found, BlobError> {
        let path = self.blob_path(sha256);
        // before it is opened: what cannot be opened is at worst newer than this, and then nothing is moved
        let Some(inode) = Inode::at(&path)? else { return Ok(Found::Absent) };
        let (file, found) = match self.open_blob(sha256) {
            Ok(opened) => opened,
            Err(ReadError::Missing { .. }) => return Ok(Found::Absent),
            Err(ReadError::Io { source, .. }) => return Err(BlobError::io("open", &path)(source)),
            Err(ReadError::Damaged { .. } | ReadError::Range { .. } | ReadError::TooLarge { .. }) => {
                return Ok(Found::Damaged(Suspect { inode, _open: None }));
            }
        };
        if size.is_none_or(|size| size == found) {
            match digest(&file) {
                Ok(digest) if digest == sha256 => return Ok(Found::Whole),
                Ok(_) => {}
                Err(error) if is_device_error(&error) => {}
                Err(error) => return Err(BlobError::io("read", &path)(error)),
            }
        }
        let metadata = file.metadata().map_err(BlobError::io("look at", &path))?;
        Ok(Found::Damaged(Suspect { inode: Inode::of(&metadata), _open: Some(file) }))
    }

    /// Renames what was examined to the first free name in `aside/`; false if something else, or nothing, has the name
    /// now.
    pub(crate) fn move_aside(&self, sha256: Sha256, suspect: &Suspect) -> Result<bool, BlobError> {
        if Inode::at(&self.blob_path(sha256))? != Some(suspect.inode) {
            return Ok(false);
        }
        self.rename_aside(sha256, suspect)
    }

    /// The part of [`Layout::move_aside`] after the look. There is no rename of an inode: a blob that was healed since
    /// is moved too, and put back.
    pub(crate) fn rename_aside(&self, sha256: Sha256, suspect: &Suspect) -> Result<bool, BlobError> {
        let path = self.blob_path(sha256);
        let aside = self.root.join("aside");
        for n in 0..ASIDE_MAX {
            let target = aside.join(format!("{sha256}.{n}"));
            match rename(&path, &target) {
                Ok(()) => {}
                Err(Errno::NOENT) => return Ok(false),
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(BlobError::io("set aside", &path)(error.into())),
            }
            if Inode::at(&target)? != Some(suspect.inode) {
                put_back(&target, &path)?;
                return Ok(false);
            }
            tracing::warn!(%sha256, evidence = %target.display(), "moved a damaged blob aside");
            sync_directory(&aside)?;
            return Ok(true);
        }
        Err(BlobError::AsideFull { sha256, limit: ASIDE_MAX })
    }

    /// Creates a temporary file and locks it, so that a sibling's [`Layout::remove_stale`] leaves it alone.
    pub(crate) fn create_temporary(&self) -> Result<NamedTempFile, BlobError> {
        let directory = self.temporary();
        for _ in 0..ATTEMPTS_MAX {
            let file = tempfile::Builder::new()
                .prefix("put-")
                .tempfile_in(&directory)
                .map_err(BlobError::io("create a file in", &directory))?;
            match file.as_file().try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(BlobError::io("lock", file.path())(error)),
            }
            // a sibling may have locked and removed it before this process could lock it
            let metadata = file.as_file().metadata().map_err(BlobError::io("look at", file.path()))?;
            if metadata.nlink() > 0 {
                return Ok(file);
            }
        }
        Err(BlobError::io("lock a file in", &directory)(io::ErrorKind::ResourceBusy.into()))
    }

    /// Gives a finished temporary file its name. When this returns, the blob survives a power cut.
    pub(crate) fn commit(
        &self,
        temporary: &NamedTempFile,
        sha256: Sha256,
        size: u64,
    ) -> Result<(), BlobError> {
        let (file, path) = (temporary.as_file(), temporary.path());
        file.set_permissions(Permissions::from_mode(BLOB_MODE))
            .map_err(BlobError::io("set the mode of", path))?;
        file.sync_all().map_err(BlobError::io("sync", path))?;
        let directory = self.create_parents(sha256)?;
        self.link(path, sha256, size)?;
        // also when a sibling has linked it: its own sync may be still to come
        sync_directory(&directory)
    }

    /// Gives a finished temporary file its name among the packs. When this returns, the pack survives a power cut.
    ///
    /// It has its name before it is durable, so that the journal of the file system is written once: nobody knows the name yet, and
    /// what a power cut leaves under it is what nobody asks for.
    pub(crate) fn commit_pack(
        &self,
        temporary: NamedTempFile,
        sha256: Sha256,
        size: u64,
    ) -> Result<(), BlobError> {
        let target = self.pack_path(sha256);
        let directory = self.create_child(&self.root.join(PACKS), sha256.0[0], Prefix::Packs(sha256.0[0]))?;
        let naming = BlobError::io("name", &target);
        temporary
            .as_file()
            .set_permissions(Permissions::from_mode(BLOB_MODE))
            .map_err(BlobError::io("set the mode of", temporary.path()))?;
        let (file, is_new) = match temporary.persist_noclobber(&target) {
            Ok(file) => (file, true),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                let found = open_regular(&target, sha256).ok();
                let is_whole = |(file, found): &(File, u64)| {
                    size == *found && digest(file).is_ok_and(|digest| digest == sha256)
                };
                match found.filter(is_whole) {
                    Some((file, _)) => (file, false),
                    // what is damaged is no evidence: none of its envelopes is read
                    None => (refused.file.persist(&target).map_err(|refused| naming(refused.error))?, true),
                }
            }
            Err(refused) => return Err(naming(refused.error)),
        };
        if let Err(error) = file.sync_all() {
            // who writes the same once more must not find it, and take it for durable; what cannot be removed is not durable either
            if is_new {
                let _left = fs::remove_file(&target);
            }
            return Err(BlobError::io("sync", &target)(error));
        }
        sync_directory(&directory)
    }

    /// Gives a finished temporary file a name in the root, unless another one has it already.
    pub(crate) fn name(&self, temporary: &NamedTempFile, target: &Path) -> Result<(), BlobError> {
        let (file, path) = (temporary.as_file(), temporary.path());
        file.set_permissions(Permissions::from_mode(BLOB_MODE))
            .map_err(BlobError::io("set the mode of", path))?;
        file.sync_all().map_err(BlobError::io("sync", path))?;
        match fs::hard_link(path, target) {
            Ok(()) => sync_directory(&self.root),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(BlobError::io("link", target)(error)),
        }
    }

    /// Links, or finds that the same content is there already; anything else under the name is moved aside.
    fn link(&self, temporary: &Path, sha256: Sha256, size: u64) -> Result<(), BlobError> {
        let target = self.blob_path(sha256);
        for _ in 0..ATTEMPTS_MAX {
            match fs::hard_link(temporary, &target) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    match self.examine(sha256, Some(size))? {
                        Found::Whole => return Ok(()),
                        Found::Absent => {}
                        Found::Damaged(suspect) => {
                            self.move_aside(sha256, &suspect)?;
                        }
                    }
                }
                Err(error) => return Err(BlobError::io("link", &target)(error)),
            }
        }
        Err(BlobError::io("link", &target)(io::ErrorKind::ResourceBusy.into()))
    }

    /// Creates `sha256/ab/cd`, and syncs each one's parent once per process or when it is new.
    fn create_parents(&self, sha256: Sha256) -> Result<PathBuf, BlobError> {
        let [first, second] = [sha256.0[0], sha256.0[1]];
        let directory = self.create_child(&self.root.join("sha256"), first, Prefix::Blob(first))?;
        self.create_child(&directory, second, Prefix::Blobs(first, second))
    }

    /// Creates `ab` in a directory, and syncs that one.
    fn create_child(&self, directory: &Path, byte: u8, prefix: Prefix) -> Result<PathBuf, BlobError> {
        let known = self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(&prefix);
        let child = directory.join(format!("{byte:02x}"));
        let created = match DirBuilder::new().mode(DIRECTORY_MODE).create(&child) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(BlobError::io("create", &child)(error)),
        };
        if created || !known {
            sync_directory(directory)?;
        }
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(prefix);
        Ok(child)
    }

    /// Removes the temporary files that no living process has locked.
    fn remove_stale(&self) -> Result<(), BlobError> {
        let directory = self.temporary();
        let listing = |error| BlobError::io("list", &directory)(error);
        for entry in fs::read_dir(&directory).map_err(listing)? {
            let path = entry.map_err(listing)?.path();
            let Ok(file) = open_read(&path) else { continue };
            let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
            if !regular || file.try_lock().is_err() {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "removed the temporary file of a dead process");
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(BlobError::io("remove", &path)(error)),
            }
        }
        Ok(())
    }
}

/// Gives a blob that was moved by mistake its name back, unless another one has it already; then it stays aside.
pub(crate) fn put_back(target: &Path, path: &Path) -> Result<(), BlobError> {
    match rename(target, path) {
        Ok(()) => sync_directory(path.parent().expect("a blob is in a directory")),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(BlobError::io("put back", path)(error.into())),
    }
}
