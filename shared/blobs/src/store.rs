//! The handle that everybody holds.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use bytes::Bytes;
use tokio::{sync::Semaphore, task::spawn_blocking};
use touchstone_custody::PromotedArtifact;
use touchstone_domain::{EnvelopeRef, Sha256};

use crate::{
    BlobError, BlobWriter, Contents, Damage, ReadError, VerifiedRead,
    layout::{Found, Layout},
    write::{Sink, put_pack},
};

/// How many chunks are read ahead at once, over all readers: 16 MiB.
const READ_AHEAD_MAX: usize = 64;

/// A content-addressed store in a directory; cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore {
    layout: Arc<Layout>,
    pub(crate) read_ahead: Arc<Semaphore>,
}

impl BlobStore {
    /// Creates what is missing of the directory, and removes the temporary files of processes that died.
    pub async fn open(dir: &Path) -> Result<Self, BlobError> {
        let path = dir.to_owned();
        let layout =
            spawn_blocking(move || Layout::open(&path)).await.map_err(BlobError::stopped(dir)).flatten()?;
        Ok(Self { layout: Arc::new(layout), read_ahead: Arc::new(Semaphore::new(READ_AHEAD_MAX)) })
    }

    /// Starts a blob of at most `size_max` bytes.
    pub async fn writer(&self, size_max: u64) -> Result<BlobWriter, BlobError> {
        BlobWriter::create(Arc::clone(&self.layout), size_max).await
    }

    /// Stores bytes that are in memory: documents and evidence.
    pub async fn put_bytes(&self, bytes: Bytes) -> Result<Contents, BlobError> {
        self.blocking(move |layout| Sink::create(layout)?.put(layout, &bytes)).await
    }

    /// Stores a pack of what is read in parts, and hashes it once, for the name that is returned. Blocks: for callers on the blocking
    /// pool, who have more to do there than this.
    pub fn put_pack(&self, bytes: &[u8]) -> Result<Sha256, BlobError> {
        put_pack(&self.layout, bytes)
    }

    /// Reads a whole blob of at most `size_max` bytes into memory and verifies it.
    pub async fn read(&self, sha256: Sha256, size_max: u64) -> Result<Bytes, ReadError> {
        let layout = Arc::clone(&self.layout);
        spawn_blocking(move || read_whole(&layout, sha256, size_max))
            .await
            .map_err(ReadError::stopped(sha256))
            .flatten()
    }

    /// Reads parts of packs, each of at most `size_max` bytes, into memory and verifies them; answers in their order. One task
    /// reads all of them, and opens each pack once.
    pub async fn read_parts(&self, parts: Vec<EnvelopeRef>, size_max: u32) -> Vec<Result<Bytes, ReadError>> {
        let (layout, asked) = (Arc::clone(&self.layout), parts.clone());
        match spawn_blocking(move || read_parts(&layout, &asked, size_max)).await {
            Ok(read) => read,
            Err(error) => {
                let problem = error.to_string();
                let stopped =
                    |part: &EnvelopeRef| ReadError::io(part.pack, io::Error::other(problem.clone()));
                parts.iter().map(|part| Err(stopped(part))).collect()
            }
        }
    }

    /// Opens a range of an artifact that may be served. The first chunk is verified when this returns, every other one
    /// before any of its bytes is yielded.
    pub async fn verified(
        &self,
        artifact: Arc<PromotedArtifact>,
        range: Range<u64>,
    ) -> Result<VerifiedRead, ReadError> {
        VerifiedRead::open(Arc::clone(&self.layout), artifact, range, Arc::clone(&self.read_ahead)).await
    }

    /// Opens the file itself: a regular one, but its bytes are unverified. For checks, which recompute everything.
    pub async fn file(&self, sha256: Sha256) -> Result<File, ReadError> {
        let layout = Arc::clone(&self.layout);
        spawn_blocking(move || layout.open_blob(sha256).map(|(file, _)| file))
            .await
            .map_err(ReadError::stopped(sha256))
            .flatten()
    }

    /// Moves a damaged blob to `aside/`, where it is kept as evidence; true if it was moved.
    ///
    /// The content is hashed once more: a blob that is whole stays, since another process has healed it between the
    /// caller's read and this call, or while this call was hashing. False therefore means: gone or healed already, read again.
    pub async fn set_aside(&self, sha256: Sha256) -> Result<bool, BlobError> {
        self.blocking(move |layout| match layout.examine(sha256, None)? {
            Found::Absent | Found::Whole => Ok(false),
            Found::Damaged(suspect) => layout.move_aside(sha256, &suspect),
        })
        .await
    }

    /// Whether a regular file has the blob's name; says nothing about its bytes.
    pub async fn contains(&self, sha256: Sha256) -> Result<bool, BlobError> {
        self.blocking(move |layout| {
            let path = layout.blob_path(sha256);
            match path.symlink_metadata() {
                Ok(metadata) => Ok(metadata.is_file()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(BlobError::io("look at", &path)(error)),
            }
        })
        .await
    }

    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Layout) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let layout = Arc::clone(&self.layout);
        spawn_blocking(move || work(&layout)).await.map_err(BlobError::stopped(self.layout.root())).flatten()
    }
}

fn read_whole(layout: &Layout, sha256: Sha256, size_max: u64) -> Result<Bytes, ReadError> {
    let (file, size) = layout.open_blob(sha256)?;
    let too_large = ReadError::TooLarge { sha256, size, limit: size_max };
    if size > size_max {
        return Err(too_large);
    }
    whole(&file, usize::try_from(size).map_err(|_| too_large)?, sha256)
}

fn whole(file: &File, size: usize, sha256: Sha256) -> Result<Bytes, ReadError> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => {
            ReadError::Damaged { sha256, detail: Damage::Truncated { end: size as u64 } }
        }
        _ => ReadError::io(sha256, source),
    })?;
    let found = Sha256::of(&bytes);
    if found != sha256 {
        return Err(ReadError::Damaged { sha256, detail: Damage::Digest { found } });
    }
    Ok(bytes.into())
}

fn read_parts(layout: &Layout, parts: &[EnvelopeRef], size_max: u32) -> Vec<Result<Bytes, ReadError>> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| (parts[*index].pack, parts[*index].offset));
    let mut read: Vec<Option<Result<Bytes, ReadError>>> = parts.iter().map(|_| None).collect();
    for of_one in order.chunk_by(|a, b| parts[*a].pack == parts[*b].pack) {
        let mut opened = None;
        for index in of_one {
            read[*index] = Some(read_part(layout, &parts[*index], size_max, &mut opened));
        }
    }
    read.into_iter().map(|result| result.expect("each part is in one group")).collect()
}

/// Reads one part; the blob is opened if it was not, and stays open for the next.
fn read_part(
    layout: &Layout,
    part: &EnvelopeRef,
    size_max: u32,
    opened: &mut Option<(File, u64)>,
) -> Result<Bytes, ReadError> {
    let sha256 = part.pack;
    if part.size > size_max {
        return Err(ReadError::TooLarge { sha256, size: part.size.into(), limit: size_max.into() });
    }
    let (file, size) = match opened {
        Some(opened) => opened,
        None => opened.insert(layout.open_pack(sha256)?),
    };
    let (start, end) = (u64::from(part.offset), u64::from(part.offset) + u64::from(part.size));
    if end > *size {
        return Err(ReadError::Range { sha256, start, end, size: *size });
    }
    let mut bytes = vec![0; usize::try_from(part.size).expect("at most u32")];
    file.read_exact_at(&mut bytes, start).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Damaged { sha256, detail: Damage::Truncated { end } },
        _ => ReadError::io(sha256, source),
    })?;
    let found = Sha256::of(&bytes);
    if found != part.sha256 {
        return Err(ReadError::Damaged { sha256, detail: Damage::Digest { found } });
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod packs;
#[cfg(test)]
mod tests;
