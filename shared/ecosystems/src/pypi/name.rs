//! Project names (PEP 503), versions (PEP 440) and the file names of wheels (PEP 427) and sdists (PEP 625).
//!
//! Files of other kinds (`.egg`, `.exe`, `.tar.bz2`) and versions that PEP 440 cannot read are no part of the mirror.

use touchstone_domain::{Ecosystem, FileName, NameError, PackageName, Version};

/// What the name of a core metadata sidecar ends in (PEP 658).
pub(super) const SIDECAR: &str = ".metadata";

/// What a file name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its version, in PEP 440 normal form.
    pub(super) version: Version,
}

/// The kinds of distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `name-version(-build)?-python-abi-platform.whl`.
    Wheel,
    /// `name-version.tar.gz`.
    TarGz,
    /// `name-version.zip`.
    Zip,
}

/// Normalises a project name: lower case, and each run of `-`, `_` and `.` is one `-`.
pub(super) fn package(text: &str) -> Result<PackageName, NameError> {
    PackageName::new(text)?;
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inside = bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
    if !inside || !alphanumeric(bytes.first()) || !alphanumeric(bytes.last()) {
        return Err(grammar("package name", text, "letters and digits, with `-`, `_` and `.` between them"));
    }
    PackageName::new(normal(text))
}

/// Parses a version and writes it in PEP 440 normal form.
pub(super) fn version(text: &str) -> Result<Version, NameError> {
    let plain = Version::new(text)?;
    let parsed: pep440_rs::Version =
        plain.as_str().parse().map_err(|_| grammar("version", text, "a PEP 440 version such as 1.2.3"))?;
    Version::new(parsed.to_string())
}

/// Parses the name of a distribution of a project, which tells where in `a-b-1.0.tar.gz` the version starts.
pub(super) fn distribution(package: &PackageName, file: &FileName) -> Result<Distribution, NameError> {
    let text = file.as_str();
    if let Some(stem) = text.strip_suffix(".whl") {
        return Ok(Distribution { kind: Kind::Wheel, version: wheel_version(package, stem, text)? });
    }
    for (suffix, kind) in [(".tar.gz", Kind::TarGz), (".zip", Kind::Zip)] {
        if let Some(stem) = text.strip_suffix(suffix) {
            let rest = after_name(package, stem).ok_or_else(|| foreign(text))?;
            return Ok(Distribution { kind, version: version(rest)? });
        }
    }
    Err(grammar("file name", text, "a wheel (.whl) or an sdist (.tar.gz or .zip)"))
}

/// Parses the name of a distribution, or of the sidecar of one, which has the distribution's version.
pub(super) fn file_version(package: &PackageName, file: &FileName) -> Result<Version, NameError> {
    match file.as_str().strip_suffix(SIDECAR) {
        Some(of) => Ok(distribution(package, &FileName::new(of)?)?.version),
        None => Ok(distribution(package, file)?.version),
    }
}

/// The name of the core metadata sidecar of a distribution; `None` for what is a sidecar itself.
pub fn sidecar_of(distribution: &FileName) -> Option<FileName> {
    match distribution_of(distribution) {
        None => FileName::new(format!("{distribution}{SIDECAR}")).ok(),
        Some(_) => None,
    }
}

/// The name of the distribution that a core metadata sidecar belongs to; `None` for what is no sidecar.
pub fn distribution_of(sidecar: &FileName) -> Option<FileName> {
    FileName::new(sidecar.as_str().strip_suffix(SIDECAR)?).ok()
}

fn wheel_version(package: &PackageName, stem: &str, file: &str) -> Result<Version, NameError> {
    let parts: Vec<&str> = stem.splitn(7, '-').collect();
    let (name, number, build, tags) = match parts.as_slice() {
        [name, number, tags @ ..] if tags.len() == 3 => (name, number, None, tags),
        [name, number, build, tags @ ..] if tags.len() == 3 => (name, number, Some(build), tags),
        _ => {
            return Err(grammar("file name", file, "a wheel's name has five parts, or six with a build tag"));
        }
    };
    let tag =
        |tag: &str| !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
    if !tags.iter().all(|t| tag(t)) {
        return Err(grammar("file name", file, "wheel tags are letters, digits, `_` and `.`"));
    }
    if build.is_some_and(|b| !b.starts_with(|c: char| c.is_ascii_digit()) || !tag(b)) {
        return Err(grammar("file name", file, "a wheel's build tag starts with a digit"));
    }
    if normal(name) != package.as_str() {
        return Err(foreign(file));
    }
    version(number)
}

/// What follows `{package}-` in the stem of an sdist, whatever spelling of the package it uses. There is at most one
/// such split: a prefix that ends in a letter or digit and has as many of them as the package.
fn after_name<'a>(package: &PackageName, stem: &'a str) -> Option<&'a str> {
    stem.match_indices('-')
        .find(|(at, _)| normal(&stem[..*at]) == package.as_str())
        .map(|(at, _)| &stem[at + 1..])
}

fn normal(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if !matches!(c, '-' | '_' | '.') {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name
}

fn foreign(file: &str) -> NameError {
    grammar("file name", file, "it starts with the project's name and a version")
}

pub(super) fn grammar(what: &'static str, text: &str, rule: &'static str) -> NameError {
    NameError::Grammar { what, ecosystem: Ecosystem::Pypi, text: text.to_owned(), rule }
}

#[cfg(test)]
mod tests;
