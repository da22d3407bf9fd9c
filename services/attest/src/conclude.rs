//! From what was found to what is answered: waivers, and whom to tell. Pure.

use serde_json::{Value, json};
use touchstone_domain::{AttestationMode, Outcome, OutcomeKind, Reason, Waiver};
use touchstone_store::IncidentKind;

/// Applies an operator's waiver: to what would be held, and to what is absent where it is required; never to a failure.
pub(crate) fn waived(found: Outcome, mode: AttestationMode, waiver: Option<&Waiver>) -> Outcome {
    let Some(Waiver { reason, expires, .. }) = waiver else { return found };
    let holds = match (found.kind, mode) {
        (OutcomeKind::Inconclusive, _) | (OutcomeKind::NotOffered, AttestationMode::Require) => true,
        (
            OutcomeKind::NotOffered,
            AttestationMode::Off | AttestationMode::Observe | AttestationMode::Ratchet,
        )
        | (OutcomeKind::Pass | OutcomeKind::Fail, _) => false,
    };
    if !holds {
        return found;
    }
    Outcome::pass(Reason::Waived {
        reason: reason.clone(),
        expires: *expires,
        finding: Box::new(found.reason),
    })
}

/// The incident that an answer is worth, if it is one that people must look at.
pub(crate) fn incident(outcome: &Outcome) -> Option<(IncidentKind, Value)> {
    let kind = match &outcome.reason {
        Reason::Discontinued { .. } => IncidentKind::ContinuityBroken,
        Reason::AttestationRefused { .. }
        | Reason::RegistrySignatureRefused { .. }
        | Reason::ForeignBuild { .. } => IncidentKind::AttestationRefused,
        Reason::AttestationIncomplete { .. }
        | Reason::Attested { .. }
        | Reason::Unattested { .. }
        | Reason::AttestationsOff
        | Reason::Waived { .. }
        | Reason::DigestsMatch { .. }
        | Reason::DigestMismatch { .. }
        | Reason::SizeMismatch { .. }
        | Reason::NoClaim
        | Reason::WeakOnly { .. }
        | Reason::WeakAccepted { .. }
        | Reason::ClaimMalformed { .. }
        | Reason::CoordinateMismatch { .. }
        | Reason::ArchiveRejected { .. }
        | Reason::Trivial
        | Reason::Unreadable { .. } => return None,
    };
    Some((kind, json!({ "reason": outcome.reason, "words": outcome.reason.to_string() })))
}

#[cfg(test)]
mod tests;
