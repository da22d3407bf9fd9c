//! Outbound HTTP behind the egress guard.
