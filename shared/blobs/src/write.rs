//! Writing: bytes become chunks, chunks are hashed and written on the blocking pool, and only a commit names them.

use std::{io::Write as _, mem, sync::Arc};

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest as _, Sha256 as Sha256Hasher, Sha512 as Sha512Hasher};
use tempfile::NamedTempFile;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
};
use touchstone_domain::{Algorithm, CHUNK_BYTES, ChunkList, Digest, Sha256, Sha512};

use crate::{BlobError, layout::Layout};

/// A blob that is being written. Dropping it removes what was written.
///
/// One chunk is collected while the one before it is hashed and written, by a job of its own: a slow upstream keeps no
/// thread of the pool that serves readers.
#[derive(Debug)]
pub struct BlobWriter {
    layout: Arc<Layout>,
    size_max: u64,
    /// Bytes accepted.
    size: u64,
    /// Those not handed over yet; less than a chunk between calls.
    chunk: Vec<u8>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Idle(Box<Sink>),
    Busy(JoinHandle<Result<Box<Sink>, BlobError>>),
    Failed,
}

impl BlobWriter {
    pub(crate) async fn create(layout: Arc<Layout>, size_max: u64) -> Result<Self, BlobError> {
        let inner = Arc::clone(&layout);
        let sink = spawn_blocking(move || Sink::create(&inner))
            .await
            .map_err(BlobError::stopped(layout.root()))
            .flatten()?;
        Ok(Self { layout, size_max, size: 0, chunk: Vec::new(), work: Work::Idle(Box::new(sink)) })
    }

    /// Appends bytes; waits while the disk is slower than the caller. An error, or dropping the call half-way, is final:
    /// every later call fails.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        if matches!(self.work, Work::Failed) {
            return Err(BlobError::Abandoned);
        }
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > self.size_max {
            self.work = Work::Failed;
            return Err(BlobError::TooLarge { limit: self.size_max });
        }
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            self.chunk.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.chunk.len() == CHUNK_BYTES {
                let mut sink = self.idle().await?;
                let chunk = mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
                self.work = Work::Busy(spawn_blocking(move || sink.write(&chunk).map(|()| sink)));
            }
        }
        Ok(())
    }

    /// Ends the content: its digests are known, but it has no name yet.
    pub async fn finish(mut self) -> Result<Staged, BlobError> {
        let mut sink = self.idle().await?;
        let (layout, rest, size) = (Arc::clone(&self.layout), mem::take(&mut self.chunk), self.size);
        let staging = spawn_blocking(move || {
            if !rest.is_empty() {
                sink.write(&rest)?;
            }
            // differs when a call to `write` was dropped while it waited
            if sink.size != size {
                return Err(BlobError::Abandoned);
            }
            let (temporary, contents) = sink.finish();
            Ok(Staged { layout, temporary, contents })
        });
        staging.await.map_err(BlobError::stopped(self.layout.root())).flatten()
    }

    /// Waits for the job in flight and takes the sink out; the caller puts it back, or the writer has failed.
    async fn idle(&mut self) -> Result<Box<Sink>, BlobError> {
        if let Work::Busy(job) = &mut self.work {
            let done = job.await.map_err(BlobError::stopped(self.layout.root())).flatten();
            self.work = Work::Failed;
            return done;
        }
        match mem::replace(&mut self.work, Work::Failed) {
            Work::Idle(sink) => Ok(sink),
            Work::Busy(_) | Work::Failed => Err(BlobError::Abandoned),
        }
    }
}

/// Content that is complete and hashed, but not in the store. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    layout: Arc<Layout>,
    temporary: Temporary,
    contents: Contents,
}

impl Staged {
    /// What was written: compare it with every claim before committing.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Makes the content durable under its digest. The same content may be there already; a damaged file under the
    /// name is moved aside.
    pub async fn commit(self) -> Result<Contents, BlobError> {
        let layout = Arc::clone(&self.layout);
        spawn_blocking(move || commit(&self.layout, self.temporary, self.contents))
            .await
            .map_err(BlobError::stopped(layout.root()))
            .flatten()
    }
}

fn commit(layout: &Layout, temporary: Temporary, contents: Contents) -> Result<Contents, BlobError> {
    layout.commit(temporary.file(), contents.sha256, contents.size)?;
    temporary.remove();
    Ok(contents)
}

/// What bytes are: their number and digests, all computed while they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Their number.
    pub size: u64,
    /// For registries that declare nothing better.
    pub sha1: [u8; 20],
    /// The name of the blob.
    pub sha256: Sha256,
    /// The second strong digest.
    pub sha512: Sha512,
    /// What ranges are verified with.
    pub chunks: ChunkList,
}

impl Contents {
    /// The digest by one algorithm, if it was computed.
    pub fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        match algorithm {
            Algorithm::Sha1 => Some(Digest::Sha1(self.sha1)),
            Algorithm::Sha256 => Some(self.sha256.into()),
            Algorithm::Sha512 => Some(self.sha512.into()),
            Algorithm::Md5 | Algorithm::Sha384 => None,
        }
    }
}

/// The blocking half: a temporary file and the hashers over it.
#[derive(Debug)]
pub(crate) struct Sink {
    temporary: Temporary,
    size: u64,
    sha1: Sha1,
    sha256: Sha256Hasher,
    sha512: Sha512Hasher,
    chunks: Vec<Sha256>,
}

impl Sink {
    pub(crate) fn create(layout: &Layout) -> Result<Self, BlobError> {
        Ok(Self::new(layout.create_temporary()?))
    }

    fn new(temporary: NamedTempFile) -> Self {
        Self {
            temporary: Temporary(Some(temporary)),
            size: 0,
            sha1: Sha1::new(),
            sha256: Sha256Hasher::new(),
            sha512: Sha512Hasher::new(),
            chunks: Vec::new(),
        }
    }

    /// Takes one chunk: only the last may be short.
    fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        let temporary = self.temporary.file();
        temporary.as_file().write_all(chunk).map_err(BlobError::io("write", temporary.path()))?;
        self.size += chunk.len() as u64;
        self.sha1.update(chunk);
        self.sha256.update(chunk);
        self.sha512.update(chunk);
        self.chunks.push(Sha256::of(chunk));
        Ok(())
    }

    fn finish(self) -> (Temporary, Contents) {
        let contents = Contents {
            size: self.size,
            sha1: self.sha1.finalize().into(),
            sha256: Sha256(self.sha256.finalize().into()),
            sha512: Sha512(self.sha512.finalize().into()),
            chunks: ChunkList::new(self.size, self.chunks).expect("every chunk but the last was full"),
        };
        (self.temporary, contents)
    }

    /// Everything at once, for bytes in memory.
    pub(crate) fn put(mut self, layout: &Layout, bytes: &[u8]) -> Result<Contents, BlobError> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.write(chunk)?;
        }
        let (temporary, contents) = self.finish();
        commit(layout, temporary, contents)
    }
}

/// Stores a pack.
pub(crate) fn put_pack(layout: &Layout, bytes: &[u8]) -> Result<Sha256, BlobError> {
    let temporary = layout.create_temporary()?;
    temporary.as_file().write_all(bytes).map_err(BlobError::io("write", temporary.path()))?;
    let sha256 = Sha256::of(bytes);
    layout.commit_pack(temporary, sha256, bytes.len() as u64)?;
    Ok(sha256)
}

/// A temporary file, removed on the blocking pool when it is dropped: freeing a large file takes a while.
#[derive(Debug)]
struct Temporary(Option<NamedTempFile>);

impl Temporary {
    fn file(&self) -> &NamedTempFile {
        self.0.as_ref().expect("taken only when it is removed")
    }

    /// Removes it now; for callers on the blocking pool.
    fn remove(mut self) {
        self.0.take();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            // a runtime that is shutting down drops the closure, and the file with it
            drop(runtime.spawn_blocking(move || drop(file)));
        }
    }
}

#[cfg(test)]
mod tests;
