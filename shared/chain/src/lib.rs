//! The chain of records of a promoted artifact, as it is handed out: by the console, by edges, and by `touchstone records`.
//!
//! ```text
//! root.layout            what the chain must have; signed by promote
//! fetch.1a2b3c4d.link    what an edge fetched
//! hash.5e6f7a8b.link     one link for each check that the promotion rests on
//! FILE.vsa.json          the serve record: a SLSA verification summary
//! keys/KIND.1a2b3c4d.pub the keys that signed them
//! ```
//!
//! *Invariant:* nothing is handed out that does not verify with the key ring and belong together: what a database row points at is
//! checked like what a stranger sends. What is missing, or was left out, is said.

mod files;
mod gather;
mod records;

pub use files::{ExportedFile, KEYS_DIR, README_FILE};
pub use gather::{ARTIFACTS_MAX, Sources, Wanted, key_file_name};
pub use records::{LAYOUT_FILE, LogPlace, Records};
