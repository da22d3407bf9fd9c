//! Canonical versions, whether they fit a path, and revisions, which are not versions.

use jiff::civil::DateTime;
use touchstone_domain::{NameError, PackageName, Version};

use super::{
    invalid,
    path::{PathMajor, major},
};
use crate::GoQuery;

/// The module whose versions are toolchains; the go command fixes the path.
const TOOLCHAIN: &str = "golang.org/toolchain";
/// The only build metadata that a canonical version has: the major version is 2 or above, and there is no `go.mod`.
const INCOMPATIBLE: &str = "incompatible";
/// The longest revision, in bytes; a SHA-256 has 64.
const REVISION_BYTES_MAX: usize = 128;
/// The digits of `yyyymmddhhmmss`.
const TIME_DIGITS: usize = 14;
/// How many digits of a commit the go command writes.
const COMMIT_DIGITS: usize = 12;

/// A canonical version.
pub(in crate::go) fn version(text: &str) -> Result<Version, NameError> {
    let version = Version::new(text)?;
    let Some(semantic) = canonical(text) else {
        return Err(invalid("version", text, "it is not a canonical semantic version behind a v"));
    };
    if is_incompatible(&semantic) && semantic.major < 2 {
        return Err(invalid("version", text, "+incompatible is for v2 and above"));
    }
    match pseudo(&semantic) {
        Pseudo::No | Pseudo::Yes => Ok(version),
        Pseudo::Malformed => Err(invalid("version", text, "the time of a pseudo-version is yyyymmddhhmmss")),
    }
}

/// A canonical version that the module can have.
pub(in crate::go) fn version_of(package: &PackageName, text: &str) -> Result<Version, NameError> {
    let version = version(text)?;
    match check_fit(package, text) {
        Ok(()) => Ok(version),
        Err(rule) => Err(invalid("version", text, rule)),
    }
}

/// Whether the version names a commit that has no tag.
pub(in crate::go) fn is_pseudo(version: &Version) -> bool {
    canonical(version.as_str()).is_some_and(|semantic| matches!(pseudo(&semantic), Pseudo::Yes))
}

/// What `{text}.info` asks for: a version if it could be one, else a branch, tag or commit.
///
/// A version of 2 or above, of a module whose path does not say so, is a tag: what it is a version of is for the answer to say
/// (`+incompatible`, if anything).
pub(in crate::go) fn query(package: &PackageName, text: &str) -> Result<GoQuery, NameError> {
    let Some(semantic) = canonical(text) else { return revision(text).map(GoQuery::Revision) };
    let unsaid = matches!(major(package.as_str()), Ok(PathMajor::Unsaid));
    if unsaid && semantic.major >= 2 && !is_incompatible(&semantic) {
        return version(text).map(|tag| GoQuery::Revision(tag.into()));
    }
    version_of(package, text).map(GoQuery::Version)
}

/// A branch, tag or commit, in characters that are an address as they stand and an option of no command.
fn revision(text: &str) -> Result<String, NameError> {
    let refuse = |rule| Err(invalid("revision", text, rule));
    if text.is_empty() {
        return Err(NameError::Empty { what: "revision" });
    }
    if text.len() > REVISION_BYTES_MAX {
        return Err(NameError::TooLong { what: "revision", limit: REVISION_BYTES_MAX });
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+@".contains(&b)) {
        return refuse("letters, digits, and - . _ + @ only");
    }
    if text.starts_with('-') {
        return refuse("it may not start with a dash");
    }
    if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
        return refuse("no dot at its ends, and no two dots in a row");
    }
    Ok(text.to_owned())
}

/// A semantic version that is written in full, and without build metadata of its own.
fn canonical(text: &str) -> Option<semver::Version> {
    let semantic = semver::Version::parse(text.strip_prefix('v')?).ok()?;
    (semantic.build.is_empty() || is_incompatible(&semantic)).then_some(semantic)
}

fn is_incompatible(semantic: &semver::Version) -> bool {
    semantic.build.as_str() == INCOMPATIBLE
}

enum Pseudo {
    No,
    Yes,
    /// It is meant as one, and its time is none.
    Malformed,
}

/// Whether it ends in a time and a commit, in one of the three forms: `v0.0.0-time-commit` without a tag before it,
/// `v1.2.3-pre.0.time-commit` after a pre-release, `v1.2.4-0.time-commit` after a release.
fn pseudo(semantic: &semver::Version) -> Pseudo {
    let is_commit = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((before, commit)) = semantic.pre.rsplit_once('-').filter(|(_, commit)| is_commit(commit)) else {
        return Pseudo::No;
    };
    let (base, time) = before.rsplit_once('.').map_or((None, before), |(base, time)| (Some(base), time));
    let has_form = match base {
        None => (semantic.minor, semantic.patch) == (0, 0),
        Some(base) => base == "0" || base.ends_with(".0"),
    };
    if !has_form || !is_number(time) {
        return Pseudo::No;
    }
    if time.len() != TIME_DIGITS && !is_abbreviated_hash(commit) {
        return Pseudo::No;
    }
    if !is_time(time) {
        return Pseudo::Malformed;
    }
    Pseudo::Yes
}

fn is_abbreviated_hash(commit: &str) -> bool {
    commit.len() == COMMIT_DIGITS && commit.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_time(digits: &str) -> bool {
    let part = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<i16>().ok());
    let small = |from: usize| part(from, from + 2).and_then(|part| i8::try_from(part).ok());
    let civil = || {
        let (year, month, day) = (part(0, 4)?, small(4)?, small(6)?);
        DateTime::new(year, month, day, small(8)?, small(10)?, small(12)?, 0).ok()
    };
    digits.len() == TIME_DIGITS && civil().is_some()
}

fn check_fit(package: &PackageName, version: &str) -> Result<(), &'static str> {
    let Some(semantic) = canonical(version) else { return Err("it is not canonical") };
    let said = major(package.as_str())?;
    match said {
        PathMajor::Unsaid if semantic.major < 2 || is_incompatible(&semantic) => {}
        PathMajor::Unsaid => return Err("a module path without a major version has v0 and v1 only"),
        PathMajor::Element(_) | PathMajor::Gopkg(_) if is_incompatible(&semantic) => {
            return Err("+incompatible is for paths without a major version");
        }
        PathMajor::Element(digits) | PathMajor::Gopkg(digits) if semantic.major.to_string() == digits => {}
        // What the go command once wrote for such commits, and what is in many a go.sum.
        PathMajor::Gopkg("1")
            if version.starts_with("v0.0.0-") && matches!(pseudo(&semantic), Pseudo::Yes) => {}
        PathMajor::Element(_) | PathMajor::Gopkg(_) => {
            return Err("the module path says another major version");
        }
    }
    if package.as_str() == TOOLCHAIN && !is_toolchain(version) {
        return Err("a toolchain is v0.0.1-goVERSION.OS-ARCH");
    }
    Ok(())
}

/// `v0.0.1-go1.21.0.linux-amd64`, `v0.0.1-go1.22rc1.linux-arm64`, `v0.0.1-go1.21.0-ours.linux-amd64`.
fn is_toolchain(version: &str) -> bool {
    let word =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let Some((release, platform)) = version.strip_prefix("v0.0.1-go").and_then(|rest| rest.rsplit_once('.'))
    else {
        return false;
    };
    let release = release.split('-').next().unwrap_or_default();
    platform.split_once('-').is_some_and(|(os, arch)| word(os) && word(arch)) && is_release(release)
}

/// A Go release: up to three numbers, the last of which may end in a kind of pre-release and its number.
fn is_release(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let kind = ["alpha", "beta", "rc"].iter().find_map(|kind| text.split_once(kind));
    let (numbers, pre) = kind.map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    numbers.split('.').count() <= 3 && numbers.split('.').all(is_number) && pre.is_none_or(is_number)
}

#[cfg(test)]
mod tests;
