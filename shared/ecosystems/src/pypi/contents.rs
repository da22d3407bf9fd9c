//! What a distribution must say about itself: its core metadata have the coordinate's name and version (threats.md R-15), and
//! a wheel's RECORD is true.
//!
//! Names are compared in PEP 503 normal form, versions as PEP 440 does. An sdist without `PKG-INFO` is refused: nothing in it
//! says what it is.

mod metadata;
mod record;
mod wheel;

use touchstone_domain::{Algorithm, ArtifactId, Claim, ClaimField, Reason, Sha256};

use self::metadata::Metadata;
use super::name::{self, Kind};
use crate::{
    InspectError, Inspected, ReadSeek,
    archive::{Entries, Limits, Links, Paths, Root, Tar, Zip, mismatch, read_rooted, read_whole},
};

/// Reads the whole distribution, or a sidecar.
pub(super) fn inspect(
    id: &ArtifactId,
    claims: &[Claim],
    archive: &mut dyn ReadSeek,
) -> Result<Inspected, InspectError> {
    let limits = Limits::DISTRIBUTION;
    if id.file.as_str().ends_with(name::SIDECAR) {
        return sidecar(id, archive, &limits);
    }
    let foreign = |_| mismatch("file", id.package.as_str(), id.file.as_str());
    match name::distribution(&id.package, &id.file).map_err(foreign)?.kind {
        Kind::Wheel => wheel::inspect(id, claims, archive, &limits),
        Kind::TarGz => {
            sdist(id, claims, &mut Tar::open(archive, limits, Links::Inside, Paths::Plain)?, &limits)
        }
        Kind::Zip => sdist(id, claims, &mut Zip::open(archive, &limits)?, &limits),
    }
}

fn sdist(
    id: &ArtifactId,
    claims: &[Claim],
    archive: &mut dyn Entries,
    limits: &Limits,
) -> Result<Inspected, InspectError> {
    let rooted = read_rooted(archive, Root::Any, "PKG-INFO", limits)?;
    Metadata::parse("PKG-INFO", &rooted.manifest)?.check(id)?;
    check_core_metadata(claims, &rooted.manifest)?;
    Ok(rooted.inspected)
}

/// The sidecar is no archive: it is the METADATA of the wheel, or the PKG-INFO of the sdist, that it is named after (PEP 658).
/// Whether it is that one's is for whoever has both to say: [`Inspected::manifest`] is the digest of either.
fn sidecar(id: &ArtifactId, file: &mut dyn ReadSeek, limits: &Limits) -> Result<Inspected, InspectError> {
    let document = read_whole(file, limits.manifest_bytes_max)?;
    Metadata::parse("the metadata", &document)?.check(id)?;
    Ok(Inspected {
        entries: 1,
        unpacked_bytes: document.len() as u64,
        manifest: Some(Sha256::of(&document)),
        renamed: None,
    })
}

/// Compares the METADATA of a wheel, or the PKG-INFO of an sdist, with what the index declares of its sidecar, which resolvers read instead.
fn check_core_metadata(claims: &[Claim], document: &[u8]) -> Result<(), InspectError> {
    let computed = Sha256::of(document);
    for claim in claims.iter().filter(|claim| claim.field == ClaimField::PypiCoreMetadata) {
        let declared: Sha256 =
            claim.value.strip_prefix("sha256=").and_then(|hex| hex.parse().ok()).ok_or_else(|| {
                let detail = "it is not `sha256=` and 64 lower-case hexadecimal digits".to_owned();
                InspectError::Refused(Reason::ClaimMalformed { field: claim.field, detail })
            })?;
        if declared != computed {
            return Err(InspectError::Refused(Reason::DigestMismatch {
                field: claim.field,
                algorithm: Algorithm::Sha256,
                declared: declared.to_string(),
                computed: computed.to_string(),
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
