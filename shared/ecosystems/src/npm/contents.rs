//! What a tarball must say about itself: everything is below one directory, whose `package.json` has the coordinate's
//! name and version (threats.md R-15).
//!
//! Tolerated, as the registry and npm itself do: any name for the directory, a byte order mark, spaces around name and
//! version, `v` or `=` before the version, build metadata, and versions from before semantic versioning, compared as
//! they are written.

use std::fmt;

use semver::Version;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use touchstone_domain::{ArchiveRule, ArtifactId, Claim};

use crate::{
    InspectError, Inspected, ReadSeek,
    archive::{Limits, Links, Paths, Root, Tar, mismatch, read_rooted, refuse, shown},
};

const MANIFEST: &str = "package.json";

/// Reads the whole tarball.
pub(super) fn inspect(
    id: &ArtifactId,
    _claims: &[Claim],
    archive: &mut dyn ReadSeek,
) -> Result<Inspected, InspectError> {
    let limits = Limits::SOURCE;
    let mut tar = Tar::open(archive, limits, Links::Refused, Paths::Dotted)?;
    let rooted = read_rooted(&mut tar, Root::Any, MANIFEST, &limits)?;
    let manifest = Manifest::parse(&rooted.manifest)?;
    if manifest.name.trim() != id.package.as_str() {
        return Err(mismatch("name", id.package.as_str(), &manifest.name));
    }
    if !same_version(&manifest.version, id.version.as_str()) {
        return Err(mismatch("version", id.version.as_str(), &manifest.version));
    }
    Ok(rooted.inspected)
}

fn same_version(written: &str, expected: &str) -> bool {
    let written = written.trim().trim_start_matches(['=', 'v', ' ']);
    if written == expected {
        return true;
    }
    let (Ok(written), Ok(expected)) = (Version::parse(written), Version::parse(expected)) else {
        return false;
    };
    let parts = |v: Version| (v.major, v.minor, v.patch, v.pre);
    parts(written) == parts(expected)
}

/// The fields of a `package.json` that name the package.
struct Manifest {
    name: String,
    version: String,
}

impl Manifest {
    fn parse(document: &[u8]) -> Result<Self, InspectError> {
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let Fields { name, version, twice } = serde_json::from_slice(document).map_err(|error| {
            let detail = format!("{MANIFEST} cannot be read: {}", shown(error.to_string()));
            refuse(ArchiveRule::Malformed, detail)
        })?;
        if let Some(key) = twice {
            return Err(refuse(ArchiveRule::Ambiguous, format!("{MANIFEST} says its {key} twice")));
        }
        match (name, version) {
            (Some(name), Some(version)) => Ok(Self { name, version }),
            (None, _) => Err(refuse(ArchiveRule::Missing, format!("{MANIFEST} says no name"))),
            (_, None) => Err(refuse(ArchiveRule::Missing, format!("{MANIFEST} says no version"))),
        }
    }
}

/// The same, as read: a key that comes twice is not lost.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    version: Option<String>,
    twice: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<String>()? {
            let (field, name) = match key.as_str() {
                "name" => (&mut fields.name, "name"),
                "version" => (&mut fields.version, "version"),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if field.replace(map.next_value()?).is_some() {
                fields.twice = Some(name);
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
