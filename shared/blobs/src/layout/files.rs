//! System calls, as this crate makes them.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};
use sha2::{Digest as _, Sha256 as Hasher};
use touchstone_domain::{CHUNK_BYTES, Sha256};

use crate::{BlobError, Damage, ReadError};

/// Renames, but never onto something else.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

/// Opens a regular file and tells its size; never follows a link, never waits for a pipe.
pub(super) fn open_regular(path: &Path, sha256: Sha256) -> Result<(File, u64), ReadError> {
    let not_regular = ReadError::Damaged { sha256, detail: Damage::NotRegular };
    let file = match open_read(path) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Err(ReadError::Missing { sha256 }),
        Err(Errno::LOOP | Errno::NXIO) => return Err(not_regular),
        Err(error) => return Err(ReadError::io(sha256, error.into())),
    };
    let metadata = file.metadata().map_err(|source| ReadError::io(sha256, source))?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(not_regular) }
}

/// `NOFOLLOW`: a link is an error. `NONBLOCK`: a pipe without a writer does not make us wait; it does nothing to files.
pub(super) fn open_read(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

pub(super) fn sync_directory(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(BlobError::io("sync", path))
}

pub(super) fn digest(file: &File) -> io::Result<Sha256> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(Sha256(hasher.finalize().into())),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
