//! The steps before promotion as in-toto links: what an edge fetched, and what a worker found.
//!
//! `fetch` has the file as its only product, and no materials. A check has the file as a material, and beside it what it used:
//! `evidence/<sha256>` and `trust/<sha256>`; its product is the same file if it passes, the file below `not-offered/` if nothing was
//! offered, and else there is none (see [`crate::Layout`]). Files have their SHA-256 alone, since stock tools compare the whole set of
//! digests. All else that a statement names is text in `byproducts`.
//!
//! *Invariant:* reading is total and strict. Every field is there, each is written in one way only, and nothing missing gets a default.

use jiff::Timestamp;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, KeyId, Outcome, OutcomeKind, Reason, Sha256, Sha512, Verdict,
};

use crate::{
    KeyKind, KeyRing, Refused, SignError, Signed, Signer, artifact_purl,
    dsse::{self, Statement},
    layout::FETCH_STEP,
};

use wire::{Fields, Found, Link, bounded};

mod wire;

pub(crate) use wire::{coordinate, exact};

/// Why a payload is no statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} of the statement is refused: {problem}")]
pub struct StatementError {
    /// The member.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl StatementError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: shortened(problem.into()) }
    }
}

/// What may have come from outside, as far as people need it.
pub(crate) fn shortened(text: String) -> String {
    const CHARACTERS_MAX: usize = 200;
    if text.len() <= CHARACTERS_MAX { text } else { text.chars().take(CHARACTERS_MAX).collect() }
}

/// What an edge fetched: the link `fetch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchStatement {
    /// The installation.
    pub environment: String,
    /// The coordinate.
    pub id: ArtifactId,
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// The second digest.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// The root of their chunk list.
    pub chunk_root: Sha256,
    /// Where they came from, without credentials.
    pub upstream_url: String,
    /// When they were published, by the upstream's word.
    pub published_at: Option<Timestamp>,
    /// When the version was first seen, by the edge's clock; ages count from it.
    pub first_seen: Timestamp,
    /// When they were fetched, by the edge's clock.
    pub fetched_at: Timestamp,
    /// The digests of what was kept of the upstream's metadata.
    pub evidence: Vec<Sha256>,
    /// The edge's software.
    pub software: String,
}

/// What a worker found: the link named like its check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictStatement {
    /// The installation.
    pub environment: String,
    /// The coordinate.
    pub id: ArtifactId,
    /// The second digest of the bytes; the first is in the verdict.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// Where they came from.
    pub upstream_url: String,
    /// What was found.
    pub verdict: Verdict,
}

impl FetchStatement {
    /// Signs; returns the envelope.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        self.check()?;
        let mut fields = Fields::default();
        fields.put("environment", &self.environment);
        fields.put("purl", artifact_purl(&self.id));
        fields.put("sha512", self.sha512);
        fields.put("size", self.size);
        fields.put("chunk_root", self.chunk_root);
        fields.put("upstream_url", &self.upstream_url);
        fields.put_option("published_at", self.published_at);
        fields.put("first_seen", self.first_seen);
        fields.put("fetched_at", self.fetched_at);
        fields.put_list("evidence", &self.evidence);
        fields.put("software", &self.software);
        let link = Link { step: FETCH_STEP, file: &self.id.file, sha256: self.sha256, found: None };
        dsse::sign(signer, &link.to_payload(fields))
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        dsse::verify(envelope, ring)
    }

    fn check(&self) -> Result<(), StatementError> {
        bounded("environment", &self.environment)?;
        bounded("upstream_url", &self.upstream_url)?;
        bounded("software", &self.software)
    }
}

impl VerdictStatement {
    /// Signs; returns the envelope.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        self.check()?;
        let verdict = &self.verdict;
        let reason = serde_json::to_string(&verdict.outcome.reason).expect("a reason is JSON");
        let mut fields = Fields::default();
        fields.put("environment", &self.environment);
        fields.put("purl", artifact_purl(&self.id));
        fields.put("sha512", self.sha512);
        fields.put("size", self.size);
        fields.put("upstream_url", &self.upstream_url);
        fields.put("artifact", verdict.artifact);
        fields.put_option("chunk_root", verdict.chunk_root);
        fields.put("epoch", verdict.epoch);
        fields.put("check_revision", verdict.check_revision);
        fields.put("policy_epoch", verdict.policy_epoch);
        fields.put("outcome", verdict.outcome.kind);
        fields.put("reason", reason);
        fields.put_list("evidence", &verdict.evidence);
        fields.put_list("trust", &verdict.trust);
        fields.put("service", &verdict.service);
        fields.put("software", &verdict.software);
        fields.put("decided_at", verdict.decided_at);
        dsse::sign(signer, &self.link().to_payload(fields))
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        dsse::verify(envelope, ring)
    }

    fn link(&self) -> Link<'_> {
        Link {
            step: self.verdict.check.as_str(),
            file: &self.id.file,
            sha256: self.verdict.sha256,
            found: Some(Found {
                outcome: self.verdict.outcome.kind,
                evidence: &self.verdict.evidence,
                trust: &self.verdict.trust,
            }),
        }
    }

    fn check(&self) -> Result<(), StatementError> {
        bounded("environment", &self.environment)?;
        bounded("upstream_url", &self.upstream_url)?;
        bounded("service", &self.verdict.service)?;
        bounded("software", &self.verdict.software)
    }
}

impl Statement for FetchStatement {
    fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let (mut fields, read) = wire::read(payload)?;
        if read.step() != FETCH_STEP {
            return Err(StatementError::new("name", "it is not fetch"));
        }
        let sha256 = read.product()?;
        let statement = Self {
            environment: fields.text("environment")?,
            id: coordinate("purl", &fields.text("purl")?)?,
            sha256,
            sha512: fields.take("sha512")?,
            size: fields.take("size")?,
            chunk_root: fields.take("chunk_root")?,
            upstream_url: fields.text("upstream_url")?,
            published_at: fields.take_option("published_at")?,
            first_seen: fields.take("first_seen")?,
            fetched_at: fields.take("fetched_at")?,
            evidence: fields.take_list("evidence")?,
            software: fields.text("software")?,
        };
        fields.end()?;
        let link = Link { step: FETCH_STEP, file: &statement.id.file, sha256, found: None };
        read.must_be(&link)?;
        statement.check()?;
        Ok(statement)
    }

    fn kind(&self) -> KeyKind {
        KeyKind::Fetch
    }

    fn dated(&self) -> Timestamp {
        self.fetched_at
    }
}

impl Statement for VerdictStatement {
    fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let (mut fields, read) = wire::read(payload)?;
        let check: CheckKind =
            read.step().parse().map_err(|_| StatementError::new("name", "it is not that of a check"))?;
        let sha256 = read.material()?;
        let kind: OutcomeKind = fields.take("outcome")?;
        let reason: Reason = serde_json::from_str(&fields.text("reason")?)
            .map_err(|e| StatementError::new("reason", e.to_string()))?;
        let statement = Self {
            environment: fields.text("environment")?,
            id: coordinate("purl", &fields.text("purl")?)?,
            sha512: fields.take("sha512")?,
            size: fields.take("size")?,
            upstream_url: fields.text("upstream_url")?,
            verdict: Verdict {
                artifact: ArtifactDbId(fields.take("artifact")?),
                sha256,
                chunk_root: fields.take_option("chunk_root")?,
                epoch: fields.take("epoch")?,
                check,
                check_revision: fields.take("check_revision")?,
                policy_epoch: fields.take("policy_epoch")?,
                outcome: Outcome { kind, reason },
                evidence: fields.take_list("evidence")?,
                trust: fields.take_list("trust")?,
                service: fields.text("service")?,
                software: fields.text("software")?,
                decided_at: fields.take("decided_at")?,
            },
        };
        fields.end()?;
        read.must_be(&statement.link())?;
        statement.check()?;
        Ok(statement)
    }

    fn kind(&self) -> KeyKind {
        self.verdict.check.into()
    }

    fn dated(&self) -> Timestamp {
        self.verdict.decided_at
    }
}

/// The name of a link file, as in-toto expects it: the step and the first eight digits of the key's number.
pub fn link_file_name(step: &str, key: KeyId) -> String {
    format!("{step}.{}.link", &key.to_string()[..8])
}

#[cfg(test)]
mod tests;
