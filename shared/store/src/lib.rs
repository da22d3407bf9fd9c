//! Postgres: the only crate that says SQL.
