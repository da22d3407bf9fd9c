//! The registry's own signature over name, version and digest (ecosystems.md 4.1.3).
//!
//! *Invariant:* every listed signature must verify; one that does not is never outweighed by one that does.
//!
//! *Invariant:* a signature over another digest than the artifact's, or over a broken one only, signs nothing off.
//!
//! *Invariant:* a key that is not known, or not yet, says nothing against an artifact: it is held, until the keys in use say more.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use touchstone_attestation::{RegistryKeys, SignatureProblem};
use touchstone_domain::{ArtifactId, Outcome, Reason, Sha512, SignatureNote};
use touchstone_ecosystems::npm::attestation::{Dist, RegistrySignature};
use touchstone_worker::CheckError;

use crate::{judged::shown, stop::Stop};

/// What the signatures come to, before it is known when they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// The metadata has none over a digest that counts.
    Absent,
    /// Every one verifies, by keys in use.
    Verified,
    /// Every one verifies, and a key has ended since; the earliest such end.
    Expired {
        /// When it ended.
        end: Timestamp,
    },
}

/// Why a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureRefused {
    /// What other keys than those in use could change.
    kind: Refusal,
    /// The stable code.
    pub(crate) problem: &'static str,
    /// What was found.
    pub(crate) detail: String,
}

/// How final a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It is wrong.
    Final,
    /// The key is not known, or not yet valid: other keys may say otherwise.
    UnknownKey,
}

impl SignatureRefused {
    fn new(problem: &'static str, detail: impl AsRef<str>) -> Self {
        Self { kind: Refusal::Final, problem, detail: shown(detail.as_ref()) }
    }

    fn unknown(problem: &'static str, detail: impl AsRef<str>) -> Self {
        Self { kind: Refusal::UnknownKey, ..Self::new(problem, detail) }
    }

    /// The result of the check.
    pub(crate) fn outcome(self) -> Outcome {
        let reason =
            Reason::RegistrySignatureRefused { problem: self.problem.to_owned(), detail: self.detail };
        match self.kind {
            Refusal::Final => Outcome::fail(reason),
            Refusal::UnknownKey => Outcome::inconclusive(reason),
        }
    }
}

/// Verifies every listed signature.
pub(crate) fn verify(
    dist: &Dist,
    id: &ArtifactId,
    sha512: Sha512,
    keys: &RegistryKeys,
    now: Timestamp,
) -> Result<Signed, SignatureRefused> {
    // A broken digest is held by the hash check, and signed or not makes no difference.
    let (Some(integrity), Some(message)) =
        (&dist.integrity, dist.signature_message(&id.package, &id.version))
    else {
        return Ok(Signed::Absent);
    };
    if dist.signatures.is_empty() {
        return Ok(Signed::Absent);
    }
    let ours = format!("sha512-{}", STANDARD.encode(sha512.0));
    if !integrity.split(' ').any(|value| value == ours) {
        return Err(SignatureRefused::new("digest", format!("it is over {integrity:?}, not over {ours}")));
    }
    let mut ended: Option<Timestamp> = None;
    let mut unknown = None;
    for signature in &dist.signatures {
        match verify_one(signature, &message, keys, now) {
            Ok(Some(end)) => ended = Some(ended.map_or(end, |other| other.min(end))),
            Ok(None) => {}
            // What is wrong outweighs it.
            Err(refused) if refused.kind == Refusal::UnknownKey => unknown = unknown.or(Some(refused)),
            Err(refused) => return Err(refused),
        }
    }
    match unknown {
        Some(refused) => Err(refused),
        None => Ok(ended.map_or(Signed::Verified, |end| Signed::Expired { end })),
    }
}

/// When the key of a signature that verifies has ended, if it has.
fn verify_one(
    signature: &RegistrySignature,
    message: &str,
    keys: &RegistryKeys,
    now: Timestamp,
) -> Result<Option<Timestamp>, SignatureRefused> {
    let RegistrySignature { keyid, sig } = signature;
    let key = keys.verify_signature(message.as_bytes(), keyid, sig).map_err(|problem| {
        let detail = format!("{problem}: {keyid:?}");
        match problem {
            SignatureProblem::UnknownKey => SignatureRefused::unknown("unknown_key", detail),
            SignatureProblem::KeyUsage => SignatureRefused::new("key_usage", detail),
            SignatureProblem::Malformed => SignatureRefused::new("malformed", detail),
            SignatureProblem::Signature => SignatureRefused::new("signature", detail),
        }
    })?;
    if let Some(start) = key.start().filter(|start| now < *start) {
        return Err(SignatureRefused::unknown("key_time", format!("the key {keyid:?} begins at {start}")));
    }
    Ok(key.end().filter(|end| *end < now))
}

/// What is known of when a version was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Times {
    /// By the registry's verified publish attestation: authenticated.
    pub(crate) attested: Option<Timestamp>,
    /// By the upstream's metadata: unsigned.
    pub(crate) declared: Option<Timestamp>,
    /// When we first saw the version, and its package, by our clock.
    pub(crate) seen: Option<(Timestamp, Timestamp)>,
}

/// Whether signatures by a key that has ended were made before its end. Who has the old key could sign what is new, and say
/// that it is old: what newly appears in a package that we knew is therefore never believed to be.
///
/// Where that decides, a sighting that is not on record is waited for: taking it for a first contact would believe too much.
pub(crate) fn settle(signed: Signed, times: Times) -> Result<SignatureNote, Stop> {
    let end = match signed {
        Signed::Absent => return Ok(SignatureNote::Absent),
        Signed::Verified => return Ok(SignatureNote::Verified),
        Signed::Expired { end } => end,
    };
    if times.attested.is_some_and(|at| at <= end) {
        return Ok(SignatureNote::Verified);
    }
    let expired = |why: String| {
        Stop::from(SignatureRefused::new("key_expired", format!("the key ended at {end}, and {why}")))
    };
    match times.declared {
        Some(declared) if declared <= end => {}
        Some(declared) => return Err(expired(format!("it was published at {declared}"))),
        None => return Err(expired("nothing says when it was published".to_owned())),
    }
    match times.seen {
        Some((version, package)) if version > end && package < version => {
            Err(expired("the version newly appeared after that".to_owned()))
        }
        Some(_) => Ok(SignatureNote::WeakTime),
        None => {
            let problem = format!(
                "the registry's key ended at {end}, and when the version was first seen is not on record yet"
            );
            Err(CheckError::retry(problem).into())
        }
    }
}

#[cfg(test)]
mod tests;
