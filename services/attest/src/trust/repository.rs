//! Where TUF documents come from: a mirror, a directory, or the set that was stored.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt as _;
use rustix::fs::{Mode, OFlags};
use sigstore_tuf::{Error, MetadataStore, Repository, transport::FetchFuture};
use touchstone_upstream::Mirror;

use super::document::{inspect, plain_name};

/// TUF documents by name: `timestamp.json`, `root_history/2.root.json`, `targets/trusted_root.json`.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A repository whose documents are inspected before the client has them.
pub(crate) struct Inspected<R>(pub(crate) R);

impl<R: Repository> Repository for Inspected<R> {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        async move {
            plain_name(name)?;
            let found = self.0.fetch_metadata(name, max_length).await?;
            found.as_deref().map_or(Ok(()), |bytes| inspect(name, bytes))?;
            Ok(found)
        }
        .boxed()
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        async move {
            plain_name(path)?;
            self.0.fetch_target(path, max_length).await
        }
        .boxed()
    }
}

/// A copy of the repository over HTTP.
pub(crate) struct Remote(pub(crate) Mirror);

impl Remote {
    async fn fetch(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let found = self.0.document(path, bytes_max).await;
        found.map(|found| found.map(Vec::from)).map_err(|e| Error::transport_with_source(path, e))
    }
}

impl Repository for Remote {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.fetch(name, max_length).boxed()
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        async move { self.fetch(&format!("targets/{path}"), max_length).await }.boxed()
    }
}

/// The set as it is stored: one document of each role, and the targets by their own names.
pub(crate) struct Stored(pub(crate) Arc<Files>);

impl Stored {
    fn find(&self, name: &str, max_length: u64) -> Result<Option<Vec<u8>>, Error> {
        let names = aliases(name);
        let found = names.iter().find_map(|name| self.0.get(name));
        match found {
            Some(bytes) if bytes.len() as u64 > max_length => {
                Err(Error::transport(format!("{name} has more than {max_length} bytes")))
            }
            Some(_) | None => Ok(found.cloned()),
        }
    }
}

impl Repository for Stored {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.find(name, max_length);
        async move { found }.boxed()
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.find(&format!("targets/{path}"), max_length);
        async move { found }.boxed()
    }
}

/// A document's own name, and the one that it has where versions and digests are no part of names. Which version or content
/// is meant, the document that names it says; a wrong one is refused there.
fn aliases(name: &str) -> Vec<String> {
    let (directory, file) = name.rsplit_once('/').map_or(("", name), |(directory, file)| (directory, file));
    let plain = match file.split_once('.') {
        Some(_) if file.ends_with(".root.json") => Some(format!("root_history/{file}")),
        Some((_, plain)) if !plain.contains('.') => None,
        Some((_, plain)) if directory.is_empty() => Some(plain.to_owned()),
        Some((_, plain)) => Some(format!("{directory}/{plain}")),
        None => None,
    };
    std::iter::once(name.to_owned()).chain(plain).collect()
}

/// A copy of the repository in a directory: `metadata/` and `targets/`, or metadata at its top, with or without versions and
/// digests in the names.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    fn find(&self, name: &str, places: [&str; 2], max_length: u64) -> Result<Option<Vec<u8>>, Error> {
        for place in places {
            for name in aliases(name) {
                let relative = Path::new(place).join(name);
                if let Some(bytes) = self.read(&relative, max_length)? {
                    return Ok(Some(bytes));
                }
            }
        }
        Ok(None)
    }

    /// Reads a file of the directory; symbolic links within it are refused, whatever they point to.
    fn read(&self, relative: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let failed = |source| Error::io(format!("cannot read {}", relative.display()), source);
        let refused = |why: &str| Error::transport(format!("{} {why}", relative.display()));
        let mut path = self.0.clone();
        for part in relative.components() {
            path.push(part);
            match path.symlink_metadata() {
                Ok(found) if found.is_symlink() => return Err(refused("goes through a symbolic link")),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(None);
                }
                Err(e) => return Err(failed(e)),
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let file = File::from(file);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(refused("is not a file"));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > bytes_max {
            return Err(refused(&format!("has more than {bytes_max} bytes")));
        }
        Ok(Some(bytes))
    }
}

impl Repository for Directory {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.find(name, ["metadata", ""], max_length);
        async move { found }.boxed()
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.find(path, ["targets", ""], max_length);
        async move { found }.boxed()
    }
}

/// What the client knows from before, and where it puts what it has verified.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Files>>);

impl Memory {
    pub(crate) fn new(files: Files) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    /// A document that is there.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl MetadataStore for Memory {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.get(name))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}
