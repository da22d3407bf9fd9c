//! One target for every conversation test: one file per promise, one per ecosystem's real clients.

mod architecture;
