//! The last head of the log that this edge has seen, kept over restarts.
//!
//! *Invariant:* a head that was followed is on disk before any of its entries counts.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use touchstone_domain::Sha256;
use touchstone_runtime::durable;
use touchstone_tlog::TreeHead;

/// The name of the file.
const FILE: &str = "log-head.json";
/// The largest file, in bytes: a checkpoint and a little more.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Where the head is kept.
#[derive(Debug)]
pub(super) struct SeenFile {
    dir: PathBuf,
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    origin: String,
    size: u64,
    root: Sha256,
    /// The checkpoint, as evidence.
    note: String,
}

impl SeenFile {
    /// Keeps it in this directory, which is made if it is not there.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The head on disk; none before the first. One of another log is refused.
    pub(super) fn load(&self, origin: &str) -> io::Result<Option<TreeHead>> {
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![];
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let kept: Kept = serde_json::from_slice(&bytes)?;
        if kept.origin != origin {
            let problem = format!("it is of the log {:?}, not of {origin:?}", kept.origin);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(Some(TreeHead { size: kept.size, root: kept.root }))
    }

    /// Replaces it: the old one or the new one is there, whenever the power fails.
    pub(super) fn save(&self, origin: &str, head: &TreeHead, note: &[u8]) -> io::Result<()> {
        let note = String::from_utf8_lossy(note).into_owned();
        let kept = Kept { origin: origin.to_owned(), size: head.size, root: head.root, note };
        durable::replace(&self.path(), &serde_json::to_vec(&kept)?, 0o600)
    }
}
