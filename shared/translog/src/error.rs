//! What can be wrong with a published log.

use std::{io, path::PathBuf};

use touchstone_tlog::{
    HeadError, TileError,
    note::{KeyError, NoteError},
};

/// Why a checkpoint does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note, or a signature in it is wrong.
    #[error("the checkpoint is refused")]
    Note(#[from] NoteError),
    /// No key of the ring signed it.
    #[error("the checkpoint is not signed by a log key of the ring")]
    Unsigned,
    /// A key signed it that was revoked since.
    #[error("the checkpoint is signed by {0}, which was revoked")]
    Revoked(String),
    /// What was signed is no tree head of this log.
    #[error("the checkpoint is refused")]
    Head(#[from] HeadError),
}

/// Why a published log is of no use, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A file is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A file is larger than it may be, or is no file.
    #[error("{0} is not a file, or too large")]
    File(String),
    /// The checkpoint does not count.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The ring's log keys, or the environment's name, make no note keys.
    #[error("the log's key cannot be used")]
    Key(#[from] KeyError),
    /// Tiles do not lead to the root that was signed.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// An entry is not what its leaf is the hash of.
    #[error("entry {index} is not the one that the tree has")]
    Entry {
        /// Its number.
        index: u64,
    },
    /// An older head is of another tree: the log was rewritten.
    #[error("the log forked: its first {size} entries had the root {seen}, and have the root {found} now")]
    Fork {
        /// The size of the older head.
        size: u64,
        /// The root of the older head.
        seen: touchstone_domain::Sha256,
        /// The root of the first entries of the log.
        found: touchstone_domain::Sha256,
    },
    /// An older head is of a larger tree: the log was rolled back.
    #[error("the log went back: it had {seen} entries, and has {found} now")]
    Rollback {
        /// The size of the older head.
        seen: u64,
        /// The size of the log.
        found: u64,
    },
    /// What is to be published is not what follows.
    #[error("the log has {found} entries, and not {expected}, before what is to be added")]
    Sequence {
        /// The number of entries that was expected.
        expected: u64,
        /// The number that there are.
        found: u64,
    },
    /// What is to be published is not what was signed.
    #[error("the checkpoint to publish is not of the entries that were added")]
    Signed,
    /// A published file would change.
    #[error("{0} is published already, and says something else")]
    Published(String),
}

impl LogError {
    /// Whether the log itself contradicts what was seen of it, rather than being out of reach or damaged.
    pub fn contradicts(&self) -> bool {
        match self {
            Self::Fork { .. } | Self::Rollback { .. } => true,
            Self::Io { .. }
            | Self::Missing(_)
            | Self::File(_)
            | Self::Checkpoint(_)
            | Self::Key(_)
            | Self::Tile(_)
            | Self::Entry { .. }
            | Self::Sequence { .. }
            | Self::Signed
            | Self::Published(_) => false,
        }
    }
}
