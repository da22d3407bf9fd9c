//! HTTP for package clients.
