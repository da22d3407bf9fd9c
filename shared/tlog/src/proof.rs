//! Inclusion and consistency proofs: made as RFC 6962 sections 2.1.1 and 2.1.2 say, and checked as RFC 9162 sections 2.1.3.2 and
//! 2.1.4.2 do, so that one mistake is not made twice.

#[cfg(test)]
mod tests;

use touchstone_domain::Sha256;

use crate::{HashReader, TreeHead, empty_root, node_hash, tree::range_root};

/// Why there is no proof, or it proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf or the older tree is not in the tree.
    #[error("{asked} is beyond the tree, which has size {size}")]
    BeyondTree {
        /// The number of the leaf, or the size of the older tree.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A hash that the proof needs is not at hand.
    #[error("the hash of the subtree at level {level} with index {index} is missing")]
    Missing {
        /// The level of the subtree.
        level: u8,
        /// Its index in the level.
        index: u64,
    },
    /// It has too few or too many hashes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// It leads to another root, of the older tree or of this one.
    #[error("the proof leads to another root")]
    Root,
}

impl ProofError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BeyondTree { .. } => "proof_beyond_tree",
            Self::Missing { .. } => "proof_missing",
            Self::Length => "proof_length",
            Self::Root => "proof_root",
        }
    }
}

/// Proves that the tree over the first `size` leaves has the leaf `index`.
pub fn inclusion(hashes: &impl HashReader, size: u64, index: u64) -> Result<Vec<Sha256>, ProofError> {
    if index >= size {
        return Err(ProofError::BeyondTree { asked: index, size });
    }
    let (mut start, mut size, mut proof) = (0, size, vec![]);
    while size > 1 {
        let left = split(size);
        if index - start < left {
            proof.push(root(hashes, start + left, size - left)?);
            size = left;
        } else {
            proof.push(root(hashes, start, left)?);
            (start, size) = (start + left, size - left);
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the tree has this leaf at `index`.
pub fn verify_inclusion(
    head: &TreeHead,
    index: u64,
    leaf: &Sha256,
    proof: &[Sha256],
) -> Result<(), ProofError> {
    if index >= head.size {
        return Err(ProofError::BeyondTree { asked: index, size: head.size });
    }
    let (mut node, mut last, mut hash) = (index, head.size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == head.root { Ok(()) } else { Err(ProofError::Root) }
}

/// Proves that the tree over the first `size` leaves begins with that over the first `old_size`.
pub fn consistency(hashes: &impl HashReader, size: u64, old_size: u64) -> Result<Vec<Sha256>, ProofError> {
    if old_size > size {
        return Err(ProofError::BeyondTree { asked: old_size, size });
    }
    let (mut start, mut size, mut proof) = (0, size, vec![]);
    // Every tree begins with the empty one, which takes no proof, and neither does the same tree.
    while old_size != 0 && start + size != old_size {
        let left = split(size);
        if old_size - start <= left {
            proof.push(root(hashes, start + left, size - left)?);
            size = left;
        } else {
            proof.push(root(hashes, start, left)?);
            (start, size) = (start + left, size - left);
        }
    }
    // What is left is a subtree of both. If it is the older tree itself, its root is known.
    if start != 0 {
        proof.push(root(hashes, start, size)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the tree begins with the older one.
pub fn verify_consistency(head: &TreeHead, old: &TreeHead, proof: &[Sha256]) -> Result<(), ProofError> {
    if old.size > head.size {
        return Err(ProofError::BeyondTree { asked: old.size, size: head.size });
    }
    if old.size == 0 || old.size == head.size {
        let expected = if old.size == 0 { empty_root() } else { head.root };
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        return if old.root == expected { Ok(()) } else { Err(ProofError::Root) };
    }
    // The older tree, if it is one complete subtree, begins the path itself.
    let begin = old.size.is_power_of_two().then_some(old.root);
    let mut path = begin.into_iter().chain(proof.iter().copied());
    let first = path.next().ok_or(ProofError::Length)?;
    let shift = (old.size - 1).trailing_ones();
    let (mut node, mut last) = ((old.size - 1) >> shift, (head.size - 1) >> shift);
    let (mut old_root, mut root) = (first, first);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            (old_root, root) = (node_hash(&sibling, &old_root), node_hash(&sibling, &root));
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, &sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_root == old.root && root == head.root { Ok(()) } else { Err(ProofError::Root) }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

fn root(hashes: &impl HashReader, start: u64, size: u64) -> Result<Sha256, ProofError> {
    range_root(start, size, |level, index| {
        hashes.subtree(level, index).ok_or(ProofError::Missing { level, index })
    })
}
