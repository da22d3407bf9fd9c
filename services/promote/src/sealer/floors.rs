//! Epochs that ended by leaves which were put back after a restore, of artifacts that are not on record: when they come again, they
//! begin after those epochs, or no edge would ever serve them.

use touchstone_custody::LogEntry;
use touchstone_domain::ArtifactId;
use touchstone_store::LOG_ROWS_MAX;

use super::{SealError, Sealer};

impl Sealer {
    pub(super) async fn raise_floors(&mut self) -> Result<(), SealError> {
        let floors = match self.floors.take() {
            Some(floors) => floors,
            None => self.restored_floors().await?,
        };
        let mut absent = vec![];
        for part in floors.chunks(LOG_ROWS_MAX) {
            let raised = self.promote.store.raise_epochs(part).await?;
            self.promote.tell(&raised.changes).await;
            absent.extend(raised.absent);
        }
        self.floors = Some(absent);
        Ok(())
    }

    async fn restored_floors(&self) -> Result<Vec<(ArtifactId, i32)>, SealError> {
        let mut floors = std::collections::HashMap::<ArtifactId, i32>::new();
        let mut from = 0;
        loop {
            let leaves = self.promote.store.restored_leaves(from, LOG_ROWS_MAX).await?;
            let Some(last) = leaves.last() else { break };
            from = last.index + 1;
            let entries = leaves.iter().filter_map(|leaf| LogEntry::parse(&leaf.entry).ok());
            for (id, epoch) in entries.filter_map(|entry| entry.ended()) {
                let floor = floors.entry(id).or_insert(epoch);
                *floor = epoch.max(*floor);
            }
        }
        Ok(floors.into_iter().collect())
    }
}
