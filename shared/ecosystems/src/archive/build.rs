//! Archives for tests, which can lie in every field.

mod tar;
mod zip;

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use touchstone_domain::{ArchiveRule, ArtifactId, Ecosystem, FileName, PackageName, Reason, Version};

pub(crate) use self::{
    tar::{TarFile, header, pax_record, sealed},
    zip::{ZipEnd, ZipEntry, ZipHeader, wide, zip, zip_with},
};
use crate::InspectError;

/// A sound gzip file.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

/// A coordinate.
pub(crate) fn id(ecosystem: Ecosystem, package: &str, version: &str, file: &str) -> ArtifactId {
    ArtifactId {
        ecosystem,
        package: PackageName::new(package).expect(package),
        version: Version::new(version).expect(version),
        file: FileName::new(file).expect(file),
    }
}

/// Why it was refused.
#[track_caller]
pub(crate) fn reason(result: Result<impl Sized, InspectError>) -> Reason {
    match result {
        Err(InspectError::Refused(reason)) => reason,
        Err(InspectError::Io(error)) => panic!("not read: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

/// The rule that a refusal names.
#[track_caller]
pub(crate) fn rule(result: Result<impl Sized, InspectError>) -> ArchiveRule {
    match reason(result) {
        Reason::ArchiveRejected { rule, .. } => rule,
        other => panic!("refused for another reason: {other}"),
    }
}

/// The part of the coordinate that a refusal names.
#[track_caller]
pub(crate) fn mismatched(result: Result<impl Sized, InspectError>) -> String {
    match reason(result) {
        Reason::CoordinateMismatch { part, .. } => part,
        other => panic!("refused for another reason: {other}"),
    }
}
