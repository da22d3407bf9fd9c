//! Layouts: what a chain of records must have, signed by promote. See `touchstone_custody::Layout`.

use jiff::Timestamp;
use touchstone_domain::{Requirement, Sha256, SignedBy};

use crate::{Store, StoreError};

/// A signed layout that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLayout {
    /// What it is the layout of; only what is required, and tolerated, matters.
    pub requirement: Requirement,
    /// The key ring that it was made from.
    pub ring: Sha256,
    /// The envelope.
    pub signed: SignedBy,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Adds layouts.
    pub async fn record_layouts(&self, _layouts: &[NewLayout]) -> Result<(), StoreError> {
        todo!()
    }

    /// The latest layout of a requirement.
    pub async fn layout(&self, _requirement: Requirement) -> Result<Option<NewLayout>, StoreError> {
        todo!()
    }
}
