//! Sigstore bundles.

use crate::attested;

/// A bundle that verifies has one reading, and says nothing but what was signed. Whether it verifies.
pub fn check(data: &[u8]) -> bool {
    attested::check(data)
}
