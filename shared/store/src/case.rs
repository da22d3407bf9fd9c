//! Cases: what signatures are judged by, read back for whoever counts them.

use touchstone_custody::Case;
use touchstone_domain::ArtifactDbId;

use crate::{Store, StoreError};

/// Which artifacts [`Store::cases`] answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with a verdict of the gate's epoch that the gate does not know of, or that await their promotion.
    New,
    /// All that are named.
    All,
}

impl Store {
    /// The cases of at most [`crate::ARTIFACTS_MAX`] artifacts.
    pub async fn cases(&self, _artifacts: &[ArtifactDbId], _wanted: Wanted) -> Result<Vec<Case>, StoreError> {
        todo!()
    }

    /// Notes why rows of `verdict` do not count: the row, a code and the words. They are in no case any more.
    pub async fn record_refusals(&self, _refused: &[(i64, String, String)]) -> Result<(), StoreError> {
        todo!()
    }
}
