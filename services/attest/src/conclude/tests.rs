use touchstone_domain::{Discontinuity, Sha256, SignatureNote};

use super::*;

fn waiver() -> Waiver {
    Waiver {
        sha256: Sha256::of("x"),
        reason: "the maintainer told us".into(),
        expires: "2027-01-31T00:00:00Z".parse().expect("a time"),
    }
}

fn findings() -> [(Outcome, &'static str); 7] {
    let unattested = Reason::Unattested { registry_signature: SignatureNote::NotApplicable };
    let problem = || "signature".to_owned();
    [
        (Outcome::pass(Reason::Trivial), "pass"),
        (Outcome { kind: OutcomeKind::NotOffered, reason: unattested }, "absent"),
        (Outcome::inconclusive(Reason::Discontinued { discontinuity: Discontinuity::Withdrawn }), "held"),
        (
            Outcome::inconclusive(Reason::AttestationIncomplete {
                problem: "withheld".into(),
                detail: String::new(),
            }),
            "held",
        ),
        (
            Outcome::fail(Reason::AttestationRefused {
                document: String::new(),
                problem: problem(),
                detail: problem(),
            }),
            "refused",
        ),
        (
            Outcome::inconclusive(Reason::AttestationRefused {
                document: String::new(),
                problem: "unknown_log".into(),
                detail: problem(),
            }),
            "refused",
        ),
        (
            Outcome::inconclusive(Reason::RegistrySignatureRefused {
                problem: "unknown_key".into(),
                detail: problem(),
            }),
            "refused",
        ),
    ]
}

#[test]
fn a_waiver_turns_what_is_held_into_a_pass_and_never_what_is_refused() {
    for mode in [AttestationMode::Observe, AttestationMode::Ratchet, AttestationMode::Require] {
        for (found, class) in findings() {
            assert_eq!(waived(found.clone(), mode, None), found, "without a waiver nothing changes");
            let expected = if class == "held" || (class == "absent" && mode == AttestationMode::Require) {
                Outcome::pass(Reason::Waived {
                    reason: waiver().reason,
                    expires: waiver().expires,
                    finding: Box::new(found.reason.clone()),
                })
            } else {
                found.clone()
            };
            assert_eq!(waived(found, mode, Some(&waiver())), expected, "{class} under {}", mode.as_str());
        }
    }
}

#[test]
fn people_are_told_of_breaks_and_refusals_and_of_nothing_that_was_waived() {
    let kinds: Vec<Option<IncidentKind>> =
        findings().iter().map(|(found, _)| incident(found).map(|(kind, _)| kind)).collect();
    let refused = Some(IncidentKind::AttestationRefused);
    let expected = [None, None, Some(IncidentKind::ContinuityBroken), None, refused, refused, refused];
    assert_eq!(kinds, expected);
    let [_, _, (held, _), ..] = findings();
    let (_, detail) = incident(&held).expect("an incident");
    assert_eq!(detail["words"], "it has no attestation, and was listed with one before");
    assert_eq!(incident(&waived(held, AttestationMode::Ratchet, Some(&waiver()))), None);
}
