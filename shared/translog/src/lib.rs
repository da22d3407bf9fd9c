//! The published transparency log: a directory in the form of C2SP tlog-tiles.
//!
//! ```text
//! checkpoint                    the signed size and root; written last
//! tile/<L>/<N>[.p/<W>]          hashes of the tree
//! tile/entries/<N>[.p/<W>]      what the leaves hold: custody::LogEntry, a line of JSON each
//! witness/<host>                cosignatures of the checkpoint
//! ```
//!
//! Everything here blocks: callers use the blocking pool.
//!
//! *Invariant:* a checkpoint that is published leads to files that are on disk already. What a published checkpoint covers never
//! changes.
//!
//! *Invariant:* nothing that is read from a directory counts before it led to the root of a checkpoint that a log key of the ring
//! signed.

mod error;
mod files;
mod frontier;
mod keys;
mod read;
mod write;

pub use error::{CheckpointError, LogError};
pub use frontier::Frontier;
pub use keys::{LogKeys, log_name};
pub use read::{Entries, LogReader};
pub use write::{LogWriter, write_beside};

#[cfg(test)]
mod tests;
