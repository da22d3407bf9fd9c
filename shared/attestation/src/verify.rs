//! From the bytes of a bundle to what they prove.

use jiff::Timestamp;
use touchstone_domain::{Sha256, Sha512};

use crate::{
    Certificate, EvidenceLevel, LogEntry, Problem, Refused, RegistryKeys, SubjectRule, TrustRoot,
    VerifiedStatement,
};

/// The digests of the artifact, computed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactDigests {
    /// SHA-256 of all bytes.
    pub sha256: Sha256,
    /// SHA-512 of all bytes.
    pub sha512: Sha512,
}

impl ArtifactDigests {
    /// Hashes bytes that are already in memory.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self { sha256: Sha256::of(&bytes), sha512: Sha512::of(&bytes) }
    }
}

/// What kind of signer is acceptable.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// A certificate of an authority in the trust root. Whose it is, the caller asks [`Verified::certificate`].
    Certificate,
    /// A registry's key of usage `npm:attestations`, chosen by the bundle's hint, that was valid at every signed time.
    RegistryKey(&'a RegistryKeys),
    /// This one key (SubjectPublicKeyInfo, DER), whatever the bundle's hint says and without a validity window.
    Key(&'a [u8]),
}

/// What a verified bundle proves.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) signed_at: Vec<Timestamp>,
    pub(crate) level: EvidenceLevel,
    pub(crate) log_entries: Vec<LogEntry>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) key_id: Option<String>,
}

/// A bundle that verifies and is about the artifact. Only [`TrustRoot::verify`] makes it.
#[derive(Clone, Debug)]
pub struct Verified {
    facts: Facts,
}

impl TrustRoot {
    /// Verifies a bundle about an artifact. CPU-bound, about a millisecond: run it off the async threads.
    pub fn verify(
        &self,
        _bundle: &[u8],
        _artifact: &ArtifactDigests,
        _signer: Signer<'_>,
    ) -> Result<Verified, Refused> {
        Err(Refused::new(Problem::Malformed, "not written yet"))
    }
}

impl Verified {
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

    /// The statement in the bundle, if one of its subjects is the artifact by this rule.
    pub fn into_statement(self, _rule: &SubjectRule<'_>) -> Result<VerifiedStatement, Refused> {
        Err(Refused::new(Problem::PayloadType, "not written yet"))
    }
}
