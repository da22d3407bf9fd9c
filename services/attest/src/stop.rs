//! How judging ends early: with an answer, or with trouble that is none.

use touchstone_domain::Outcome;
use touchstone_store::StoreError;
use touchstone_worker::CheckError;

use crate::{continuity::Broken, judged::Rejection, npm::SignatureRefused};

/// Nothing more is to be judged.
#[derive(Debug)]
pub(crate) enum Stop {
    /// This is the answer.
    Answer(Box<Outcome>),
    /// There is no answer now.
    Trouble(CheckError),
}

impl Stop {
    fn answer(outcome: Outcome) -> Self {
        Self::Answer(Box::new(outcome))
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

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::answer(rejection.outcome())
    }
}

impl From<SignatureRefused> for Stop {
    fn from(refused: SignatureRefused) -> Self {
        Self::answer(refused.outcome())
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::answer(broken.outcome())
    }
}
