//! The published log, as it is on disk: what counts as sealed, whatever Postgres says.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use touchstone_tlog::{SignedHead, Wanted, leaf_hash};
use touchstone_translog::{LogError, LogKeys, LogReader};

/// Where it is, and whose checkpoints count.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    dir: PathBuf,
    keys: Arc<LogKeys>,
}

impl Published {
    pub(crate) const fn new(dir: PathBuf, keys: Arc<LogKeys>) -> Self {
        Self { dir, keys }
    }

    /// The checkpoint; none if nothing was published yet.
    pub(super) fn head(&self) -> Result<Option<SignedHead>, LogError> {
        if !self.dir.exists() {
            return Ok(None);
        }
        let checkpoint = LogReader::open(&self.dir)?.checkpoint()?;
        Ok(checkpoint.map(|note| self.keys.verify_even_revoked(&note)).transpose()?)
    }

    /// Which of these leaves the tree has, by their numbers.
    pub(crate) fn has(&self, mut leaves: Vec<(u64, Vec<u8>)>) -> Result<HashSet<u64>, LogError> {
        let head = self.head()?;
        leaves.retain(|(index, _)| head.as_ref().is_some_and(|head| *index < head.head().size));
        let Some(head) = head.filter(|_| !leaves.is_empty()) else { return Ok(HashSet::new()) };
        let wanted = Wanted { leaves: leaves.iter().map(|(index, _)| *index).collect(), prefixes: vec![] };
        let tiles = LogReader::open(&self.dir)?.authenticate(&head, &wanted)?;
        let mut has = HashSet::with_capacity(leaves.len());
        for (index, entry) in leaves {
            if tiles.leaf(index)? == leaf_hash(&entry) {
                has.insert(index);
            }
        }
        Ok(has)
    }
}
