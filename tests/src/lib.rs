//! Conversation tests live in `suite/`, benches in `benches/`; this crate has no code of its own.
