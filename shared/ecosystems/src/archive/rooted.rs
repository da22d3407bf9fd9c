//! Archives that keep everything below one directory, with a manifest in it: npm packages, crates and sdists.

use touchstone_domain::{ArchiveRule, Sha256};

use super::{Entries, Entry, Kind, Limits, check_size, mismatch, refuse, same_when_folded, shown};
use crate::{InspectError, Inspected};

/// Which directory it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Root<'a> {
    /// The one of the first entry.
    Any,
    /// This one.
    Named(&'a str),
}

/// What was read.
pub(crate) struct Rooted {
    /// The manifest's bytes.
    pub(crate) manifest: Vec<u8>,
    /// The result, complete but for the comparison with the coordinate.
    pub(crate) inspected: Inspected,
}

/// Reads the whole archive; everything must be below one directory, and `file` must be in it.
pub(crate) fn read_rooted(
    archive: &mut dyn Entries,
    root: Root<'_>,
    file: &str,
    limits: &Limits,
) -> Result<Rooted, InspectError> {
    let mut directory: Option<String> = None;
    let mut manifest: Option<Vec<u8>> = None;
    let (mut entries, mut unpacked_bytes) = (0, 0);
    while let Some(entry) = archive.next()? {
        entries += 1;
        unpacked_bytes += entry.size;
        let (first, below) = split(&entry)?;
        match &directory {
            None => {
                check_root(root, first)?;
                directory = Some(first.to_owned());
            }
            Some(directory) if directory == first => {}
            Some(directory) => {
                check_root(root, first)?;
                let detail = format!("{} is outside {}", shown(&entry.name), shown(directory));
                return Err(refuse(ArchiveRule::Path, detail));
            }
        }
        if below == Some(file) {
            if entry.kind != Kind::File {
                return Err(refuse(
                    ArchiveRule::EntryType,
                    format!("{} is no regular file", shown(&entry.name)),
                ));
            }
            check_size(&entry.name, entry.size, limits.manifest_bytes_max)?;
            let mut body = vec![];
            archive.unpack(&mut |piece| body.extend_from_slice(piece))?;
            manifest = Some(body);
        } else if below.is_some_and(|below| same_when_folded(below, file)) {
            let detail = format!("{} is {file} where case does not count", shown(&entry.name));
            return Err(refuse(ArchiveRule::Duplicate, detail));
        }
    }
    let Some(manifest) = manifest else {
        return Err(refuse(ArchiveRule::Missing, format!("it has no {file} in its first directory")));
    };
    let inspected =
        Inspected { entries, unpacked_bytes, manifest: Some(Sha256::of(&manifest)), renamed: None };
    Ok(Rooted { manifest, inspected })
}

/// The first directory of an entry, and what it is in there.
fn split(entry: &Entry) -> Result<(&str, Option<&str>), InspectError> {
    match (entry.name.split_once('/'), entry.kind) {
        (Some((first, below)), _) => Ok((first, Some(below))),
        (None, Kind::Directory) => Ok((&entry.name, None)),
        (None, Kind::File | Kind::Link) => {
            Err(refuse(ArchiveRule::Path, format!("{} is outside any directory", shown(&entry.name))))
        }
    }
}

fn check_root(root: Root<'_>, found: &str) -> Result<(), InspectError> {
    match root {
        Root::Named(expected) if expected != found => Err(mismatch("directory", expected, found)),
        Root::Named(_) | Root::Any => Ok(()),
    }
}
