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

    /// Which of these leaves the tree has.
    pub(crate) fn has(&self, mut leaves: Vec<(u64, Vec<u8>)>) -> Result<Has, LogError> {
        let Some(head) = self.head()? else { return Ok(Has::default()) };
        let mut has = Has { size: head.head().size, leaves: HashSet::new() };
        leaves.retain(|(index, _)| *index < has.size);
        if leaves.is_empty() {
            return Ok(has);
        }
        let wanted = Wanted { leaves: leaves.iter().map(|(index, _)| *index).collect(), prefixes: vec![] };
        let tiles = LogReader::open(&self.dir)?.authenticate(&head, &wanted)?;
        for (index, entry) in leaves {
            if tiles.leaf(index)? == leaf_hash(&entry) {
                has.leaves.insert(index);
            }
        }
        Ok(has)
    }
}

/// What the published tree has of some leaves.
#[derive(Debug, Default)]
pub(crate) struct Has {
    /// How many leaves it has in all: those from here on may be on their way.
    pub(crate) size: u64,
    /// Those that it has, by their numbers.
    pub(crate) leaves: HashSet<u64>,
}
