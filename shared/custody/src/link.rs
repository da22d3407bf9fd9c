//! The steps before promotion as in-toto links: what an edge fetched, and what a worker found.
//!
//! `fetch` has the file as its only product, and no materials. A check has the file as a material, and beside it what it used:
//! `evidence/<sha256>` and `trust/<sha256>`; its product is the same file if it passes, the file below `not-offered/` if nothing was
//! offered, and else there is none (see [`crate::Layout`]). Files have their SHA-256 alone, since stock tools compare the whole set of
//! digests. All else that a statement names is text in `byproducts`.
//!
//! *Invariant:* reading is total and strict. Every field is there, each is written in one way only, and nothing missing gets a default.
//! What is read quickly is what would be written, byte for byte; all else goes through the models of the `in-toto` crate.

use jiff::Timestamp;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, KeyId, Outcome, OutcomeKind, Reason, Sha256, Sha512, Verdict,
};

use crate::{
    KeyKind, KeyRing, Refused, SignError, Signed, Signer, artifact_purl,
    dsse::{self, Statement},
    layout::FETCH_STEP,
};

use wire::{Found, Link, Source, Writer, bounded};

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
    /// The digest of the policy that was judged by: its number is the database's word.
    pub policy: Sha256,
    /// What was found.
    pub verdict: Verdict,
}

impl FetchStatement {
    /// Signs; returns the envelope.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        sign(self, signer)
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        dsse::verify(envelope, ring)
    }
}

impl VerdictStatement {
    /// Signs; returns the envelope.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        sign(self, signer)
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        dsse::verify(envelope, ring)
    }
}

/// A statement that is a link.
trait Step: Sized {
    /// What stock tools compare of it.
    fn link(&self) -> Link<'_>;

    /// Writes its fields, in the order of their names.
    fn write(&self, fields: &mut Writer);

    /// Reads it.
    fn read<'a>(source: &mut impl Source<'a>) -> Result<Self, StatementError>;

    /// Whether its texts have the length that they may have.
    fn check(&self) -> Result<(), StatementError>;

    fn to_payload(&self) -> Vec<u8> {
        let mut writer = Writer::new(&self.link());
        self.write(&mut writer);
        writer.finish()
    }

    fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let quick = wire::Quick::read(payload).and_then(|mut link| Self::read(&mut link).ok());
        if let Some(statement) = quick.filter(|s| s.check().is_ok() && s.to_payload() == payload) {
            return Ok(statement);
        }
        // says why not, if so; or reads a reason of a newer version
        Self::parse_by_models(payload)
    }

    /// Reads a payload as the `in-toto` crate does.
    fn parse_by_models(payload: &[u8]) -> Result<Self, StatementError> {
        let mut link = wire::read(payload)?;
        let statement = Self::read(&mut link)?;
        link.must_be(&statement.link())?;
        statement.check()?;
        Ok(statement)
    }
}

fn sign(step: &impl Step, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    step.check()?;
    dsse::sign(signer, &step.to_payload())
}

impl Step for FetchStatement {
    fn link(&self) -> Link<'_> {
        Link { step: FETCH_STEP, file: &self.id.file, sha256: self.sha256, found: None }
    }

    fn write(&self, fields: &mut Writer) {
        fields.put("chunk_root", self.chunk_root);
        fields.put("environment", &self.environment);
        fields.put_list("evidence", &self.evidence);
        fields.put("fetched_at", self.fetched_at);
        fields.put("first_seen", self.first_seen);
        fields.put_option("published_at", self.published_at);
        fields.put("purl", artifact_purl(&self.id));
        fields.put("sha512", self.sha512);
        fields.put("size", self.size);
        fields.put("software", &self.software);
        fields.put("upstream_url", &self.upstream_url);
    }

    fn read<'a>(source: &mut impl Source<'a>) -> Result<Self, StatementError> {
        if source.step() != FETCH_STEP {
            return Err(StatementError::new("name", "it is not fetch"));
        }
        Ok(Self {
            sha256: source.product()?,
            chunk_root: source.value("chunk_root")?,
            environment: source.string("environment")?,
            evidence: source.list("evidence")?,
            fetched_at: source.value("fetched_at")?,
            first_seen: source.value("first_seen")?,
            published_at: source.option("published_at")?,
            id: source.coordinate("purl")?,
            sha512: source.value("sha512")?,
            size: source.value("size")?,
            software: source.string("software")?,
            upstream_url: source.string("upstream_url")?,
        })
    }

    fn check(&self) -> Result<(), StatementError> {
        bounded("environment", &self.environment)?;
        bounded("upstream_url", &self.upstream_url)?;
        bounded("software", &self.software)
    }
}

impl Statement for FetchStatement {
    fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        Step::parse(payload)
    }

    fn kind(&self) -> KeyKind {
        KeyKind::Fetch
    }

    fn dated(&self) -> Timestamp {
        self.fetched_at
    }
}

impl Step for VerdictStatement {
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

    fn write(&self, fields: &mut Writer) {
        let verdict = &self.verdict;
        let reason = serde_json::to_string(&verdict.outcome.reason).expect("a reason is JSON");
        fields.put("artifact", verdict.artifact);
        fields.put("check_revision", verdict.check_revision);
        fields.put_option("chunk_root", verdict.chunk_root);
        fields.put("decided_at", verdict.decided_at);
        fields.put("environment", &self.environment);
        fields.put("epoch", verdict.epoch);
        fields.put_list("evidence", &verdict.evidence);
        fields.put("outcome", verdict.outcome.kind);
        fields.put("policy", self.policy);
        fields.put("policy_epoch", verdict.policy_epoch);
        fields.put("purl", artifact_purl(&self.id));
        fields.put("reason", reason);
        fields.put("service", &verdict.service);
        fields.put("sha512", self.sha512);
        fields.put("size", self.size);
        fields.put("software", &verdict.software);
        fields.put_list("trust", &verdict.trust);
        fields.put("upstream_url", &self.upstream_url);
    }

    fn read<'a>(source: &mut impl Source<'a>) -> Result<Self, StatementError> {
        let check: CheckKind =
            source.step().parse().map_err(|_| StatementError::new("name", "it is not that of a check"))?;
        let sha256 = source.material()?;
        let artifact = ArtifactDbId(source.value("artifact")?);
        let check_revision = source.value("check_revision")?;
        let chunk_root = source.option("chunk_root")?;
        let decided_at = source.value("decided_at")?;
        let environment = source.string("environment")?;
        let epoch = source.value("epoch")?;
        let evidence = source.list("evidence")?;
        let kind: OutcomeKind = source.value("outcome")?;
        let policy = source.value("policy")?;
        let policy_epoch = source.value("policy_epoch")?;
        let id = source.coordinate("purl")?;
        let reason: Reason = serde_json::from_str(&source.text("reason")?)
            .map_err(|e| StatementError::new("reason", e.to_string()))?;
        let service = source.string("service")?;
        let sha512 = source.value("sha512")?;
        let size = source.value("size")?;
        let software = source.string("software")?;
        let trust = source.list("trust")?;
        let upstream_url = source.string("upstream_url")?;
        let outcome = Outcome { kind, reason };
        let verdict = Verdict {
            artifact,
            sha256,
            chunk_root,
            epoch,
            check,
            check_revision,
            policy_epoch,
            outcome,
            evidence,
            trust,
            service,
            software,
            decided_at,
        };
        Ok(Self { environment, id, sha512, size, upstream_url, policy, verdict })
    }

    fn check(&self) -> Result<(), StatementError> {
        bounded("environment", &self.environment)?;
        bounded("upstream_url", &self.upstream_url)?;
        bounded("service", &self.verdict.service)?;
        bounded("software", &self.verdict.software)
    }
}

impl Statement for VerdictStatement {
    fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        Step::parse(payload)
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
