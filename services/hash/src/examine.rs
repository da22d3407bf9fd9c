//! The judgement over one file: pure but for reading it.

use std::io::{self, Read, Seek};

use tokio_util::sync::CancellationToken;
use touchstone_blobs::{Digests, Reread, digest};
use touchstone_domain::{ArtifactId, Claim, Ecosystem, Outcome, OutcomeKind, Policy, Reason, Sha256};
use touchstone_ecosystems::{Adapter, Computed, InspectError, Inspected, ReadSeek, adapter};
use touchstone_store::Facts;
use touchstone_worker::Finding;

/// Why a file was not judged. None of these says anything about the artifact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExamineError {
    /// The blob holds other bytes than the artifact.
    #[error("the blob is damaged: its digest is {found}")]
    Damaged {
        /// What the bytes hash to.
        found: Sha256,
    },
    /// The bytes are the artifact's, and something else on record about them is wrong.
    #[error("the artifact's row contradicts its bytes: {field} differs, though the SHA-256 is equal")]
    Row {
        /// Which column.
        field: &'static str,
    },
    /// The file could not be read, or changed meanwhile.
    #[error("cannot read the blob")]
    Io(#[from] io::Error),
}

/// What was found of one file.
#[derive(Debug)]
pub(crate) struct Examined {
    /// What becomes the verdict.
    pub(crate) finding: Finding,
    /// The digest of the manifest inside, unless there is none or the archive is refused.
    pub(crate) manifest: Option<Sha256>,
}

/// Hashes the file, compares with what is on record, then with what the upstream declared, then looks into the archive.
pub(crate) fn examine(
    mut file: impl Read + Seek,
    facts: &Facts,
    policy: &Policy,
    stop: &CancellationToken,
) -> Result<Examined, ExamineError> {
    let adapter = adapter(facts.id.ecosystem);
    let found = digest(&mut file, facts.size, &adapter.extra_algorithms(&facts.claims), stop)?;
    on_record(&found, facts)?;
    let computed = Computed { size: found.chunks.size(), digests: found.all() };
    let accept_weak = accepts_weak(adapter, facts, policy);
    let mut outcome = adapter.declared(&facts.claims).judge(&computed, facts.published_at, accept_weak);
    let mut manifest = None;
    // What is held for its digests is looked into all the same: a refusal outweighs a hold.
    if outcome.kind != OutcomeKind::Fail {
        let mut archive = Reread::new(file, &found.chunks, stop);
        match inspect(&facts.id, &facts.claims, policy, &mut archive) {
            Ok(inspected) => {
                manifest = inspected.manifest;
                if outcome.reason == Reason::NoClaim && !adapter.declares_digests() {
                    outcome = Outcome::pass(Reason::Undeclared);
                }
            }
            Err(InspectError::Refused(reason)) => outcome = Outcome::fail(reason),
            Err(InspectError::Io(error)) => return Err(error.into()),
        }
    }
    let evidence = facts.evidence.iter().map(|evidence| evidence.sha256).collect();
    let finding = Finding { outcome, chunk_root: Some(found.chunks.root()), evidence, trust: vec![] };
    Ok(Examined { finding, manifest })
}

/// The digest of the manifest in an archive on record, if it has one, whatever was declared of it; why it is refused, if it is.
pub(crate) fn manifest(
    mut file: impl Read + Seek,
    facts: &Facts,
    policy: &Policy,
    stop: &CancellationToken,
) -> Result<Result<Option<Sha256>, Reason>, ExamineError> {
    let found = digest(&mut file, facts.size, &[], stop)?;
    on_record(&found, facts)?;
    let mut archive = Reread::new(file, &found.chunks, stop);
    match inspect(&facts.id, &[], policy, &mut archive) {
        Ok(inspected) => Ok(Ok(inspected.manifest)),
        Err(InspectError::Refused(reason)) => Ok(Err(reason)),
        Err(InspectError::Io(error)) => Err(error.into()),
    }
}

/// Looks into the archive; another name in its manifest is refused, unless the policy allows that the module is a fork.
fn inspect(
    id: &ArtifactId,
    claims: &[Claim],
    policy: &Policy,
    archive: &mut dyn ReadSeek,
) -> Result<Inspected, InspectError> {
    let inspected = adapter(id.ecosystem).inspect(id, claims, archive)?;
    let allowed = match id.ecosystem {
        Ecosystem::Go => policy.allows_fork(&id.package),
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => false,
    };
    match &inspected.renamed {
        Some(found) if !allowed => Err(InspectError::Refused(Reason::CoordinateMismatch {
            part: "module".to_owned(),
            expected: id.package.to_string(),
            found: found.clone(),
        })),
        Some(_) | None => Ok(inspected),
    }
}

/// Whether these are the artifact's bytes at all.
fn on_record(found: &Digests, facts: &Facts) -> Result<(), ExamineError> {
    if found.sha256 != facts.sha256 {
        return Err(ExamineError::Damaged { found: found.sha256 });
    }
    if found.chunks.size() != facts.size {
        return Err(ExamineError::Row { field: "size" });
    }
    if found.sha512 != facts.sha512 {
        return Err(ExamineError::Row { field: "sha512" });
    }
    if found.chunks.root() != facts.chunk_root {
        return Err(ExamineError::Row { field: "chunk_root" });
    }
    Ok(())
}

/// Weak digests suffice where the policy says so, for what was published before the registry declared strong ones. An
/// unknown publish time is never early enough.
fn accepts_weak(adapter: &dyn Adapter, facts: &Facts, policy: &Policy) -> bool {
    let legacy = match (facts.published_at, adapter.weak_digests_before()) {
        (Some(published), Some(before)) => published < before,
        (None, _) | (_, None) => false,
    };
    legacy && policy.accepts_legacy_digests(facts.id.ecosystem, &facts.id.package)
}

#[cfg(test)]
pub(crate) mod tests;
