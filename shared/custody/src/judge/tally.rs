//! Verified verdicts, counted.

use touchstone_domain::{CheckKind, CheckSet, Gate, GateDelta, HoldSet, KeyId, Policy, Sha256, count};

use super::{Case, NotSigned};
use crate::{Approver, Signed, VerdictStatement};

/// The verified verdicts, counted from nothing: towards the gate's requirement, and towards the policy's.
pub(super) struct Tally {
    pub(super) gate: Gate,
    pub(super) own: Gate,
    pub(super) deltas: Vec<GateDelta>,
    pub(super) refused: Vec<(i64, NotSigned)>,
    /// The first approval of each check.
    approvals: Vec<(CheckKind, KeyId, Sha256)>,
}

impl Tally {
    pub(super) fn new(case: &Case, policy: &Policy) -> Self {
        let none = CheckSet::EMPTY;
        let gate = Gate { ok: none, deny: none, undecided: none, hold: HoldSet::EMPTY, ..case.gate };
        let requirement = policy.requirement(case.id.ecosystem, &case.id.package);
        let own = Gate { requirement, ..gate };
        Self { gate, own, deltas: vec![], refused: vec![], approvals: vec![] }
    }

    pub(super) fn count(&mut self, signed: &Signed<VerdictStatement>) -> Result<(), NotSigned> {
        let verdict = &signed.statement().verdict;
        let (delta, own) = (count(verdict, &self.gate)?, count(verdict, &self.own)?);
        self.gate.apply(&delta);
        self.own.apply(&own);
        let approves = !delta.ok().union(own.ok()).is_empty();
        if approves && self.approvals.iter().all(|(check, ..)| *check != verdict.check) {
            self.approvals.push((verdict.check, signed.key(), signed.envelope()));
        }
        self.deltas.push(delta);
        Ok(())
    }

    /// What an approval rests on, in the order of the checks.
    pub(super) fn approvers(&self) -> impl Iterator<Item = Approver> {
        let required = self.gate.requirement.required().union(self.own.requirement.required());
        required.iter().filter_map(|check| {
            let (_, key, envelope) = self.approvals.iter().find(|(of, ..)| *of == check)?;
            Some(Approver { check: Some(check), key: *key, envelope: *envelope })
        })
    }
}
