//! Module paths, versions and file names: grammar and escaping (golang.org/x/mod/module; ecosystems.md 7.1).

use touchstone_domain::{NameError, PackageName, Version};

/// A module path, unescaped.
pub(super) fn package(text: &str) -> Result<PackageName, NameError> {
    PackageName::new(text)
}

/// A canonical version.
pub(super) fn version(text: &str) -> Result<Version, NameError> {
    Version::new(text)
}

/// A module path as it stands in addresses: each upper-case letter as `!` and the lower-case one.
pub fn escape_path(package: &PackageName) -> String {
    escaped(package.as_str())
}

/// A version as it stands in addresses.
pub fn escape_version(version: &Version) -> String {
    escaped(version.as_str())
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}
