//! `touchstone log recover`: what the published log has and Postgres lost, put back.
//!
//! *Invariant:* the leaves come last: until they are there, every promote process sees that Postgres is behind, and promotes nothing.
//!
//! *Invariant:* giving it again ends well, whatever stopped it half-way.

use std::{collections::HashMap, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::spawn_blocking;
use touchstone_custody::{LogEntry, RecallTarget};
use touchstone_domain::ArtifactId;
use touchstone_runtime::Config;
use touchstone_store::{LOG_ROWS_MAX, LOG_SOURCE_RESTORED, LogSeal, Store};
use touchstone_tlog::SignedHead;
use touchstone_translog::LogReader;

use super::verify::published;

/// How many entries are read at once.
const ENTRIES: u64 = 1024;

/// Puts back what Postgres lost.
pub(crate) async fn recover(config: &Config, reason: &str) -> Result<ExitCode> {
    ensure!(!reason.trim().is_empty(), "--reason is empty; it is kept in the log for ever");
    let (keys, dir) = (super::keys(config)?, config.log_dir());
    let verified = {
        let dir = dir.clone();
        spawn_blocking(move || published(&dir, &keys)).await.context("the work was given up")?
    };
    let (_, head) = verified.context("the published log does not hold, so nothing is recovered from it")?;
    let store = super::super::store(config).await?;
    let reader = LogReader::open(&dir)?;
    let lost = Lost::find(&store, &reader, &head).await?;
    let applied = lost.apply(&store).await?;
    let (restored, unknown) = (lost.leaves.len(), lost.unknown);
    let size = head.head().size;
    // An older version put leaves back before the recovery, and may have been stopped in between.
    let is_unbacked = lost.put_back > store.recovered_size().await?;
    let changed = restored > 0 || applied != Applied::default() || is_unbacked;
    // Before the leaves: one that was put back, and is below no recovery, is for the audit a row that somebody marked.
    if changed {
        store.record_recovery(size, reason).await?;
    }
    lost.restore(&store, &head).await?;
    super::super::say(&format!(
        "the published log has {size} entries, and the database lacked {restored} of them\n\
         recalls put back: {}, which revoked {} artifact(s)\n\
         artifacts whose promotion had ended, sent back to their checks: {}\n{}{}",
        applied.recalls,
        applied.revoked,
        applied.reopened,
        if unknown > 0 {
            format!(
                "{unknown} of the entries are of a newer version: whatever they ask for was not done; give it again with that version\n"
            )
        } else {
            String::new()
        },
        if changed {
            "the recovery is on record; promotion goes on as soon as promote has compared again\n"
        } else {
            "nothing had to be done\n"
        }
    ));
    Ok(ExitCode::SUCCESS)
}

/// What the published log has, and Postgres does not; and what follows from all of the log.
struct Lost {
    /// The number of leaves in Postgres, the gaps among them included.
    ours: u64,
    leaves: Vec<(u64, Vec<u8>)>,
    /// One more than the number of the last leaf that was put back before.
    put_back: u64,
    recalls: Vec<(RecallTarget, String, String)>,
    ended: HashMap<ArtifactId, i32>,
    serial: i64,
    /// Entries of a newer version.
    unknown: usize,
}

/// What was done.
#[derive(Default, PartialEq, Eq)]
struct Applied {
    recalls: usize,
    revoked: usize,
    reopened: usize,
}

impl Lost {
    /// Reads both from the first entry on. Leaves that differ are no loss, but a fork: nothing is done then.
    async fn find(store: &Store, reader: &LogReader, head: &SignedHead) -> Result<Self> {
        let size = head.head().size;
        let tip = store.log_tip().await?;
        let mut lost = Self {
            ours: tip.leaves,
            leaves: vec![],
            put_back: 0,
            recalls: vec![],
            ended: HashMap::new(),
            serial: 0,
            unknown: 0,
        };
        let bar = super::progress("comparing the database", size);
        let mut next = 0;
        while next < size {
            let (reader, head) = (reader.clone(), head.clone());
            let entries = spawn_blocking(move || {
                reader.iterate(&head, next, next + ENTRIES).collect::<Result<Vec<_>, _>>()
            });
            let entries = entries.await.context("the work was given up")??;
            let limit = usize::try_from(ENTRIES).expect("small");
            let mut leaves = store.leaves(next, limit).await?.into_iter().peekable();
            next += entries.len() as u64;
            for (index, bytes) in entries {
                match LogEntry::read(&bytes)? {
                    Some(entry) => lost.read(&entry),
                    None => lost.unknown += 1,
                }
                match leaves.next_if(|leaf| leaf.index == index) {
                    Some(leaf) if leaf.entry != bytes => bail!(
                        "entry {index} is another one in the database than in the published log: they forked, or the row was \
                         altered. Nothing was recovered. Find out which is true; a backup of the database from before, or one \
                         without that row, can be recovered"
                    ),
                    Some(leaf) if leaf.source == LOG_SOURCE_RESTORED => lost.put_back = index + 1,
                    Some(_) => {}
                    None => lost.leaves.push((index, bytes)),
                }
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(lost)
    }

    fn read(&mut self, entry: &LogEntry) {
        if let LogEntry::Recalled { reason, actor, .. } = entry
            && let Some(target) = entry.recalled()
        {
            self.recalls.push((target, reason.clone(), actor.clone()));
        }
        if let Some((id, epoch)) = entry.ended() {
            let last = self.ended.entry(id).or_insert(epoch);
            *last = epoch.max(*last);
        }
        if let LogEntry::Promoted { serial, .. } = entry {
            self.serial = self.serial.max(*serial);
        }
    }

    /// Recalls again what was recalled, and ends again what ended.
    async fn apply(&self, store: &Store) -> Result<Applied> {
        let mut applied = Applied::default();
        for (target, reason, actor) in &self.recalls {
            if store.is_recalled(target).await? {
                continue;
            }
            applied.revoked += store.recall(target, reason, actor).await?.len();
            applied.recalls += 1;
        }
        let ended: Vec<(ArtifactId, i32)> =
            self.ended.iter().map(|(id, epoch)| (id.clone(), *epoch)).collect();
        for part in ended.chunks(LOG_ROWS_MAX) {
            applied.reopened += store.raise_epochs(part).await?.changes.len();
        }
        if !self.leaves.is_empty() {
            store.raise_serial(self.serial).await?;
        }
        Ok(applied)
    }

    /// Puts back the leaves, and at the end the checkpoint.
    async fn restore(self, store: &Store, head: &SignedHead) -> Result<()> {
        let Self { mut ours, leaves, .. } = self;
        let head_size = head.head().size;
        let seal = match store.log_seal(head_size).await? {
            Some(seal) if seal.root != head.head().root => bail!(
                "the database has a checkpoint of {head_size} entries with another root: the log forked, and nothing more is recovered"
            ),
            Some(_) => None,
            None if leaves.is_empty() => None,
            None => Some(LogSeal { size: head_size, root: head.head().root, note: head.note().to_vec() }),
        };
        let bar = super::progress("putting entries back", leaves.len() as u64);
        let parts = leaves.chunks(LOG_ROWS_MAX).count();
        for (number, part) in (1..).zip(leaves.chunks(LOG_ROWS_MAX)) {
            let seal = seal.as_ref().filter(|_| number == parts);
            let is_done = store.restore_leaves(ours, part, seal).await?;
            ensure!(is_done, "somebody else writes the log in the database; stop promote, and try again");
            ours = part.iter().map(|(index, _)| index + 1).fold(ours, u64::max);
            bar.inc(part.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}
