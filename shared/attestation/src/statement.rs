//! The in-toto statement that a bundle signs, and which artifact it is about.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Certificate, EvidenceLevel, LogEntry};

/// The digest algorithm by which an ecosystem names its artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectDigest {
    /// PyPI and others.
    Sha256,
    /// npm.
    Sha512,
}

/// Which subject is our artifact: one whose name is accepted and which has our digest in the same entry.
#[derive(Clone, Copy)]
pub struct SubjectRule<'a> {
    /// Whether a subject's name is the artifact's.
    pub name: &'a dyn Fn(&str) -> bool,
    /// The digest that the subject must have. Others that can be computed (SHA-256, SHA-512) must match where they stand.
    pub digest: SubjectDigest,
    /// Whether there may be only one subject.
    pub exactly_one: bool,
}

/// A statement about our artifact, verified. Only [`crate::Verified::into_statement`] makes it.
#[derive(Clone, Debug)]
pub struct VerifiedStatement {
    predicate_type: String,
    subject_name: String,
    predicate: serde_json::Value,
    facts: crate::verify::Facts,
}

impl VerifiedStatement {
    /// What the predicate is: a URI.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The name of the subject that is our artifact.
    pub fn subject_name(&self) -> &str {
        &self.subject_name
    }

    /// What is said; null where the statement says nothing.
    pub fn predicate(&self) -> &serde_json::Value {
        &self.predicate
    }

    /// Every authenticated time at which the signature existed: never empty, ascending.
    pub fn signed_at(&self) -> &[Timestamp] {
        &self.facts.signed_at
    }

    /// How the log evidences it.
    pub fn level(&self) -> EvidenceLevel {
        self.facts.level
    }

    /// What the logs say.
    pub fn log_entries(&self) -> &[LogEntry] {
        &self.facts.log_entries
    }

    /// The signer's certificate, unless a key signed.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.facts.certificate.as_ref()
    }

    /// The id of the registry's key, if one signed.
    pub fn key_id(&self) -> Option<&str> {
        self.facts.key_id.as_deref()
    }
}
