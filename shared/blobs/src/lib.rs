//! Content-addressed store with verified reads.
