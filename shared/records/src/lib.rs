//! Signed envelopes in the blob store. Those that are written together are one blob, a pack: an fsync for each verdict would be
//! the slowest step of all. In a pack they are joined by line breaks, of which none is in an envelope.
//!
//! *Invariant:* blob first, row second: a pack is on disk when [`RecordStore::put`] returns.
//!
//! *Invariant:* an envelope that is read has the digest that was asked for.

use std::io;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use touchstone_blobs::{BlobError, BlobStore, ReadError};
use touchstone_custody::ENVELOPE_BYTES_MAX;
use touchstone_domain::{EnvelopeRef, Sha256};

/// The most envelopes per pack.
pub const PACK_ENVELOPES_MAX: usize = 1024;

/// Why envelopes are not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// None, or more than [`PACK_ENVELOPES_MAX`].
    #[error("a pack has 1 to {PACK_ENVELOPES_MAX} envelopes, not {0}")]
    Count(usize),
    /// One is longer than [`ENVELOPE_BYTES_MAX`].
    #[error("envelope {index} of the pack has {size} bytes, more than {ENVELOPE_BYTES_MAX}")]
    Size {
        /// Its position, from zero.
        index: usize,
        /// Its bytes.
        size: usize,
    },
    /// One is empty, or has a line break.
    #[error("envelope {index} of the pack is not one line")]
    Line {
        /// Its position, from zero.
        index: usize,
    },
    /// The process is being stopped.
    #[error("the work was stopped")]
    Stopped,
    /// The storage did not take them.
    #[error("the envelopes cannot be stored")]
    Blob(#[from] BlobError),
}

/// Why an envelope cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The pack is missing, or too short.
    #[error("the envelope is missing")]
    Missing,
    /// The bytes are not those that were signed, or more than an envelope has.
    #[error("the envelope is damaged")]
    Damaged,
    /// The storage did not answer.
    #[error("the envelope cannot be read")]
    Io(#[source] io::Error),
}

/// Where envelopes are kept; cheap to clone.
#[derive(Clone, Debug)]
pub struct RecordStore {
    blobs: BlobStore,
}

impl RecordStore {
    /// Keeps them in this blob store.
    pub fn new(blobs: BlobStore) -> Self {
        Self { blobs }
    }

    /// Writes at most [`PACK_ENVELOPES_MAX`] envelopes as one pack; where each is, in their order.
    pub async fn put(&self, envelopes: &[Vec<u8>]) -> Result<Vec<EnvelopeRef>, PutError> {
        fits(envelopes)?;
        let sizes: Vec<usize> = envelopes.iter().map(Vec::len).collect();
        let (blobs, bytes) = (self.blobs.clone(), envelopes.join(&b'\n'));
        let storing = spawn_blocking(move || {
            let pack = blobs.put_pack(&bytes)?;
            Ok(places(pack, &bytes, &sizes))
        });
        storing.await.map_err(|_stopped| PutError::Stopped)?
    }

    /// Reads envelopes, in their order; one task for all of them. An envelope is at most [`ENVELOPE_BYTES_MAX`] of memory.
    pub async fn read(&self, envelopes: &[EnvelopeRef]) -> Vec<Result<Bytes, RecordError>> {
        let size_max = u32::try_from(ENVELOPE_BYTES_MAX).expect("small");
        let read = self.blobs.read_parts(envelopes.to_vec(), size_max).await;
        read.into_iter().map(|result| result.map_err(RecordError::from)).collect()
    }
}

/// Where each envelope of a pack is.
fn places(pack: Sha256, bytes: &[u8], sizes: &[usize]) -> Vec<EnvelopeRef> {
    let mut start = 0;
    let number = |n: usize| u32::try_from(n).expect("a pack is smaller than 4 GiB");
    sizes
        .iter()
        .map(|size| {
            let sha256 = Sha256::of(&bytes[start..start + size]);
            let place = EnvelopeRef { sha256, pack, offset: number(start), size: number(*size) };
            start += size + 1;
            place
        })
        .collect()
}

fn fits(envelopes: &[Vec<u8>]) -> Result<(), PutError> {
    if envelopes.is_empty() || envelopes.len() > PACK_ENVELOPES_MAX {
        return Err(PutError::Count(envelopes.len()));
    }
    for (index, envelope) in envelopes.iter().enumerate() {
        if envelope.len() > ENVELOPE_BYTES_MAX {
            return Err(PutError::Size { index, size: envelope.len() });
        }
        if envelope.is_empty() || envelope.contains(&b'\n') {
            return Err(PutError::Line { index });
        }
    }
    Ok(())
}

impl From<ReadError> for RecordError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing { .. } | ReadError::Range { .. } => Self::Missing,
            ReadError::Damaged { .. } | ReadError::TooLarge { .. } => Self::Damaged,
            ReadError::Io { source, .. } => Self::Io(source),
        }
    }
}

#[cfg(test)]
mod tests;
