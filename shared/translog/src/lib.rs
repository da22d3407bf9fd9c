//! The published transparency log: a directory in the form of C2SP tlog-tiles.
