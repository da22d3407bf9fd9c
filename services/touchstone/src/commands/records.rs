//! `touchstone records`: the signed records of promoted artifacts as files, for whoever verifies them without us.
//!
//! *Invariant:* what is there already is not changed, unless it is an earlier export of the same artifact. Records that do not verify
//! are not written.

use std::{
    collections::BTreeSet,
    fs,
    io::{Error, ErrorKind, Read, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use sha2::Digest as _;
use touchstone_blobs::BlobStore;
use touchstone_chain::{ExportedFile, README_FILE, Records, Sources, Wanted};
use touchstone_domain::{Purl, Sha256};
use touchstone_ecosystems::normal;
use touchstone_records::RecordStore;
use touchstone_runtime::Config;

use crate::custody;

/// Writes the records of what the purl names; exit code 1 when nothing was written, 2 when some were incomplete.
pub(crate) async fn run(config: &Config, purl: &str, output: &Path, with_artifact: bool) -> Result<ExitCode> {
    let purl = normal(purl.parse()?)?;
    let directory = config.blobs_dir()?;
    if !directory.is_dir() {
        bail!(
            "there is no directory {}, where signed records would be; see [blobs] url and data_dir",
            directory.display()
        );
    }
    let blobs = BlobStore::open(&directory).await.with_context(|| {
        format!("cannot use {} for blobs, where signed records are kept", directory.display())
    })?;
    let sources = Sources {
        store: super::store(config).await?,
        records: RecordStore::new(blobs.clone()),
        ring: Arc::new(custody::ring(&config.keyring())?),
        environment: config.custody.environment.clone(),
    };
    let all = sources.gather(&Wanted::Purl(purl.clone())).await?;
    if all.is_empty() {
        eprintln!("{purl} is not on record: nobody has asked this mirror for it, or its fetch failed");
        return Ok(ExitCode::FAILURE);
    }
    one_version(&all, &purl)?;
    let mut written = 0;
    for records in &all {
        let Some(files) = records.files() else {
            eprintln!("{}: no records were written", records.purl);
            for missing in &records.missing {
                eprintln!("  {missing}");
            }
            continue;
        };
        let into = if all.len() == 1 { output.to_owned() } else { output.join(records.file.as_str()) };
        write(&into, &files)?;
        if with_artifact {
            write_artifact(&blobs, records, &into).await?;
        }
        written += 1;
        super::say(&done(records, &into));
    }
    Ok(match written {
        0 => ExitCode::FAILURE,
        _ if written == all.len() => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    })
}

/// Files of several versions would share a directory.
fn one_version(all: &[Records], purl: &Purl) -> Result<()> {
    let names: BTreeSet<&str> = all.iter().map(|records| records.file.as_str()).collect();
    if names.len() < all.len() {
        bail!("{purl} names several artifacts with the same file name; name one version of the package");
    }
    Ok(())
}

fn done(records: &Records, into: &Path) -> String {
    format!(
        "{}: {} link(s), layout, serve record and {} key(s) in {}\n{} there has the commands that verify them\n",
        records.purl,
        records.links.len(),
        records.keys.len(),
        into.display(),
        README_FILE
    )
}

/// Writes files that are not there yet, and those of an earlier export of the same artifact anew. First all are looked at, so that
/// a refusal leaves the directory as it is.
fn write(directory: &Path, files: &[ExportedFile]) -> Result<()> {
    let is_again = is_export(directory, files);
    for (name, bytes) in files.iter().filter(|_| !is_again) {
        let path = directory.join(name);
        if !is_missing_or(&path, bytes)? {
            bail!(
                "{} is there already, and is something else; nothing was written. Name another directory",
                path.display()
            );
        }
    }
    for (name, bytes) in files {
        let path = directory.join(name);
        if is_again || !path.exists() {
            let file = made(&path, |file| file.write_all(bytes))?;
            let placed = if is_again { file.persist(&path) } else { file.persist_noclobber(&path) };
            placed
                .map_err(|error| error.error)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether the directory has records of the same artifact already: the first two lines of its page for people say so.
fn is_export(directory: &Path, files: &[ExportedFile]) -> bool {
    let Some((name, page)) = files.iter().find(|(name, _)| name == README_FILE) else { return false };
    let subject: Vec<u8> = page.split_inclusive(|byte| *byte == b'\n').take(2).flatten().copied().collect();
    let mut found = Vec::new();
    let limit = subject.len() as u64;
    let read = fs::File::open(directory.join(name)).and_then(|file| file.take(limit).read_to_end(&mut found));
    read.is_ok() && found == subject
}

/// Whether a file is not there, or has these bytes.
fn is_missing_or(path: &Path, bytes: &[u8]) -> Result<bool> {
    let mut found = Vec::new();
    let limit = bytes.len() as u64 + 1;
    match fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut found)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read {}, which is there already", path.display()))
        }
        Ok(_) => Ok(found == bytes),
    }
}

/// Makes a file that is to be put into its place when it is whole.
fn made(
    path: &Path,
    contents: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> Result<tempfile::NamedTempFile> {
    let failed = || format!("cannot write {}", path.display());
    let directory = path.parent().expect("a file is in a directory");
    fs::create_dir_all(directory).with_context(failed)?;
    let mut file = tempfile::Builder::new().tempfile_in(directory).with_context(failed)?;
    contents(file.as_file_mut()).with_context(failed)?;
    readable(file.path()).with_context(failed)?;
    Ok(file)
}

/// Temporary files are their owner's alone; records are for everybody.
fn readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Writes the artifact beside its records. What does not have its digest is not written.
async fn write_artifact(blobs: &BlobStore, records: &Records, directory: &Path) -> Result<()> {
    let path = directory.join(records.file.as_str());
    let sha256 = records.sha256;
    match fs::File::open(&path) {
        Ok(mut there) => {
            if copied(&mut there, &mut std::io::sink())? != sha256 {
                bail!("{} is there already, and is something else. Name another directory", path.display());
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let stored = blobs.file(sha256).await;
            let mut stored =
                stored.with_context(|| format!("the bytes of {} cannot be had", records.purl))?;
            let file = made(&path, |into| {
                let whole = copied(&mut stored, into)? == sha256;
                whole.then_some(()).ok_or_else(|| Error::other("the stored bytes are damaged"))
            })?;
            let placed = file.persist_noclobber(&path).map_err(|error| error.error);
            placed.map(drop).with_context(|| format!("cannot write {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Copies to the end; the digest of what was copied.
fn copied(from: &mut impl Read, into: &mut impl Write) -> std::io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(Sha256(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
        into.write_all(&buffer[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_not_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        let out = directory.path().join("out");
        let files =
            vec![("root.layout".to_owned(), b"one".to_vec()), ("keys/a.pub".to_owned(), b"two".to_vec())];
        write(&out, &files).expect("written");
        write(&out, &files).expect("the same is there");
        fs::write(out.join("notes.txt"), "mine").expect("written");
        fs::remove_file(out.join("root.layout")).expect("removed");
        fs::write(out.join("keys/a.pub"), "tw0").expect("written");
        let error = write(&out, &files).expect_err("something else").to_string();
        // Records of the same artifact, as they were, are written anew.
        let page = |sha256: &str| {
            (README_FILE.to_owned(), format!("Signed records of x\nsha256 {sha256}\nand more").into_bytes())
        };
        let again = directory.path().join("again");
        write(&again, &[page("1"), ("root.layout".to_owned(), b"old".to_vec())]).expect("written");
        let newer = ("root.layout".to_owned(), b"new".to_vec());
        assert!(write(&again, &[page("2"), newer.clone()]).is_err(), "records of something else");
        assert_eq!(fs::read(again.join("root.layout")).expect("a file"), b"old");
        write(&again, &[page("1"), newer]).expect("written anew");
        assert_eq!(fs::read(again.join("root.layout")).expect("a file"), b"new");

        let named = format!("{} is there already, and is something else", out.join("keys/a.pub").display());
        assert!(error.starts_with(&named), "{error}");
        assert!(!out.join("root.layout").exists(), "nothing is written where something is refused");
        fs::write(out.join("keys/a.pub"), "two").expect("written");
        write(&out, &files).expect("written");
        assert_eq!(fs::read(out.join("root.layout")).expect("a file"), b"one");
        assert_eq!(fs::read(out.join("notes.txt")).expect("a file"), b"mine");
    }
}
