//! What belongs together, and is two artifacts: a Python distribution and its core metadata sidecar (PEP 658; ecosystems.md 5.2),
//! and the zip of a Go module and its `.mod` (7.2). Resolvers read the one, installers and compilers what is inside the other,
//! and they must be the same bytes. "Sidecar" and "distribution" stand for both here.
//!
//! *Invariant:* of a distribution and a sidecar that differ, at most one is ever approved. Each check comes after its own row and
//! looks for the other's, so whichever row came first, the later check sees both. The one that was there first stays: a
//! sidecar is compared with what the distribution on record has inside, and a distribution with a sidecar that is served or
//! may be. What an operator then recalls, or what a recheck of both rejects, no longer stands in the way.
//!
//! A zip without a `go.mod` contradicts no `.mod`; nor does one that is refused, since the checksum database says which is the
//! true one of either.

use touchstone_domain::{
    Algorithm, ArtifactId, ArtifactState, CheckKind, ClaimField, Ecosystem, FileName, HoldReason, Reason,
    Sha256,
};
use touchstone_ecosystems::{
    go::{mod_of, zip_of},
    pypi::{distribution_of, sidecar_of},
};
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
    let named = |file: FileName| ArtifactId { file, ..id.clone() };
    let (distribution, sidecar) = match id.ecosystem {
        Ecosystem::Pypi => (distribution_of(&id.file), sidecar_of(&id.file)),
        Ecosystem::Go => (zip_of(&id.file), mod_of(&id.file)),
        Ecosystem::Cargo | Ecosystem::Npm => return None,
    };
    match distribution {
        Some(file) => Some(Other::Distribution(named(file))),
        None => sidecar.map(|file| Other::Sidecar(named(file))),
    }
}

/// Compares the digests of a sidecar and of the metadata in its distribution.
fn differs(ecosystem: Ecosystem, sidecar: Sha256, inside: Sha256) -> Option<Reason> {
    if sidecar == inside {
        return None;
    }
    let (sidecar, inside) = (sidecar.to_string(), inside.to_string());
    Some(match ecosystem {
        Ecosystem::Go => {
            Reason::CoordinateMismatch { part: "go.mod".to_owned(), expected: sidecar, found: inside }
        }
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => Reason::DigestMismatch {
            field: ClaimField::PypiCoreMetadata,
            algorithm: Algorithm::Sha256,
            declared: sidecar,
            computed: inside,
        },
    })
}

/// Whether a sidecar is compared with the distribution on record. Where another check knows which of two is the true one, one
/// that is refused says nothing; should a recheck approve it, that one finds the sidecar.
pub(crate) fn counts(distribution: &ArtifactStatus) -> bool {
    match distribution.state() {
        ArtifactState::Rejected | ArtifactState::Revoked => !decided_elsewhere(distribution),
        ArtifactState::Fetched | ArtifactState::Verifying | ArtifactState::Held | ArtifactState::Servable => {
            true
        }
    }
}

/// Compares a sidecar with the metadata in the distribution on record.
pub(crate) fn inside(
    distribution: &ArtifactStatus,
    sidecar: Sha256,
    inside: Sha256,
) -> Result<Option<Reason>, CheckError> {
    let Some(reason) = differs(distribution.id.ecosystem, sidecar, inside) else { return Ok(None) };
    let gate = &distribution.gate;
    let missing = gate.requirement.required().minus(gate.ok).minus(gate.deny).minus(gate.undecided);
    if decided_elsewhere(distribution) && missing.contains(CheckKind::Sumdb) {
        return Err(CheckError::retry(
            "the go.mod in the zip on record differs, and which is true is not known yet",
        ));
    }
    Ok(Some(reason))
}

/// Why a sidecar is refused whose distribution on record is. Where another check knows the true sidecar, it stands for itself.
pub(crate) fn of_refused(distribution: &ArtifactStatus, reason: Reason) -> Option<Reason> {
    (!decided_elsewhere(distribution)).then_some(reason)
}

/// Whether the checksum database has a line for either.
fn decided_elsewhere(distribution: &ArtifactStatus) -> bool {
    CheckKind::Sumdb.applies_to(distribution.id.ecosystem)
}

/// Compares the metadata in a distribution with the sidecar on record.
pub(crate) fn beside(sidecar: &ArtifactStatus, manifest: Sha256) -> Result<Option<Reason>, CheckError> {
    let ecosystem = sidecar.id.ecosystem;
    let Some(reason) = differs(ecosystem, sidecar.gate.sha256, manifest) else { return Ok(None) };
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
    use touchstone_domain::{ArtifactDbId, CheckSet, Gate, HoldSet, PackageName, Requirement, Version};

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
    fn only_python_and_go_files_belong_together() {
        let (wheel, beside) = ("x-1.0-py3-none-any.whl", "x-1.0-py3-none-any.whl.metadata");
        let python = |file: &str| id(Ecosystem::Pypi, file);
        assert_eq!(other(&python(wheel)), Some(Other::Sidecar(python(beside))));
        assert_eq!(other(&python(beside)), Some(Other::Distribution(python(wheel))));
        let go = |file: &str| id(Ecosystem::Go, file);
        assert_eq!(other(&go("v1.0.0.zip")), Some(Other::Sidecar(go("v1.0.0.mod"))));
        assert_eq!(other(&go("v1.0.0.mod")), Some(Other::Distribution(go("v1.0.0.zip"))));
        assert_eq!(other(&go("v1.0.0.info")), None);
        assert_eq!(other(&id(Ecosystem::Npm, "x-1.0.tgz")), None);
        assert_eq!(other(&id(Ecosystem::Cargo, "x-1.0.crate.metadata")), None);
    }

    /// A sidecar that waits for both checks.
    fn fetched(sha256: Sha256) -> ArtifactStatus {
        let of = id(Ecosystem::Pypi, "x-1.0-py3-none-any.whl.metadata");
        waiting(of, sha256, &[CheckKind::Hash, CheckKind::Attest])
    }

    fn waiting(id: ArtifactId, sha256: Sha256, checks: &[CheckKind]) -> ArtifactStatus {
        let required: CheckSet = checks.iter().copied().collect();
        let gate = Gate {
            artifact: ArtifactDbId(1),
            sha256,
            chunk_root: Sha256::of("root"),
            epoch: 0,
            requirement: Requirement::new(required, required).expect("not empty"),
            ok: CheckSet::EMPTY,
            deny: CheckSet::EMPTY,
            undecided: CheckSet::EMPTY,
            hold: HoldSet::EMPTY,
        };
        ArtifactStatus {
            id,
            gate,
            policy_epoch: 1,
            eligible_at: None,
            fetched_at: "2026-01-02T03:04:05Z".parse().expect("a time"),
            dispatches: 0,
            findings: vec![],
            recall: None,
            fetch_keys: vec![],
            promoted: false,
            unsigned: false,
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
        let refused = Ok(differs(Ecosystem::Pypi, forged, own));
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

    #[test]
    fn a_zip_on_record_counts_once_its_line_in_the_checksum_database_is_known() {
        let (true_one, forged) = (Sha256::of("true"), Sha256::of("forged"));
        let (hash, sumdb) = (CheckSet::of(CheckKind::Hash), CheckSet::of(CheckKind::Sumdb));
        let zip = |checks: &[CheckKind], change: &dyn Fn(&mut Gate)| {
            let mut status = waiting(id(Ecosystem::Go, "v1.0.0.zip"), Sha256::of("zip"), checks);
            change(&mut status.gate);
            status
        };
        let public = |change: &dyn Fn(&mut Gate)| zip(&[CheckKind::Hash, CheckKind::Sumdb], change);
        let found = |zip: &ArtifactStatus| {
            inside(zip, forged, true_one).map_err(|error| matches!(error, CheckError::Retry { .. }))
        };
        let refused = Reason::CoordinateMismatch {
            part: "go.mod".to_owned(),
            expected: forged.to_string(),
            found: true_one.to_string(),
        };
        assert_eq!(found(&public(&|_| {})), Err(true));
        assert_eq!(found(&public(&|gate| gate.ok = hash)), Err(true));
        assert_eq!(found(&public(&|gate| gate.ok = sumdb)), Ok(Some(refused.clone())));
        assert_eq!(found(&public(&|gate| gate.ok = hash.union(sumdb))), Ok(Some(refused.clone())));
        assert_eq!(found(&zip(&[CheckKind::Hash], &|_| {})), Ok(Some(refused.clone())), "a private one");
        assert!(matches!(inside(&public(&|_| {}), forged, forged), Ok(None)), "the same bytes never wait");

        assert!(counts(&public(&|_| {})) && counts(&public(&|gate| gate.ok = hash.union(sumdb))));
        assert!(!counts(&public(&|gate| gate.deny = sumdb)), "a zip that the database does not know");
        assert!(!counts(&public(&|gate| gate.hold = HoldSet::of(HoldReason::Recalled))));
        let mut python = fetched(forged);
        python.gate.deny = hash;
        assert!(counts(&python));
        assert_eq!(of_refused(&python, refused.clone()), Some(refused.clone()));
        assert_eq!(of_refused(&public(&|_| {}), refused), None);
    }
}
