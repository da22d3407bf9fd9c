//! Digests per chunk, so that every byte of a range can be verified before it is sent.
//!
//! The root is the SHA-256 of a domain separator, the size and the chunk digests in order; it is bound to the artifact's
//! SHA-256 by the hash check, which computes both over the same bytes, and copied into the serve record at promotion.

use sha2::{Digest as _, Sha256 as Hasher};

use crate::Sha256;

/// The size of a chunk in bytes: small enough to verify before the first byte leaves, large enough that the list of a
/// 1 GiB artifact is 128 KiB.
pub const CHUNK_BYTES: usize = 256 * 1024;

const ROOT_CONTEXT: &[u8] = b"touchstone chunk list v1\0";

/// The digests of an artifact's chunks, in order; the last chunk may be short, an empty artifact has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkList {
    size: u64,
    digests: Vec<Sha256>,
}

/// Why bytes are no chunk list of that size, or not the one that was promoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not `size / CHUNK_BYTES` digests, rounded up.
    #[error("a chunk list for {size} bytes has {expected} digests, not {found} bytes of them")]
    Length {
        /// The artifact's size in bytes.
        size: u64,
        /// The number of digests it must have.
        expected: u64,
        /// The number of bytes found.
        found: usize,
    },
    /// The list is not the one the serve record names.
    #[error("the chunk list has the root {found}, and the serve record says {expected}")]
    Root {
        /// What the serve record says.
        expected: Sha256,
        /// What the list hashes to.
        found: Sha256,
    },
}

impl ChunkList {
    /// Computes the list of bytes that are in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, digests: bytes.chunks(CHUNK_BYTES).map(Sha256::of).collect() }
    }

    /// Puts together digests that were computed while streaming `size` bytes.
    pub fn new(size: u64, digests: Vec<Sha256>) -> Result<Self, ChunkError> {
        let expected = size.div_ceil(CHUNK_BYTES as u64);
        if digests.len() as u64 == expected {
            Ok(Self { size, digests })
        } else {
            Err(ChunkError::Length { size, expected, found: digests.len() * 32 })
        }
    }

    /// Reads the stored form.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, ChunkError> {
        let expected = size.div_ceil(CHUNK_BYTES as u64);
        let (digests, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || digests.len() as u64 != expected {
            return Err(ChunkError::Length { size, expected, found: bytes.len() });
        }
        Ok(Self { size, digests: digests.iter().map(|d| Sha256(*d)).collect() })
    }

    /// The stored form: the digests, one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.digests.iter().flat_map(|d| d.0).collect()
    }

    /// The digest that binds size and chunks.
    pub fn root(&self) -> Sha256 {
        let mut hasher = Hasher::new();
        hasher.update(ROOT_CONTEXT);
        hasher.update(self.size.to_be_bytes());
        for digest in &self.digests {
            hasher.update(digest.0);
        }
        Sha256(hasher.finalize().into())
    }

    /// Accepts the list only if it has this root.
    pub fn verified(self, root: Sha256) -> Result<Self, ChunkError> {
        let found = self.root();
        if found == root { Ok(self) } else { Err(ChunkError::Root { expected: root, found }) }
    }

    /// The artifact's size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The digest of chunk `index`, if there is such a chunk.
    pub fn digest(&self, index: u64) -> Option<Sha256> {
        usize::try_from(index).ok().and_then(|i| self.digests.get(i)).copied()
    }

    /// How many chunks there are.
    pub fn len(&self) -> u64 {
        self.digests.len() as u64
    }

    /// Whether the artifact is empty.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_around_a_chunk_have_the_right_number_of_digests() {
        for (size, chunks) in [
            (0, 0),
            (1, 1),
            (CHUNK_BYTES - 1, 1),
            (CHUNK_BYTES, 1),
            (CHUNK_BYTES + 1, 2),
            (3 * CHUNK_BYTES, 3),
        ] {
            let list = ChunkList::of(&vec![7; size]);
            assert_eq!(list.len(), chunks, "{size}");
            let stored = ChunkList::from_bytes(size as u64, &list.to_bytes()).expect("stored form");
            assert_eq!(stored.verified(list.root()), Ok(list));
        }
    }

    #[test]
    fn a_changed_list_or_size_has_another_root() {
        let list = ChunkList::of(&vec![7; CHUNK_BYTES + 5]);
        let mut bytes = list.to_bytes();
        bytes[40] ^= 1;
        let changed = ChunkList::from_bytes(list.size(), &bytes).expect("same length");
        let found = changed.root();
        assert_eq!(changed.verified(list.root()), Err(ChunkError::Root { expected: list.root(), found }));
        let longer = ChunkList::from_bytes(list.size() + 1, &list.to_bytes()).expect("same number of chunks");
        assert_ne!(longer.root(), list.root());
        assert!(matches!(
            ChunkList::from_bytes(1, &bytes),
            Err(ChunkError::Length { expected: 1, found: 64, .. })
        ));
    }
}
