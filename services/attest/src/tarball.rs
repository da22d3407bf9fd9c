//! The stored tarball: its digests, and the repository that its `package.json` names, by the same bytes.

use std::{fs::File, io};

use tokio_util::sync::CancellationToken;
use touchstone_attestation::ArtifactDigests;
use touchstone_blobs::{BlobStore, Reread, digest};
use touchstone_domain::{Reason, Sha256};
use touchstone_ecosystems::{InspectError, npm::attestation::package_repository};
use touchstone_store::Facts;
use touchstone_worker::{CheckError, blocking};

use crate::judged::Rejection;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tarball {
    /// Of the bytes that were read.
    pub(crate) digests: ArtifactDigests,
    /// As it stands there; `None` if there is none.
    pub(crate) repository: Option<String>,
}

/// Why there is nothing to compare with.
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

/// Reads the artifact's tarball, off the async threads.
pub(crate) async fn read(facts: &Facts, blobs: &BlobStore) -> Result<Result<Tarball, Rejection>, CheckError> {
    let file = blobs
        .file(facts.sha256)
        .await
        .map_err(|error| CheckError::retry_because("the blob cannot be opened", error))?;
    let (expected, size) = (facts.sha256, facts.size);
    // A check that is dropped, because it takes too long, takes its thread with it.
    let stop = CancellationToken::new();
    let _stopped_on_drop = stop.clone().drop_guard();
    let reading = blocking(move || examine(file, expected, size, &stop)).await?;
    match reading {
        Ok(tarball) => Ok(Ok(tarball)),
        Err(Unread::Refused(reason)) => {
            Ok(Err(Rejection::refused("package.json", "archive", reason.to_string())))
        }
        Err(error @ (Unread::Damaged(_) | Unread::Io(_))) => {
            Err(CheckError::retry_because("the tarball cannot be compared", error))
        }
    }
}

fn examine(mut file: File, expected: Sha256, size: u64, stop: &CancellationToken) -> Result<Tarball, Unread> {
    let found = digest(&mut file, size, &[], stop)?;
    if found.sha256 != expected {
        return Err(Unread::Damaged(found.sha256));
    }
    let mut archive = Reread::new(file, &found.chunks, stop);
    let repository = package_repository(&mut archive).map_err(|error| match error {
        InspectError::Refused(reason) => Unread::Refused(reason),
        InspectError::Io(error) => Unread::Io(error),
    })?;
    Ok(Tarball { digests: ArtifactDigests { sha256: found.sha256, sha512: found.sha512 }, repository })
}
