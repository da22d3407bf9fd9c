//! The one loop that all checks share.
