//! From the bytes of a bundle to what they prove.

use jiff::Timestamp;
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult,
    types::{
        ArtifactDigest, Bundle, DerPublicKey, HashAlgorithm, Sha256Hash, SignatureContent,
        VerificationMaterialContent,
    },
};
use touchstone_domain::{Sha256, Sha512};

use crate::{
    Certificate, EvidenceLevel, KeyUsage, LogEntry, Problem, Refused, RegistryKey, RegistryKeys,
    SubjectDigest, SubjectRule, TrustRoot, VerifiedStatement, certificate, library, log,
    statement::{self, Statement},
    wire,
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
    statement: Option<Statement>,
    artifact: ArtifactDigests,
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

    /// The statement in the bundle, if one of its subjects is the artifact by this rule. A bundle that signs the artifact's
    /// bytes has none.
    pub fn into_statement(self, rule: &SubjectRule<'_>) -> Result<VerifiedStatement, Refused> {
        let Some(statement) = self.statement else {
            return Err(Refused::new(Problem::PayloadType, "the bundle signs bytes and states nothing"));
        };
        statement.apply(rule, &self.artifact, self.facts)
    }
}

impl TrustRoot {
    /// Verifies a bundle about an artifact. CPU-bound, about a millisecond: run it off the async threads.
    ///
    /// Only the digests are at hand, so a signature scheme that needs the artifact's bytes is refused as unsupported.
    pub fn verify(
        &self,
        bundle: &[u8],
        artifact: &ArtifactDigests,
        signer: Signer<'_>,
    ) -> Result<Verified, Refused> {
        let bundle = wire::parse(bundle)?;
        let method = Method::choose(&bundle, signer)?;
        let statement = statement::parse(&bundle.content)?;
        let certificate = certificate::parse(&bundle)?;
        log::check_entries(&bundle, &self.logs)?;
        let result = self.run(&bundle, statement.as_ref(), artifact, &method);
        let result = result.map_err(|refused| match &certificate {
            Some(certificate) => certificate.explain(refused, &self.issuers, &self.certificate_logs),
            None => refused,
        })?;
        let signed_at = signed_at(&result)?;
        log::check_windows(&bundle, &self.logs, &signed_at)?;
        if let Some(certificate) = &certificate {
            certificate.check_issuer(&self.issuers, &signed_at)?;
        }
        let key_id = method.check_key_time(&signed_at)?;
        let (level, log_entries) = log::facts(&bundle, &self.logs)?;
        let certificate = certificate.map(|certificate| certificate.identity);
        let facts = Facts { signed_at, level, log_entries, certificate, key_id };
        Ok(Verified { facts, statement, artifact: *artifact })
    }

    fn run(
        &self,
        bundle: &Bundle,
        statement: Option<&Statement>,
        artifact: &ArtifactDigests,
        method: &Method<'_>,
    ) -> Result<VerificationResult, Refused> {
        let (digest, names_artifact) = digest_for(&bundle.content, statement, artifact)?;
        let result = match method {
            Method::Certificate => self.verifier.verify(digest, bundle, &VerificationPolicy::any_identity()),
            Method::Key { spki, .. } => {
                let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_bytes(spki));
                self.verifier.verify(digest, bundle, &policy)
            }
        };
        let result = result.map_err(|error| library::refused(&error, names_artifact))?;
        let certified = match method {
            Method::Certificate => result.certificate_verified() && result.sct_verified(),
            Method::Key { .. } => true,
        };
        if certified && result.tlog_verified() {
            return Ok(result);
        }
        Err(Refused::new(Problem::Certificate, "the library left a check out"))
    }
}

/// With what the signature is verified.
enum Method<'a> {
    Certificate,
    Key { spki: &'a [u8], registry: Option<&'a RegistryKey> },
}

impl<'a> Method<'a> {
    fn choose(bundle: &Bundle, signer: Signer<'a>) -> Result<Self, Refused> {
        let hint = match &bundle.verification_material.content {
            VerificationMaterialContent::PublicKey(key) => Some(key.hint.as_str()),
            _ => None,
        };
        match (signer, hint) {
            (Signer::Certificate, None) => Ok(Self::Certificate),
            (Signer::Certificate, Some(_)) => Err(Refused::new(Problem::SignerKind, "a key signed")),
            (Signer::RegistryKey(_) | Signer::Key(_), None) => {
                Err(Refused::new(Problem::SignerKind, "a certificate's key signed"))
            }
            (Signer::Key(spki), Some(_)) => Ok(Self::Key { spki, registry: None }),
            (Signer::RegistryKey(keys), Some(hint)) => {
                check_keyid(&bundle.content, hint)?;
                let key = choose_key(keys, hint)?;
                Ok(Self::Key { spki: key.spki(), registry: Some(key) })
            }
        }
    }

    /// The id of the registry's key, if it was valid at every time.
    fn check_key_time(&self, signed_at: &[Timestamp]) -> Result<Option<String>, Refused> {
        let Self::Key { registry: Some(key), .. } = self else { return Ok(None) };
        match signed_at.iter().find(|time| !key.covers(**time)) {
            None => Ok(Some(key.id().to_owned())),
            Some(time) => Err(Refused::new(Problem::KeyTime, format!("key {} at {time}", key.id()))),
        }
    }
}

/// The envelope may name the key as well.
fn check_keyid(content: &SignatureContent, hint: &str) -> Result<(), Refused> {
    let SignatureContent::DsseEnvelope(envelope) = content else { return Ok(()) };
    let keyid = envelope.signature.keyid.as_str();
    if keyid.is_empty() || keyid == hint {
        return Ok(());
    }
    Err(Refused::new(Problem::KeyMismatch, format!("{keyid:?} in the envelope, {hint:?} in the bundle")))
}

fn choose_key<'a>(keys: &'a RegistryKeys, hint: &str) -> Result<&'a RegistryKey, Refused> {
    let named = || keys.iter().filter(|key| key.id() == hint);
    if let Some(key) = named().find(|key| key.usage() == KeyUsage::Attestations) {
        return Ok(key);
    }
    let problem = if named().next().is_some() { Problem::KeyUsage } else { Problem::UnknownKey };
    Err(Refused::new(problem, hint))
}

/// The digest that the library compares, and whether the bundle says that it is about the artifact.
fn digest_for(
    content: &SignatureContent,
    statement: Option<&Statement>,
    artifact: &ArtifactDigests,
) -> Result<(ArtifactDigest, bool), Refused> {
    let sha256 = || ArtifactDigest::sha256(Sha256Hash::new(artifact.sha256.0));
    let Some(statement) = statement else {
        let SignatureContent::MessageSignature(message) = content else {
            return Err(Refused::new(Problem::Malformed, "neither a message nor an envelope"));
        };
        let named =
            message.message_digest.as_ref().is_none_or(|said| said.digest == artifact.sha256.0.as_slice());
        return Ok((sha256(), named));
    };
    if statement.names(artifact, SubjectDigest::Sha512) && !statement.names(artifact, SubjectDigest::Sha256) {
        let digest = ArtifactDigest::new(HashAlgorithm::Sha2512, artifact.sha512.0.as_slice());
        return Ok((digest.map_err(|e| Refused::new(Problem::UnsupportedKey, e.to_string()))?, true));
    }
    Ok((sha256(), statement.names(artifact, SubjectDigest::Sha256)))
}

fn signed_at(result: &VerificationResult) -> Result<Vec<Timestamp>, Refused> {
    let mut times = result.verified_timestamps().to_vec();
    times.sort_unstable();
    times.dedup();
    if times.is_empty() {
        return Err(Refused::new(Problem::NoSignedTime, "neither a log's promise nor a timestamp"));
    }
    Ok(times)
}
