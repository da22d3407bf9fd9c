//! From what was found to what is answered: waivers, and whom to tell. Pure.

use serde_json::{Value, json};
use touchstone_domain::{AttestationMode, Outcome, OutcomeKind, Reason, Waiver};
use touchstone_store::IncidentKind;

/// Applies an operator's waiver: to another signer than before, to what is missing beside an attestation, and to what is
/// unattested where attestations are required. Never to what is refused: not to a failure, and not to what nobody known signed.
pub(crate) fn waived(found: Outcome, mode: AttestationMode, waiver: Option<&Waiver>) -> Outcome {
    let Some(Waiver { reason, expires, .. }) = waiver else { return found };
    let required = match mode {
        AttestationMode::Require => true,
        AttestationMode::Off | AttestationMode::Observe | AttestationMode::Ratchet => false,
    };
    let waivable = match &found.reason {
        Reason::Discontinued { .. } | Reason::AttestationIncomplete { .. } => {
            found.kind == OutcomeKind::Inconclusive
        }
        Reason::Unattested { .. } => found.kind == OutcomeKind::NotOffered && required,
        Reason::AttestationRefused { .. }
        | Reason::RegistrySignatureRefused { .. }
        | Reason::ForeignBuild { .. }
        | Reason::Attested { .. }
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
        | Reason::Undeclared
        | Reason::SumdbRecorded { .. }
        | Reason::SumdbPrivate
        | Reason::SumdbAbsent { .. }
        | Reason::SumdbRefused { .. }
        | Reason::SumdbMismatch { .. }
        | Reason::Trivial
        | Reason::Unreadable { .. } => false,
    };
    if !waivable {
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
        | Reason::Undeclared
        | Reason::SumdbRecorded { .. }
        | Reason::SumdbPrivate
        | Reason::SumdbAbsent { .. }
        | Reason::SumdbRefused { .. }
        | Reason::SumdbMismatch { .. }
        | Reason::Trivial
        | Reason::Unreadable { .. } => return None,
    };
    Some((kind, json!({ "reason": outcome.reason, "words": outcome.reason.to_string() })))
}

#[cfg(test)]
mod tests;
