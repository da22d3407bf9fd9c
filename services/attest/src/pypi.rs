//! PyPI: the provenance object of a file, judged (ecosystems.md 5.3). Pure; CPU-bound.
//!
//! Every attestation of every bundle must verify, be about this file, be of a known type, and be signed by the publisher that
//! the index names beside it. The publisher itself is the index's unsigned word: who may publish is for the ledger to say.

use serde::Deserialize;
use serde_json::Value;
use touchstone_attestation::{
    ArtifactDigests, Certificate, Signer, SubjectDigest, SubjectRule, VerifiedStatement, bundle_from_pep740,
};
use touchstone_domain::{FileName, Observed, PackageName, Sha256, TrustRank};
use touchstone_ecosystems::pypi::attestation::{
    CertificateFields, PROVENANCE_V1, PUBLISH, PypiAttestation, provenance, publisher_problem,
    subject_matches,
};

use crate::{
    identity::identity,
    judged::{Attested, Rejection, add, note},
    trust::Trust,
};

/// What the attestations must be about.
pub(crate) struct Distribution<'a> {
    pub(crate) package: &'a PackageName,
    pub(crate) file: &'a FileName,
    pub(crate) digests: ArtifactDigests,
}

/// What the index's entry of a file says, as far as attestations go.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    provenance: Option<Value>,
}

impl Entry {
    /// Reads the entry: the object in the index, as it was received.
    pub(crate) fn parse(entry: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(entry)
    }

    /// Whether the index lists provenance.
    pub(crate) fn is_attested(&self) -> bool {
        self.provenance.is_some()
    }
}

/// Judges a provenance object, whose bytes have this digest.
pub(crate) fn judge(
    bytes: &[u8],
    digest: Sha256,
    file: &Distribution<'_>,
    trust: &Trust,
) -> Result<Attested, Rejection> {
    let attestations = provenance(bytes).map_err(|error| Rejection::unreadable(&error))?;
    let mut attested = Attested { observed: vec![], notes: vec![], published_at: None };
    let mut kinds = vec![];
    for attestation in &attestations {
        let statement = statement(attestation, file, trust)?;
        let kind = (statement.predicate_type().to_owned(), &attestation.publisher);
        if kinds.contains(&kind) {
            let detail = "its publisher has two of its kind";
            return Err(Rejection::refused(&kind.0, "duplicate_predicate", detail));
        }
        add(&mut attested.observed, signed_by(&statement, attestation)?);
        attested.notes.push(note(&statement, digest));
        kinds.push(kind);
    }
    Ok(attested)
}

/// Verifies one attestation, and that it is about this file and of a known type.
fn statement(
    attestation: &PypiAttestation,
    file: &Distribution<'_>,
    trust: &Trust,
) -> Result<VerifiedStatement, Rejection> {
    let name = |name: &str| subject_matches(file.package, file.file, name);
    let rule = SubjectRule { name: &name, digest: SubjectDigest::Sha256, exactly_one: true };
    let verified = bundle_from_pep740(&attestation.attestation)
        .and_then(|bundle| trust.root.verify(&bundle, &file.digests, Signer::Certificate))
        .and_then(|verified| verified.into_statement(&rule));
    let statement = verified.map_err(|refused| Rejection::unverified("attestation", &refused))?;
    let kind = statement.predicate_type();
    match kind {
        PROVENANCE_V1 => Ok(statement),
        PUBLISH if says_nothing(statement.predicate()) => Ok(statement),
        PUBLISH => Err(Rejection::refused(kind, "predicate", "it has a predicate, and may have none")),
        _ => Err(Rejection::refused(kind, "predicate_type", "the type is not known")),
    }
}

fn says_nothing(predicate: &Value) -> bool {
    predicate.is_null() || predicate.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Who signed it: the publisher that the index names, by the certificate.
fn signed_by(statement: &VerifiedStatement, attestation: &PypiAttestation) -> Result<Observed, Rejection> {
    let kind = statement.predicate_type();
    let certificate = statement.certificate().expect("a certificate was asked for");
    if let Some(problem) = publisher_problem(&attestation.publisher, &fields(certificate)) {
        return Err(Rejection::refused(kind, "publisher", problem.to_string()));
    }
    let identity = identity(certificate)
        .ok_or_else(|| Rejection::refused(kind, "issuer", "the certificate names no issuer"))?;
    // The index takes attestations from trusted publishers only.
    Ok(Observed { identity, rank: TrustRank::TrustedPublisher })
}

fn fields(certificate: &Certificate) -> CertificateFields<'_> {
    CertificateFields {
        san: &certificate.san,
        issuer: certificate.issuer.as_deref(),
        build_signer: certificate.build_signer_uri.as_deref(),
        source_repository: certificate.source_repository_uri.as_deref(),
        source_digest: certificate.source_repository_digest.as_deref(),
        source_ref: certificate.source_repository_ref.as_deref(),
        build_config: certificate.build_config_uri.as_deref(),
        environment: certificate.environment.as_deref(),
    }
}

#[cfg(test)]
mod tests;
