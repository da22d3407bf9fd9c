//! Verdicts: recorded once and for ever, and read back by whoever counts them.

mod batch;
mod refusal;

use std::time::Duration;

use touchstone_domain::{ArtifactDbId, Outcome, SignedBy, Verdict};

use self::batch::Batch;
use crate::{Store, StoreError, error::within, row::Columns};

/// The most verdicts per call of [`Store::record_verdicts`].
pub const VERDICTS_MAX: usize = 256;
/// Longer ago than any failure, and within what Postgres can subtract.
const FAILURES_AGE_MAX: Duration = Duration::from_hours(24 * 366 * 100);

/// A verdict and its envelope, which is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// Where it is signed.
    pub signed: SignedBy,
}

/// What became of a batch of verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// How many are new.
    pub inserted: usize,
    /// How many were on record, and stay as they were.
    pub duplicate: usize,
    /// Those that are not recorded: an integrity alarm.
    pub refused: Vec<RefusedVerdict>,
}

/// A verdict that was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedVerdict {
    /// Its position in the batch.
    pub index: usize,
    /// The artifact that it names.
    pub artifact: ArtifactDbId,
    /// Why.
    pub reason: VerdictRefusal,
}

/// Why a verdict is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerdictRefusal {
    /// No such artifact, other bytes than those on record, or an epoch that the gate has not reached.
    #[error("it is not about the artifact on record, its bytes and an epoch that was")]
    Subject,
    /// A field beyond its bounds.
    #[error("a field is empty or too long")]
    Bounds,
}

// With `$22`, a verdict whose every earlier row was refused is recorded anew; `attempt` is null where one was not.
const RECORD: &str = r"-- verdict.record
WITH fit AS MATERIALIZED (
    SELECT n, offered.artifact_id, offered.sha256, offered.chunk_root, offered.epoch, check_kind, check_mask,
           check_revision, offered.policy_epoch, outcome, reason, evidence, trust, service, software, decided_at, key,
           envelope, pack, pack_offset, pack_size,
           CASE WHEN $22::boolean THEN (
               SELECT least(max(before.attempt) + 1, 32767)
               FROM verdict AS before
               WHERE before.artifact_id = offered.artifact_id AND before.check_kind = offered.check_kind
                 AND before.check_revision = offered.check_revision AND before.epoch = offered.epoch
                 AND before.policy_epoch = offered.policy_epoch AND before.outcome = offered.outcome
                 AND before.key = offered.key
               HAVING bool_and(EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = before.id))
           ) ELSE 0 END AS attempt
    FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::integer[], $6::text[], $7::bigint[],
                $8::integer[], $9::integer[], $10::text[], $11::text[], $12::bytea[], $13::bytea[],
                $14::text[], $15::text[], $16::timestamptz[], $17::bytea[], $18::bytea[], $19::bytea[], $20::integer[],
                $21::integer[])
        AS offered (n, artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch,
                    outcome, reason, evidence, trust, service, software, decided_at, key, envelope, pack, pack_offset,
                    pack_size)
    JOIN artifact ON artifact.id = offered.artifact_id
    JOIN gate ON gate.artifact_id = offered.artifact_id
    WHERE artifact.sha256 = offered.sha256 AND offered.epoch BETWEEN 0 AND gate.epoch
), new AS (
    INSERT INTO verdict (artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch,
                         outcome, reason, evidence, trust, service, software, decided_at, key, envelope, pack,
                         pack_offset, pack_size, attempt)
    SELECT artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch, outcome,
           reason::jsonb, evidence, trust, service, software, decided_at, key, envelope, pack, pack_offset, pack_size,
           attempt
    FROM fit
    WHERE attempt IS NOT NULL
    ORDER BY artifact_id, check_kind, check_revision, epoch, policy_epoch, outcome, key
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT (SELECT count(*) FROM new) AS inserted, ARRAY(SELECT n FROM fit) AS fit";

impl Store {
    /// Records at most [`VERDICTS_MAX`] verdicts in one statement. A verdict about other bytes than those on record is
    /// refused; one that is on record already changes nothing, unless that row was refused ([`Store::record_refusals`]): what
    /// somebody wrote in its place is not in its way.
    pub async fn record_verdicts(&self, verdicts: &[SignedVerdict]) -> Result<Recorded, StoreError> {
        within("verdicts", verdicts.len(), VERDICTS_MAX)?;
        let (batch, mut recorded) = Batch::of(verdicts)?;
        if batch.n.is_empty() {
            return Ok(recorded);
        }
        let (mut inserted, fit) = self.record(&batch, false).await?;
        if inserted < fit.len() {
            // another statement, so that looking for refused rows costs nothing where there is no row at all
            inserted += self.record(&batch, true).await?.0;
        }
        for (n, artifact) in batch.n.iter().zip(&batch.artifact) {
            if fit.binary_search(n).is_err() {
                let index = usize::try_from(*n).unwrap_or(usize::MAX);
                let (artifact, reason) = (ArtifactDbId(*artifact), VerdictRefusal::Subject);
                recorded.refused.push(RefusedVerdict { index, artifact, reason });
            }
        }
        recorded.inserted = inserted;
        recorded.duplicate = fit.len().saturating_sub(inserted);
        Ok(recorded)
    }

    /// How many are new, and the positions of those that may be recorded, in order.
    async fn record(&self, batch: &Batch<'_>, anew: bool) -> Result<(usize, Vec<i64>), StoreError> {
        let b = batch;
        let rows = self
            .query(
                RECORD,
                &[
                    &b.n,
                    &b.artifact,
                    &b.sha256,
                    &b.chunk_root,
                    &b.epoch,
                    &b.check_kind,
                    &b.check_mask,
                    &b.check_revision,
                    &b.policy_epoch,
                    &b.outcome,
                    &b.reason,
                    &b.evidence,
                    &b.trust,
                    &b.service,
                    &b.software,
                    &b.decided_at,
                    &b.signed.key,
                    &b.signed.envelope,
                    &b.signed.pack,
                    &b.signed.offset,
                    &b.signed.size,
                    &anew,
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(|| StoreError::inconsistent("verdict", "no answer"))?;
        let mut fit: Vec<i64> = Columns(row).get("fit")?;
        fit.sort_unstable();
        let inserted = usize::try_from(Columns(row).unsigned("inserted")?).unwrap_or(usize::MAX);
        Ok((inserted, fit))
    }

    /// Artifacts with a failure of the gate's epoch, recorded at most that long ago and not refused, that the gate does not
    /// know of: its doorbell was lost. Reads all failures of that time, so a long one is not for every second.
    pub async fn uncounted_failures(
        &self,
        newer_than: Duration,
        limit: i64,
    ) -> Result<Vec<ArtifactDbId>, StoreError> {
        const UNCOUNTED: &str = r"-- verdict.uncounted_failures
SELECT DISTINCT verdict.artifact_id
FROM verdict JOIN gate ON gate.artifact_id = verdict.artifact_id
WHERE outcome = 'fail' AND recorded_at > now() - make_interval(secs => $1)
  AND verdict.epoch = gate.epoch AND check_mask & deny = 0
  AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)
ORDER BY verdict.artifact_id
LIMIT $2";
        let seconds = newer_than.min(FAILURES_AGE_MAX).as_secs_f64();
        let rows = self.query(UNCOUNTED, &[&seconds, &limit]).await?;
        rows.iter().map(|row| Columns(row).artifact("artifact_id")).collect()
    }
}

/// Reads a verdict; the artifact's own digests have the plain column names.
pub(crate) fn verdict(columns: Columns<'_>) -> Result<Verdict, StoreError> {
    Ok(Verdict {
        artifact: columns.artifact("artifact_id")?,
        sha256: columns.sha256("subject")?,
        chunk_root: columns.sha256_opt("subject_chunk_root")?,
        epoch: columns.get("epoch")?,
        check: columns.parse("check_kind")?,
        check_revision: columns.get("check_revision")?,
        policy_epoch: columns.get("policy_epoch")?,
        outcome: Outcome { kind: columns.parse("outcome")?, reason: columns.reason("reason")? },
        evidence: columns.sha256_list("evidence")?,
        trust: columns.sha256_list("trust")?,
        service: columns.get("service")?,
        software: columns.get("software")?,
        decided_at: columns.get("decided_at")?,
    })
}

#[cfg(test)]
mod tests;
