//! The sumdb check: the Go checksum database decides what a module is.
