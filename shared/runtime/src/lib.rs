//! Configuration, tracing, metrics, shutdown, private servers.
