//! Declared digests against computed ones: the rule that decides the hash check.
//!
//! *Invariant:* every strong claim must match; weak claims are compared too, and never suffice.
//!
//! *Invariant:* a malformed claim is never ignored: it holds the artifact.
