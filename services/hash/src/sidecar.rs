//! A Python distribution and its core metadata sidecar (PEP 658): resolvers read the sidecar, installers the METADATA inside,
//! and they must be the same bytes (ecosystems.md 5.2).
//!
//! *Invariant:* of a distribution and a sidecar that differ, at most one is ever approved. Each check comes after its own row and
//! looks for the other's, so whichever row came first, the later check sees both. The one that was there first stays: a
//! sidecar is compared with the METADATA of the distribution on record, and a distribution with a sidecar that is served or
//! may be. What an operator then recalls, or what a recheck of both rejects, no longer stands in the way.

use touchstone_domain::{
    Algorithm, ArtifactId, ArtifactState, ClaimField, Ecosystem, FileName, HoldReason, Reason, Sha256,
};
use touchstone_ecosystems::pypi::{distribution_of, sidecar_of};
use touchstone_store::ArtifactStatus;
use touchstone_worker::CheckError;

/// What belongs to an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    /// The artifact is a sidecar, and this is its distribution.
    Distribution(ArtifactId),
    /// The artifact is a distribution, and this is its sidecar, if it has one.
    Sidecar(ArtifactId),
}

/// What belongs to an artifact; `None` where there are no sidecars.
pub(crate) fn other(id: &ArtifactId) -> Option<Other> {
    match id.ecosystem {
        Ecosystem::Pypi => {}
        Ecosystem::Cargo | Ecosystem::Go | Ecosystem::Npm => return None,
    }
    let named = |file: FileName| ArtifactId { file, ..id.clone() };
    match distribution_of(&id.file) {
        Some(file) => Some(Other::Distribution(named(file))),
        None => sidecar_of(&id.file).map(|file| Other::Sidecar(named(file))),
    }
}

/// Compares the digests of a sidecar and of the metadata in its distribution.
pub(crate) fn differs(sidecar: Sha256, manifest: Sha256) -> Option<Reason> {
    (sidecar != manifest).then(|| Reason::DigestMismatch {
        field: ClaimField::PypiCoreMetadata,
        algorithm: Algorithm::Sha256,
        declared: sidecar.to_string(),
        computed: manifest.to_string(),
    })
}

/// Compares the metadata in a distribution with the sidecar on record.
pub(crate) fn beside(sidecar: &ArtifactStatus, manifest: Sha256) -> Result<Option<Reason>, CheckError> {
    let Some(reason) = differs(sidecar.gate.sha256, manifest) else { return Ok(None) };
    match sidecar.state() {
        ArtifactState::Servable => Ok(Some(reason)),
        // Its check may have come before this distribution's row, or it may yet compare itself.
        ArtifactState::Fetched | ArtifactState::Verifying => Err(CheckError::retry(
            "the sidecar on record differs from the metadata inside, and is not decided",
        )),
        // Time alone makes it servable.
        ArtifactState::Held if sidecar.gate.hold.contains(HoldReason::Age) => Ok(Some(reason)),
        // Only a recheck could, and finds this distribution.
        ArtifactState::Held | ArtifactState::Rejected | ArtifactState::Revoked => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{
        ArtifactDbId, CheckKind, CheckSet, Gate, HoldSet, PackageName, Requirement, Version,
    };

    use super::*;

    fn id(ecosystem: Ecosystem, file: &str) -> ArtifactId {
        ArtifactId {
            ecosystem,
            package: PackageName::new("x").expect("a name"),
            version: Version::new("1.0").expect("a version"),
            file: FileName::new(file).expect("a name"),
        }
    }

    #[test]
    fn only_python_files_belong_together() {
        let (wheel, beside) = ("x-1.0-py3-none-any.whl", "x-1.0-py3-none-any.whl.metadata");
        let python = |file: &str| id(Ecosystem::Pypi, file);
        assert_eq!(other(&python(wheel)), Some(Other::Sidecar(python(beside))));
        assert_eq!(other(&python(beside)), Some(Other::Distribution(python(wheel))));
        assert_eq!(other(&id(Ecosystem::Npm, "x-1.0.tgz")), None);
        assert_eq!(other(&id(Ecosystem::Cargo, "x-1.0.crate.metadata")), None);
    }

    /// A sidecar that waits for both checks.
    fn fetched(sha256: Sha256) -> ArtifactStatus {
        let both = CheckSet::of(CheckKind::Hash).union(CheckSet::of(CheckKind::Attest));
        let gate = Gate {
            artifact: ArtifactDbId(1),
            sha256,
            chunk_root: Sha256::of("root"),
            epoch: 0,
            requirement: Requirement::new(both, both).expect("not empty"),
            ok: CheckSet::EMPTY,
            deny: CheckSet::EMPTY,
            undecided: CheckSet::EMPTY,
            hold: HoldSet::EMPTY,
        };
        ArtifactStatus {
            id: id(Ecosystem::Pypi, "x-1.0-py3-none-any.whl.metadata"),
            gate,
            policy_epoch: 1,
            eligible_at: None,
            fetched_at: "2026-01-02T03:04:05Z".parse().expect("a time"),
            dispatches: 0,
            findings: vec![],
            recall: None,
        }
    }

    #[test]
    fn a_sidecar_that_differs_stands_in_the_way_while_it_is_served_or_may_be() {
        let (own, forged) = (Sha256::of("own"), Sha256::of("forged"));
        let (hash, attest) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Attest));
        let mut status = fetched(forged);
        let found = |change: &dyn Fn(&mut Gate)| {
            let mut status = status.clone();
            change(&mut status.gate);
            beside(&status, own).map_err(|error| matches!(error, CheckError::Retry { .. }))
        };
        let refused = Ok(differs(forged, own));
        assert_eq!(found(&|_| {}), Err(true));
        assert_eq!(found(&|gate| gate.ok = hash), Err(true));
        assert_eq!(found(&|gate| gate.ok = hash.union(attest)), refused);
        let aged = |gate: &mut Gate| {
            (gate.ok, gate.hold) = (hash.union(attest), HoldSet::of(HoldReason::Age));
        };
        assert_eq!(found(&aged), refused);
        assert_eq!(found(&|gate| (gate.ok, gate.undecided) = (hash, attest)), Ok(None));
        assert_eq!(found(&|gate| gate.deny = hash), Ok(None));
        let recalled = |gate: &mut Gate| {
            (gate.ok, gate.hold) = (hash.union(attest), HoldSet::of(HoldReason::Recalled));
        };
        assert_eq!(found(&recalled), Ok(None));
        status = fetched(own);
        assert!(matches!(beside(&status, own), Ok(None)), "the same bytes are never in the way");
    }
}
