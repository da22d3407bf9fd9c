//! What there is to judge: the artifact, what its metadata says, and what the policy asks.

use touchstone_attestation::ArtifactDigests;
use touchstone_domain::{
    ArtifactId, AttestationMode, Ecosystem, Evidence, EvidenceKind, FileName, Pin, Sha512,
};
use touchstone_ecosystems::{
    npm::attestation::{Dist, dist},
    pypi::attestation::is_sidecar,
};
use touchstone_store::Facts;
use touchstone_worker::{CheckError, Job};

use crate::{documents::DOCUMENT_BYTES_MAX, judged::Rejection, pypi, stop::Stop};

/// What ends the name of a core metadata sidecar (PEP 658).
const SIDECAR: &str = ".metadata";

/// The artifact's entry in the upstream's metadata, as far as attestations go. Unsigned.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A version in a packument.
    Npm(Dist),
    /// A file in a simple index.
    Pypi(pypi::Entry),
}

/// Whether what is accepted goes on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ledger {
    /// It does.
    Written,
    /// It is only compared with it.
    Read,
}

/// One artifact to judge.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) job: &'a Job,
    pub(crate) mode: AttestationMode,
    pub(crate) pin: Option<&'a Pin>,
    pub(crate) entry: Entry,
    /// What attestations are about: the artifact, or the distribution that it is a sidecar of.
    pub(crate) id: ArtifactId,
    pub(crate) digests: ArtifactDigests,
    pub(crate) ledger: Ledger,
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
    /// Reads the metadata entry, and takes together what belongs together.
    pub(crate) async fn read(job: &'a Job, mode: AttestationMode) -> Result<Self, Stop> {
        let facts = &job.facts;
        let entry = Entry::read(job).await?;
        let digests = ArtifactDigests { sha256: facts.sha256, sha512: facts.sha512 };
        let pin = job.policy.pin(facts.id.ecosystem, &facts.id.package);
        let case = Self { job, mode, pin, entry, id: facts.id.clone(), digests, ledger: Ledger::Written };
        if sidecar(&facts.id) { case.of_distribution() } else { Ok(case) }
    }

    /// The same about the distribution that the artifact is the sidecar of, by the digest that the index declares for that. A
    /// sidecar has no attestation of its own. Its digest stands in the same entry, and the hash check of the distribution
    /// compares it with the metadata inside; so it may be served when the distribution is what its publisher signed.
    fn of_distribution(mut self) -> Result<Self, Stop> {
        let Entry::Pypi(entry) = &self.entry else { return Ok(self) };
        let file = self.id.file.as_str().strip_suffix(SIDECAR).and_then(|file| FileName::new(file).ok());
        let (Some(file), Some(sha256)) = (file, entry.sha256()) else {
            let detail = "the index declares no digest of the file that it is the metadata of";
            return Err(Rejection::Incomplete { problem: "distribution", detail }.into());
        };
        self.id.file = file;
        // The index declares no SHA-512; a statement that names one is refused, for it cannot be compared.
        self.digests = ArtifactDigests { sha256, sha512: Sha512([0; 64]) };
        self.ledger = Ledger::Read;
        Ok(self)
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
            Ecosystem::Cargo => Err(CheckError::poison("cargo has no attestations").into()),
        }
    }
}
