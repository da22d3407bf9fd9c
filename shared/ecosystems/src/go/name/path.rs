//! Module paths, and the major version that a path promises.

use touchstone_domain::{NameError, PackageName};

use super::invalid;

/// Names that mean devices to Windows, whatever their extension and case.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];
/// Paths below it have their own form of a major version.
const GOPKG: &str = "gopkg.in/";

/// The major version that a path ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathMajor<'a> {
    /// None: 0, 1, or what was never a module.
    Unsaid,
    /// `/v2`: its digits.
    Element(&'a str),
    /// `.v2`, as gopkg.in does: its digits.
    Gopkg(&'a str),
}

/// A module path, unescaped.
pub(in crate::go) fn package(text: &str) -> Result<PackageName, NameError> {
    let name = PackageName::new(text)?;
    let checked = check_first(text).and_then(|()| text.split('/').try_for_each(check_element));
    match checked.and_then(|()| major(text).map(|_| ())) {
        Ok(()) => Ok(name),
        Err(rule) => Err(invalid("package name", text, rule)),
    }
}

/// The first element is a host name.
fn check_first(path: &str) -> Result<(), &'static str> {
    let first = path.split('/').next().unwrap_or_default();
    if first.starts_with('-') {
        return Err("it may not start with a dash");
    }
    if !first.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.') {
        return Err("the first element has lower-case letters, digits, - and . only");
    }
    if !first.contains('.') {
        return Err("the first element has no dot");
    }
    Ok(())
}

fn check_element(element: &str) -> Result<(), &'static str> {
    if !element.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) {
        return Err("letters, digits, and - . _ ~ only");
    }
    if element.starts_with('.') || element.ends_with('.') {
        return Err("no element starts or ends with a dot");
    }
    let before_dot = element.split('.').next().unwrap_or_default();
    if DEVICES.iter().any(|device| before_dot.eq_ignore_ascii_case(device)) {
        return Err("an element is the name of a device of Windows");
    }
    match before_dot.rsplit_once('~') {
        Some((_, digits)) if is_number(digits) => Err("an element looks like a short name of Windows"),
        _ => Ok(()),
    }
}

/// The major version that a path ends in, which must be written in the one way that its server understands.
pub(super) fn major(path: &str) -> Result<PathMajor<'_>, &'static str> {
    if let Some(below) = path.strip_prefix(GOPKG) {
        let stable = below.strip_suffix("-unstable").unwrap_or(below);
        return match stable.rsplit_once(".v") {
            Some((_, digits)) if is_number(digits) && (digits == "0" || !digits.starts_with('0')) => {
                Ok(PathMajor::Gopkg(digits))
            }
            _ => Err("a path below gopkg.in ends in .v and a number"),
        };
    }
    let last = path.rsplit_once('/').and_then(|(_, last)| last.strip_prefix('v'));
    match last.filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')) {
        None => Ok(PathMajor::Unsaid),
        Some(digits) if digits == "1" || digits.starts_with('0') || digits.contains('.') => {
            Err("a last element of v and a number is /v2 or above, without zeros before it and without dots")
        }
        Some(digits) => Ok(PathMajor::Element(digits)),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests;
