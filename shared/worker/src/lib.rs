//! The one loop that all checks share: pull, load the facts, check, sign verdicts in batches, record them, ring promote, acknowledge.
//!
//! *Invariant:* what is recorded was signed before, with the key of this check while the key ring accepted it, and its envelope is in
//! the blob store.
//!
//! *Invariant:* a message is acknowledged only after its verdict is committed, or when there is nothing to judge.
//!
//! *Invariant:* only a [`Finding`] becomes a verdict. An error, a time-out or a panic is an attempt: it is written down,
//! and the message comes again (promise 4).
//!
//! *Invariant:* a check judges by the policy of the gate's epoch, which Postgres names, never by that of its own process.
//!
//! *Invariant:* a verdict carries the digest and the epoch that Postgres named when the work began, never what the
//! message says.

mod blocking;
mod check;
mod judge;
mod key;
mod policies;
mod record;
mod run;
mod sign;
mod trouble;

pub use blocking::blocking;
pub use check::{Check, CheckError, Finding, Job};
pub use run::{Options, Parts, WorkerError, run};

#[cfg(test)]
mod tests;
