//! Verdicts as columns.

use jiff::Timestamp;
use touchstone_domain::{CheckSet, Verdict};

use super::{Recorded, RefusedVerdict, SignedVerdict, VerdictRefusal};
use crate::{StoreError, row::plain_json, signed::SignedColumns};

/// The longest reason, in bytes of JSON.
const REASON_BYTES_MAX: usize = 16_384;
/// The most digests of evidence, and of trust material, of one verdict.
const DIGESTS_MAX: usize = 64;

/// The columns of `verdict`.
#[derive(Default)]
pub(super) struct Batch<'a> {
    pub(super) n: Vec<i64>,
    pub(super) artifact: Vec<i64>,
    pub(super) sha256: Vec<&'a [u8]>,
    pub(super) chunk_root: Vec<Option<&'a [u8]>>,
    pub(super) epoch: Vec<i32>,
    pub(super) check_kind: Vec<&'static str>,
    pub(super) check_mask: Vec<i64>,
    pub(super) check_revision: Vec<i32>,
    pub(super) policy_epoch: Vec<i32>,
    pub(super) outcome: Vec<&'static str>,
    pub(super) reason: Vec<String>,
    pub(super) evidence: Vec<Vec<u8>>,
    pub(super) trust: Vec<Vec<u8>>,
    pub(super) service: Vec<&'a str>,
    pub(super) software: Vec<&'a str>,
    pub(super) decided_at: Vec<Timestamp>,
    pub(super) signed: SignedColumns<'a>,
}

impl<'a> Batch<'a> {
    /// Leaves out what is beyond bounds, so that one such verdict does not take the batch with it.
    pub(super) fn of(verdicts: &'a [SignedVerdict]) -> Result<(Self, Recorded), StoreError> {
        let mut batch = Self::default();
        let mut recorded = Recorded::default();
        for (index, SignedVerdict { verdict, signed }) in verdicts.iter().enumerate() {
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
                let reason = VerdictRefusal::Bounds;
                recorded.refused.push(RefusedVerdict { index, artifact: verdict.artifact, reason });
            } else {
                batch.push(index, verdict, reason)?;
                batch.signed.push(signed)?;
            }
        }
        Ok((batch, recorded))
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
