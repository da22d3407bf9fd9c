//! Core metadata: the two fields that say what a distribution is.
//!
//! The headers are split as Python's `email` does, which is what pip reads them with: lines end in LF, CR LF or CR, and
//! the first line that is neither a field nor a continuation ends them.

use touchstone_domain::{ArchiveRule, ArtifactId};

use super::super::name;
use crate::{
    InspectError,
    archive::{mismatch, refuse},
};

/// What a distribution says that it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata<'a> {
    name: &'a str,
    version: &'a str,
}

impl<'a> Metadata<'a> {
    /// Reads `document`; `what` names it in refusals.
    pub(super) fn parse(what: &str, document: &'a [u8]) -> Result<Self, InspectError> {
        let ambiguous =
            |field: &str| refuse(ArchiveRule::Ambiguous, format!("{what} says its {field} twice"));
        let (mut name, mut version) = (None, None);
        let mut current = None;
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        for line in lines(document) {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                match current {
                    Some(field @ ("Name" | "Version")) => return Err(ambiguous(field)),
                    Some(_) => continue,
                    None => break,
                }
            }
            let Some((key, value)) = field(line) else { break };
            current = Some("");
            for (wanted, slot) in [("Name", &mut name), ("Version", &mut version)] {
                if key.eq_ignore_ascii_case(wanted.as_bytes()) {
                    current = Some(wanted);
                    let value = str::from_utf8(value.trim_ascii()).map_err(|_| {
                        refuse(ArchiveRule::Malformed, format!("the {wanted} in {what} is not UTF-8"))
                    })?;
                    if slot.replace(value).is_some() {
                        return Err(ambiguous(wanted));
                    }
                }
            }
        }
        match (name, version) {
            (Some(name), Some(version)) => Ok(Self { name, version }),
            (None, _) => Err(refuse(ArchiveRule::Missing, format!("{what} says no Name"))),
            (_, None) => Err(refuse(ArchiveRule::Missing, format!("{what} says no Version"))),
        }
    }

    /// Compares name and version with the coordinate.
    pub(super) fn check(&self, id: &ArtifactId) -> Result<(), InspectError> {
        if !is_package(self.name, id) {
            return Err(mismatch("name", id.package.as_str(), self.name));
        }
        if !is_version(self.version, id) {
            return Err(mismatch("version", id.version.as_str(), self.version));
        }
        Ok(())
    }
}

/// Whether a name, in any spelling, is the coordinate's.
pub(super) fn is_package(text: &str, id: &ArtifactId) -> bool {
    name::package(text).is_ok_and(|package| package == id.package)
}

/// Whether a version is equal to the coordinate's: `1.0` is `1.0.0`.
pub(super) fn is_version(text: &str, id: &ArtifactId) -> bool {
    let parsed = |text: &str| text.parse::<pep440_rs::Version>().ok();
    name::version(text).is_ok() && parsed(text) == parsed(id.version.as_str())
}

fn lines(document: &[u8]) -> impl Iterator<Item = &[u8]> {
    document
        .split(|b| *b == b'\n')
        .flat_map(|line| line.strip_suffix(b"\r").unwrap_or(line).split(|b| *b == b'\r'))
}

/// A header line; `None` for one that ends the headers.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':').filter(|at| *at > 0)?;
    let (key, value) = line.split_at(colon);
    let is_key = key.iter().all(|b| (b'!'..=b'~').contains(b));
    is_key.then(|| (key, &value[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::build::rule;

    fn parsed(document: &[u8]) -> Result<(&str, &str), InspectError> {
        Metadata::parse("METADATA", document).map(|metadata| (metadata.name, metadata.version))
    }

    #[test]
    fn headers_are_split_as_python_splits_them() {
        for good in [
            &b"Metadata-Version: 2.1\nName: a\nVersion: 1\n\nName: b\n"[..],
            b"name: a\r\nVERSION:1\r\n\r\nVersion: 2",
            b"Name: a\rVersion: 1\r\rName: b",
            b"\xef\xbb\xbfName: a\nVersion: 1",
            b"Summary: x\n more\n\tmore\nName: a\nVersion: 1\n",
            b"Name: a\nVersion: 1\nno field\nName: b",
        ] {
            assert_eq!(parsed(good).expect("sound"), ("a", "1"), "{good:?}");
        }
        for twice in [
            &b"Name: a\nVersion: 1\nname: a\n"[..],
            b"Name: a\nVersion: 1\nVersion: 1\n",
            b"Name: a\n b\nVersion: 1\n",
            b"Name: a\nVersion: 1\nSummary: x\rVersion: 2\n",
        ] {
            assert_eq!(rule(parsed(twice)), ArchiveRule::Ambiguous, "{twice:?}");
        }
        for missing in
            [&b""[..], b"\nName: a\nVersion: 1", b"Name: a\n", b"Version: 1\n", b" x\nName: a\nVersion: 1"]
        {
            assert_eq!(rule(parsed(missing)), ArchiveRule::Missing, "{missing:?}");
        }
        assert_eq!(rule(parsed(b"Name: \xff\nVersion: 1")), ArchiveRule::Malformed);
    }
}
