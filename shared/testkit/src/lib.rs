//! Test mirrors and registries; a dev-dependency only.
