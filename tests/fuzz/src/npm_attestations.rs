//! npm's attestation documents.

use touchstone_ecosystems::npm::attestation::document;

use crate::{
    attested::{self, read},
    json::has_duplicate_key,
};

/// A document that is read has one reading, and its bundles leave it as they are; one that verifies says nothing but what was
/// signed. Whether all verify.
pub fn check(data: &[u8]) -> bool {
    let Ok(listed) = document(data) else { return false };
    assert!(!has_duplicate_key(data), "a key twice");
    let read = read(data);
    let said = read["attestations"].as_array().expect("attestations");
    assert_eq!(listed.len(), said.len());
    let mut verified = 0;
    for (found, said) in listed.iter().zip(said) {
        assert_eq!(said["predicateType"], found.predicate_type);
        assert!(data.windows(found.bundle.len()).any(|part| part == found.bundle), "bytes changed");
        assert_eq!(attested::read(&found.bundle), said["bundle"]);
        verified += usize::from(attested::check(&found.bundle));
    }
    assert!(!listed.is_empty(), "it says nothing");
    verified == listed.len()
}
