//! What a `.crate` must say about itself: everything is below `{name}-{version}`, and the `Cargo.toml` in there has that name
//! and version (threats.md R-15). Links are refused, as Cargo does (CVE-2026-5223).

use serde::Deserialize;
use touchstone_domain::{ArchiveRule, ArtifactId, Claim};

use super::name;
use crate::{
    InspectError, Inspected, ReadSeek,
    archive::{Limits, Links, Paths, Root, Tar, mismatch, read_rooted, refuse, shown},
};

const MANIFEST: &str = "Cargo.toml";

/// Reads the whole archive.
pub(super) fn inspect(
    id: &ArtifactId,
    _claims: &[Claim],
    archive: &mut dyn ReadSeek,
) -> Result<Inspected, InspectError> {
    let limits = Limits::SOURCE;
    let spelling = name::spelling(&id.file, &id.version)
        .filter(|spelling| spelling.eq_ignore_ascii_case(id.package.as_str()))
        .ok_or_else(|| mismatch("file", &format!("{}-{}.crate", id.package, id.version), id.file.as_str()))?;
    let directory = format!("{spelling}-{}", id.version);
    let mut tar = Tar::open(archive, limits, Links::Refused, Paths::Plain)?;
    let rooted = read_rooted(&mut tar, Root::Named(&directory), MANIFEST, &limits)?;
    let package = Manifest::parse(&rooted.manifest)?;
    if package.name != spelling {
        return Err(mismatch("name", spelling, &package.name));
    }
    if package.version != id.version.as_str() {
        return Err(mismatch("version", id.version.as_str(), &package.version));
    }
    Ok(rooted.inspected)
}

/// The tables of a `Cargo.toml` that can name the package; the second is the old spelling of the first.
#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
    project: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

impl Manifest {
    fn parse(document: &[u8]) -> Result<Package, InspectError> {
        let malformed =
            |problem: &str| refuse(ArchiveRule::Malformed, format!("{MANIFEST} cannot be read: {problem}"));
        let text = str::from_utf8(document).map_err(|_| malformed("it is not UTF-8"))?;
        let manifest: Self = toml::from_str(text).map_err(|error| malformed(&shown(error.message())))?;
        match (manifest.package, manifest.project) {
            (Some(package), None) | (None, Some(package)) => Ok(package),
            (None, None) => Err(refuse(ArchiveRule::Missing, format!("{MANIFEST} has no [package]"))),
            (Some(_), Some(_)) => {
                Err(refuse(ArchiveRule::Ambiguous, format!("{MANIFEST} has both [package] and [project]")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
