//! `touchstone log recover`: what the published log has and Postgres lost, put back.
//!
//! *Invariant:* the leaves come last: until they are there, every promote process sees that Postgres is behind, and promotes nothing.
//!
//! *Invariant:* giving it again ends well, whatever stopped it half-way.

use std::{collections::HashMap, fmt::Write as _, process::ExitCode};

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

/// How many entries are named at most.
const NAMED_MAX: usize = 10;

/// Whether a recovery may be put on record for entries that say that they were put back, when nothing else was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// Somebody has to look at them first.
    Refuse,
    /// An older version put them back, says whoever gave the command.
    Accept,
}

/// Puts back what Postgres lost.
pub(crate) async fn recover(config: &Config, reason: &str, marked: Marked) -> Result<ExitCode> {
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
    lost.permit(marked)?;
    let applied = lost.apply(&store).await?;
    let report = lost.report(head.head().size, &applied);
    // Before the leaves: one that was put back, and is below no recovery, is for the audit a row that somebody marked.
    if lost.is_to_record(&applied) {
        store.record_recovery(head.head().size, reason).await?;
    }
    lost.restore(&store, &head).await?;
    super::super::say(&report);
    Ok(ExitCode::SUCCESS)
}

/// Names entries by their numbers: "3 entries (1, 5, 7)".
fn named(entries: &[u64]) -> String {
    let numbers: Vec<String> = entries.iter().take(NAMED_MAX).map(u64::to_string).collect();
    let more = entries.len() - numbers.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let noun = if entries.len() == 1 { "entry" } else { "entries" };
    format!("{} {noun} ({}{more})", entries.len(), numbers.join(", "))
}

/// What the published log has, and Postgres does not; and what follows from all of the log.
struct Lost {
    /// The number of leaves in Postgres, the gaps among them included.
    ours: u64,
    leaves: Vec<(u64, Vec<u8>)>,
    /// The leaves that say that they were put back, and that no recovery on record says so of: an older version put leaves back before
    /// the recovery was on record, and may have been stopped in between; or somebody marked them.
    unbacked: Vec<u64>,
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
        let (tip, recovered) = (store.log_tip().await?, store.recovered_size().await?);
        let mut lost = Self {
            ours: tip.leaves,
            leaves: vec![],
            unbacked: vec![],
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
                    // one that names another row was put back by nobody, and no recovery makes up for that
                    Some(leaf) if leaf.source == LOG_SOURCE_RESTORED && index >= recovered => {
                        lost.unbacked.extend((u64::try_from(leaf.source_id) == Ok(index)).then_some(index));
                    }
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

    /// A recovery makes up for every leaf that is marked: it is put on record for those alone only if somebody says so.
    fn permit(&self, marked: Marked) -> Result<()> {
        ensure!(
            self.unbacked.is_empty() || !self.leaves.is_empty() || marked == Marked::Accept,
            "marked as put back, and by no recovery on record: {} of the database. Either an older version was stopped while it recovered, \
             or somebody marked them. The database lacks no entry, so nothing was done. If no restore was under way, somebody wrote in the \
             database: compare the rows of what these entries are about with a backup; `touchstone log verify` goes on naming the first of \
             them. If one was, give the command again with --accept-marked: a recovery is put on record then, and neither that nor the \
             audit names them any more",
            named(&self.unbacked)
        );
        Ok(())
    }

    /// Whether something was done, or was done before, that has to be on record.
    fn is_to_record(&self, applied: &Applied) -> bool {
        !self.leaves.is_empty() || *applied != Applied::default() || !self.unbacked.is_empty()
    }

    /// What is told at the end.
    fn report(&self, size: u64, applied: &Applied) -> String {
        let mut report = format!(
            "the published log has {size} entries, and the database lacked {} of them\n\
             recalls put back: {}, which revoked {} artifact(s)\n\
             artifacts whose promotion had ended, sent back to their checks: {}\n",
            self.leaves.len(),
            applied.recalls,
            applied.revoked,
            applied.reopened,
        );
        if !self.unbacked.is_empty() {
            let _infallible = writeln!(
                report,
                "marked as put back before, and by no recovery on record: {}. Either an older version was stopped while it recovered, or \
                 somebody marked them. `touchstone log verify` and the audit name them no more; if no restore was under way before, compare \
                 the rows of what these entries are about with a backup",
                named(&self.unbacked)
            );
        }
        if self.unknown > 0 {
            let _infallible = writeln!(
                report,
                "{} of the entries are of a newer version: whatever they ask for was not done; give it again with that version",
                self.unknown
            );
        }
        report += if self.is_to_record(applied) {
            "the recovery is on record; promotion goes on as soon as promote has compared again\n"
        } else {
            "nothing had to be done\n"
        };
        report
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
