//! The audit: what was sealed is read again, a part in each cycle, and compared with what the rows say now.
//!
//! A row that says something else, or is gone, is an incident, and promotion goes on: the log keeps what was there, promotions rest on
//! signatures and not on rows, and edges go by the log. A leaf that is not the one of the published tree stops promotion.

use std::{ops::Range, path::Path, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use touchstone_custody::{KeyProblem, LogEntry, NotSigned, RecallTarget, Refused, ServeRecord};
use touchstone_domain::ArtifactDbId;
use touchstone_records::RecordError;
use touchstone_store::{AuditedLeaf, IncidentKind, LOG_SOURCE_RESTORED, LogLeaf, RecordInput, Wanted};
use touchstone_tlog::{SignedHead, leaf_hash};
use touchstone_translog::{LogError, LogReader};

use super::{SealError, Sealer, blocking, compare::stop};
use crate::lost;

/// How many leaves are read again in one cycle.
const LEAVES: usize = 128;
/// How many periods lie between the beginnings of two rounds, at least.
const PERIODS_PER_ROUND: u32 = 10;

/// How far the audit is.
#[derive(Debug)]
pub(super) struct Progress {
    next: u64,
    round: Duration,
    begun: Option<Instant>,
    /// What was read last is to be read again: it was not as it should be.
    again: bool,
}

impl Progress {
    pub(super) fn new(period: Duration) -> Self {
        Self { next: 0, round: period * PERIODS_PER_ROUND, begun: None, again: false }
    }

    /// Goes back to leaves whose rows there was no time for.
    pub(super) fn put_off(&mut self, leaves: &Range<u64>) {
        if !leaves.is_empty() {
            self.next = leaves.start;
            self.begun = None;
        }
    }

    /// Whether there is something to read now, of a log of this size.
    fn is_due(&mut self, size: u64) -> bool {
        if self.again || (self.next > 0 && self.next < size) {
            return self.next < size;
        }
        self.next = 0;
        if size == 0 || self.begun.is_some_and(|begun| begun.elapsed() < self.round) {
            return false;
        }
        self.begun = Some(Instant::now());
        true
    }
}

impl Sealer {
    /// Compares the next leaves in Postgres with the published tree; which they were.
    pub(super) async fn audit_tree(&mut self) -> Result<Range<u64>, SealError> {
        let log = self.published()?;
        let head = blocking(move || log.head()).await??;
        let Some(head) = head.filter(|head| self.audit.is_due(head.head().size)) else { return Ok(0..0) };
        let from = self.audit.next;
        self.audit.again = true;
        let leaves = self.promote.store.leaves(from, LEAVES).await?;
        let dir = self.copies[0].dir().to_owned();
        let until = blocking(move || in_tree(&dir, &head, from, &leaves)).await??;
        (self.audit.next, self.audit.again) = (until, false);
        Ok(from..until)
    }

    /// Compares leaves with the rows that they are of.
    pub(super) async fn audit_rows(&mut self, range: Range<u64>) -> Result<(), SealError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut leaves = self.promote.store.audited_leaves(range.start, LEAVES).await?;
        leaves.retain(|audited| range.contains(&audited.leaf.index));
        let mut problems = Vec::new();
        for audited in &leaves {
            problems.extend(of_row(audited));
            if let Some(target) = restored_recall(audited)
                && !self.promote.store.is_recalled(&target).await?
            {
                problems.push(format!("the recall of entry {} is gone", audited.leaf.index));
            }
        }
        problems.extend(self.of_records(&leaves).await?);
        for problem in problems {
            self.complain(IncidentKind::HistoryRewritten, &problem).await;
        }
        Ok(())
    }

    /// What is wrong with the records of promotions, and with what they rest on.
    async fn of_records(&self, leaves: &[AuditedLeaf]) -> Result<Vec<String>, SealError> {
        let promoted: Vec<(&AuditedLeaf, i64)> = leaves.iter().filter_map(promotion).collect();
        let places: Vec<_> =
            promoted.iter().filter_map(|(audited, _)| Some(audited.record?.envelope)).collect();
        let read = self.promote.records.read(&places).await;
        let is_lost = |one: &Result<_, _>| matches!(one, Err(RecordError::Missing | RecordError::Damaged));
        if read.iter().any(is_lost) && !lost::is_own_store(&self.promote).await.unwrap_or(false) {
            return Ok(vec![]); // a foreign directory says nothing about what is lost
        }
        let ring = std::sync::Arc::clone(&self.promote.ring.borrow());
        let named: Vec<(u64, i64)> =
            promoted.iter().map(|(audited, serial)| (audited.leaf.index, *serial)).collect();
        let (inputs, mut problems) = blocking(move || opened(&named, read, &ring)).await?;
        for missing in self.promote.store.missing_inputs(&inputs).await? {
            let step = missing.check.map_or("fetch", touchstone_domain::CheckKind::as_str);
            problems.push(format!(
                "the {step} record {} that promotion {} rests on is gone from the rows, or they say something else of it",
                missing.envelope, missing.serial
            ));
        }
        let artifacts: Vec<ArtifactDbId> =
            promoted.iter().filter_map(|(audited, _)| audited.artifact).collect();
        problems.extend(self.of_verdicts(artifacts).await?);
        Ok(problems)
    }

    /// The verdicts whose rows say something else than was signed.
    async fn of_verdicts(&self, mut artifacts: Vec<ArtifactDbId>) -> Result<Vec<String>, SealError> {
        artifacts.sort_unstable();
        artifacts.dedup();
        let cases = self.promote.store.cases(&artifacts, Wanted::All).await?;
        let judged = match crate::judge::consider(&self.promote, cases).await {
            Ok(judged) => judged,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "verdicts could not be audited");
                return Ok(vec![]);
            }
        };
        let mut problems = Vec::new();
        for (case, judged) in &judged {
            let altered = judged.refused.iter().filter(|(_, reason)| is_altered(reason));
            problems.extend(
                altered
                    .map(|(row, reason)| format!("the verdict {row} of {} was altered: {reason}", case.id)),
            );
        }
        Ok(problems)
    }
}

/// Compares leaves with the published tree; until which they are as it says. One that is missing or another one is no history any
/// more.
fn in_tree(dir: &Path, head: &SignedHead, from: u64, leaves: &[LogLeaf]) -> Result<u64, SealError> {
    let rewritten = |index: u64, what: &str| {
        let problem = format!("entry {index} of the transparency log {what} in the database");
        stop(IncidentKind::HistoryRewritten, problem)
    };
    let until = head.head().size.min(from + LEAVES as u64);
    let tiles = LogReader::open(dir)?
        .authenticate(head, &touchstone_tlog::Wanted { leaves: (from..until).collect(), prefixes: vec![] })?;
    let mut leaves = leaves.iter();
    for index in from..until {
        let leaf = leaves.next().filter(|leaf| leaf.index == index);
        let leaf = leaf.ok_or_else(|| rewritten(index, "is missing"))?;
        if leaf_hash(&leaf.entry) != tiles.leaf(index).map_err(LogError::from)? {
            return Err(rewritten(index, "was altered"));
        }
    }
    Ok(until)
}

/// What is wrong with the row that a leaf is of.
fn of_row(audited: &AuditedLeaf) -> Option<String> {
    let AuditedLeaf { leaf, today, is_backed, .. } = audited;
    let (index, source, id) = (leaf.index, &leaf.source, leaf.source_id);
    match today {
        _ if source == LOG_SOURCE_RESTORED => (!is_backed).then(|| {
            format!(
                "entry {index} is marked as put back after a restore, and no recovery on record put it back"
            )
        }),
        // sealed by a newer version, which reads more in the row
        _ if LogEntry::read(&leaf.entry).is_ok_and(|entry| entry.is_none()) => None,
        None => Some(format!("row {id} of {source} is gone, which entry {index} is of")),
        Some(entry) if entry.to_bytes() != leaf.entry => Some(format!(
            "row {id} of {source}, or a row that it names, was altered: it is {entry:?} now, and entry {index} is another"
        )),
        Some(entry) if !is_backed => {
            Some(format!("the {} of entry {index} is gone, or was altered", subject(entry)))
        }
        Some(_) => None,
    }
}

/// What stands behind an entry.
const fn subject(entry: &LogEntry) -> &'static str {
    match entry {
        LogEntry::Promoted { .. } => "promotion",
        LogEntry::Ended { .. } => "failed verdict",
        LogEntry::Recalled { .. } => "recall",
        LogEntry::Incident { .. } => "incident",
        LogEntry::Key { .. } => "key",
        LogEntry::Policy { .. } => "policy",
        LogEntry::Recovered { .. } => "recovery",
    }
}

/// The recall that was put back, whose row must be there too.
fn restored_recall(audited: &AuditedLeaf) -> Option<RecallTarget> {
    let restored = audited.leaf.source == LOG_SOURCE_RESTORED;
    LogEntry::read(&audited.leaf.entry).ok().flatten().filter(|_| restored)?.recalled()
}

/// The promotion that an entry is of, if its row is there.
fn promotion(audited: &AuditedLeaf) -> Option<(&AuditedLeaf, i64)> {
    audited.record?;
    let Some(LogEntry::Promoted { serial, .. }) = &audited.today else { return None };
    Some((audited, *serial))
}

/// What records rest on. Those whose key does not count any more are out of service already.
fn opened(
    named: &[(u64, i64)],
    read: Vec<Result<Bytes, RecordError>>,
    ring: &touchstone_custody::KeyRing,
) -> (Vec<RecordInput>, Vec<String>) {
    let (mut inputs, mut problems) = (Vec::new(), Vec::new());
    for ((index, serial), envelope) in named.iter().zip(read) {
        let verified = match &envelope {
            Ok(envelope) => ServeRecord::verify(envelope, ring),
            Err(RecordError::Io(_)) => continue,
            Err(error) => {
                problems.push(format!("the serve record of promotion {serial}, entry {index}: {error}"));
                continue;
            }
        };
        match verified {
            Ok(record) => inputs.extend(record.rests_on().iter().map(|approver| RecordInput {
                serial: *serial,
                check: approver.check,
                key: approver.key,
                envelope: approver.envelope,
            })),
            Err(Refused::Key(
                KeyProblem::Revoked { .. } | KeyProblem::Unknown(_) | KeyProblem::Window { .. },
            )) => {}
            Err(refused) => {
                problems.push(format!("the serve record of promotion {serial}, entry {index}: {refused}"));
            }
        }
    }
    (inputs, problems)
}

/// Whether somebody changed a row, or the envelope that it names; not whether the key still counts.
const fn is_altered(reason: &NotSigned) -> bool {
    match reason {
        NotSigned::Missing
        | NotSigned::Field { .. }
        | NotSigned::Refused(Refused::Envelope(_) | Refused::Signature(_) | Refused::Statement(_)) => true,
        NotSigned::Unsigned
        | NotSigned::Refused(Refused::Key(_))
        | NotSigned::Ahead(_)
        | NotSigned::NotCounted(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_has_sealed_is_no_row_that_was_altered() {
        let at = "2026-11-23T00:00:00Z".parse().expect("a time");
        let today = LogEntry::Recovered { size: 1, reason: "r".into(), at };
        let audited = |entry: &str| AuditedLeaf {
            leaf: LogLeaf { index: 3, source: "log_event".into(), source_id: 4, entry: entry.into() },
            today: Some(today.clone()),
            is_backed: true,
            artifact: None,
            record: None,
        };
        let own = String::from_utf8(today.to_bytes()).expect("text");
        assert_eq!(of_row(&audited(&own)), None);
        assert_eq!(of_row(&audited(&own.replace("recovered", "scrubbed"))), None);
        for altered in [own.replace("\"r\"", "\"s\""), own.replace("size", "sizes"), "scrubbed".to_owned()] {
            let problem = of_row(&audited(&altered)).expect("it is another");
            assert!(
                problem.starts_with("row 4 of log_event, or a row that it names, was altered"),
                "{problem}"
            );
        }
        let gone = AuditedLeaf { today: None, ..audited(&own) };
        assert_eq!(of_row(&gone), Some("row 4 of log_event is gone, which entry 3 is of".into()));
    }
}
