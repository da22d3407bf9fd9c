//! Chains: every signed record of an artifact's promotion in force, for those who verify them without us.

use touchstone_domain::{ArtifactId, CheckKind, CheckSet, Purl, Sha256, SignedBy};

use crate::{Store, StoreError};

/// The signed records of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its coordinate.
    pub id: ArtifactId,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The epoch of its gate.
    pub epoch: i32,
    /// Its fetches, the latest first.
    pub fetches: Vec<SignedBy>,
    /// The verdicts of this epoch, the earliest first; without those that were refused.
    pub verdicts: Vec<(CheckKind, SignedBy)>,
    /// The serve record, if the promotion is in force.
    pub promotion: Option<SignedBy>,
    /// The checks that the gate requires.
    pub required: CheckSet,
    /// Those of them that may find nothing to check; which layout verifies the chain depends on both.
    pub tolerated: CheckSet,
    /// Where the promotion is in the transparency log, if it is there already.
    pub log_index: Option<u64>,
}

impl Store {
    /// The records of what a purl names, the latest artifacts first, at most 256.
    pub async fn chains(&self, _purl: &Purl) -> Result<Vec<Chain>, StoreError> {
        todo!()
    }

    /// The records of the artifacts that have these bytes, the latest first, at most 256.
    pub async fn chains_of_digest(&self, _sha256: Sha256) -> Result<Vec<Chain>, StoreError> {
        todo!()
    }
}
