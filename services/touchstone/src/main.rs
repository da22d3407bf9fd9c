//! The one binary: every role, standalone, and the commands.

fn main() {}
