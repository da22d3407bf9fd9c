//! Tree heads: the size and the root that a log signs.
//!
//! *Invariant:* only a [`VerifiedNote`] becomes a [`SignedHead`].

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use touchstone_domain::Sha256;

use crate::{empty_root, note::VerifiedNote, number::decimal};

/// The most leaves that a tree may have.
pub const SIZE_MAX: u64 = 1 << 62;
/// The first line of a tree note of the Go checksum database.
const SUMDB_FIRST_LINE: &str = "go.sum database tree";

/// The size and the root of a tree: plain numbers, signed by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The root over them.
    pub root: Sha256,
}

impl TreeHead {
    /// The text of a tree note of the Go checksum database, to be signed.
    pub fn sumdb_text(&self) -> String {
        self.checkpoint_text(SUMDB_FIRST_LINE)
    }

    /// The text of a C2SP checkpoint of a log of this origin, to be signed.
    pub fn checkpoint_text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, self.root.to_base64())
    }
}

/// Why a verified note is no tree head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Its first line is not the expected one.
    #[error("the note is of {found:?}, not of {expected:?}")]
    Origin {
        /// What was asked for.
        expected: String,
        /// The first line.
        found: String,
    },
    /// Its second line is no size: decimal digits without leading zeros, at most [`SIZE_MAX`].
    #[error("the second line of the note is no size of a tree")]
    Size,
    /// Its third line is not the base64 of a root, or of one that a tree of this size cannot have.
    #[error("the third line of the note is no root of such a tree")]
    Root,
    /// It has less than three lines, or an empty extension line.
    #[error("the note has too few lines, or an empty one")]
    Malformed,
}

impl HeadError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Origin { .. } => "head_origin",
            Self::Size => "head_size",
            Self::Root => "head_root",
            Self::Malformed => "head_malformed",
        }
    }
}

/// A tree head that a log has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    head: TreeHead,
    note: Vec<u8>,
}

impl SignedHead {
    /// Reads a tree note of the Go checksum database. Lines after the third do not count.
    pub fn from_sumdb(note: VerifiedNote) -> Result<Self, HeadError> {
        let (head, _further) = parse(note.text(), SUMDB_FIRST_LINE)?;
        Ok(Self { head, note: note.into_bytes() })
    }

    /// Reads a C2SP checkpoint of the log of this origin.
    pub fn from_checkpoint(note: VerifiedNote, origin: &str) -> Result<Self, HeadError> {
        let (head, extensions) = parse(note.text(), origin)?;
        if origin.is_empty() || extensions.split_terminator('\n').any(str::is_empty) {
            return Err(HeadError::Malformed);
        }
        Ok(Self { head, note: note.into_bytes() })
    }

    /// What was signed.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The whole note as it came: the proof that the log said so.
    pub fn note(&self) -> &[u8] {
        &self.note
    }
}

/// The head in the first three lines, and the further lines.
fn parse<'a>(text: &'a str, expected: &str) -> Result<(TreeHead, &'a str), HeadError> {
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().ok_or(HeadError::Malformed);
    let (first, size, root, further) = (line()?, line()?, line()?, line()?);
    if first != expected {
        let found = first.chars().take(100).collect();
        return Err(HeadError::Origin { expected: expected.to_owned(), found });
    }
    let size = decimal(size).filter(|size| *size <= SIZE_MAX).ok_or(HeadError::Size)?;
    let decoded = STANDARD.decode(root).map_err(|_| HeadError::Root)?;
    let root = Sha256::from_slice(&decoded).map_err(|_| HeadError::Root)?;
    if size == 0 && root != empty_root() {
        return Err(HeadError::Root);
    }
    Ok((TreeHead { size, root }, further))
}
