//! The attest check: attestations, registry signatures, identity continuity, and the trust roots that they rest on.

pub mod trust;
