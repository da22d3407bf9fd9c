//! What the rows say today, for those who compare it with what was sealed.

use std::collections::HashMap;

use touchstone_custody::LogEntry;
use touchstone_domain::{ArtifactDbId, CheckKind, KeyId, Sha256, SignedBy};

use super::{LOG_ROWS_MAX, LOG_SOURCE_RESTORED, LogLeaf, entry};
use crate::{Store, StoreError, error::within, row::Columns};

/// A leaf, and what the rows that it is of say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedLeaf {
    /// The leaf.
    pub leaf: LogLeaf,
    /// What would be sealed today; none if the row is gone, or was put back from the log.
    pub today: Option<LogEntry>,
    /// Whether the row that the entry is about is there as well: the recall, the incident, the policy, the verdict that rejected. Of a
    /// leaf that was put back: whether a recovery of a log that had it is on record, and is to be sealed like all else.
    pub is_backed: bool,
    /// The artifact, if the entry is of one.
    pub artifact: Option<ArtifactDbId>,
    /// Where the serve record is, for a promotion.
    pub record: Option<SignedBy>,
}

/// A step that a serve record rests on, to be looked for among the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordInput {
    /// The promotion.
    pub serial: i64,
    /// The check; none for the fetch.
    pub check: Option<CheckKind>,
    /// The key.
    pub key: KeyId,
    /// The digest of the envelope.
    pub envelope: Sha256,
}

/// What a row says now.
struct Derived {
    entry: LogEntry,
    is_backed: bool,
    artifact: Option<ArtifactDbId>,
    record: Option<SignedBy>,
}

impl Store {
    /// At most `limit` leaves from this number on, beside what the rows say now.
    pub async fn audited_leaves(&self, from: u64, limit: usize) -> Result<Vec<AuditedLeaf>, StoreError> {
        let leaves = self.leaves(from, limit).await?;
        let of = |source: &str| -> Vec<i64> {
            leaves.iter().filter(|leaf| leaf.source == source).map(|leaf| leaf.source_id).collect()
        };
        let mut gates = self.derived_from_gates(&of("gate_log")).await?;
        let mut events = self.derived_from_events(&of("log_event")).await?;
        let recovered = if of(LOG_SOURCE_RESTORED).is_empty() { 0 } else { self.recovered_size().await? };
        let audited = |leaf: LogLeaf| {
            let derived = match leaf.source.as_str() {
                "gate_log" => gates.remove(&leaf.source_id),
                "log_event" => events.remove(&leaf.source_id),
                _ => None,
            };
            if let Some(Derived { entry, is_backed, artifact, record }) = derived {
                return AuditedLeaf { leaf, today: Some(entry), is_backed, artifact, record };
            }
            let is_backed = leaf.source != LOG_SOURCE_RESTORED
                || leaf.index < recovered && u64::try_from(leaf.source_id) == Ok(leaf.index);
            AuditedLeaf { leaf, today: None, is_backed, artifact: None, record: None }
        };
        Ok(leaves.into_iter().map(audited).collect())
    }

    /// The size of the largest log that the database was brought back to.
    pub async fn recovered_size(&self) -> Result<u64, StoreError> {
        const RECOVERIES: &str = r"-- log.recoveries
SELECT event, at FROM log_event WHERE event ->> 'event' = 'recovered'";
        let mut largest = 0;
        for row in &self.query(RECOVERIES, &[]).await? {
            if let LogEntry::Recovered { size, .. } = entry::of_event(Columns(row))? {
                largest = largest.max(size);
            }
        }
        Ok(largest)
    }

    async fn derived_from_gates(&self, ids: &[i64]) -> Result<HashMap<i64, Derived>, StoreError> {
        const GATES: &str = r"-- log.derive_gates
SELECT gate_log.id, gate_log.artifact_id, ecosystem, package, version, file, artifact.sha256, gate_log.epoch, was, state, cause, gate_log.at,
       promotion.serial, promotion.key, promotion.envelope, promotion.pack, promotion.pack_offset, promotion.pack_size,
       state <> 'rejected' OR cause <> 'verdict' OR EXISTS (
           SELECT FROM verdict
           WHERE verdict.artifact_id = gate_log.artifact_id AND verdict.epoch = gate_log.epoch AND outcome = 'fail'
       ) AS is_backed
FROM unnest($1::bigint[]) AS asked (id)
JOIN gate_log ON gate_log.id = asked.id
JOIN artifact ON artifact.id = gate_log.artifact_id
LEFT JOIN promotion ON state = 'servable' AND promotion.artifact_id = gate_log.artifact_id
    AND promotion.epoch = gate_log.epoch AND promotion.envelope IS NOT NULL
WHERE state <> 'servable' OR promotion.serial IS NOT NULL";
        let mut derived = HashMap::with_capacity(ids.len());
        if ids.is_empty() {
            return Ok(derived);
        }
        for row in &self.query(GATES, &[&ids]).await? {
            let columns = Columns(row);
            // what cannot be read is not what was sealed
            let Ok(entry) = entry::of_gate(columns) else { continue };
            let of_row = Derived {
                entry,
                is_backed: columns.get("is_backed")?,
                artifact: Some(columns.artifact("artifact_id")?),
                record: columns.signed_opt()?,
            };
            derived.insert(columns.get("id")?, of_row);
        }
        Ok(derived)
    }

    async fn derived_from_events(&self, ids: &[i64]) -> Result<HashMap<i64, Derived>, StoreError> {
        const EVENTS: &str = r"-- log.derive_events
SELECT log_event.id, event, log_event.at,
       CASE event ->> 'event'
           WHEN 'recalled' THEN EXISTS (
               SELECT FROM recall
               WHERE ROW(ecosystem, package, version, file, encode(sha256, 'hex'), reason, actor)
                   IS NOT DISTINCT FROM ROW(event ->> 'ecosystem', event ->> 'package', event ->> 'version', event ->> 'file',
                                            event ->> 'sha256', event ->> 'reason', event ->> 'actor'))
           WHEN 'incident' THEN EXISTS (
               SELECT FROM incident
               WHERE ecosystem = event ->> 'ecosystem' AND package = event ->> 'package' AND kind = event ->> 'kind'
                 AND encode(sha256(convert_to(detail::text, 'UTF8')), 'hex') = event ->> 'detail')
           WHEN 'policy' THEN EXISTS (
               SELECT FROM policy
               WHERE epoch::text = event ->> 'epoch' AND encode(sha256, 'hex') = event ->> 'sha256')
           ELSE true
       END AS is_backed
FROM unnest($1::bigint[]) AS asked (id)
JOIN log_event ON log_event.id = asked.id";
        let mut derived = HashMap::with_capacity(ids.len());
        if ids.is_empty() {
            return Ok(derived);
        }
        for row in &self.query(EVENTS, &[&ids]).await? {
            let columns = Columns(row);
            let (entry, is_backed) = (entry::of_event(columns)?, columns.get("is_backed")?);
            derived.insert(columns.get("id")?, Derived { entry, is_backed, artifact: None, record: None });
        }
        Ok(derived)
    }

    /// Those of the inputs whose row is gone, or says something else: another key, check or epoch, or that it does not approve.
    pub async fn missing_inputs(&self, inputs: &[RecordInput]) -> Result<Vec<RecordInput>, StoreError> {
        const MISSING: &str = r"-- log.missing_inputs
SELECT n
FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[])
    WITH ORDINALITY AS input (serial, check_kind, key, envelope, n)
LEFT JOIN promotion ON promotion.serial = input.serial
WHERE NOT CASE WHEN input.check_kind IS NULL
    THEN EXISTS (
        SELECT FROM fetched
        WHERE fetched.artifact_id = promotion.artifact_id AND fetched.envelope = input.envelope
          AND fetched.key = input.key)
    ELSE EXISTS (
        SELECT FROM verdict
        WHERE verdict.artifact_id = promotion.artifact_id AND verdict.check_kind = input.check_kind
          AND verdict.epoch = promotion.epoch AND verdict.sha256 = promotion.sha256
          AND verdict.envelope = input.envelope AND verdict.key = input.key
          AND outcome IN ('pass', 'not_offered'))
    END";
        within("inputs of records", inputs.len(), 8 * LOG_ROWS_MAX)?;
        let serials: Vec<i64> = inputs.iter().map(|input| input.serial).collect();
        let checks: Vec<Option<&str>> =
            inputs.iter().map(|input| input.check.map(CheckKind::as_str)).collect();
        let keys: Vec<&[u8]> = inputs.iter().map(|input| input.key.0.0.as_slice()).collect();
        let envelopes: Vec<&[u8]> = inputs.iter().map(|input| input.envelope.0.as_slice()).collect();
        let rows = self.query(MISSING, &[&serials, &checks, &keys, &envelopes]).await?;
        let input = |row| -> Result<RecordInput, StoreError> {
            let position = usize::try_from(Columns(row).unsigned("n")?).ok().and_then(|n| n.checked_sub(1));
            let input = position.and_then(|position| inputs.get(position)).copied();
            input.ok_or_else(|| StoreError::inconsistent("input", "a position that was not asked for"))
        };
        rows.iter().map(input).collect()
    }
}
