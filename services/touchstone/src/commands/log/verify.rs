//! `touchstone log verify`: everything, from the first entry on.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;
use tokio::task::spawn_blocking;
use touchstone_blobs::BlobStore;
use touchstone_custody::{KeyRing, LogEntry, RecallTarget, Refused, ServeRecord};
use touchstone_domain::EnvelopeRef;
use touchstone_records::{RecordError, RecordStore};
use touchstone_runtime::{Chain, Config};
use touchstone_store::{AuditedLeaf, LOG_SOURCE_RESTORED, RecordInput, Store};
use touchstone_tlog::{SignedHead, leaf_hash};
use touchstone_translog::{Frontier, LogKeys, LogReader};

use crate::custody;

/// How many leaves are read from Postgres at once.
const LEAVES: usize = 1024;

/// What `--offline` leaves open.
const OFFLINE: &str = "not compared, since --offline: the rows of the database, the signed records that entries name, and what those rest on; \
                       without it, all of them are. Other copies of the log are never compared here: give each its own --dir\n";

/// What a newer version has sealed.
const UNKNOWN: &str = "events that this version does not know";

/// The first difference; an error by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Difference(String);

fn differs(text: String) -> anyhow::Error {
    Difference(text).into()
}

/// Verifies the published log, and what Postgres has of it; exit code 1 with the first difference.
pub(crate) async fn verify(config: &Config, dir: Option<&Path>, offline: bool) -> Result<ExitCode> {
    match all(config, dir, offline).await {
        Ok(report) => {
            super::super::say(&report);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match error.downcast_ref::<Difference>() {
            Some(difference) => {
                eprintln!("THE LOG DOES NOT HOLD: {difference}");
                Ok(ExitCode::FAILURE)
            }
            None => Err(error),
        },
    }
}

async fn all(config: &Config, dir: Option<&Path>, offline: bool) -> Result<String> {
    let keys = super::keys(config)?;
    let dir = dir.map_or_else(|| config.log_dir(), Path::to_owned);
    let (mut report, head) = {
        let dir = dir.clone();
        spawn_blocking(move || published(&dir, &keys)).await.context("the work was given up")??
    };
    if offline {
        report += OFFLINE;
        return Ok(report);
    }
    let store = super::super::store(config).await?;
    let ring = Arc::new(custody::ring(&config.keyring())?);
    let blobs = config.blobs_dir()?;
    let blobs =
        BlobStore::open(&blobs).await.with_context(|| format!("cannot use {} for blobs", blobs.display()))?;
    let compared =
        Compared { store, records: RecordStore::new(blobs), ring, reader: LogReader::open(&dir)?, head };
    report += &compared.run().await?;
    Ok(report)
}

/// Verifies what is in a directory alone: checkpoint, tiles, entries.
pub(super) fn published(dir: &Path, keys: &LogKeys) -> Result<(String, SignedHead)> {
    let (reader, head) = checked_head(dir, keys)?;
    let size = head.head().size;
    let bar = super::progress("verifying the published log", size);
    let mut frontier = Frontier::empty();
    let mut kinds = BTreeMap::<&'static str, u64>::new();
    for read in reader.iterate(&head, 0, size) {
        let (index, entry) =
            read.map_err(|error| differs(format!("{} in {}", Chain(&error), dir.display())))?;
        frontier.push(leaf_hash(&entry));
        let entry = LogEntry::read(&entry).map_err(|error| differs(format!("entry {index}: {error}")))?;
        *kinds.entry(entry.as_ref().map_or(UNKNOWN, kind)).or_default() += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if frontier.head() != *head.head() {
        return Err(differs(format!(
            "the entries in {} do not lead to the root that was signed",
            dir.display()
        )));
    }
    let mut report = format!(
        "{}: {size} entries, root {}, signed by a log key of the ring\n",
        dir.display(),
        head.head().root.to_base64()
    );
    for (kind, number) in kinds {
        let _infallible = writeln!(report, "  {number:>8} {kind}");
    }
    report += "every entry leads to the root\n";
    Ok((report, head))
}

fn checked_head(dir: &Path, keys: &LogKeys) -> Result<(LogReader, SignedHead)> {
    let reader = LogReader::open(dir)?;
    let Some(note) = reader.checkpoint()? else {
        bail!("no transparency log is published in {}", dir.display());
    };
    let head = keys
        .verify(&note)
        .map_err(|error| differs(format!("the checkpoint in {}: {}", dir.display(), Chain(&error))))?;
    Ok((reader, head))
}

/// Postgres and the blob store beside a verified log.
struct Compared {
    store: Store,
    records: RecordStore,
    ring: Arc<KeyRing>,
    reader: LogReader,
    head: SignedHead,
}

impl Compared {
    async fn run(&self) -> Result<String> {
        let size = self.head.head().size;
        let tip = self.store.log_tip().await?;
        if tip.leaves < size {
            return Err(differs(format!(
                "the database has {} entries, and the published log {size}; `touchstone log recover` puts them back",
                tip.leaves
            )));
        }
        let bar = super::progress("comparing the database", size);
        let mut next = 0;
        while next < size {
            next = self.part(next, &bar).await?;
        }
        bar.finish_and_clear();
        if let Some(seal) = self.store.log_seal(size).await?
            && seal.root != self.head.head().root
        {
            return Err(differs(format!(
                "the checkpoint of {size} entries in the database has another root"
            )));
        }
        let more = tip.leaves - size;
        let more = if more > 0 { format!("; {more} more are not published yet") } else { String::new() };
        Ok(format!("the database agrees: entries, rows, records and what they rest on{more}\n"))
    }

    /// Compares some entries; the number of the next one.
    async fn part(&self, from: u64, bar: &ProgressBar) -> Result<u64> {
        let (reader, head) = (self.reader.clone(), self.head.clone());
        let published = spawn_blocking(move || {
            reader.iterate(&head, from, from + LEAVES as u64).collect::<Result<Vec<_>, _>>()
        });
        let published = published.await.context("the work was given up")??;
        let leaves = self.store.audited_leaves(from, LEAVES).await?;
        let mut audited = leaves.iter();
        for (index, entry) in &published {
            let Some(leaf) = audited.next().filter(|audited| audited.leaf.index == *index) else {
                return Err(differs(format!("entry {index} is missing in the database")));
            };
            if leaf.leaf.entry != *entry {
                return Err(differs(format!("entry {index} was altered in the database")));
            }
            self.row(leaf).await?;
            bar.inc(1);
        }
        let kept = &leaves[..published.len()];
        self.promotions(kept).await?;
        Ok(from + published.len() as u64)
    }

    /// Compares an entry with the row that it is of.
    async fn row(&self, audited: &AuditedLeaf) -> Result<()> {
        let AuditedLeaf { leaf, today, is_backed, .. } = audited;
        let (index, source, id) = (leaf.index, &leaf.source, leaf.source_id);
        if source == LOG_SOURCE_RESTORED {
            if !is_backed {
                return Err(differs(format!(
                    "entry {index} is marked as put back after a restore, and no recovery on record put it back"
                )));
            }
            let recalled = LogEntry::parse(&leaf.entry).ok().and_then(|entry| entry.recalled());
            return match recalled {
                Some(target) if !self.is_recalled(&target).await? => {
                    Err(differs(format!("the recall of entry {index} is gone")))
                }
                Some(_) | None => Ok(()),
            };
        }
        // sealed by a newer version, which reads more in the row
        if LogEntry::read(&leaf.entry).is_ok_and(|entry| entry.is_none()) {
            return Ok(());
        }
        match today {
            None => Err(differs(format!("row {id} of {source} is gone, which entry {index} is of"))),
            Some(entry) if entry.to_bytes() != leaf.entry => Err(differs(format!(
                "row {id} of {source}, or a row that it names, was altered: it is {entry:?} now, and entry {index} is another"
            ))),
            Some(entry) if !is_backed => {
                Err(differs(format!("what entry {index} ({}) is about is gone, or was altered", kind(entry))))
            }
            Some(_) => Ok(()),
        }
    }

    async fn is_recalled(&self, target: &RecallTarget) -> Result<bool> {
        Ok(self.store.is_recalled(target).await?)
    }

    /// Reads the serve records of promotions, and looks for the rows that they rest on.
    async fn promotions(&self, leaves: &[AuditedLeaf]) -> Result<()> {
        let promotion = |audited: &AuditedLeaf| {
            let place = audited.record?.envelope;
            let Some(LogEntry::Promoted { serial, .. }) = &audited.today else { return None };
            Some((audited.leaf.index, *serial, place))
        };
        let promoted: Vec<(u64, i64, EnvelopeRef)> = leaves.iter().filter_map(promotion).collect();
        let places: Vec<_> = promoted.iter().map(|(_, _, place)| *place).collect();
        let mut inputs = Vec::new();
        for ((index, serial, _), envelope) in promoted.iter().zip(self.records.read(&places).await) {
            let envelope = match envelope {
                Ok(envelope) => envelope,
                Err(error @ RecordError::Io(_)) => return Err(error.into()),
                Err(error) => {
                    return Err(differs(format!(
                        "the serve record of promotion {serial}, entry {index}: {error}"
                    )));
                }
            };
            match ServeRecord::verify(&envelope, &self.ring) {
                Ok(record) => inputs.extend(record.rests_on().iter().map(|approver| RecordInput {
                    serial: *serial,
                    check: approver.check,
                    key: approver.key,
                    envelope: approver.envelope,
                })),
                // Out of service already: edges refuse it by the same ring.
                Err(Refused::Key(_)) => {}
                Err(error) => {
                    return Err(differs(format!(
                        "the serve record of promotion {serial}, entry {index}: {error}"
                    )));
                }
            }
        }
        match self.store.missing_inputs(&inputs).await?.first() {
            None => Ok(()),
            Some(missing) => {
                let step = missing.check.map_or("fetch", touchstone_domain::CheckKind::as_str);
                Err(differs(format!(
                    "the {step} record {} that promotion {} rests on is gone from the rows, or they say something else of it",
                    missing.envelope, missing.serial
                )))
            }
        }
    }
}

const fn kind(entry: &LogEntry) -> &'static str {
    match entry {
        LogEntry::Promoted { .. } => "promotions",
        LogEntry::Ended { .. } => "ends of promotions, and rejections",
        LogEntry::Recalled { .. } => "recalls",
        LogEntry::Incident { .. } => "incidents",
        LogEntry::Key { .. } => "changes of keys",
        LogEntry::Policy { .. } => "policies",
        LogEntry::Recovered { .. } => "recoveries",
    }
}
