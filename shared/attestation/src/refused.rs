//! Why a bundle, an attestation or a statement is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest detail, in characters.
const DETAIL_CHARS_MAX: usize = 512;

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $words:literal;)+) => {
        /// What is wrong, as a stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Problem {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        impl Problem {
            /// Every problem.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable code, in snake case.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// What it means, for people.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)+
                }
            }
        }
    };
}

problems! {
    /// Larger, deeper or more numerous than allowed.
    Limit = "limit", "a bound is exceeded";
    /// Not JSON, not this format, or not the one encoding it may have.
    Malformed = "malformed", "malformed";
    /// An object names a key twice.
    DuplicateKey = "duplicate_key", "a JSON key stands twice in an object";
    /// A bundle, attestation or log entry of a version or kind that is not known.
    UnsupportedVersion = "unsupported_version", "of an unknown version or kind";
    /// A key, digest or signature scheme that cannot be checked here; P-521 for example. Nothing is said about the signature.
    UnsupportedKey = "unsupported_key", "a key or scheme that cannot be checked";
    /// The signature is not one by this key over this content.
    Signature = "signature", "the signature does not verify";
    /// The certificate is malformed, not for this use, or not by a trusted authority.
    Certificate = "certificate", "the certificate is not acceptable";
    /// The certificate, or the authority that issued it, was not valid when the signature was made.
    CertificateTime = "certificate_time", "the certificate was not valid at the signed time";
    /// The certificate is by an authority that the trust root does not name, or not with this key.
    UnknownAuthority = "unknown_authority", "the certificate's authority is not in the trust root";
    /// The proof that the certificate was logged is by a log that the trust root does not name.
    UnknownCertificateLog = "unknown_certificate_log", "the certificate's log is not in the trust root";
    /// The proof that the certificate was logged does not verify.
    Sct = "sct", "the signed certificate timestamp does not verify";
    /// The entry is not proven to be in the log.
    LogInclusion = "log_inclusion", "inclusion in the log is not proven";
    /// The log's signed tree head is missing, malformed, of another tree or another log, or does not verify.
    Checkpoint = "checkpoint", "the log's checkpoint is not acceptable";
    /// The log's promise (signed entry timestamp) is missing or does not verify.
    InclusionPromise = "inclusion_promise", "the log's inclusion promise does not verify";
    /// The log entry is of another signature, key, artifact or kind.
    LogEntryMismatch = "entry_not_bound", "the log entry is not of this signature";
    /// The log's integrated time is in the future or outside the certificate's validity.
    IntegratedTime = "integrated_time", "the log's integrated time is not acceptable";
    /// An RFC 3161 timestamp does not verify, or its authority was not valid then.
    Timestamp = "timestamp", "an RFC 3161 timestamp does not verify";
    /// Nobody who is trusted says when the signature was made.
    NoSignedTime = "no_signed_time", "there is no authenticated time";
    /// The entry names a log that the trust root does not.
    UnknownLog = "unknown_log", "the log is not in the trust root";
    /// No key of this id is known.
    UnknownKey = "unknown_key", "the key is not known";
    /// The envelope names another key than the bundle.
    KeyMismatch = "key_mismatch", "two different keys are named";
    /// The key is not one for attestations.
    KeyUsage = "key_usage", "the key is not for attestations";
    /// The key was not valid when the signature was made.
    KeyTime = "key_time", "the key was not valid at the signed time";
    /// Signed with a key where a certificate is wanted, or the reverse.
    SignerKind = "signer_kind", "another kind of signer is wanted";
    /// The signed payload is not declared to be an in-toto statement.
    PayloadType = "payload_type", "the payload is not an in-toto statement";
    /// The payload is a statement of an unknown type.
    StatementType = "statement_type", "the statement is of an unknown type";
    /// The statement does not say what its predicate is, or not what was announced.
    PredicateType = "predicate_type", "the predicate type is not acceptable";
    /// No subject, or several where there must be one.
    SubjectCount = "subject_count", "the number of subjects is not acceptable";
    /// No subject has the name.
    SubjectName = "subject_name", "no subject has this name";
    /// The subject of that name lacks the digest, or has another.
    SubjectDigest = "subject_digest", "the subject does not have this digest";
    /// The bundle is about other bytes.
    ArtifactDigest = "artifact_digest", "the bundle is about other bytes";
}

impl Problem {
    /// Whether it says no more than that an authority is not known here. Then nothing was found against the artifact, and other
    /// trust material, a newer trust root for instance, may say otherwise. It is a refusal all the same.
    pub const fn is_of_unknown_authority(self) -> bool {
        matches!(
            self,
            Self::UnknownLog | Self::UnknownKey | Self::UnknownAuthority | Self::UnknownCertificateLog
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// A refusal: nothing was verified. The detail is for people; programs look at the problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {detail}")]
pub struct Refused {
    /// What is wrong.
    pub problem: Problem,
    /// More about it: at most 512 characters, none of them a control character.
    pub detail: String,
}

impl Refused {
    /// Shortens the detail and takes control characters out: outsiders choose parts of it.
    pub fn new(problem: Problem, detail: impl AsRef<str>) -> Self {
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let detail = detail.as_ref().chars().take(DETAIL_CHARS_MAX).map(clean).collect();
        Self { problem, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_serde_writes() {
        for problem in Problem::ALL {
            let written = serde_json::to_string(problem).expect("JSON");
            assert_eq!(written, format!("\"{}\"", problem.as_str()));
        }
    }

    #[test]
    fn details_are_short_and_printable() {
        let refused = Refused::new(Problem::Limit, format!("a\nb\u{1b}[31m{}", "ü".repeat(1000)));
        assert_eq!(refused.detail.chars().count(), 512);
        assert!(refused.to_string().starts_with("a bound is exceeded: a b [31mü"), "{refused}");
    }
}
