//! Wheels (PEP 427): one `.dist-info` directory of the coordinate's name and version; METADATA, WHEEL and RECORD in it; and
//! RECORD lists every file, once, with its true digest, and nothing else.

use touchstone_domain::{ArchiveRule, ArtifactId, Claim, Sha256};

use super::{
    check_core_metadata,
    metadata::{self, Metadata},
    record::Record,
};
use crate::{
    InspectError, Inspected, ReadSeek,
    archive::{Kind, Limits, Zip, mismatch, refuse, same_when_folded, shown},
};

const DIST_INFO: &str = ".dist-info";
const METADATA: &str = "METADATA";
const RECORD: &str = "RECORD";
/// RECORD and its signatures: what RECORD cannot vouch for.
const UNHASHED: [&str; 3] = [RECORD, "RECORD.jws", "RECORD.p7s"];

/// Reads the whole wheel.
pub(super) fn inspect(
    id: &ArtifactId,
    claims: &[Claim],
    archive: &mut dyn ReadSeek,
    limits: &Limits,
) -> Result<Inspected, InspectError> {
    let mut wheel = Zip::open(archive, limits)?;
    let directory = dist_info(&wheel)?;
    check_directory(&directory, id)?;
    let metadata = find(&wheel, &directory, METADATA)?;
    let record = find(&wheel, &directory, RECORD)?;
    find(&wheel, &directory, "WHEEL")?;
    let metadata = wheel.read_member(metadata, limits.manifest_bytes_max)?;
    Metadata::parse(METADATA, &metadata)?.check(id)?;
    check_core_metadata(claims, &metadata)?;
    let record = Record::parse(&wheel.read_member(record, limits.list_bytes_max)?, limits)?;
    let (entries, unpacked_bytes) = unpack_all(&mut wheel, &directory, record)?;
    Ok(Inspected { entries, unpacked_bytes, manifest: Some(Sha256::of(&metadata)), renamed: None })
}

/// The one `.dist-info` directory at the top.
fn dist_info(wheel: &Zip<'_>) -> Result<String, InspectError> {
    let mut found: Option<&str> = None;
    for member in wheel.members() {
        let first = member.name.split('/').next().unwrap_or_default();
        if !first.to_lowercase().ends_with(DIST_INFO) || found == Some(first) {
            continue;
        }
        if let Some(other) = found.replace(first) {
            let detail = format!("it has two {DIST_INFO} directories, {} and {}", shown(other), shown(first));
            return Err(refuse(ArchiveRule::Ambiguous, detail));
        }
    }
    let found =
        found.ok_or_else(|| refuse(ArchiveRule::Missing, format!("it has no {DIST_INFO} directory")))?;
    Ok(found.to_owned())
}

fn check_directory(directory: &str, id: &ArtifactId) -> Result<(), InspectError> {
    let equal = directory
        .strip_suffix(DIST_INFO)
        .and_then(|stem| stem.rsplit_once('-'))
        .is_some_and(|(name, version)| metadata::is_package(name, id) && metadata::is_version(version, id));
    if equal {
        return Ok(());
    }
    Err(mismatch("directory", &format!("{}-{}{DIST_INFO}", id.package, id.version), directory))
}

/// The index of a file in the `.dist-info` directory.
fn find(wheel: &Zip<'_>, directory: &str, file: &str) -> Result<usize, InspectError> {
    let path = format!("{directory}/{file}");
    if let Some(twin) = wheel.members().iter().find(|member| same_when_folded(&member.name, &path)) {
        let detail = format!("{} is {file} where case does not count", shown(&twin.name));
        return Err(refuse(ArchiveRule::Duplicate, detail));
    }
    let found = wheel.members().iter().position(|member| member.name == path && member.kind == Kind::File);
    found.ok_or_else(|| refuse(ArchiveRule::Missing, format!("it has no {file}")))
}

/// Unpacks every entry and compares it with RECORD.
fn unpack_all(wheel: &mut Zip<'_>, directory: &str, mut record: Record) -> Result<(u64, u64), InspectError> {
    let unhashed = UNHASHED.map(|file| format!("{directory}/{file}"));
    let (mut entries, mut unpacked_bytes) = (0, 0);
    for index in 0..wheel.members().len() {
        let member = &wheel.members()[index];
        entries += 1;
        unpacked_bytes += member.size;
        let (name, size) = (member.name.clone(), member.size);
        if member.kind == Kind::Directory {
            wheel.unpack_member(index, &mut |_| {})?;
        } else if unhashed.contains(&name) {
            record.take_unhashed(&name)?;
            wheel.unpack_member(index, &mut |_| {})?;
        } else {
            let mut expected = record.take(&name)?;
            wheel.unpack_member(index, &mut |piece| expected.update(piece))?;
            expected.finish(&name, size)?;
        }
    }
    record.finish()?;
    Ok((entries, unpacked_bytes))
}
