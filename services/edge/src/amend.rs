//! What a package's metadata says differently at the mirror: refused artifacts, sidecars that could only be refused, and entries
//! that no longer fit what is on record.

use std::{collections::HashMap, sync::Arc};

use serde_json::json;
use sha2::{Digest as _, Sha256 as Hasher};
use touchstone_domain::{
    Admission, ArtifactState, AttestationMode, Digest, Ecosystem, FileName, PackageName, Refusal, Sha256,
    Sighting, Version,
};
use touchstone_ecosystems::{Amendment, Amendments, Computed, adapter, pypi};
use touchstone_store::{IncidentKind, NewIncident, PackageArtifact};

use crate::{
    artifact::record_incident,
    index::{self, Listing},
    state::Edge,
    words,
};

/// The largest metadata entry that is put back, in bytes.
const ENTRY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The amendments of one package, and a digest that changes with them.
pub(crate) struct Amended {
    pub(crate) amendments: Amendments,
    pub(crate) fingerprint: Sha256,
}

/// Collects the amendments that hold now.
pub(crate) async fn amendments(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    listing: &Listing,
) -> Result<Amended, Refusal> {
    let known = edge.store.package_artifacts(ecosystem, package).await.map_err(|e| words::store(&e))?;
    let mut amendments = Amendments::new();
    young(edge, ecosystem, package, listing, &known, &mut amendments).await?;
    denied(edge, ecosystem, package, listing, &mut amendments);
    unattestable(edge, ecosystem, package, listing, &mut amendments);
    for artifact in &known {
        let key = (artifact.version.clone(), artifact.file.clone());
        if let Some(reason) = refused(edge, ecosystem, package, artifact) {
            amendments.insert(key, Amendment::Refuse { reason });
        } else if let Some(entry) = replaced(edge, ecosystem, package, listing, artifact).await {
            amendments.entry(key).or_insert(entry);
        }
    }
    let fingerprint = fingerprint(&amendments);
    Ok(Amended { amendments, fingerprint })
}

/// Why an artifact on record is not listed; `None` when it is servable or still being verified.
fn refused(
    edge: &Edge,
    ecosystem: Ecosystem,
    package: &PackageName,
    artifact: &PackageArtifact,
) -> Option<String> {
    let id = touchstone_domain::ArtifactId {
        ecosystem,
        package: package.clone(),
        version: artifact.version.clone(),
        file: artifact.file.clone(),
    };
    if let Admission::Denied { reason } = edge.policy.admit(&id, artifact.sha256) {
        return Some(format!("denied by mirror policy: {reason}"));
    }
    let reason = || artifact.reason.clone().unwrap_or_else(|| "see `touchstone why`".to_owned());
    match artifact.state {
        ArtifactState::Fetched | ArtifactState::Verifying | ArtifactState::Servable => None,
        ArtifactState::Held if artifact.reason.is_none() => Some("held by mirror policy: minimum age".into()),
        ArtifactState::Held => Some(format!("held by the mirror: {}", reason())),
        ArtifactState::Rejected => Some(format!("rejected by the mirror: {}", reason())),
        ArtifactState::Revoked => Some(format!("recalled by the mirror: {}", reason())),
    }
}

/// The entry as it was first seen, when the upstream now declares other bytes: an incident.
async fn replaced(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    listing: &Listing,
    artifact: &PackageArtifact,
) -> Option<Amendment> {
    let located = listing.index.locate(&artifact.version, &artifact.file)?;
    let mut declared = adapter(ecosystem).declared(&located.claims);
    declared.sizes.clear();
    let then = adapter(ecosystem).declared(&artifact.claims);
    let mut digests: Vec<Digest> = then.comparisons.iter().map(|comparison| comparison.digest).collect();
    digests.push(artifact.sha256.into());
    let reason = declared.contradiction(&Computed { size: 0, digests })?;
    let id = touchstone_domain::ArtifactId {
        ecosystem,
        package: package.clone(),
        version: artifact.version.clone(),
        file: artifact.file.clone(),
    };
    let facts = json!({ "sha256": artifact.sha256.to_string(), "problem": format!("the upstream's metadata changed: {reason}") });
    let incident = NewIncident::about(IncidentKind::SecondDigest, &id, Some(artifact.artifact), facts);
    record_incident(edge, &incident).await;
    let entry = match artifact.evidence {
        Some(evidence) => edge.blobs.read(evidence, ENTRY_BYTES_MAX).await.ok(),
        None => None,
    };
    Some(match entry {
        Some(entry) => Amendment::Restore { entry },
        None => Amendment::Refuse { reason: "the upstream now declares other bytes for it".to_owned() },
    })
}

/// Versions that are younger than the policy asks for, by the later of publishing and our first sight. For what is on record,
/// the age that was asked for when it was fetched counts: what is served is never hidden again.
async fn young(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    listing: &Listing,
    known: &[PackageArtifact],
    amendments: &mut Amendments,
) -> Result<(), Refusal> {
    if edge.policy.min_age(ecosystem, package).is_zero() {
        return Ok(());
    }
    let versions = index::sightings(&*listing.index);
    let on_record: HashMap<(&Version, &FileName), &PackageArtifact> =
        known.iter().map(|artifact| ((&artifact.version, &artifact.file), artifact)).collect();
    let seen: HashMap<Version, jiff::Timestamp> =
        edge.store.first_seen(ecosystem, package, &versions).await.map_err(|e| words::store(&e))?;
    let now = edge.clock.now();
    for entry in listing.index.entries() {
        let first_seen = seen.get(&entry.version).copied().unwrap_or(now);
        let sighting = Sighting { published_at: entry.published_at, first_seen };
        let eligible_at = match on_record.get(&(&entry.version, &entry.file)) {
            Some(artifact) if artifact.state.is_servable() => None,
            Some(artifact) => artifact.eligible_at,
            None => edge.policy.eligible_at(ecosystem, package, sighting),
        };
        if let Some(at) = eligible_at.filter(|at| *at > now) {
            let reason = format!("held by mirror policy: minimum age, until {at}");
            amendments.insert((entry.version.clone(), entry.file.clone()), Amendment::Refuse { reason });
        }
    }
    Ok(())
}

/// Versions on the deny list.
fn denied(
    edge: &Edge,
    ecosystem: Ecosystem,
    package: &PackageName,
    listing: &Listing,
    amendments: &mut Amendments,
) {
    if edge.policy.counts().1 == 0 {
        return;
    }
    for entry in listing.index.entries() {
        if let Admission::Denied { reason } = edge.policy.admit_version(ecosystem, package, &entry.version) {
            let reason = format!("denied by mirror policy: {reason}");
            amendments.insert((entry.version.clone(), entry.file.clone()), Amendment::Refuse { reason });
        }
    }
}

/// Core metadata sidecars where attestations are required: nothing attests them, so they would be held. Clients read the
/// metadata in the attested files instead.
fn unattestable(
    edge: &Edge,
    ecosystem: Ecosystem,
    package: &PackageName,
    listing: &Listing,
    amendments: &mut Amendments,
) {
    match (ecosystem, edge.policy.attestations(ecosystem, package)) {
        (Ecosystem::Pypi, AttestationMode::Require) => {}
        (Ecosystem::Pypi, AttestationMode::Off | AttestationMode::Observe | AttestationMode::Ratchet)
        | (Ecosystem::Cargo | Ecosystem::Go | Ecosystem::Npm, _) => return,
    }
    for entry in listing.index.entries() {
        if let Some(sidecar) = pypi::sidecar_of(&entry.file) {
            let reason = "attestations are required, and nothing attests core metadata".to_owned();
            amendments.insert((entry.version.clone(), sidecar), Amendment::Refuse { reason });
        }
    }
}

fn fingerprint(amendments: &Amendments) -> Sha256 {
    let mut lines: Vec<String> = amendments
        .iter()
        .map(|((version, file), amendment)| match amendment {
            Amendment::Refuse { reason } => format!("refuse {version} {file} {reason}"),
            Amendment::Restore { entry } => format!("restore {version} {file} {}", Sha256::of(entry)),
        })
        .collect();
    lines.sort();
    let mut hasher = Hasher::new();
    for line in lines {
        hasher.update((line.len() as u64).to_be_bytes());
        hasher.update(line.as_bytes());
    }
    Sha256(hasher.finalize().into())
}
