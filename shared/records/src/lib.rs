//! Signed envelopes in the blob store. Those that are written together are one blob, a pack: an fsync for each verdict would be
//! the slowest step of all.
//!
//! *Invariant:* blob first, row second: a pack is on disk when [`RecordStore::put`] returns.
//!
//! *Invariant:* an envelope that is read has the digest that was asked for.

use bytes::Bytes;
use touchstone_blobs::{BlobError, BlobStore};
use touchstone_domain::EnvelopeRef;

/// The most envelopes per pack.
pub const PACK_ENVELOPES_MAX: usize = 1024;

/// Why an envelope cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The pack is missing, or too short.
    #[error("the envelope is missing")]
    Missing,
    /// The bytes are not those that were signed.
    #[error("the envelope is damaged")]
    Damaged,
    /// The storage did not answer.
    #[error("the envelope cannot be read")]
    Io(#[source] std::io::Error),
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
    pub async fn put(&self, _envelopes: &[Vec<u8>]) -> Result<Vec<EnvelopeRef>, BlobError> {
        let _ = &self.blobs;
        todo!("records helper")
    }

    /// Reads envelopes, in their order; one task for all of them.
    pub async fn read(&self, _envelopes: &[EnvelopeRef]) -> Vec<Result<Bytes, RecordError>> {
        todo!("records helper")
    }
}
