//! Verified verdicts, counted.
//!
//! *Invariant:* towards promote's own requirement, only those approve that were judged by promote's own policy, by the digest that the
//! worker signed: a database that gives workers another document gets nothing approved by it. What denies, denies.

use touchstone_domain::{CheckSet, Gate, GateDelta, HoldSet, Policy, Sha256, count};

use super::{Case, NotSigned};
use crate::{Approver, Signed, VerdictStatement};

/// The verified verdicts, counted from nothing: towards the gate's requirement, and towards the policy's.
pub(super) struct Tally {
    pub(super) gate: Gate,
    pub(super) own: Gate,
    pub(super) deltas: Vec<GateDelta>,
    pub(super) refused: Vec<(i64, NotSigned)>,
    policy: Sha256,
    approvals: Vec<Approval>,
}

/// The first approval of a check; one by promote's own policy stands before all others.
struct Approval {
    is_own: bool,
    by: Approver,
}

impl Tally {
    pub(super) fn new(case: &Case, policy: &Policy) -> Self {
        let none = CheckSet::EMPTY;
        let gate = Gate { ok: none, deny: none, undecided: none, hold: HoldSet::EMPTY, ..case.gate };
        let requirement = policy.requirement(case.id.ecosystem, &case.id.package);
        let own = Gate { requirement, ..gate };
        Self { gate, own, deltas: vec![], refused: vec![], policy: policy.digest(), approvals: vec![] }
    }

    pub(super) fn count(&mut self, signed: &Signed<VerdictStatement>) -> Result<(), NotSigned> {
        let verdict = &signed.statement().verdict;
        let (delta, own) = (count(verdict, &self.gate)?, count(verdict, &self.own)?);
        let is_own = signed.statement().policy == self.policy;
        self.gate.apply(&delta);
        if is_own || own.ok().is_empty() {
            self.own.apply(&own);
        }
        if !delta.ok().union(own.ok()).is_empty() {
            let check = Some(verdict.check);
            self.approve(is_own, Approver { check, key: signed.key(), envelope: signed.envelope() });
        }
        self.deltas.push(delta);
        Ok(())
    }

    fn approve(&mut self, is_own: bool, by: Approver) {
        match self.approvals.iter_mut().find(|known| known.by.check == by.check) {
            None => self.approvals.push(Approval { is_own, by }),
            Some(known) if is_own && !known.is_own => *known = Approval { is_own, by },
            Some(_) => {}
        }
    }

    /// What an approval rests on, in the order of the checks.
    pub(super) fn approvers(&self) -> impl Iterator<Item = Approver> {
        let required = self.gate.requirement.required().union(self.own.requirement.required());
        required.iter().filter_map(|check| {
            self.approvals.iter().find(|known| known.by.check == Some(check)).map(|known| known.by)
        })
    }
}
