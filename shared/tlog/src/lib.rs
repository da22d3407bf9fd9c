//! Transparency logs: signed notes, tree heads, RFC 6962 proofs, and tiles.
