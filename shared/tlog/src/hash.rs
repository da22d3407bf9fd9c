//! The hashes of a Merkle tree, as RFC 6962 section 2.1 has them.

use sha2::Digest as _;
use touchstone_domain::Sha256;

/// The root of a tree without leaves: the hash of nothing.
pub fn empty_root() -> Sha256 {
    Sha256::of([])
}

/// The hash of a leaf, from what it holds.
pub fn leaf_hash(record: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::new().chain_update([0]).chain_update(record).finalize().into())
}

/// The hash of a node, from those of its children.
pub fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256(sha2::Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}
