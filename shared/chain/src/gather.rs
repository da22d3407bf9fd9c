//! From rows to records that verify.

use std::sync::Arc;

use jiff::Timestamp;
use touchstone_custody::KeyRing;
use touchstone_domain::{Purl, Sha256};
use touchstone_records::RecordStore;
use touchstone_store::{Store, StoreError};

use crate::Records;

/// What records are gathered from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Postgres.
    pub store: Store,
    /// The envelopes.
    pub records: RecordStore,
    /// The keys that count.
    pub ring: Arc<KeyRing>,
    /// This installation.
    pub environment: String,
}

/// Whose records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of all that a purl names.
    Purl(Purl),
    /// Those of the artifacts that have these bytes.
    Digest(Sha256),
}

impl Sources {
    /// The records of each artifact that is meant, the latest first. `now` is for the layout's end.
    pub async fn gather(&self, _wanted: &Wanted, _now: Timestamp) -> Result<Vec<Records>, StoreError> {
        todo!()
    }
}
