//! The Go checksum database: what it answers, and the records in it (ecosystems.md 7.2 and 7.3).

mod h1;
mod lookup;
mod record;

#[cfg(test)]
mod tests;

pub use h1::{H1, H1Error, h1_of};
pub use lookup::{LOOKUP_BYTES_MAX, LookupError, RECORD_BYTES_MAX, UnverifiedLookup};
pub use record::{LineError, Record, RecordError, Sums, record_text};
