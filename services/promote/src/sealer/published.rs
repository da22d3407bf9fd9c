//! The published log, as it is on disk: what counts as sealed, whatever Postgres says.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use touchstone_custody::{LogEntry, Revocations};
use touchstone_tlog::SignedHead;
use touchstone_translog::{LogError, LogKeys, LogReader};

/// Where it is, and whose checkpoints count.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    dir: PathBuf,
    keys: Arc<LogKeys>,
}

/// What some entries say.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The number of the entry after them.
    pub(crate) next: u64,
    /// What may not be served any more.
    pub(crate) revocations: Revocations,
    /// The purls in events that a newer version wrote.
    pub(crate) unknown: HashSet<String>,
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

    /// How many entries there are.
    pub(crate) fn size(&self) -> Result<u64, LogError> {
        Ok(self.head()?.map_or(0, |head| head.head().size))
    }

    /// Reads so many entries, or as many as there are, each compared with its leaf.
    pub(crate) fn read(&self, from: u64, most: u64) -> Result<Part, LogError> {
        let mut part = Part { next: from, ..Part::default() };
        let Some(head) = self.head()? else { return Ok(part) };
        let reader = LogReader::open(&self.dir)?;
        for entry in reader.iterate(&head, from, from.saturating_add(most)) {
            let (index, entry) = entry?;
            part.next = index + 1;
            match LogEntry::read(&entry) {
                Ok(Some(entry)) => part.revocations.add(&entry),
                Ok(None) => part.unknown.extend(purl(&entry)),
                Err(_) => {}
            }
        }
        Ok(part)
    }
}

/// What an event of a newer version is about.
fn purl(entry: &[u8]) -> Option<String> {
    let event: serde_json::Value = serde_json::from_slice(entry).ok()?;
    event["purl"].as_str().map(str::to_owned)
}
