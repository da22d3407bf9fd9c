//! JSON with one reading only.

use crate::refused::{Problem, Refused};

/// What a document may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Its length in bytes.
    pub bytes: usize,
    /// How deep arrays and objects nest.
    pub depth: usize,
    /// How many values it has, keys not counted.
    pub values: usize,
}

impl JsonLimits {
    /// The bounds of a bundle: 1 MiB, 64 levels, 65,536 values.
    pub const BUNDLE: Self = Self { bytes: 1024 * 1024, depth: 64, values: 65_536 };
}

/// Refuses what two parsers might read differently: a key twice in an object at any depth, numbers that lose digits, bytes
/// after the end; and what exceeds the limits. Follows RFC 8259 and I-JSON (RFC 7493) section 2.
pub fn strict_json(_bytes: &[u8], _limits: JsonLimits) -> Result<(), Refused> {
    Err(Refused::new(Problem::Malformed, "not written yet"))
}
