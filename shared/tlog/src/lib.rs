//! Transparency logs: what a log says, and the proof that it says it.
//!
//! Written from the specifications. Each module follows one:
//!
//! | module | specification |
//! |---|---|
//! | [`mod@note`] | C2SP signed-note, Ed25519 signatures only |
//! | heads ([`SignedHead`]) | the tree note of the Go checksum database; C2SP tlog-checkpoint |
//! | hashes ([`leaf_hash`], [`node_hash`], [`HashReader`]) | RFC 6962 section 2.1 |
//! | [`proof`] | RFC 6962 sections 2.1.1 and 2.1.2; checked as RFC 9162 sections 2.1.3.2 and 2.1.4.2 say |
//! | [`tile`] | the tiles of the Go checksum database (height 8); C2SP tlog-tiles |
//! | tiles and trust ([`plan`], [`authenticate`]) | the same, and ecosystems.md 7.3 |
//! | [`entries`] | the data tiles of the Go checksum database; the entry bundles of C2SP tlog-tiles |
//! | [`sumdb`] | lookups and records of the Go checksum database; `h1:` digests |
//!
//! Parsing is apart from trust, by type:
//!
//! ```text
//! bytes ─▶ SignedNote ─ verify(key) ─▶ VerifiedNote ─▶ SignedHead ─┐
//! bytes ──────────────────────────────────────────────▶ tiles ─────┴─ authenticate ─▶ AuthenticatedTiles ─┐
//! bytes ─▶ UnverifiedLookup ──────────────────────────▶ record text ─────────────── Record::authenticate ─┴▶ Record
//! ```
//!
//! *Invariant:* a [`SignedHead`] comes out of a note that the key's signature was checked on, and of nothing else.
//!
//! *Invariant:* an [`AuthenticatedTiles`] holds only hashes that lead to the root of a signed head, whatever the size of the tree.
//!
//! *Invariant:* pure. No I/O, no clock, no randomness. Whatever comes from outside is bounded before it is read, and no input
//! makes anything here panic.

mod auth;
pub mod entries;
mod hash;
mod head;
#[cfg(test)]
mod naive;
pub mod note;
mod number;
pub mod proof;
pub mod sumdb;
pub mod tile;
mod tree;

pub use auth::{AuthenticatedTiles, Wanted, authenticate, plan};
pub use hash::{empty_root, leaf_hash, node_hash};
pub use head::{HeadError, SIZE_MAX, SignedHead, TreeHead};
pub use tile::{Tile, TileError};
pub use tree::{HashReader, Tree};
