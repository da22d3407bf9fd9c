//! The console: what operators and scripts ask, as JSON. It reads; the one thing that it changes is a recall.
//!
//! *Invariant:* no listener off loopback without a token, and no change without one.

mod api;
mod auth;
mod fix;
mod gauges;
mod listen;
mod page;
mod problem;
mod recall;
mod server;
mod stopped;
mod story;

pub use fix::Fix;
pub use recall::{RecallError, Recalled, SEALED_WITHIN, Sealed, recall};
pub use server::{ConsoleConfig, ConsoleError, ConsoleParts, run};
pub use stopped::what_ends;
pub use story::{Asked, Standing, Told, answer, awaited, promotion, refused, revocation, short_key};
