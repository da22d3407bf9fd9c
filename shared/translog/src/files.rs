//! Files of a log: read without following links, written so that a crash leaves the old one or the new one.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};

use crate::LogError;

/// What everybody may read: a log is public to the roles of an installation.
const FILE_MODE: u32 = 0o644;

/// Reads a file; none if it is not there. One that is longer than `bytes_max` is refused, and so is what is no file.
pub(crate) fn read(dir: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, LogError> {
    let path = dir.join(name);
    let failed = |source| LogError::Io { path: path.clone(), source };
    // NONBLOCK: a FIFO in its place must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match open(&path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(LogError::File(name.to_owned())),
        Err(errno) => return Err(failed(errno.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(LogError::File(name.to_owned()));
    }
    let mut bytes = vec![];
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(LogError::File(name.to_owned()));
    }
    Ok(Some(bytes))
}

/// Writes a file as a whole: temporary file, fsync, rename. A crash may lose it until its directory, which is returned, was handed
/// to [`sync`].
pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, LogError> {
    let path = dir.join(name);
    let failed = |source| LogError::Io { path: path.clone(), source };
    let parent = path.parent().expect("a file is in a directory");
    create_dirs(dir, parent).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-").permissions(std::fs::Permissions::from_mode(FILE_MODE));
    let mut file = builder.tempfile_in(parent).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|refused| failed(refused.error))?;
    Ok(parent.to_owned())
}

/// Makes sure that a crash does not lose what was written in a directory.
pub(crate) fn sync(dir: &Path) -> Result<(), LogError> {
    sync_dir(dir).map_err(|source| LogError::Io { path: dir.to_owned(), source })
}

/// Creates the directories between `dir`, which exists, and `wanted`, so that a crash does not lose them.
fn create_dirs(dir: &Path, wanted: &Path) -> io::Result<()> {
    if wanted.is_dir() {
        return Ok(());
    }
    if wanted != dir
        && let Some(parent) = wanted.parent()
    {
        create_dirs(dir, parent)?;
        match std::fs::create_dir(wanted) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        return sync_dir(parent);
    }
    std::fs::create_dir_all(wanted)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
