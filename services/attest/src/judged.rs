//! What judging a document of attestations comes to.

use jiff::Timestamp;
use touchstone_attestation::{EvidenceLevel, LogEntry, Refused, VerifiedStatement};
use touchstone_domain::{AttestationNote, Observed, Outcome, Reason, Sha256};
use touchstone_ecosystems::DocumentError;

/// The longest detail in a reason, in characters: outsiders choose parts of it.
const DETAIL_CHARS_MAX: usize = 512;

/// Every attestation verified, and agrees with everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attested {
    /// Who signed; never empty, each once.
    pub(crate) observed: Vec<Observed>,
    /// One entry an attestation that counts.
    pub(crate) notes: Vec<AttestationNote>,
    /// When the registry itself attested that it published the artifact, by an authenticated time.
    pub(crate) published_at: Option<Timestamp>,
}

/// Why the attestations do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// One does not verify, or is not about this artifact, or contradicts what it stands beside.
    Refused {
        /// Its predicate type, or what it stands in.
        document: String,
        /// The stable code of the problem.
        problem: &'static str,
        /// What was found.
        detail: String,
    },
    /// One is by somebody whom the trust material in use does not know: nothing speaks against it, and it does not count.
    Unknown {
        /// Its predicate type, or what it stands in.
        document: String,
        /// The stable code of the problem.
        problem: &'static str,
        /// What was found.
        detail: String,
    },
    /// What is there verifies, and something that must be beside it is missing.
    Incomplete {
        /// The stable code of what is missing.
        problem: &'static str,
        /// In words.
        detail: &'static str,
    },
}

impl Rejection {
    /// A refusal of one attestation.
    pub(crate) fn refused(document: &str, problem: &'static str, detail: impl AsRef<str>) -> Self {
        Self::Refused { document: shown(document), problem, detail: shown(detail.as_ref()) }
    }

    /// What the verifier refused.
    pub(crate) fn unverified(document: &str, refused: &Refused) -> Self {
        let (problem, detail) = (refused.problem.as_str(), refused.to_string());
        if refused.problem.is_of_unknown_authority() {
            return Self::Unknown { document: shown(document), problem, detail: shown(&detail) };
        }
        Self::refused(document, problem, detail)
    }

    /// A document that is none.
    pub(crate) fn unreadable(error: &DocumentError) -> Self {
        let problem = match error {
            DocumentError::Limit { .. } => "limit",
            DocumentError::DuplicateKey { .. } => "duplicate_key",
            DocumentError::Malformed { .. } => "malformed",
        };
        Self::refused("document", problem, error.to_string())
    }

    /// The result of the check. Only what is known to be wrong is final.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Refused { document, problem, detail } => {
                Outcome::fail(Reason::AttestationRefused { document, problem: problem.to_owned(), detail })
            }
            Self::Unknown { document, problem, detail } => {
                let problem = problem.to_owned();
                Outcome::inconclusive(Reason::AttestationRefused { document, problem, detail })
            }
            Self::Incomplete { problem, detail } => Outcome::inconclusive(Reason::AttestationIncomplete {
                problem: problem.to_owned(),
                detail: detail.to_owned(),
            }),
        }
    }
}

/// What is kept of a verified attestation.
pub(crate) fn note(statement: &VerifiedStatement, document: Sha256) -> AttestationNote {
    AttestationNote {
        predicate_type: statement.predicate_type().to_owned(),
        document,
        level: match statement.level() {
            EvidenceLevel::Promise => "promise",
            EvidenceLevel::Proof => "proof",
        }
        .to_owned(),
        signed_at: signed_at(statement),
        log_entries: statement.log_entries().iter().map(entry).collect(),
    }
}

/// The earliest authenticated time of signing.
pub(crate) fn signed_at(statement: &VerifiedStatement) -> Timestamp {
    *statement.signed_at().first().expect("a verified statement has an authenticated time")
}

fn entry(entry: &LogEntry) -> String {
    let index = entry.log_index.or(entry.leaf_index);
    let index = index.map_or_else(|| "?".to_owned(), |index| index.to_string());
    shown(&format!("{}@{index}", entry.log_url))
}

/// Adds an identity that is not there yet.
pub(crate) fn add(observed: &mut Vec<Observed>, new: Observed) {
    if !observed.contains(&new) {
        observed.push(new);
    }
}

/// A text of an outsider's, shortened and without control characters.
pub(crate) fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(DETAIL_CHARS_MAX).map(clean).collect()
}
