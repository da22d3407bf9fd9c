//! The answer to a lookup: a record's number and text, and a signed tree that has it.

use crate::{
    note::{NOTE_BYTES_MAX, NoteError, SignedNote, plain_text},
    number::decimal,
};

/// The longest text of a record, in bytes.
pub const RECORD_BYTES_MAX: usize = 65_535;
/// The longest answer, in bytes.
pub const LOOKUP_BYTES_MAX: usize = NOTE_BYTES_MAX + RECORD_BYTES_MAX + 32;

/// Why an answer is no lookup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// Longer than [`LOOKUP_BYTES_MAX`].
    #[error("the answer has {0} bytes, which are too many")]
    Size(usize),
    /// It does not begin with the number of a record: decimal digits without sign and leading zeros, below 2^63.
    #[error("the answer does not begin with the number of a record")]
    Id,
    /// After the number there are no lines of text and an empty line, or the text is too long or no text.
    #[error("the answer has no text of a record")]
    Record,
    /// After the record there is no signed note.
    #[error("the answer has no signed note")]
    Note(#[source] NoteError),
}

impl LookupError {
    /// The stable code; that of the note where it is at fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Size(_) => "lookup_size",
            Self::Id => "lookup_id",
            Self::Record => "lookup_record",
            Self::Note(note) => note.code(),
        }
    }
}

/// The answer to a lookup. UNVERIFIED: its lines say nothing until [`Record::authenticate`](super::Record::authenticate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedLookup {
    /// The number of the record. UNVERIFIED.
    pub id: u64,
    /// The text of the record. UNVERIFIED.
    pub text: String,
    /// The signed tree that is said to have it. UNVERIFIED.
    pub note: SignedNote,
}

impl UnverifiedLookup {
    /// Reads an answer: the number, the text, an empty line, and a signed note.
    pub fn parse(bytes: &[u8]) -> Result<Self, LookupError> {
        if bytes.len() > LOOKUP_BYTES_MAX {
            return Err(LookupError::Size(bytes.len()));
        }
        if bytes.is_empty() {
            return Err(LookupError::Empty);
        }
        let newline = bytes.iter().take(32).position(|byte| *byte == b'\n').ok_or(LookupError::Id)?;
        let id = str::from_utf8(&bytes[..newline]).ok().and_then(decimal).ok_or(LookupError::Id)?;
        let rest = &bytes[newline + 1..];
        // The first empty line: the text of a record has none.
        let end = rest.windows(2).take(RECORD_BYTES_MAX).position(|pair| pair == b"\n\n");
        let end = end.filter(|end| *end > 0).ok_or(LookupError::Record)?;
        let text = plain_text(&rest[..=end]).ok_or(LookupError::Record)?;
        if text.starts_with('\n') {
            return Err(LookupError::Record);
        }
        let note = SignedNote::parse(&rest[end + 2..]).map_err(LookupError::Note)?;
        Ok(Self { id, text: text.to_owned(), note })
    }
}
