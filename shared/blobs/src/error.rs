//! What can go wrong with a blob.

use std::{io, path::Path, path::PathBuf};

use rustix::io::Errno;
use tokio::task::JoinError;
use touchstone_domain::Sha256;

/// Why a blob was not stored or not moved.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// More bytes than the writer was opened for.
    #[error("the content is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// An earlier call on the same writer failed, or was dropped before it was done: the content has a gap.
    #[error("an earlier write to this blob failed or was interrupted")]
    Abandoned,
    /// The same blob was found damaged too often: somebody has to look at the disk.
    #[error("blob {sha256} was set aside {limit} times already")]
    AsideFull {
        /// The blob.
        sha256: Sha256,
        /// How many damaged copies are kept.
        limit: u32,
    },
    /// The operating system refused, a full disk included.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted, a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl BlobError {
    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The blocking task panicked, or the runtime is shutting down.
    pub(crate) fn stopped(path: &Path) -> impl FnOnce(JoinError) -> Self {
        move |error| Self::Io {
            action: "finish the work on",
            path: path.to_owned(),
            source: io::Error::other(error),
        }
    }
}

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such blob.
    #[error("blob {sha256} is missing")]
    Missing {
        /// The blob.
        sha256: Sha256,
    },
    /// What is stored under the name is not the blob: set it aside and fetch it again.
    #[error("blob {sha256} is damaged: {detail}")]
    Damaged {
        /// The blob.
        sha256: Sha256,
        /// How it was noticed.
        detail: Damage,
    },
    /// The disk could not be asked; says nothing about the blob.
    #[error("cannot read blob {sha256}")]
    Io {
        /// The blob.
        sha256: Sha256,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The caller asked for bytes that the artifact does not have.
    #[error("bytes {start}..{end} are not within the {size} bytes of blob {sha256}")]
    Range {
        /// The blob.
        sha256: Sha256,
        /// First byte asked for.
        start: u64,
        /// First byte not asked for.
        end: u64,
        /// The artifact's size in bytes.
        size: u64,
    },
    /// The file is larger than the caller accepts in memory.
    #[error("blob {sha256} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The blob.
        sha256: Sha256,
        /// The size of the file in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl ReadError {
    /// Why a read of the blob's file failed: an unreadable sector is damage, everything else says nothing about the
    /// blob. For callers of [`BlobStore::file`](crate::BlobStore::file), too.
    pub fn io(sha256: Sha256, source: io::Error) -> Self {
        if is_device_error(&source) {
            Self::Damaged { sha256, detail: Damage::Device }
        } else {
            Self::Io { sha256, source }
        }
    }

    /// The blocking task panicked, or the runtime is shutting down.
    pub(crate) fn stopped(sha256: Sha256) -> impl FnOnce(JoinError) -> Self {
        move |error| Self::Io { sha256, source: io::Error::other(error) }
    }
}

/// Whether the disk says that it cannot read what it stores.
pub(crate) fn is_device_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// How a stored file differs from its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A symbolic link, directory, pipe, socket or device.
    #[error("it is no regular file")]
    NotRegular,
    /// Not the promoted size.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// What the serve record says, in bytes.
        expected: u64,
        /// The size of the file in bytes.
        found: u64,
    },
    /// The disk cannot read it (`EIO`).
    #[error("the disk cannot read it")]
    Device,
    /// The file ended while it was being read.
    #[error("it ends before byte {end}")]
    Truncated {
        /// Where the read should have ended.
        end: u64,
    },
    /// One chunk is not the promoted one; counted from 0.
    #[error("chunk {index} has another digest")]
    Chunk {
        /// The number of the chunk.
        index: u64,
    },
    /// The whole has another digest.
    #[error("its digest is {found}")]
    Digest {
        /// What the bytes hash to.
        found: Sha256,
    },
}
