//! Conversation tests, one file per promise.
