//! Whether Postgres is what was published: neither older, nor another one.

use std::{io, path::PathBuf, sync::Arc};

use touchstone_store::{IncidentKind, LOG_ROWS_MAX, LogTip};
use touchstone_tlog::{SignedHead, TreeHead, leaf_hash};
use touchstone_translog::{Frontier, LogError, LogKeys, LogReader};

use super::{SealError, Sealer, Stop, blocking, witness::Witness};

/// How many older heads are remembered as proven.
const PROVEN_MAX: usize = 64;

/// What is published in a directory.
type Found = Result<Option<SignedHead>, LogError>;

impl Sealer {
    /// Compares Postgres with the published log, with the witnesses, and with what this process saw before. A witness that cannot
    /// be asked is no reason to stop; one that has more is. Returns whether all that Postgres has is published.
    pub(super) async fn compare(&mut self) -> Result<bool, SealError> {
        let keys = self.keys()?;
        let dirs: Vec<PathBuf> = self.copies.iter().map(|copy| copy.dir().to_owned()).collect();
        let looking = Arc::clone(&keys);
        // First what is published, then Postgres: leaves are committed before they are published.
        let found: Vec<(PathBuf, Found)> =
            blocking(move || dirs.into_iter().map(|dir| (dir.clone(), look(&dir, &looking))).collect())
                .await?;
        let tip = self.promote.store.log_tip().await?;
        let ours = checked(&tip, &keys).map_err(SealError::Stop)?;
        if let Some(last) = self.last {
            self.is_older(&ours, &last, "this process saw before").await?;
        }
        let mut is_published = false;
        for (position, (dir, found)) in found.into_iter().enumerate() {
            let place = dir.display().to_string();
            match found {
                Ok(None) => {}
                Ok(Some(head)) => {
                    is_published |= position == 0 && head.head().size == ours.size;
                    self.is_older(&ours, head.head(), &format!("{place} has")).await?;
                }
                Err(LogError::Checkpoint(refused)) => {
                    let problem = format!("the checkpoint in {place} does not count: {refused}");
                    if position == 0 {
                        return Err(stop(IncidentKind::LogRollback, problem));
                    }
                    self.complain(IncidentKind::LogRollback, &problem).await;
                }
                Err(error) if position == 0 => return Err(error.into()),
                Err(error) => tracing::warn!(
                    directory = %place, error = &error as &dyn std::error::Error, "a witness of the log cannot be read"
                ),
            }
        }
        if self.last.is_none() {
            self.ask_first(&tip).await?;
        }
        for (head, who) in self.witnesses.iter().filter_map(Witness::shown).collect::<Vec<_>>() {
            self.is_older(&ours, &head, &who).await?;
        }
        self.saw(ours);
        metrics::gauge!("touchstone_log_size").set(u32::try_from(ours.size).unwrap_or(u32::MAX));
        Ok(is_published)
    }

    /// Checks that our tree begins with one that somebody saw.
    pub(super) async fn is_older(
        &mut self,
        ours: &TreeHead,
        seen: &TreeHead,
        who: &str,
    ) -> Result<(), SealError> {
        if seen.size > ours.size {
            return Err(stop(
                IncidentKind::DatabaseRollback,
                format!(
                    "the database has {} entries of the transparency log, and {who} {}: an older backup was restored, or rows \
                     were deleted; `touchstone log recover` brings it back",
                    ours.size, seen.size
                ),
            ));
        }
        let root = if seen.size == ours.size { Some(ours.root) } else { self.root_at(seen).await? };
        if root == Some(seen.root) {
            return Ok(());
        }
        Err(stop(
            IncidentKind::LogRollback,
            format!(
                "the database and what {who} contradict each other: the first {} entries of the transparency log differ; \
                 history was rewritten",
                seen.size
            ),
        ))
    }

    /// The root of our tree when it had the size of an older head: by the checkpoint of that size, or else by all its leaves.
    async fn root_at(&mut self, seen: &TreeHead) -> Result<Option<touchstone_domain::Sha256>, SealError> {
        if seen.size == 0 || self.proven.contains(&(seen.size, seen.root)) {
            return Ok(Some(seen.root));
        }
        let sealed = self.promote.store.log_seal(seen.size).await?.map(|seal| seal.root);
        let root = match sealed {
            Some(root) => Some(root),
            None => self.computed(seen.size).await?,
        };
        if root == Some(seen.root) {
            if self.proven.len() >= PROVEN_MAX {
                self.proven.clear();
            }
            self.proven.insert((seen.size, seen.root));
        }
        Ok(root)
    }

    async fn computed(&self, size: u64) -> Result<Option<touchstone_domain::Sha256>, SealError> {
        let mut frontier = Frontier::empty();
        while frontier.size() < size {
            let wanted = usize::try_from(size - frontier.size()).unwrap_or(LOG_ROWS_MAX).min(LOG_ROWS_MAX);
            let from = frontier.size();
            let leaves = self.promote.store.leaves(from, wanted).await?;
            if leaves.is_empty() || (from..).zip(&leaves).any(|(index, leaf)| index != leaf.index) {
                return Ok(None);
            }
            frontier = blocking(move || {
                for leaf in &leaves {
                    frontier.push(leaf_hash(&leaf.entry));
                }
                frontier
            })
            .await?;
        }
        Ok(Some(frontier.head().root))
    }
}

/// The head that Postgres has, if it is one that a log key signed, and there are as many leaves.
pub(super) fn checked(tip: &LogTip, keys: &LogKeys) -> Result<TreeHead, Stop> {
    let rewritten = |problem| Stop { kind: IncidentKind::HistoryRewritten, problem };
    if tip.leaves != tip.size() {
        return Err(rewritten(format!(
            "the database has {} leaves of the transparency log, and its last checkpoint is of {}",
            tip.leaves,
            tip.size()
        )));
    }
    let Some((seal, _)) = &tip.seal else { return Ok(Frontier::empty().head()) };
    let signed = keys
        .verify_even_revoked(&seal.note)
        .map_err(|refused| rewritten(format!("the checkpoint in the database does not count: {refused}")))?;
    let head = TreeHead { size: seal.size, root: seal.root };
    if *signed.head() == head {
        Ok(head)
    } else {
        Err(rewritten(format!(
            "the checkpoint in the database is of {} entries by its columns, and of {} by its signature, or of another root",
            seal.size,
            signed.head().size
        )))
    }
}

fn look(dir: &std::path::Path, keys: &LogKeys) -> Found {
    let reader = match LogReader::open(dir) {
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    reader.checkpoint()?.map(|note| keys.verify_even_revoked(&note).map_err(LogError::from)).transpose()
}

pub(super) fn stop(kind: IncidentKind, problem: String) -> SealError {
    SealError::Stop(Stop { kind, problem })
}
