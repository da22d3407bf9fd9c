//! How judging ends early: with an answer that proves nothing, or with trouble that is none.

use touchstone_store::StoreError;
use touchstone_tlog::{
    HeadError, TileError,
    note::NoteError,
    sumdb::{LineError, LookupError, RecordError},
};
use touchstone_worker::CheckError;

/// The most characters of what was found.
const DETAIL_CHARACTERS_MAX: usize = 300;

/// Nothing more is to be judged.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The database says that it has no such version, with this status.
    Absent(u16),
    /// Its answer does not prove what it says.
    Refused(Problem),
    /// The database is stopped; why, in words.
    Stopped(String),
    /// There is no answer now.
    Trouble(CheckError),
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The stable code.
    pub(crate) code: &'static str,
    /// What was found, shortened.
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(code: &'static str, detail: &str) -> Self {
        Self { code, detail: detail.chars().take(DETAIL_CHARACTERS_MAX).collect() }
    }
}

/// Each error of the specifications knows its code.
macro_rules! problem_of {
    ($($error:ty),+) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::new(error.code(), &touchstone_runtime::Chain(&error).to_string())
            }
        }
    )+};
}
problem_of!(LookupError, NoteError, HeadError, TileError, RecordError, LineError);

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<CheckError> for Stop {
    fn from(error: CheckError) -> Self {
        Self::Trouble(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Trouble(error.into())
    }
}
