//! The chain of custody: every decision is signed, stock tools verify it, and nobody who owns the database gets a byte served.

mod exported;
mod fetching;
mod following;
mod judges;
mod log;
mod lost;
mod privileges;
mod serving;
mod standby;
pub(crate) mod world;
