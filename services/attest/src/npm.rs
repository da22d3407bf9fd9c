//! npm: the attestation document of a version, judged. Pure; CPU-bound.
//!
//! The document must have exactly one provenance, signed with a certificate, and exactly one publish attestation, signed with
//! a registry's key; every equality between them, the certificate and the package must hold.
//!
//! An attestation of a type that is not known counts for nothing, and must verify all the same: what is offered beside the
//! evidence and does not verify is no accident.

mod build;
mod equalities;
mod signature;

use touchstone_attestation::{
    ArtifactDigests, Certificate, Problem, Refused, Signer, SubjectDigest, SubjectRule, VerifiedStatement,
};
use touchstone_domain::{ArtifactId, Observed, Sha256, TrustRank};
use touchstone_ecosystems::npm::attestation::{
    Dist, NpmAttestation, PROVENANCE_V0_2, PROVENANCE_V1, PUBLISH, document, subject_matches,
};

use crate::{
    identity::identity,
    judged::{Attested, Rejection, note, signed_at},
    trust::Trust,
};
use build::Build;
use equalities::Unequal;

pub(crate) use signature::{SignatureRefused, Signed, Times, settle, verify};

/// What the attestations must be about.
pub(crate) struct Release<'a> {
    pub(crate) id: &'a ArtifactId,
    pub(crate) digests: ArtifactDigests,
    /// What the metadata says.
    pub(crate) dist: &'a Dist,
    /// The repository that the `package.json` in the tarball names.
    pub(crate) repository: Option<&'a str>,
}

/// Judges a document, whose bytes have this digest.
pub(crate) fn judge(
    bytes: &[u8],
    digest: Sha256,
    release: &Release<'_>,
    trust: &Trust,
) -> Result<Attested, Rejection> {
    let attestations = document(bytes).map_err(|error| Rejection::unreadable(&error))?;
    let (mut provenance, mut publish) = (None, None);
    for attestation in &attestations {
        let slot = match attestation.predicate_type.as_str() {
            PROVENANCE_V1 | PROVENANCE_V0_2 => &mut provenance,
            PUBLISH => &mut publish,
            _ => {
                unknown(attestation, release, trust)?;
                continue;
            }
        };
        if slot.replace(attestation).is_some() {
            let detail = "the document has two of its kind";
            return Err(Rejection::refused(&attestation.predicate_type, "duplicate_predicate", detail));
        }
    }
    let provenance =
        provenance.map(|found| statement(found, release, trust, Signer::Certificate)).transpose()?;
    let by_registry = Signer::RegistryKey(&trust.keys);
    let publish = publish.map(|found| statement(found, release, trust, by_registry)).transpose()?;
    let Some(publish) = publish else {
        let detail = "there is no publish attestation of the registry's beside it";
        return Err(Rejection::Incomplete { problem: "publish_missing", detail });
    };
    let refused = |unequal: Unequal| Rejection::refused(PUBLISH, unequal.problem, unequal.detail);
    let registry = trust.npm_registry.as_deref();
    let ArtifactId { package, version, .. } = release.id;
    equalities::published(publish.predicate(), package, version, registry).map_err(refused)?;
    let Some(provenance) = provenance else {
        let detail = "the registry attests that it published it, and nothing says how it was built";
        return Err(Rejection::Incomplete { problem: "provenance_missing", detail });
    };
    let staged = release.dist.rank == TrustRank::StagedPublish;
    equalities::times(signed_at(&provenance), signed_at(&publish), staged).map_err(refused)?;
    Ok(Attested {
        observed: vec![built_by(&provenance, release)?],
        notes: vec![note(&provenance, digest), note(&publish, digest)],
        published_at: Some(signed_at(&publish)),
    })
}

/// Who built it, once every equality holds.
fn built_by(provenance: &VerifiedStatement, release: &Release<'_>) -> Result<Observed, Rejection> {
    let document = provenance.predicate_type();
    let refused = |unequal: Unequal| Rejection::refused(document, unequal.problem, unequal.detail);
    let certificate = provenance.certificate().expect("a certificate was asked for");
    let build = Build::of(provenance).map_err(refused)?;
    agree(&build, certificate, release).map_err(refused)?;
    let identity = identity(certificate)
        .ok_or_else(|| Rejection::refused(document, "issuer", "the certificate names no issuer"))?;
    Ok(Observed { identity, rank: release.dist.rank })
}

fn agree(build: &Build, certificate: &Certificate, release: &Release<'_>) -> Result<(), Unequal> {
    equalities::issuer(build, certificate)?;
    equalities::repository(release.repository, release.dist.repository.as_deref(), certificate)?;
    equalities::workflow(build, certificate)?;
    equalities::source(build, certificate)?;
    equalities::run(build, certificate)
}

/// Verifies one attestation, and that it is about this version and of the type that the document announces.
fn statement(
    attestation: &NpmAttestation,
    release: &Release<'_>,
    trust: &Trust,
    signer: Signer<'_>,
) -> Result<VerifiedStatement, Rejection> {
    let announced = attestation.predicate_type.as_str();
    let statement =
        verified(attestation, release, trust, signer).map_err(|r| Rejection::unverified(announced, &r))?;
    if statement.predicate_type() != announced {
        let detail = format!("the statement is of the type {:?}", statement.predicate_type());
        return Err(Rejection::refused(announced, "predicate_type", detail));
    }
    Ok(statement)
}

/// An attestation that counts for nothing: by whoever may sign others, about this version.
fn unknown(attestation: &NpmAttestation, release: &Release<'_>, trust: &Trust) -> Result<(), Rejection> {
    match statement(attestation, release, trust, Signer::Certificate) {
        Err(Rejection::Refused { problem, .. }) if problem == Problem::SignerKind.as_str() => {
            statement(attestation, release, trust, Signer::RegistryKey(&trust.keys)).map(drop)
        }
        other => other.map(drop),
    }
}

fn verified(
    attestation: &NpmAttestation,
    release: &Release<'_>,
    trust: &Trust,
    signer: Signer<'_>,
) -> Result<VerifiedStatement, Refused> {
    let ArtifactId { package, version, .. } = release.id;
    let name = |name: &str| subject_matches(name, package, version);
    let rule = SubjectRule { name: &name, digest: SubjectDigest::Sha512, exactly_one: true };
    trust.root.verify(&attestation.bundle, &release.digests, signer)?.into_statement(&rule)
}

#[cfg(test)]
mod tests;
