//! A directory that the log is published in: the published one, or a witness'.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use touchstone_store::{IncidentKind, LOG_ROWS_MAX, LogSeal, Store};
use touchstone_tlog::{SignedHead, TreeHead};
use touchstone_translog::{LogError, LogKeys, LogReader, LogWriter};

use super::{SealError, Sealer, blocking, compare::stop};

/// A directory, and the writer that is open there.
#[derive(Debug)]
pub(super) struct Copy {
    dir: PathBuf,
    /// None before the first use, and after trouble: what is there is then looked at again.
    writer: Option<LogWriter>,
}

impl Copy {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, writer: None }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn writer(&self) -> Option<&LogWriter> {
        self.writer.as_ref()
    }

    pub(super) fn close(&mut self) {
        self.writer = None;
    }

    /// Publishes the tree of this head, with what is missing taken from Postgres.
    pub(super) async fn bring(
        &mut self,
        store: &Store,
        keys: &Arc<LogKeys>,
        target: &SignedHead,
    ) -> Result<(), SealError> {
        let mut writer = if let Some(writer) = self.writer.take() {
            writer
        } else {
            let (dir, keys) = (self.dir.clone(), Arc::clone(keys));
            blocking(move || open(&dir, &keys)).await??
        };
        let size = target.head().size;
        while writer.frontier().size() < size {
            let from = writer.frontier().size();
            let limit = usize::try_from(size - from).unwrap_or(LOG_ROWS_MAX).min(LOG_ROWS_MAX);
            let leaves = store.leaves(from, limit).await?;
            if leaves.is_empty() || (from..).zip(&leaves).any(|(index, leaf)| index != leaf.index) {
                return Err(stop(
                    IncidentKind::HistoryRewritten,
                    format!("leaves of the transparency log from {from} on are missing in the database"),
                ));
            }
            let entries: Vec<Vec<u8>> = leaves.into_iter().map(|leaf| leaf.entry).collect();
            writer = blocking(move || writer.append(from, &entries).map(|()| writer)).await??;
        }
        self.publish(writer, target).await
    }

    /// Publishes entries that were committed just now; those before them first, if they are not published yet.
    pub(super) async fn add(
        &mut self,
        store: &Store,
        keys: &Arc<LogKeys>,
        (from, entries): (u64, &Arc<Vec<Vec<u8>>>),
        target: &SignedHead,
    ) -> Result<(), SealError> {
        match self.writer.take() {
            Some(mut writer) if writer.frontier().size() == from => {
                let entries = Arc::clone(entries);
                let writer = blocking(move || writer.append(from, &entries).map(|()| writer)).await??;
                self.publish(writer, target).await
            }
            other => {
                self.writer = other;
                self.bring(store, keys, target).await
            }
        }
    }

    async fn publish(&mut self, mut writer: LogWriter, target: &SignedHead) -> Result<(), SealError> {
        if writer.published() != Some(target.note()) && writer.frontier().size() == target.head().size {
            let head = target.clone();
            let (published, kept) = blocking(move || (writer.publish(&head), writer)).await?;
            match published {
                Ok(()) => {}
                Err(LogError::Signed) => {
                    let size = target.head().size;
                    return Err(stop(
                        IncidentKind::HistoryRewritten,
                        format!(
                            "the leaves in the database do not lead to the root of its checkpoint of {size} entries from what \
                             {} has",
                            self.dir.display()
                        ),
                    ));
                }
                Err(error) => return Err(error.into()),
            }
            writer = kept;
        }
        self.writer = Some(writer);
        Ok(())
    }
}

/// Goes on with what is published; where files of it are damaged or gone, begins anew, so that they are written again.
fn open(dir: &Path, keys: &LogKeys) -> Result<LogWriter, LogError> {
    std::fs::create_dir_all(dir).map_err(|source| LogError::Io { path: dir.to_owned(), source })?;
    let checkpoint = LogReader::open(dir)?.checkpoint()?;
    let published = checkpoint.map(|note| keys.verify_even_revoked(&note)).transpose()?;
    match LogWriter::open(dir, published.as_ref()) {
        Err(LogError::Missing(_) | LogError::File(_) | LogError::Tile(_) | LogError::Entry { .. }) => {
            tracing::warn!(directory = %dir.display(), "files of the published log are damaged; they are written again");
            LogWriter::rebuild(dir, published.as_ref())
        }
        opened => opened,
    }
}

impl Sealer {
    /// Publishes what Postgres has, wherever it is not published yet.
    pub(super) async fn bring_copies(&mut self) -> Result<(), SealError> {
        let keys = self.keys()?;
        let tip = self.promote.store.log_tip().await?;
        let Some((seal, _)) = tip.seal else { return Ok(()) };
        let target = self.target(seal, &keys).await?;
        let store = self.promote.store.clone();
        let mut problems = vec![];
        for (position, copy) in self.copies.iter_mut().enumerate() {
            let brought = copy.bring(&store, &keys, &target).await;
            if position == 0 {
                if let Err(SealError::Log(LogError::Published(name))) = &brought {
                    problems.push(format!("{name} in {} is not what was sealed", copy.dir.display()));
                }
                brought?;
            } else if let Err(error) = brought {
                failed(copy, &error, &mut problems);
            }
        }
        for problem in problems {
            self.complain(IncidentKind::LogRollback, &problem).await;
        }
        Ok(())
    }

    /// Publishes entries that were committed just now.
    pub(super) async fn publish(
        &mut self,
        from: u64,
        entries: Arc<Vec<Vec<u8>>>,
        target: &SignedHead,
    ) -> Result<(), SealError> {
        let keys = self.keys()?;
        let store = self.promote.store.clone();
        let mut problems = vec![];
        for (position, copy) in self.copies.iter_mut().enumerate() {
            match copy.add(&store, &keys, (from, &entries), target).await {
                Err(error) if position > 0 => failed(copy, &error, &mut problems),
                published => published?,
            }
        }
        for problem in problems {
            self.complain(IncidentKind::LogRollback, &problem).await;
        }
        Ok(())
    }

    /// The checkpoint that Postgres has; signed anew where its key was revoked since.
    async fn target(&self, seal: LogSeal, keys: &Arc<LogKeys>) -> Result<SignedHead, SealError> {
        let (keys, signer) = (Arc::clone(keys), Arc::clone(&self.signer));
        blocking(move || match keys.verify(&seal.note) {
            Ok(head) => Ok(head),
            Err(_) => super::seal::signed(&signer, &keys, TreeHead { size: seal.size, root: seal.root }),
        })
        .await?
    }
}

/// A witness' directory that could not be brought up to date stops nothing.
fn failed(copy: &mut Copy, error: &SealError, problems: &mut Vec<String>) {
    copy.close();
    metrics::counter!("touchstone_log_witness_failures").increment(1);
    let dir = copy.dir.display();
    match error {
        SealError::Stop(stopped) => problems.push(stopped.problem.clone()),
        SealError::Log(LogError::Published(name)) => {
            problems.push(format!("{name} in {dir} is not what was sealed"));
        }
        SealError::Log(LogError::Checkpoint(_)) => {}
        error => tracing::warn!(
            directory = %dir, error = error as &dyn std::error::Error, "a witness of the log is not up to date"
        ),
    }
}
