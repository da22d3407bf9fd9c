//! Admin JSON API.
