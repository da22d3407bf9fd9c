//! What the conversation tests and `live` share: the real package clients, driven from outside.
//!
//! The tests themselves live in `suite/`; `src/bin/live` runs the same clients against the live registries.

pub mod clients;
