//! The `h1:` digests of our own bytes.

use std::{fs::File, io};

use tokio_util::sync::CancellationToken;
use touchstone_blobs::{BlobStore, Reread, digest};
use touchstone_domain::{Reason, Sha256};
use touchstone_ecosystems::{
    InspectError,
    go::{ZipH1, h1_mod, h1_zip, is_zip},
};
use touchstone_store::Facts;
use touchstone_worker::{CheckError, blocking};

use crate::judge::Computed;

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// The blob holds other bytes; the hash check sets it aside.
    #[error("the blob is damaged: its digest is {0}")]
    Damaged(Sha256),
    /// The archive is ambiguous, which is a verdict.
    #[error("{0}")]
    Refused(Reason),
    /// It cannot be read.
    #[error("the blob cannot be read")]
    Io(#[from] io::Error),
}

/// Reads the artifact, off the async threads; why it is refused, if it has no such digest.
pub(crate) async fn computed(
    facts: &Facts,
    blobs: &BlobStore,
) -> Result<Result<Computed, Reason>, CheckError> {
    let file = blobs
        .file(facts.sha256)
        .await
        .map_err(|error| CheckError::retry_because("the blob cannot be opened", error))?;
    let (expected, size, zip) = (facts.sha256, facts.size, is_zip(&facts.id.file));
    // A check that is dropped, because it takes too long, takes its thread with it.
    let stop = CancellationToken::new();
    let _stopped_on_drop = stop.clone().drop_guard();
    match blocking(move || examine(file, (expected, size), zip, &stop)).await? {
        Ok(computed) => Ok(Ok(computed)),
        Err(Unread::Refused(reason)) => Ok(Err(reason)),
        Err(error @ (Unread::Damaged(_) | Unread::Io(_))) => {
            Err(CheckError::retry_because("the module cannot be compared", error))
        }
    }
}

fn examine(
    mut file: File,
    (expected, size): (Sha256, u64),
    zip: bool,
    stop: &CancellationToken,
) -> Result<Computed, Unread> {
    let found = digest(&mut file, size, &[], stop)?;
    if found.sha256 != expected {
        return Err(Unread::Damaged(found.sha256));
    }
    let mut module = Reread::new(file, &found.chunks, stop);
    let computed = if zip {
        h1_zip(&mut module).map(|ZipH1 { zip, go_mod }| Computed::Zip { zip, go_mod })
    } else {
        h1_mod(&mut module).map(Computed::Mod)
    };
    computed.map_err(|error| match error {
        InspectError::Refused(reason) => Unread::Refused(reason),
        InspectError::Io(error) => Unread::Io(error),
    })
}
