//! What the tests of this crate share: a store in a directory of its own, and artifacts that were "promoted".

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, ChunkList, Ecosystem, FileName, PackageName, PromotedArtifact, ServeRecord,
    Sha256, Sha512, Version,
};

use crate::BlobStore;

pub(crate) struct Fixture {
    pub(crate) store: BlobStore,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = BlobStore::open(directory.path()).await.expect("opens");
        Self { store, directory }
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root().join("sha256").join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Stores bytes and promotes them.
    pub(crate) async fn promoted(&self, bytes: &[u8]) -> Arc<PromotedArtifact> {
        self.store.put_bytes(Bytes::copy_from_slice(bytes)).await.expect("stored");
        promoted(bytes)
    }

    /// Replaces what is stored under a name, past the store.
    pub(crate) fn plant(&self, sha256: Sha256, bytes: &[u8]) {
        fs::remove_file(self.path(sha256)).expect("was there");
        fs::write(self.path(sha256), bytes).expect("writes");
    }

    /// The names in a directory of the store, sorted.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(directory)).expect("lists");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("entry").file_name().into_string().expect("ASCII")).collect();
        names.sort();
        names
    }

    /// Waits until the blocking pool has removed every temporary file.
    pub(crate) async fn no_temporary_left(&self) {
        let empty = async {
            while !self.names("tmp").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), empty).await.expect("temporary files are removed");
    }
}

/// A file whose first bytes cannot be read, with the error of a bad sector: nothing is mapped at the address 0.
pub(crate) fn unreadable() -> File {
    File::open("/proc/self/mem").expect("opens")
}

/// Bytes in which no two chunks are alike.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ size as u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// An artifact with a serve record for these bytes, stored or not.
pub(crate) fn promoted(bytes: &[u8]) -> Arc<PromotedArtifact> {
    let id = ArtifactId {
        ecosystem: Ecosystem::Npm,
        package: PackageName::new("left-pad").expect("name"),
        version: Version::new("1.0.0").expect("version"),
        file: FileName::new("left-pad-1.0.0.tgz").expect("file"),
    };
    let chunks = ChunkList::of(bytes);
    let record = ServeRecord {
        artifact: ArtifactDbId(1),
        id: id.clone(),
        sha256: Sha256::of(bytes),
        sha512: Sha512::of(bytes),
        size: bytes.len() as u64,
        chunk_root: chunks.root(),
        epoch: 1,
        policy_epoch: 1,
        serial: 1,
        promoted_at: jiff::Timestamp::UNIX_EPOCH,
    };
    Arc::new(PromotedArtifact::bind(record, &id, chunks).expect("binds"))
}
