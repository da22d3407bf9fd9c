//! The library's refusals in our words. Its enums may grow: what is not known is refused all the same.

#![expect(
    clippy::match_same_arms,
    reason = "every reason that is known is named, beside the arm for those that are not"
)]

use sigstore_verify::{CertificateError, Error, TimestampError, TransparencyLogError, crypto};

use crate::{Problem, Refused};

/// Why the library refused. `names_artifact` is whether the bundle, by its own words, is about our artifact: if so, a digest that
/// differs is the log entry's.
pub(crate) fn refused(error: &Error, names_artifact: bool) -> Refused {
    let problem = match error {
        Error::SignatureInvalid(_) => Problem::Signature,
        Error::ArtifactMismatch(_) if names_artifact => Problem::LogEntryMismatch,
        Error::ArtifactMismatch(_) => Problem::ArtifactDigest,
        Error::UnsupportedArtifact(_) | Error::UnsupportedBundle(_) => Problem::UnsupportedKey,
        Error::Certificate(error) => certificate(error),
        Error::TransparencyLog(error) => log(error),
        Error::Timestamp(error) => timestamp(error),
        Error::Crypto(error) => key(error),
        // No CT log has a key of the kind that the certificate's timestamp wants.
        Error::InvalidTrustRoot(_) => Problem::Sct,
        // None of these is met: identities are not asked for, shapes were read before, and the root is prepared.
        Error::IdentityMismatch { .. }
        | Error::IssuerMismatch { .. }
        | Error::TrustRoot(_)
        | Error::TrustedCertificate(_) => Problem::Certificate,
        Error::InvalidBundle(_) | Error::Types(_) | Error::Bundle(_) | Error::ArtifactRead(_) => {
            Problem::Malformed
        }
        _ => Problem::Malformed,
    };
    Refused::new(problem, error.to_string())
}

fn certificate(error: &CertificateError) -> Problem {
    match error {
        CertificateError::ChainInvalid(why) if is_about_time(why) => Problem::CertificateTime,
        CertificateError::Malformed(_) | CertificateError::ChainInvalid(_) => Problem::Certificate,
        CertificateError::NoValidAuthority { .. }
        | CertificateError::NotYetValid { .. }
        | CertificateError::Expired { .. } => Problem::CertificateTime,
        CertificateError::Sct(_) => Problem::Sct,
        _ => Problem::Certificate,
    }
}

/// The library passes webpki's reason on as words only. Should they change, the refusal is less precise, and still one.
fn is_about_time(why: &str) -> bool {
    ["CertExpired", "CertNotValidYet"].iter().any(|name| why.contains(name))
}

fn log(error: &TransparencyLogError) -> Problem {
    match error {
        TransparencyLogError::UnknownLog { .. } => Problem::UnknownLog,
        TransparencyLogError::InclusionProof(_) => Problem::LogInclusion,
        TransparencyLogError::Checkpoint(_) => Problem::Checkpoint,
        TransparencyLogError::InclusionPromise(_) => Problem::InclusionPromise,
        TransparencyLogError::IntegratedTime(_) => Problem::IntegratedTime,
        // Its body is in the log as it stands, so what cannot be read in it is another kind of entry.
        TransparencyLogError::EntryMismatch(_) | TransparencyLogError::MalformedEntry(_) => {
            Problem::LogEntryMismatch
        }
        _ => Problem::LogInclusion,
    }
}

fn timestamp(error: &TimestampError) -> Problem {
    match error {
        TimestampError::Invalid(_) | TimestampError::OutsideAuthorityValidity { .. } => Problem::Timestamp,
        TimestampError::NoVerifiedTimestamp(_) => Problem::NoSignedTime,
        _ => Problem::Timestamp,
    }
}

fn key(error: &crypto::Error) -> Problem {
    match error {
        crypto::Error::Verification(_) => Problem::Signature,
        crypto::Error::Checkpoint(_) => Problem::Checkpoint,
        crypto::Error::InvalidCertificate(_) => Problem::Certificate,
        _ => Problem::UnsupportedKey,
    }
}
