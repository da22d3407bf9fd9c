//! Content-addressed store with verified reads, on a local disk.
//!
//! ```text
//! dir/sha256/ab/cd/<64 hexadecimal digits>   a blob, mode 0440, never changed in place
//! dir/packs/ab/<64 hexadecimal digits>       a pack of signed envelopes, mode 0440, never changed in place
//! dir/tmp/put-<random>                       being written; locked (flock) by the process that writes it
//! dir/aside/<64 hexadecimal digits>.<n>      damaged blobs, kept as evidence
//! dir/number                                 the store's own number, by which it is told from an empty or foreign directory
//! ```
//!
//! A blob becomes visible in this order, so that a crash or a power cut at any point leaves either the whole blob or
//! nothing under its name: write the temporary file, `fsync` it, create the directory and `fsync` each parent that may
//! be new, `link` the file into place, `fsync` the directory, `unlink` the temporary name. `link` never overwrites: two
//! writers of the same content both succeed. Any number of processes may share a directory.
//!
//! A pack is renamed into place first, and then it and its directory are synced: while artifacts wait for it, the file system's journal
//! is written once. Nobody knows its name before it is durable, and each part of it is compared with a digest of its own: so it matters
//! to nobody that a power cut may leave less than a pack under a name that nobody knows.
//!
//! *Invariant:* a name in `sha256/` or `packs/` is given only to bytes that were hashed, by this crate, to that name.
//!
//! *Invariant:* no byte leaves [`BlobStore::verified`], [`BlobStore::read`] or [`BlobStore::read_parts`] before it was compared with a
//! digest.
//! The disk is not trusted: flips, holes, swaps, links, foreign file types and unreadable sectors are
//! [`ReadError::Damaged`].
//!
//! *Invariant:* hashing and file access happen on tokio's blocking pool, one chunk per job, so that neither a slow
//! upstream nor a slow client keeps a thread; a reader and a writer each hold at most two chunks in memory.

mod digest;
mod error;
mod layout;
mod marker;
mod read;
mod reread;
mod store;
#[cfg(test)]
mod testing;
mod write;

pub use digest::{Digests, digest};
pub use error::{BlobError, Damage, ReadError};
pub use read::VerifiedRead;
pub use reread::Reread;
pub use store::BlobStore;
pub use write::{BlobWriter, Contents, Staged};
