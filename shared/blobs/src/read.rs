//! Reading: every chunk is verified before any of its bytes is yielded.

use std::{
    fs::File,
    io, mem,
    ops::Range,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::Stream;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, spawn_blocking},
};
use touchstone_custody::PromotedArtifact;
use touchstone_domain::{CHUNK_BYTES, Sha256};

use crate::{Damage, ReadError, layout::Layout};

/// The verified bytes of a range, a chunk per item.
///
/// After an error the stream ends, and nothing of the bad chunk was yielded: the caller must abort the response, so that
/// no client takes it for complete, and set the blob aside.
///
/// The chunk after the one yielded last is read ahead while the store's budget lasts, so that thousands of clients who take
/// nothing do not pin twice the memory. Dropping the stream leaves at most that one job to run out.
#[derive(Debug)]
pub struct VerifiedRead {
    source: Arc<Source>,
    runtime: Handle,
    /// The chunks that are not started yet.
    rest: Range<u64>,
    ahead: Ahead,
    budget: Arc<Semaphore>,
}

#[derive(Debug)]
enum Ahead {
    Ready(Bytes),
    Reading {
        job: JoinHandle<Result<Bytes, ReadError>>,
        _permit: Option<OwnedSemaphorePermit>,
    },
    /// Read when it is asked for.
    Waiting(u64),
    Ended,
}

impl VerifiedRead {
    pub(crate) async fn open(
        layout: Arc<Layout>,
        artifact: Arc<PromotedArtifact>,
        range: Range<u64>,
        budget: Arc<Semaphore>,
    ) -> Result<Self, ReadError> {
        let sha256 = artifact.record().sha256();
        let opening = spawn_blocking(move || {
            let source = Source::open(&layout, artifact, range)?;
            let mut rest = source.chunks();
            let ahead = match rest.next() {
                Some(first) => Ahead::Ready(source.chunk(first)?),
                None => Ahead::Ended,
            };
            Ok((Arc::new(source), rest, ahead))
        });
        let (source, rest, ahead) = opening.await.map_err(ReadError::stopped(sha256)).flatten()?;
        Ok(Self { source, runtime: Handle::current(), rest, ahead, budget })
    }

    /// Starts reading the next chunk, if there is one and the budget allows.
    fn advance(&mut self) {
        self.ahead = match self.rest.next() {
            Some(index) => match Arc::clone(&self.budget).try_acquire_owned() {
                Ok(permit) => Ahead::Reading { job: self.start(index), _permit: Some(permit) },
                Err(_) => Ahead::Waiting(index),
            },
            None => Ahead::Ended,
        };
    }

    fn start(&self, index: u64) -> JoinHandle<Result<Bytes, ReadError>> {
        let source = Arc::clone(&self.source);
        self.runtime.spawn_blocking(move || source.chunk(index))
    }
}

impl Stream for VerifiedRead {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let chunk = match &mut this.ahead {
            Ahead::Ready(bytes) => Ok(mem::take(bytes)),
            Ahead::Reading { job, .. } => {
                let joined = ready!(Pin::new(job).poll(context));
                joined.map_err(ReadError::stopped(this.source.sha256())).flatten()
            }
            Ahead::Waiting(index) => {
                let index = *index;
                this.ahead = Ahead::Reading { job: this.start(index), _permit: None };
                return Pin::new(this).poll_next(context);
            }
            Ahead::Ended => return Poll::Ready(None),
        };
        // Gives its permit back first.
        this.ahead = Ahead::Ended;
        if chunk.is_ok() {
            this.advance();
        }
        Poll::Ready(Some(chunk))
    }
}

/// The open file, and what it must contain.
#[derive(Debug)]
struct Source {
    file: File,
    artifact: Arc<PromotedArtifact>,
    range: Range<u64>,
}

impl Source {
    fn open(layout: &Layout, artifact: Arc<PromotedArtifact>, range: Range<u64>) -> Result<Self, ReadError> {
        let (sha256, size) = (artifact.record().sha256(), artifact.record().size());
        if range.start > range.end || range.end > size {
            return Err(ReadError::Range { sha256, start: range.start, end: range.end, size });
        }
        let (file, found) = layout.open_blob(sha256)?;
        if found != size {
            return Err(ReadError::Damaged { sha256, detail: Damage::Size { expected: size, found } });
        }
        Ok(Self { file, artifact, range })
    }

    fn sha256(&self) -> Sha256 {
        self.artifact.record().sha256()
    }

    /// The chunks that the range touches.
    fn chunks(&self) -> Range<u64> {
        if self.range.is_empty() {
            return 0..0;
        }
        let chunk = CHUNK_BYTES as u64;
        self.range.start / chunk..self.range.end.div_ceil(chunk)
    }

    /// Reads a whole chunk, verifies it, and cuts the range out of it.
    fn chunk(&self, index: u64) -> Result<Bytes, ReadError> {
        let sha256 = self.sha256();
        let start = index * CHUNK_BYTES as u64;
        let end = self.artifact.record().size().min(start + CHUNK_BYTES as u64);
        let mut buffer = vec![0; within_chunk(start, end)];
        self.file.read_exact_at(&mut buffer, start).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Damaged { sha256, detail: Damage::Truncated { end } },
            _ => ReadError::io(sha256, source),
        })?;
        if self.artifact.chunks().digest(index) != Some(Sha256::of(&buffer)) {
            return Err(ReadError::Damaged { sha256, detail: Damage::Chunk { index } });
        }
        let from = within_chunk(start, self.range.start.max(start));
        let to = within_chunk(start, self.range.end.min(end));
        Ok(Bytes::from(buffer).slice(from..to))
    }
}

fn within_chunk(start: u64, position: u64) -> usize {
    usize::try_from(position - start).expect("a chunk fits in memory")
}

#[cfg(test)]
mod tests;
