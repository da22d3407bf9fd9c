//! One version of a packument: where in it the parts are that matter.

use std::ops::Range;

use touchstone_domain::{PackageName, Version};

use super::{members, unique};
use crate::{
    IndexError,
    json::{self, Member},
};

/// What the abbreviated form has of a version.
const ABBREVIATED: [&str; 20] = [
    "name",
    "version",
    "deprecated",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bin",
    "directories",
    "dist",
    "engines",
    "cpu",
    "os",
    "libc",
    "funding",
    "hasInstallScript",
    "_hasShrinkwrap",
];
/// The scripts that npm runs when it installs a dependency.
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];
/// A version's places in its document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The whole object.
    pub(super) value: Range<usize>,
    /// The value of `dist.tarball`, a string.
    pub(super) tarball: Range<usize>,
    /// The value of `dist.integrity`.
    pub(super) integrity: Option<Range<usize>>,
    /// The value of `dist.shasum`.
    pub(super) shasum: Option<Range<usize>>,
    /// Whether `dist.attestations` is there.
    pub(super) is_attested: bool,
    /// The value of `dist.attestations.url`, a string.
    pub(super) attestations_url: Option<Range<usize>>,
    /// What the abbreviated form leaves out.
    pub(super) cuts: Vec<Range<usize>>,
    /// Whether the abbreviated form must say `hasInstallScript`, which the full one shows by its scripts.
    pub(super) adds_install_script: bool,
}

impl Entry {
    /// Finds them. `None` if the object is not about that version, or names no tarball.
    pub(super) fn scan(
        document: &[u8],
        value: Range<usize>,
        package: &PackageName,
        version: &Version,
    ) -> Result<Option<Self>, IndexError> {
        let fields = members(document, value.clone(), version.as_str())?;
        let says = |key: &str, expected: &str| -> Result<bool, IndexError> {
            let found = unique(&fields, key)?;
            Ok(found.and_then(|f| string(document, f)).is_some_and(|found| found == expected))
        };
        let same = says("name", package.as_str())? & says("version", version.as_str())?;
        let dist = match unique(&fields, "dist")? {
            Some(dist) => members(document, dist.value.clone(), version.as_str())?,
            None => vec![],
        };
        unique(&dist, "signatures")?;
        let (integrity, shasum) = (unique(&dist, "integrity")?, unique(&dist, "shasum")?);
        let attestations = unique(&dist, "attestations")?;
        let tarball = unique(&dist, "tarball")?;
        let Some(tarball) = tarball.filter(|t| same && string(document, t).is_some()) else {
            return Ok(None);
        };
        let kept = |i: usize| ABBREVIATED.contains(&&*fields[i].key);
        let at = |member: Option<&Member<'_>>| member.map(|member| member.value.clone());
        Ok(Some(Self {
            value,
            tarball: tarball.value.clone(),
            integrity: at(integrity),
            shasum: at(shasum),
            is_attested: attestations.is_some_and(|member| &document[member.value.clone()] != b"null"),
            attestations_url: at(string_in(document, attestations, "url").as_ref()),
            cuts: json::cuts(fields.iter().map(|field| &field.whole), kept),
            adds_install_script: has_install_script(document, &fields),
        }))
    }
}

/// A member's text, if it is a string.
fn string(document: &[u8], member: &Member<'_>) -> Option<String> {
    json::value(document, &member.value).ok()
}

/// The member of an object inside, if there is exactly one and it is a string.
fn string_in<'a>(document: &'a [u8], object: Option<&Member<'a>>, key: &str) -> Option<Member<'a>> {
    let inside = json::members(document, object?.value.clone()).ok()?;
    let member = unique(&inside, key).ok()??.clone();
    string(document, &member).is_some().then_some(member)
}

fn has_install_script(document: &[u8], fields: &[Member<'_>]) -> bool {
    let field = |key: &str| fields.iter().find(|field| field.key == key);
    let inside = |scripts: &Member<'_>| {
        let scripts = json::members(document, scripts.value.clone()).unwrap_or_default();
        scripts.iter().any(|script| INSTALL_SCRIPTS.contains(&&*script.key))
    };
    field("hasInstallScript").is_none() && field("scripts").is_some_and(inside)
}
