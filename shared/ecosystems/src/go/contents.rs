//! What a module's zip and `.mod` must be (ecosystems.md 7.1, 7.2, 7.6; threats.md G-13, G-16, R-15): what
//! `golang.org/x/mod/zip` allows, in a ZIP that every reader understands alike, and about the module that was asked for.
//!
//! - Everything is below `{module}@{version}/`. Directories may have entries, which are empty.
//! - Names are those of every platform, and no two differ only by case or composition, directories included.
//! - The only `go.mod` is the one at the root: what is below another one is another module. A version with `+incompatible`
//!   has none. Its `module` line, and that of the `.mod`, is the path that was asked for; another one is told, for the policy to
//!   decide: the go command takes a fork by its own name in a `replace` directive, and then either name in its `go.mod`.
//! - At most 500 MiB, packed and unpacked, and 16 MiB for `go.mod` and `LICENSE`.
//! - No comments and no extra fields but a time: nothing vouches for them, since `h1:` covers names and contents only.
//!
//! The toolchain's zips keep the same rules; nobody exempts them.
//!
//! What nothing covers all the same: how a body is deflated, times, versions of the format and permissions, all of which the
//! go command ignores.

use touchstone_domain::{ArchiveRule, ArtifactId, FileName, Sha256};

use super::{gomod, paths};
use crate::{
    InspectError, Inspected, ReadSeek,
    archive::{
        CHARACTERS_MAX, Folded, Kind, Limits, Member, Zip, mismatch, read_whole, refuse, same_when_folded,
        shown,
    },
};

const GO_MOD: &str = "go.mod";
const LICENSE: &str = "LICENSE";
const LIMITS: Limits = Limits::MODULE;
/// Of the zip itself, in bytes.
const PACKED_BYTES_MAX: u64 = 500 << 20;
/// The mark of a version from before modules, above 1.
const INCOMPATIBLE: &str = "+incompatible";

/// The zip beside a `.mod`; `None` for what is no `.mod`.
pub fn zip_of(file: &FileName) -> Option<FileName> {
    renamed(file, ".mod", ".zip")
}

/// The `.mod` beside a zip; `None` for what is no zip.
pub fn mod_of(file: &FileName) -> Option<FileName> {
    renamed(file, ".zip", ".mod")
}

fn renamed(file: &FileName, from: &str, to: &str) -> Option<FileName> {
    let stem = file.as_str().strip_suffix(from)?;
    Some(FileName::new(format!("{stem}{to}")).expect("as long as the name that it comes from"))
}

/// Reads the whole file.
pub(super) fn inspect(id: &ArtifactId, file: &mut dyn ReadSeek) -> Result<Inspected, InspectError> {
    match id.file.as_str().strip_prefix(id.version.as_str()) {
        Some(".zip") => inspect_zip(id, file),
        Some(".mod") => inspect_mod(id, file),
        Some(_) | None => Err(mismatch("file", id.version.as_str(), id.file.as_str())),
    }
}

/// The `.mod` is no archive: it is the zip's `go.mod`, or stands for the one that the zip lacks. Which is for whoever has both
/// to say: [`Inspected::manifest`] is the digest of either.
fn inspect_mod(id: &ArtifactId, file: &mut dyn ReadSeek) -> Result<Inspected, InspectError> {
    let document = read_whole(file, LIMITS.manifest_bytes_max)?;
    let renamed = renamed_module(id, &document)?;
    let manifest = Some(Sha256::of(&document));
    Ok(Inspected { entries: 1, unpacked_bytes: document.len() as u64, manifest, renamed })
}

fn inspect_zip(id: &ArtifactId, file: &mut dyn ReadSeek) -> Result<Inspected, InspectError> {
    if file.seek(std::io::SeekFrom::End(0))? > PACKED_BYTES_MAX {
        return Err(refuse(ArchiveRule::Limit, format!("it has more than {PACKED_BYTES_MAX} bytes")));
    }
    let mut zip = Zip::open(file, &LIMITS)?;
    zip.check_no_remarks()?;
    let go_mod = check_names(id, zip.members())?;
    let mut found = Inspected { entries: 0, unpacked_bytes: 0, manifest: None, renamed: None };
    for index in 0..zip.members().len() {
        found.entries += 1;
        found.unpacked_bytes += zip.members()[index].size;
        if Some(index) == go_mod {
            let document = zip.read_member(index, LIMITS.manifest_bytes_max)?;
            found.renamed = renamed_module(id, &document)?;
            found.manifest = Some(Sha256::of(&document));
        } else {
            zip.unpack_member(index, &mut |_| {})?;
        }
    }
    Ok(found)
}

/// Checks every name; the index of the `go.mod` at the root, if there is one.
fn check_names(id: &ArtifactId, members: &[Member]) -> Result<Option<usize>, InspectError> {
    let root = format!("{}@{}", id.package, id.version);
    let mut names = Folded::default();
    let mut go_mod = None;
    for (index, member) in members.iter().enumerate() {
        if member.name == root && member.kind == Kind::Directory {
            continue;
        }
        let name = member.name.strip_prefix(&root).and_then(|below| below.strip_prefix('/'));
        let name = name.ok_or_else(|| mismatch("directory", &root, &member.name))?;
        paths::check(name)?;
        names.add(name)?;
        match member.kind {
            Kind::Directory => {}
            Kind::File | Kind::Link => check_file(name, member.size)?,
        }
        if name == GO_MOD && member.kind == Kind::File {
            go_mod = Some(index);
        }
    }
    if go_mod.is_some() && id.version.as_str().ends_with(INCOMPATIBLE) {
        return Err(mismatch("version", id.version.as_str(), "one with a go.mod"));
    }
    Ok(go_mod)
}

fn check_file(name: &str, size: u64) -> Result<(), InspectError> {
    let (directory, last) =
        name.rsplit_once('/').map_or((None, name), |(directory, last)| (Some(directory), last));
    if same_when_folded(last, GO_MOD) {
        let detail = format!("{} is {GO_MOD} where case does not count", shown(name));
        return Err(refuse(ArchiveRule::Duplicate, detail));
    }
    if let Some(directory) = directory.filter(|_| last == GO_MOD) {
        let detail = format!("{} is a module of its own", shown(directory));
        return Err(refuse(ArchiveRule::Path, detail));
    }
    if [GO_MOD, LICENSE].contains(&name) && size > LIMITS.manifest_bytes_max {
        let detail = format!("{name} has more than {} bytes", LIMITS.manifest_bytes_max);
        return Err(refuse(ArchiveRule::Limit, detail));
    }
    Ok(())
}

/// The path in a `go.mod`, cut short, if it is not the module's.
fn renamed_module(id: &ArtifactId, document: &[u8]) -> Result<Option<String>, InspectError> {
    let path = gomod::module_path(document)?;
    Ok((path != id.package.as_str()).then(|| path.chars().take(CHARACTERS_MAX).collect()))
}

#[cfg(test)]
mod tests;
