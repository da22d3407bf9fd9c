//! The registry's own signature over name, version and digest (ecosystems.md 4.1.3).
//!
//! *Invariant:* every listed signature must verify; one that does not is never outweighed by one that does.
//!
//! *Invariant:* a signature over another digest than the artifact's, or over a broken one only, signs nothing off.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use touchstone_attestation::{RegistryKeys, SignatureProblem};
use touchstone_domain::{ArtifactId, Outcome, Reason, Sha512, SignatureNote};
use touchstone_ecosystems::npm::attestation::Dist;

use crate::judged::shown;

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
    /// The stable code.
    pub(crate) problem: &'static str,
    /// What was found.
    pub(crate) detail: String,
}

impl SignatureRefused {
    fn new(problem: &'static str, detail: impl AsRef<str>) -> Self {
        Self { problem, detail: shown(detail.as_ref()) }
    }

    /// The result of the check.
    pub(crate) fn outcome(self) -> Outcome {
        let problem = self.problem.to_owned();
        Outcome::fail(Reason::RegistrySignatureRefused { problem, detail: self.detail })
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
    for signature in &dist.signatures {
        let key = keys.verify_signature(message.as_bytes(), &signature.keyid, &signature.sig).map_err(
            |problem| SignatureRefused::new(code(problem), format!("{problem}: {:?}", signature.keyid)),
        )?;
        if let Some(start) = key.start().filter(|start| now < *start) {
            let detail = format!("the key {:?} begins at {start}", signature.keyid);
            return Err(SignatureRefused::new("key_time", detail));
        }
        if let Some(end) = key.end().filter(|end| *end < now) {
            ended = Some(ended.map_or(end, |other| other.min(end)));
        }
    }
    Ok(ended.map_or(Signed::Verified, |end| Signed::Expired { end }))
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
pub(crate) fn settle(signed: Signed, times: Times) -> Result<SignatureNote, SignatureRefused> {
    let end = match signed {
        Signed::Absent => return Ok(SignatureNote::Absent),
        Signed::Verified => return Ok(SignatureNote::Verified),
        Signed::Expired { end } => end,
    };
    if times.attested.is_some_and(|at| at <= end) {
        return Ok(SignatureNote::Verified);
    }
    if times.seen.is_some_and(|(version, package)| version > end && package < version) {
        let detail = format!("the key ended at {end}, and the version newly appeared after that");
        return Err(SignatureRefused::new("key_expired", detail));
    }
    match times.declared {
        Some(declared) if declared <= end => Ok(SignatureNote::WeakTime),
        Some(declared) => {
            let detail = format!("the key ended at {end}, and it was published at {declared}");
            Err(SignatureRefused::new("key_expired", detail))
        }
        None => {
            let detail = format!("the key ended at {end}, and nothing says when it was published");
            Err(SignatureRefused::new("key_expired", detail))
        }
    }
}

fn code(problem: SignatureProblem) -> &'static str {
    match problem {
        SignatureProblem::UnknownKey => "unknown_key",
        SignatureProblem::KeyUsage => "key_usage",
        SignatureProblem::Malformed => "malformed",
        SignatureProblem::Signature => "signature",
    }
}

#[cfg(test)]
mod tests;
