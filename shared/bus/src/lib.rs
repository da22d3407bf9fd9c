//! NATS JetStream: subjects, envelopes, publish, consume.
//!
//! Messages are doorbells. They carry row numbers, never facts; Postgres decides, and the sweeper rings again for
//! whatever is still undecided. So nothing here tries to be exactly-once, and nothing here is worth a file system sync.
//!
//! *Invariant:* losing every message loses only time. A stream or a consumer that vanished is made again by
//! promote, and no error of a pull is fatal.
//!
//! *Invariant:* no call waits for a server that is away. Publishing fails at once while disconnected, and within
//! [`CALL_TIMEOUT`] otherwise.
//!
//! *Invariant:* a message that cannot be read is terminated, never retried and never guessed at.

mod connection;
mod consume;
mod dead_letter;
mod doorbell;
mod error;
mod event;
mod permissions;
mod provision;
mod publish;
mod pull;
mod subject;

pub use connection::{Bus, BusOptions, CALL_TIMEOUT};
pub use consume::{ACK_WAIT, Deliveries, Delivery, MAX_DELIVER};
pub use dead_letter::{DeadLetter, DeadLetterCause, DeadLetters};
pub use error::BusError;
pub use event::{ArtifactEvent, Decided, EventError, Rung};
pub use permissions::{BusUser, PasswordError, Passwords, Permissions, UnknownBusUser};
pub use subject::{ADVISORY_STREAM, LIVE_STREAM};

#[cfg(test)]
mod tests;
