//! The hash check.
