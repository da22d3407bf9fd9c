//! The subject of npm's statements: the purl of a version.

use percent_encoding::percent_decode_str;
use touchstone_domain::{PackageName, Version};

/// The subject of statements about a version: its purl, with the `@` of a scope escaped.
pub fn subject(package: &PackageName, version: &Version) -> String {
    match package.as_str().strip_prefix('@') {
        Some(scoped) => format!("pkg:npm/%40{scoped}@{version}"),
        None => format!("pkg:npm/{package}@{version}"),
    }
}

/// Whether a subject's name is this version: percent-decoded once, then compared letter by letter.
pub fn subject_matches(name: &str, package: &PackageName, version: &Version) -> bool {
    let decoded = percent_decode_str(name).decode_utf8();
    decoded.is_ok_and(|decoded| decoded == format!("pkg:npm/{package}@{version}"))
}
