//! Why a check came out as it did, for machines and for people.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Algorithm, Basis, ClaimField, Difference, Discontinuity, Identity, TrustRank};

mod note;

pub use note::{ArchiveRule, AttestationNote, SignatureNote};

/// Why a check came out as it did. The `code` is stable and machine-readable; the fields carry the facts.
///
/// *Invariant:* reading one never fails for what a newer version wrote, since its outcome counts all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", remote = "Self")]
pub enum Reason {
    /// Every declared digest was recomputed and is equal, and the archive is what it is called.
    DigestsMatch {
        /// How many strong claims were compared.
        claims: u32,
    },
    /// A declared digest differs from the bytes.
    DigestMismatch {
        /// The field that declared it.
        field: ClaimField,
        /// The algorithm.
        algorithm: Algorithm,
        /// What was declared, in hexadecimal.
        declared: String,
        /// What the bytes have, in hexadecimal.
        computed: String,
    },
    /// The declared size differs from the bytes.
    SizeMismatch {
        /// Declared, in bytes.
        declared: u64,
        /// Found, in bytes.
        computed: u64,
    },
    /// The upstream declared no digest at all.
    NoClaim,
    /// This ecosystem declares digests nowhere but in its checksum database; the archive is what it is called.
    Undeclared,
    /// The upstream declared only broken digests.
    WeakOnly {
        /// The algorithms that were declared, and match.
        algorithms: Vec<Algorithm>,
        /// The publish time that was declared, if any.
        published_at: Option<Timestamp>,
    },
    /// Only broken digests were declared, they match, and the policy accepts that for versions of that age.
    WeakAccepted {
        /// The algorithms that were declared.
        algorithms: Vec<Algorithm>,
    },
    /// A declared value is not of its field's grammar.
    ClaimMalformed {
        /// The field.
        field: ClaimField,
        /// What is wrong with it.
        detail: String,
    },
    /// The archive says that it is something else.
    CoordinateMismatch {
        /// Which part: `name`, `version`, `directory`.
        part: String,
        /// What was asked for.
        expected: String,
        /// What the archive says, shortened.
        found: String,
    },
    /// The archive breaks a rule that keeps its meaning unambiguous, or a bound.
    ArchiveRejected {
        /// The rule.
        rule: ArchiveRule,
        /// Where and how, shortened.
        detail: String,
    },
    /// Every attestation was verified, and who signed is who signed before.
    Attested {
        /// Who signed.
        identity: Box<Identity>,
        /// How much stands behind it.
        rank: TrustRank,
        /// Why this identity is accepted.
        continuity: Basis,
        /// What was verified, one entry an attestation.
        attestations: Vec<AttestationNote>,
        /// What became of the registry's own signature.
        registry_signature: SignatureNote,
    },
    /// There is no attestation, and nothing says that there should be one.
    Unattested {
        /// What became of the registry's own signature.
        registry_signature: SignatureNote,
    },
    /// The policy does not look at attestations of this package.
    AttestationsOff,
    /// An attestation was offered, and it does not verify or is not about this artifact.
    AttestationRefused {
        /// Which one: its predicate type, or the document.
        document: String,
        /// The stable code of the problem.
        problem: String,
        /// What was found, shortened.
        detail: String,
    },
    /// The registry's signature over name, version and digest does not verify.
    RegistrySignatureRefused {
        /// The stable code of the problem.
        problem: String,
        /// What was found, shortened.
        detail: String,
    },
    /// What was offered verifies, and something that must be beside it is missing.
    AttestationIncomplete {
        /// The stable code of what is missing.
        problem: String,
        /// What is missing, in words.
        detail: String,
    },
    /// What may be a stranger's doing started the build, or it ran on a stranger's code; no pin allows it.
    ForeignBuild {
        /// The part that says so, and its value.
        difference: Difference,
    },
    /// It verifies, or is absent, and it is not what the releases before it had.
    Discontinued {
        /// In which way.
        discontinuity: Discontinuity,
    },
    /// It would be held, and an operator's waiver for these very bytes lets it pass.
    Waived {
        /// The operator's words.
        reason: String,
        /// When the waiver ends.
        expires: Timestamp,
        /// What it would be held for.
        finding: Box<Reason>,
    },
    /// The checksum database has this artifact, with this digest.
    SumdbRecorded {
        /// The name of the database's key.
        database: String,
        /// The number of the record.
        record: u64,
        /// The size of the signed tree that it was found in.
        tree_size: u64,
        /// The digest, `h1:` and base64.
        h1: String,
    },
    /// The policy says that the module is private, so no checksum database was asked.
    SumdbPrivate,
    /// The checksum database says that it has no such version.
    SumdbAbsent {
        /// The name of the database's key.
        database: String,
        /// The status of the answer.
        status: u16,
    },
    /// The checksum database answered, and the answer does not prove what it says.
    SumdbRefused {
        /// The name of the database's key.
        database: String,
        /// The stable code of the problem.
        problem: String,
        /// What was found, shortened.
        detail: String,
    },
    /// The checksum database has other bytes under this name.
    SumdbMismatch {
        /// What was compared: `zip`, `go.mod`, `go.mod in zip`.
        what: String,
        /// The digest on record, `h1:` and base64.
        recorded: String,
        /// That of the bytes.
        computed: String,
    },
    /// A check for benches and tests that looks at nothing.
    Trivial,
    /// What another version wrote, or nobody of ours, and this one cannot read. No check finds this; only reading makes it.
    Unreadable {
        /// The code that it has.
        #[serde(rename = "found")]
        code: String,
    },
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let code = value.get("code").and_then(|code| code.as_str()).unwrap_or_default().to_owned();
        Ok(Self::deserialize(value).unwrap_or(Self::Unreadable { code }))
    }
}

impl Reason {
    /// Reads one that is on record, which is no error either if it is JSON of which no value can be made: nested too deep, or with
    /// a number beyond all bounds.
    pub fn from_json(json: &str) -> Self {
        #[derive(Deserialize)]
        struct Coded {
            code: String,
        }
        serde_json::from_str(json).unwrap_or_else(|_| {
            let coded = serde_json::from_str::<Coded>(json);
            Self::Unreadable { code: coded.map_or_else(|_| String::new(), |coded| coded.code) }
        })
    }

    /// The stable, machine-readable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DigestsMatch { .. } => "digests_match",
            Self::DigestMismatch { .. } => "digest_mismatch",
            Self::SizeMismatch { .. } => "size_mismatch",
            Self::NoClaim => "no_claim",
            Self::Undeclared => "undeclared",
            Self::WeakOnly { .. } => "weak_only",
            Self::WeakAccepted { .. } => "weak_accepted",
            Self::ClaimMalformed { .. } => "claim_malformed",
            Self::CoordinateMismatch { .. } => "coordinate_mismatch",
            Self::ArchiveRejected { .. } => "archive_rejected",
            Self::Attested { .. } => "attested",
            Self::Unattested { .. } => "unattested",
            Self::AttestationsOff => "attestations_off",
            Self::AttestationRefused { .. } => "attestation_refused",
            Self::RegistrySignatureRefused { .. } => "registry_signature_refused",
            Self::AttestationIncomplete { .. } => "attestation_incomplete",
            Self::ForeignBuild { .. } => "foreign_build",
            Self::Discontinued { .. } => "discontinued",
            Self::Waived { .. } => "waived",
            Self::SumdbRecorded { .. } => "sumdb_recorded",
            Self::SumdbPrivate => "sumdb_private",
            Self::SumdbAbsent { .. } => "sumdb_absent",
            Self::SumdbRefused { .. } => "sumdb_refused",
            Self::SumdbMismatch { .. } => "sumdb_mismatch",
            Self::Trivial => "trivial",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl fmt::Display for Reason {
    #[expect(clippy::too_many_lines, reason = "one arm a variant, each of a line or two")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DigestsMatch { claims } => write!(f, "the bytes match {claims} declared strong digest(s)"),
            Self::DigestMismatch { field, algorithm, declared, computed } => {
                write!(f, "{field} declares {algorithm} {declared}, but the bytes have {computed}")
            }
            Self::SizeMismatch { declared, computed } => {
                write!(f, "the declared size is {declared} bytes, but the file has {computed}")
            }
            Self::NoClaim => f.write_str("the upstream declares no digest for it"),
            Self::Undeclared => {
                f.write_str("it is what it is called; no digest is declared in this ecosystem")
            }
            Self::WeakOnly { algorithms, published_at } => {
                write!(f, "only weak digests are declared ({})", words(algorithms))?;
                match published_at {
                    Some(at) => write!(f, "; published {at}"),
                    None => f.write_str("; the publish time is unknown"),
                }
            }
            Self::WeakAccepted { algorithms } => {
                write!(
                    f,
                    "only weak digests are declared ({}); the policy accepts them for its age",
                    words(algorithms)
                )
            }
            Self::ClaimMalformed { field, detail } => write!(f, "{field} is malformed: {detail}"),
            Self::CoordinateMismatch { part, expected, found } => {
                write!(f, "the archive's {part} is {found:?}, but {expected:?} was asked for")
            }
            Self::ArchiveRejected { rule, detail } => {
                write!(f, "the archive is refused ({}): {detail}", rule.as_str())
            }
            Self::Attested { identity, rank, continuity, attestations, registry_signature } => {
                write!(
                    f,
                    "{} attestation(s) verified: {identity}, {rank}; {continuity}",
                    attestations.len()
                )?;
                registry(f, *registry_signature)
            }
            Self::Unattested { registry_signature } => {
                f.write_str("it has no attestation")?;
                registry(f, *registry_signature)
            }
            Self::AttestationsOff => f.write_str("the policy does not look at attestations here"),
            Self::AttestationRefused { document, problem, detail } => {
                write!(f, "the attestation {document} is refused ({problem}): {detail}")
            }
            Self::RegistrySignatureRefused { problem, detail } => {
                write!(f, "the registry's signature is refused ({problem}): {detail}")
            }
            Self::AttestationIncomplete { problem, detail } => {
                write!(f, "the attestations are incomplete ({problem}): {detail}")
            }
            Self::ForeignBuild { difference } => write!(
                f,
                "the build is not the publisher's own: the {} is {:?}; pin the identity to allow it",
                difference.field, difference.found
            ),
            Self::Discontinued { discontinuity } => discontinuity.fmt(f),
            Self::Waived { reason, expires, finding } => {
                write!(f, "waived until {expires} ({reason}); else: {finding}")
            }
            Self::SumdbRecorded { database, record, tree_size, h1 } => {
                write!(f, "record {record} of {database}, in a signed tree of {tree_size}, has {h1}")
            }
            Self::SumdbPrivate => {
                f.write_str("the policy says that it is private; no checksum database was asked")
            }
            Self::SumdbAbsent { database, status } => write!(
                f,
                "{database} has no such version (status {status}); if the module is private, name it in the policy's [sumdb] section"
            ),
            Self::SumdbRefused { database, problem, detail } => {
                write!(f, "the answer of {database} is refused ({problem}): {detail}")
            }
            Self::SumdbMismatch { what, recorded, computed } => write!(
                f,
                "the checksum database has {recorded} for this {what}, but the bytes have {computed}"
            ),
            Self::Trivial => f.write_str("nothing was looked at"),
            Self::Unreadable { code } => {
                write!(
                    f,
                    "another version of touchstone gave the reason {code:?}, which this one cannot read"
                )
            }
        }
    }
}

/// What is said of the registry's own signature where there could be one.
fn registry(f: &mut fmt::Formatter<'_>, signature: SignatureNote) -> fmt::Result {
    match signature {
        SignatureNote::NotApplicable => Ok(()),
        SignatureNote::Absent | SignatureNote::Verified | SignatureNote::WeakTime => {
            write!(f, "; registry signature {signature}")
        }
    }
}

fn words(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
