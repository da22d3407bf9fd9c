//! What a check found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Reason;

/// The result of a check. Only [`OutcomeKind::Pass`] ever approves (promise 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The class of the result.
    pub kind: OutcomeKind,
    /// Why.
    pub reason: Reason,
}

/// The four classes of results. A transient failure is none of them: workers retry those (promise 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Positive evidence was found and verified.
    Pass,
    /// Evidence contradicts the artifact.
    Fail,
    /// The upstream offers no such evidence.
    NotOffered,
    /// There is evidence, and it does not suffice.
    Inconclusive,
}

impl OutcomeKind {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::NotOffered, Self::Inconclusive];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotOffered => "not_offered",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for OutcomeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or_else(|| format!("unknown outcome {text:?}"))
    }
}

impl Outcome {
    /// Positive evidence.
    pub const fn pass(reason: Reason) -> Self {
        Self { kind: OutcomeKind::Pass, reason }
    }

    /// Contradicting evidence.
    pub const fn fail(reason: Reason) -> Self {
        Self { kind: OutcomeKind::Fail, reason }
    }

    /// Evidence that does not suffice.
    pub const fn inconclusive(reason: Reason) -> Self {
        Self { kind: OutcomeKind::Inconclusive, reason }
    }
}
