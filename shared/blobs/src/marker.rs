//! The number of a blob store, in a file of its directory: whoever finds a blob missing asks whether this is the store at all, or an
//! empty or foreign directory that stands in its place.
//!
//! *Invariant:* a number is written once, and only when somebody asks for it: a directory that is opened does not get one.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use touchstone_domain::Sha256;

use crate::{BlobError, BlobStore, layout::Layout};

/// The file's name.
const FILE: &str = "number";
/// More than the file has.
const FILE_BYTES_MAX: u64 = 256;

impl BlobStore {
    /// The store's number; none if the directory is gone, or never got one.
    pub async fn number(&self) -> Result<Option<Sha256>, BlobError> {
        self.blocking(read).await
    }

    /// The store's number, which it is given now if it has none.
    pub async fn mark(&self) -> Result<Sha256, BlobError> {
        self.blocking(|layout| match read(layout)? {
            Some(number) => Ok(number),
            None => write(layout),
        })
        .await
    }
}

fn path(layout: &Layout) -> PathBuf {
    layout.root().join(FILE)
}

fn read(layout: &Layout) -> Result<Option<Sha256>, BlobError> {
    let path = path(layout);
    let mut text = String::new();
    let read = fs::File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BlobError::io("read", &path)(error)),
    }
    let number = text.trim_end().parse();
    number.map(Some).map_err(|error| {
        BlobError::io("understand", &path)(io::Error::new(io::ErrorKind::InvalidData, format!("{error}")))
    })
}

/// Two that write at once end with the same number.
fn write(layout: &Layout) -> Result<Sha256, BlobError> {
    let path = path(layout);
    let mut file = layout.create_temporary()?;
    // no other file has all of these
    let made = file.as_file().metadata().map_err(BlobError::io("look at", file.path()))?;
    let unique = [i128::from(made.dev()), made.ino().into(), made.ctime().into(), made.ctime_nsec().into()];
    let number = Sha256::of(format!("{unique:?} {}", file.path().display()));
    writeln!(file, "{number}").map_err(BlobError::io("write", &path))?;
    layout.name(&file, &path)?;
    let written = read(layout)?;
    written.ok_or_else(|| BlobError::io("find", &path)(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;

    #[tokio::test]
    async fn a_store_gets_its_number_once_and_another_one_another() {
        let fixture = Fixture::new().await;
        assert_eq!(fixture.store.number().await.expect("read"), None, "opening gives none");
        let (one, other) = tokio::join!(fixture.store.mark(), fixture.store.mark());
        let number = one.expect("marked");
        assert_eq!(other.expect("marked"), number);
        assert_eq!(fixture.store.mark().await.expect("marked"), number);
        assert_eq!(fixture.store.number().await.expect("read"), Some(number));
        let foreign = Fixture::new().await;
        assert_ne!(foreign.store.mark().await.expect("marked"), number);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_no_number_and_not_none() {
        let fixture = Fixture::new().await;
        fixture.store.mark().await.expect("marked");
        let path = fixture.root().join(FILE);
        fs::remove_file(&path).expect("there");
        assert_eq!(fixture.store.number().await.expect("read"), None);
        for (content, expected) in [("", "understand"), ("1234\n", "understand")] {
            fs::write(&path, content).expect("writes");
            match fixture.store.number().await {
                Err(BlobError::Io { action, .. }) => assert_eq!(action, expected, "{content:?}"),
                other => panic!("{other:?}"),
            }
        }
        fs::remove_file(&path).expect("there");
        fs::create_dir(&path).expect("creates");
        assert!(matches!(fixture.store.number().await, Err(BlobError::Io { action: "read", .. })));
        assert!(matches!(fixture.store.mark().await, Err(BlobError::Io { action: "read", .. })));
    }
}
