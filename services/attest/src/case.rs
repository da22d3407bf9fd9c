//! What there is to judge: the artifact, what its metadata says, and what the policy asks.

use touchstone_attestation::ArtifactDigests;
use touchstone_domain::{ArtifactId, AttestationMode, Ecosystem, Evidence, EvidenceKind, Pin};
use touchstone_ecosystems::{
    npm::attestation::{Dist, dist},
    pypi::attestation::is_sidecar,
};
use touchstone_store::Facts;
use touchstone_worker::{CheckError, Job};

use crate::{documents::DOCUMENT_BYTES_MAX, judged::Rejection, pypi, stop::Stop};

/// The artifact's entry in the upstream's metadata, as far as attestations go. Unsigned.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A version in a packument.
    Npm(Dist),
    /// A file in a simple index.
    Pypi(pypi::Entry),
}

/// One artifact to judge.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) job: &'a Job,
    pub(crate) mode: AttestationMode,
    pub(crate) pin: Option<&'a Pin>,
    pub(crate) entry: Entry,
    pub(crate) id: &'a ArtifactId,
    pub(crate) digests: ArtifactDigests,
}

/// Whether an artifact is the core metadata of a distribution.
pub(crate) fn sidecar(id: &ArtifactId) -> bool {
    id.ecosystem == Ecosystem::Pypi && is_sidecar(&id.file)
}

/// The evidence that is the artifact's metadata entry.
pub(crate) fn entry_evidence(facts: &Facts) -> Option<&Evidence> {
    facts.evidence.iter().find(|evidence| evidence.kind == EvidenceKind::MetadataEntry)
}

impl<'a> Case<'a> {
    /// Reads the metadata entry, and takes together what belongs together. Not for a [`sidecar`]: its entry is its distribution's.
    pub(crate) async fn read(job: &'a Job, mode: AttestationMode) -> Result<Self, Stop> {
        let facts = &job.facts;
        let entry = Entry::read(job).await?;
        let digests = ArtifactDigests { sha256: facts.sha256, sha512: facts.sha512 };
        let pin = job.policy.pin(facts.id.ecosystem, &facts.id.package);
        Ok(Self { job, mode, pin, entry, id: &facts.id, digests })
    }

    /// Whether the metadata lists attestations.
    pub(crate) fn is_listed_attested(&self) -> bool {
        match &self.entry {
            Entry::Npm(dist) => dist.attestations,
            Entry::Pypi(entry) => entry.is_attested(),
        }
    }

    /// Whether the policy wants an answer about attestations, whatever the metadata says.
    pub(crate) fn is_required(&self) -> bool {
        self.pin.is_some()
            || match self.mode {
                AttestationMode::Require => true,
                AttestationMode::Off | AttestationMode::Observe | AttestationMode::Ratchet => false,
            }
    }
}

impl Entry {
    async fn read(job: &Job) -> Result<Self, Stop> {
        let Some(evidence) = entry_evidence(&job.facts) else {
            return Err(CheckError::poison("no metadata entry is on record").into());
        };
        let bytes = job
            .blobs
            .read(evidence.sha256, DOCUMENT_BYTES_MAX)
            .await
            .map_err(|error| CheckError::retry_because("the metadata entry cannot be read", error))?;
        let unreadable = |detail: String| Rejection::refused("metadata", "malformed", detail);
        match job.facts.id.ecosystem {
            Ecosystem::Npm => Ok(Self::Npm(dist(&bytes).map_err(|error| unreadable(error.to_string()))?)),
            Ecosystem::Pypi => {
                Ok(Self::Pypi(pypi::Entry::parse(&bytes).map_err(|error| unreadable(error.to_string()))?))
            }
            ecosystem @ (Ecosystem::Cargo | Ecosystem::Go) => {
                Err(CheckError::poison(format!("{ecosystem} has no attestations")).into())
            }
        }
    }
}
