//! From what the database said to what is answered. Pure.
//!
//! *Invariant:* nothing but the lines of an authenticated record is compared with our bytes.

use std::sync::Arc;

use touchstone_domain::{Outcome, OutcomeKind, PackageName, Reason, Sha256, Version};
use touchstone_tlog::{
    AuthenticatedTiles, SignedHead,
    note::{SignedNote, VerifierKey},
    sumdb::{H1, Record, RecordError, Sums, UnverifiedLookup},
};

use crate::stop::Problem;

/// A reply whose signed head is verified. The record is not yet.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// The number of the record, below the size of the head.
    pub(crate) id: u64,
    /// The text of the record. UNVERIFIED.
    text: String,
    /// The head that the reply carries.
    pub(crate) head: Arc<SignedHead>,
}

/// What is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The number of the record.
    pub(crate) id: u64,
    /// The size of the tree whose signed head came with it.
    pub(crate) tree_size: u64,
    /// What it says of the version.
    pub(crate) sums: Sums,
}

/// What our bytes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Computed {
    /// Of a zip, and of the `go.mod` in it if there is one.
    Zip {
        /// Of the zip.
        zip: Sha256,
        /// Of the `go.mod`, as if it were a `.mod` file.
        go_mod: Option<Sha256>,
    },
    /// Of a `.mod` file.
    Mod(Sha256),
}

/// Reads a signed head.
pub(crate) fn open_head(note: &[u8], key: &VerifierKey) -> Result<SignedHead, Problem> {
    let note = SignedNote::parse(note)?.verify(key)?;
    Ok(SignedHead::from_sumdb(note)?)
}

/// Reads the answer to a lookup.
pub(crate) fn open(lookup: UnverifiedLookup, key: &VerifierKey) -> Result<Opened, Problem> {
    let UnverifiedLookup { id, text, note } = lookup;
    let head = SignedHead::from_sumdb(note.verify(key)?)?;
    let size = head.head().size;
    if id >= size {
        return Err(RecordError::BeyondTree { id, size }.into());
    }
    Ok(Opened { id, text, head: Arc::new(head) })
}

/// Reads the record's lines, once it is authenticated.
pub(crate) fn recorded(
    opened: &Opened,
    tiles: &AuthenticatedTiles,
    module: &PackageName,
    version: &Version,
) -> Result<Recorded, Problem> {
    let record = Record::authenticate(&opened.text, opened.id, tiles)?;
    let sums = record.sums(module.as_str(), version.as_str())?;
    Ok(Recorded { id: record.id(), tree_size: opened.head.head().size, sums })
}

/// Compares our bytes with the record.
pub(crate) fn compare(database: &str, recorded: &Recorded, computed: &Computed) -> Outcome {
    let Recorded { id, tree_size, sums } = recorded;
    let (h1, compared) = match computed {
        Computed::Zip { zip, go_mod } => {
            let inside = go_mod.map(|go_mod| ("go.mod in zip", sums.go_mod, go_mod));
            (sums.zip, [Some(("zip", sums.zip, *zip)), inside])
        }
        Computed::Mod(go_mod) => (sums.go_mod, [Some(("go.mod", sums.go_mod, *go_mod)), None]),
    };
    for (what, recorded, computed) in compared.into_iter().flatten() {
        if recorded.0 != computed {
            let (recorded, computed) = (recorded.to_string(), H1(computed).to_string());
            return Outcome::fail(Reason::SumdbMismatch { what: what.to_owned(), recorded, computed });
        }
    }
    let (database, h1) = (database.to_owned(), h1.to_string());
    Outcome::pass(Reason::SumdbRecorded { database, record: *id, tree_size: *tree_size, h1 })
}

/// The answer where the database has no such version.
pub(crate) fn absent(database: &str, status: u16) -> Outcome {
    Outcome::fail(Reason::SumdbAbsent { database: database.to_owned(), status })
}

/// The answer where the database's does not prove what it says.
pub(crate) fn refused(database: &str, problem: Problem) -> Outcome {
    let Problem { code, detail } = problem;
    Outcome::fail(Reason::SumdbRefused { database: database.to_owned(), problem: code.to_owned(), detail })
}

/// The answer where nobody is asked.
pub(crate) fn private() -> Outcome {
    Outcome { kind: OutcomeKind::NotOffered, reason: Reason::SumdbPrivate }
}

#[cfg(test)]
mod tests;
