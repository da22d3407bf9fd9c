//! What is done about an artifact once it has been judged; pure.

use std::cmp::Ordering;

use touchstone_custody::{Approval, Case, Judged, Withheld};
use touchstone_domain::{Gate, GateDelta, count};

use crate::{count::Look, reopen::Why};

/// What is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It becomes servable: a record is signed.
    Promote(Box<Approval>),
    /// The bits that count are added; nothing is servable by them.
    Count,
    /// The gate's requirement is fulfilled, and something else is missing that other answers do not bring: it stays pending.
    Wait(Withheld),
    /// It begins a new epoch under promote's own policy.
    Reopen(Why),
}

/// Whether judging may change anything, by what rows say. They are not believed: what they hide, the sweeper finds.
pub(crate) fn is_worth_judging(case: &Case, look: Look) -> bool {
    let gate = &case.gate;
    let answered = gate.ok.union(gate.deny).union(gate.undecided);
    if look == Look::All {
        return !case.verdicts.is_empty() || !answered.is_empty();
    }
    let mut claimed = *gate;
    let mut odd = false;
    for stored in &case.verdicts {
        match count(&stored.verdict, gate) {
            Ok(delta) => claimed.apply(&delta),
            Err(_) => odd = true,
        }
    }
    let failed = !claimed.deny.minus(gate.deny).is_empty();
    let changed = (claimed.ok, claimed.undecided) != (gate.ok, gate.undecided);
    odd || failed || (changed && claimed.missing().is_empty())
}

/// Whether a delta adds a bit that the gate lacks.
pub(crate) fn adds(gate: &Gate, delta: &GateDelta) -> bool {
    let mut after = *gate;
    after.apply(delta);
    after != *gate
}

/// Decides. `policy_epoch` is that of promote's own policy.
pub(crate) fn of(case: &Case, judged: &Judged, policy_epoch: i32) -> Course {
    let gate = &case.gate;
    let mut after = *gate;
    judged.deltas.iter().for_each(|delta| after.apply(delta));
    let pending = !gate.is_servable();
    let unbacked = judged.unbacked.intersection(gate.requirement.required());
    match &judged.approval {
        Err(Withheld::Rejected { .. } | Withheld::Held(_)) => Course::Count,
        Ok(_) | Err(_) if pending && !unbacked.is_empty() => {
            Course::Reopen(Why::Unbacked { checks: unbacked })
        }
        Ok(approval) if pending && after.is_servable() => Course::Promote(Box::new(approval.clone())),
        Err(reason @ Withheld::Policy { missing }) => match policy_epoch.cmp(&case.policy_epoch) {
            Ordering::Less => Course::Wait(reason.clone()),
            Ordering::Equal => Course::Reopen(Why::Lowered { missing: *missing }),
            Ordering::Greater => Course::Reopen(Why::Policy { missing: *missing }),
        },
        Err(reason @ (Withheld::Fetch(_) | Withheld::NotAdmitted)) => Course::Wait(reason.clone()),
        Ok(_) | Err(Withheld::Checks { .. } | Withheld::Age(_)) => Course::Count,
    }
}

#[cfg(test)]
mod tests;
