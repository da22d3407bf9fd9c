//! The files of keys: private halves, which are never overwritten, and the ring, which is replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use touchstone_custody::{KeyEntry, KeyRing};
use touchstone_runtime::durable::{self, parent, sync_directory};

use crate::custody;

/// The longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// The key ring's file, while nobody else changes it.
pub(super) struct RingFile {
    path: PathBuf,
    /// The keys, to be changed.
    pub(super) entries: Vec<KeyEntry>,
    /// Held until this is dropped.
    _lock: File,
}

impl RingFile {
    /// Opens a ring that is there for a change. Where it is not, nothing is made, and it is said what to do next: whoever gives a
    /// command in another directory than they think must not believe that it was done.
    pub(super) fn existing(path: &Path, next: &str) -> Result<Self> {
        if matches!(path.try_exists(), Ok(false)) {
            bail!(
                "there is no key ring {}, and nothing was changed; {next}; `touchstone keys init` makes one",
                std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display()
            );
        }
        Self::open(path)
    }

    /// Opens the ring for a change; one that is not there yet is empty. Waits for whoever changes it at the moment.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let directory = parent(path);
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let lock_path = path.with_extension("lock");
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock_path);
        let lock = lock.with_context(|| format!("cannot open {}", lock_path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        let entries = match path.try_exists() {
            Ok(false) => vec![],
            Ok(true) | Err(_) => custody::ring(path)?.entries().to_vec(),
        };
        Ok(Self { path: path.to_owned(), entries, _lock: lock })
    }

    /// Puts the changed ring into place: readers see the old one or the new one, and never a part.
    pub(super) fn save(self) -> Result<()> {
        let ring =
            KeyRing::new(self.entries).context("the key ring would be refused; nothing was changed")?;
        // Every role must be able to read it.
        durable::replace(&self.path, ring.to_json().as_bytes(), 0o644)
            .with_context(|| format!("cannot write the key ring {}", self.path.display()))
    }
}

/// Writes a private key that only its owner can read. What is there is not touched.
pub(super) fn write_private(path: &Path, pem: &str) -> Result<()> {
    let directory = parent(path);
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| {
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    });
    match written.and_then(|()| sync_directory(directory)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already, and a private key is never overwritten", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Puts a new private key in the place of another, which keeps a name of its own.
pub(super) fn exchange(current: &Path, kept: &Path, new: &Path) -> Result<()> {
    let exchanged = match fs::hard_link(current, kept) {
        // There is none to keep, or a command that was stopped half-way has kept it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
            Ok(())
        }
        linked => linked,
    };
    let exchanged =
        exchanged.and_then(|()| fs::rename(new, current)).and_then(|()| sync_directory(parent(current)));
    exchanged.with_context(|| format!("cannot put {} in the place of {}", new.display(), current.display()))
}

/// The password in a file, without the line break at its end.
pub(super) fn password(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text));
    read.with_context(|| format!("cannot read the password in {}", path.display()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("the password in {} is empty", path.display());
    }
    Ok(password.to_owned())
}
