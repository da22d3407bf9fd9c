//! The in-toto statement that a bundle signs, and which artifact it is about.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sigstore_verify::types::{DsseEnvelope, SignatureContent};
use touchstone_domain::{Sha256, Sha512};

use crate::{
    ArtifactDigests, Certificate, EvidenceLevel, JsonLimits, LogEntry, Problem, Refused,
    strict_json::{Object, Text, read, strict_text},
    verify::Facts,
};

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// The most subjects.
const SUBJECTS_MAX: usize = 1024;
/// The longest predicate type, in bytes.
const PREDICATE_TYPE_BYTES_MAX: usize = 1024;

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
    predicate: Value,
    facts: Facts,
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
    pub fn predicate(&self) -> &Value {
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

/// A statement as it was read: sound in itself, and about anything.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    predicate_type: String,
    subjects: Vec<Subject>,
    predicate: Option<Box<RawValue>>,
}

#[derive(Clone, Debug)]
struct Subject {
    name: String,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatement<'a> {
    #[serde(borrow, rename = "_type")]
    kind: Option<Text<'a>>,
    subject: Option<Vec<Object<WireSubject>>>,
    #[serde(borrow)]
    predicate_type: Option<Text<'a>>,
    predicate: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WireSubject {
    name: Option<String>,
    digest: Option<BTreeMap<String, String>>,
}

impl WireSubject {
    fn read(self) -> Result<Subject, Refused> {
        let refuse = |detail: String| Refused::new(Problem::SubjectDigest, detail);
        let digest = self.digest.unwrap_or_default();
        let sha256 = digest.get("sha256").map(|hex| hex.parse()).transpose();
        let sha512 = digest.get("sha512").map(|hex| hex.parse()).transpose();
        Ok(Subject {
            name: self.name.unwrap_or_default(),
            sha256: sha256.map_err(|e| refuse(format!("sha256: {e}")))?,
            sha512: sha512.map_err(|e| refuse(format!("sha512: {e}")))?,
        })
    }
}

impl Subject {
    /// Whether it says this digest, and no other digest of ours differs.
    fn is(&self, artifact: &ArtifactDigests, by: SubjectDigest) -> bool {
        let named = match by {
            SubjectDigest::Sha256 => self.sha256.is_some(),
            SubjectDigest::Sha512 => self.sha512.is_some(),
        };
        named
            && self.sha256.is_none_or(|sha256| sha256 == artifact.sha256)
            && self.sha512.is_none_or(|sha512| sha512 == artifact.sha512)
    }
}

/// The statement in a bundle's envelope, if it has one.
pub(crate) fn parse(content: &SignatureContent) -> Result<Option<Statement>, Refused> {
    match content {
        SignatureContent::DsseEnvelope(envelope) => Statement::parse(envelope).map(Some),
        _ => Ok(None),
    }
}

impl Statement {
    fn parse(envelope: &DsseEnvelope) -> Result<Self, Refused> {
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(Refused::new(Problem::PayloadType, format!("{:?}", envelope.payload_type)));
        }
        let text = strict_text(envelope.payload.as_bytes(), JsonLimits::BUNDLE)?;
        let wire: WireStatement<'_> = read(text, "the statement")?;
        let kind = wire.kind.as_ref().map(|text| text.0.as_ref()).unwrap_or_default();
        if !STATEMENT_TYPES.contains(&kind) {
            return Err(Refused::new(Problem::StatementType, format!("{kind:?}")));
        }
        let predicate_type = wire.predicate_type.map(|text| text.0.into_owned()).unwrap_or_default();
        if predicate_type.is_empty() {
            return Err(Refused::new(Problem::PredicateType, "there is none"));
        }
        if predicate_type.len() > PREDICATE_TYPE_BYTES_MAX {
            let detail = format!("a predicate type of {} bytes", predicate_type.len());
            return Err(Refused::new(Problem::Limit, detail));
        }
        let subjects = wire.subject.unwrap_or_default();
        if subjects.is_empty() {
            return Err(Refused::new(Problem::SubjectCount, "there is none"));
        }
        if subjects.len() > SUBJECTS_MAX {
            return Err(Refused::new(Problem::Limit, format!("{} subjects", subjects.len())));
        }
        let subjects = subjects.into_iter().map(|subject| subject.0.read()).collect::<Result<Vec<_>, _>>()?;
        if subjects.iter().all(|subject| subject.sha256.is_none() && subject.sha512.is_none()) {
            return Err(Refused::new(Problem::SubjectDigest, "no subject has a SHA-256 or SHA-512"));
        }
        Ok(Self { predicate_type, subjects, predicate: wire.predicate })
    }

    /// Whether some subject has one of the artifact's digests.
    pub(crate) fn names(&self, artifact: &ArtifactDigests, by: SubjectDigest) -> bool {
        self.subjects.iter().any(|subject| match by {
            SubjectDigest::Sha256 => subject.sha256 == Some(artifact.sha256),
            SubjectDigest::Sha512 => subject.sha512 == Some(artifact.sha512),
        })
    }

    /// Applies an ecosystem's rule to what was verified.
    pub(crate) fn apply(
        self,
        rule: &SubjectRule<'_>,
        artifact: &ArtifactDigests,
        facts: Facts,
    ) -> Result<VerifiedStatement, Refused> {
        if rule.exactly_one && self.subjects.len() != 1 {
            return Err(Refused::new(Problem::SubjectCount, format!("{} subjects", self.subjects.len())));
        }
        let mut ours = self.subjects.iter().filter(|subject| (rule.name)(&subject.name)).peekable();
        if ours.peek().is_none() {
            let other = self.subjects.first().map(|subject| subject.name.as_str()).unwrap_or_default();
            return Err(Refused::new(Problem::SubjectName, format!("it is about {other:?}")));
        }
        let Some(subject) = ours.find(|subject| subject.is(artifact, rule.digest)) else {
            return Err(Refused::new(Problem::SubjectDigest, "none that has its name has its digests"));
        };
        let subject_name = subject.name.clone();
        let predicate = self.predicate.map(|raw| serde_json::from_str(raw.get())).transpose();
        let predicate =
            predicate.map_err(|e| Refused::new(Problem::Malformed, format!("the predicate: {e}")))?;
        let predicate = predicate.unwrap_or(Value::Null);
        Ok(VerifiedStatement { predicate_type: self.predicate_type, subject_name, predicate, facts })
    }
}

#[cfg(test)]
mod tests;
