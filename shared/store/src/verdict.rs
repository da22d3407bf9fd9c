//! Verdicts: recorded once and for ever, and read back by whoever counts them.

use std::time::Duration;

use jiff::Timestamp;
use touchstone_domain::{ArtifactDbId, CheckSet, Gate, Outcome, SignedBy, Verdict};

use crate::{
    ARTIFACTS_MAX, Store, StoreError,
    error::within,
    row::{Columns, numbers, plain_json},
};

/// The most verdicts per call of [`Store::record_verdicts`].
pub const VERDICTS_MAX: usize = 256;
/// The longest reason, in bytes of JSON.
const REASON_BYTES_MAX: usize = 16_384;
/// Longer ago than any failure, and within what Postgres can subtract.
const FAILURES_AGE_MAX: Duration = Duration::from_hours(24 * 366 * 100);
/// The most digests of evidence, and of trust material, of one verdict.
const DIGESTS_MAX: usize = 64;

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

const RECORD: &str = r"-- verdict.record
WITH fit AS MATERIALIZED (
    SELECT n, offered.artifact_id, offered.sha256, offered.chunk_root, offered.epoch, check_kind, check_mask,
           check_revision, offered.policy_epoch, outcome, reason, evidence, trust, service, software, decided_at
    FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::integer[], $6::text[], $7::bigint[],
                $8::integer[], $9::integer[], $10::text[], $11::text[], $12::bytea[], $13::bytea[],
                $14::text[], $15::text[], $16::timestamptz[])
        AS offered (n, artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch,
                    outcome, reason, evidence, trust, service, software, decided_at)
    JOIN artifact ON artifact.id = offered.artifact_id
    JOIN gate ON gate.artifact_id = offered.artifact_id
    WHERE artifact.sha256 = offered.sha256 AND offered.epoch BETWEEN 0 AND gate.epoch
), new AS (
    INSERT INTO verdict (artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch,
                         outcome, reason, evidence, trust, service, software, decided_at)
    SELECT artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch, outcome,
           reason::jsonb, evidence, trust, service, software, decided_at
    FROM fit
    ORDER BY artifact_id, check_kind, check_revision, epoch, policy_epoch, outcome
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT (SELECT count(*) FROM new) AS inserted, ARRAY(SELECT n FROM fit) AS fit";

impl Store {
    /// Records at most [`VERDICTS_MAX`] verdicts in one statement. A verdict about other bytes than those on record is
    /// refused; one that is on record already changes nothing.
    pub async fn record_verdicts(&self, verdicts: &[SignedVerdict]) -> Result<Recorded, StoreError> {
        within("verdicts", verdicts.len(), VERDICTS_MAX)?;
        let verdicts: Vec<Verdict> = todo!();
        let (batch, mut recorded) = Batch::of(&verdicts)?;
        if batch.n.is_empty() {
            return Ok(recorded);
        }
        let b = &batch;
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
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(|| StoreError::inconsistent("verdict", "no answer"))?;
        let mut fit: Vec<i64> = Columns(row).get("fit")?;
        fit.sort_unstable();
        for (n, artifact) in batch.n.iter().zip(&batch.artifact) {
            if fit.binary_search(n).is_err() {
                recorded.refuse(
                    usize::try_from(*n).unwrap_or(usize::MAX),
                    ArtifactDbId(*artifact),
                    VerdictRefusal::Subject,
                );
            }
        }
        recorded.inserted = usize::try_from(Columns(row).unsigned("inserted")?).unwrap_or(usize::MAX);
        recorded.duplicate = fit.len().saturating_sub(recorded.inserted);
        Ok(recorded)
    }

    /// Artifacts with a failure of the gate's epoch, recorded at most that long ago, that the gate does not know of: its
    /// doorbell was lost. Reads all failures of that time, so a long one is not for every second.
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
        outcome: Outcome { kind: columns.parse("outcome")?, reason: columns.json("reason")? },
        evidence: columns.sha256_list("evidence")?,
        trust: columns.sha256_list("trust")?,
        service: columns.get("service")?,
        software: columns.get("software")?,
        decided_at: columns.get("decided_at")?,
    })
}

impl Recorded {
    fn refuse(&mut self, index: usize, artifact: ArtifactDbId, reason: VerdictRefusal) {
        self.refused.push(RefusedVerdict { index, artifact, reason });
    }
}

/// The columns of `verdict`.
#[derive(Default)]
struct Batch<'a> {
    n: Vec<i64>,
    artifact: Vec<i64>,
    sha256: Vec<&'a [u8]>,
    chunk_root: Vec<Option<&'a [u8]>>,
    epoch: Vec<i32>,
    check_kind: Vec<&'static str>,
    check_mask: Vec<i64>,
    check_revision: Vec<i32>,
    policy_epoch: Vec<i32>,
    outcome: Vec<&'static str>,
    reason: Vec<String>,
    evidence: Vec<Vec<u8>>,
    trust: Vec<Vec<u8>>,
    service: Vec<&'a str>,
    software: Vec<&'a str>,
    decided_at: Vec<Timestamp>,
}

impl<'a> Batch<'a> {
    /// Leaves out what is beyond bounds, so that one such verdict does not take the batch with it.
    fn of(verdicts: &'a [Verdict]) -> Result<(Self, Recorded), StoreError> {
        let mut batch = Self::default();
        let mut outcome = Recorded::default();
        for (index, verdict) in verdicts.iter().enumerate() {
            let invalid =
                |e: serde_json::Error| StoreError::Invalid { what: "verdict", problem: e.to_string() };
            let reason = plain_json(&verdict.outcome.reason).map_err(invalid)?;
            // jsonb writes a space after each colon and comma
            let room = reason.len() + reason.matches([':', ',']).count();
            let texts = [(&verdict.service, 64), (&verdict.software, 128)];
            let named =
                texts.iter().all(|(text, max)| (1..=*max).contains(&text.len()) && !text.contains('\0'));
            let digests = verdict.evidence.len().max(verdict.trust.len());
            if !named || room > REASON_BYTES_MAX || digests > DIGESTS_MAX {
                outcome.refuse(index, verdict.artifact, VerdictRefusal::Bounds);
            } else {
                batch.push(index, verdict, reason)?;
            }
        }
        Ok((batch, outcome))
    }

    fn push(&mut self, index: usize, verdict: &'a Verdict, reason: String) -> Result<(), StoreError> {
        let invalid = |_| StoreError::Invalid { what: "verdict", problem: "too many".into() };
        self.n.push(i64::try_from(index).map_err(invalid)?);
        self.artifact.push(verdict.artifact.0);
        self.sha256.push(&verdict.sha256.0);
        self.chunk_root.push(verdict.chunk_root.as_ref().map(|root| root.0.as_slice()));
        self.epoch.push(verdict.epoch);
        self.check_kind.push(verdict.check.as_str());
        self.check_mask.push(CheckSet::of(verdict.check).mask());
        self.check_revision.push(verdict.check_revision);
        self.policy_epoch.push(verdict.policy_epoch);
        self.outcome.push(verdict.outcome.kind.as_str());
        self.reason.push(reason);
        self.evidence.push(verdict.evidence.iter().flat_map(|digest| digest.0).collect());
        self.trust.push(verdict.trust.iter().flat_map(|digest| digest.0).collect());
        self.service.push(&verdict.service);
        self.software.push(&verdict.software);
        self.decided_at.push(verdict.decided_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
