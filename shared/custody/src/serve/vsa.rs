//! The wire form of a serve record: a Statement v1 with a SLSA Verification Summary Attestation v1.
//!
//! What SLSA has no member for is below `touchstone` in the predicate. Of the rest, most follows from that: it is there for stock
//! tools, and must be what [`Vsa::of`] makes of the record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::{CheckKind, KeyId, Sha256, Sha512};

use super::{Approver, ServeRecord, VSA_TYPE};
use crate::{
    StatementError, artifact_purl,
    layout::FETCH_STEP,
    link::{coordinate, exact},
    link_file_name,
};

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PASSED: &str = "PASSED";
/// Which SLSA level the artifact was built at is not what the checks ask.
const LEVEL: &str = "SLSA_BUILD_LEVEL_UNEVALUATED";
const SLSA_VERSION: &str = "1.0";

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Vsa {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: Sha256,
    sha512: Sha512,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Predicate {
    verifier: Verifier,
    time_verified: String,
    resource_uri: String,
    policy: Resource,
    input_attestations: Vec<Resource>,
    verification_result: String,
    verified_levels: Vec<String>,
    slsa_version: String,
    touchstone: Extension,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verifier {
    id: String,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    uri: String,
    digest: ResourceDigest,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceDigest {
    sha256: Sha256,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension {
    environment: String,
    file: String,
    size: u64,
    chunk_root: Sha256,
    epoch: i32,
    policy_epoch: i32,
    serial: i64,
    rests_on: Vec<RestsOn>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestsOn {
    check: Option<CheckKind>,
    key: KeyId,
    envelope: Sha256,
}

impl Vsa {
    pub(super) fn of(record: &ServeRecord) -> Self {
        let file = record.id.file.to_string();
        let verifier = format!("touchstone/{}", record.environment);
        let policy_uri = format!("{verifier}/policy/{}", record.policy_epoch);
        let inputs = record.rests_on.iter().map(|Approver { check, key, envelope }| {
            let step = check.map_or(FETCH_STEP, CheckKind::as_str);
            Resource::new(link_file_name(step, *key), *envelope)
        });
        let rests_on = record.rests_on.iter().map(|Approver { check, key, envelope }| RestsOn {
            check: *check,
            key: *key,
            envelope: *envelope,
        });
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject {
                name: file.clone(),
                digest: SubjectDigest { sha256: record.sha256, sha512: record.sha512 },
            }],
            predicate_type: VSA_TYPE.to_owned(),
            predicate: Predicate {
                verifier: Verifier { id: verifier },
                time_verified: record.promoted_at.to_string(),
                resource_uri: artifact_purl(&record.id).to_string(),
                policy: Resource::new(policy_uri, record.policy),
                input_attestations: inputs.collect(),
                verification_result: PASSED.to_owned(),
                verified_levels: vec![LEVEL.to_owned()],
                slsa_version: SLSA_VERSION.to_owned(),
                touchstone: Extension {
                    environment: record.environment.clone(),
                    file,
                    size: record.size,
                    chunk_root: record.chunk_root,
                    epoch: record.epoch,
                    policy_epoch: record.policy_epoch,
                    serial: record.serial,
                    rests_on: rests_on.collect(),
                },
            },
        }
    }

    pub(super) fn to_payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and lists are JSON")
    }

    /// Reads a payload that this key signed.
    pub(super) fn read(payload: &[u8], key: KeyId) -> Result<ServeRecord, StatementError> {
        let read: Self =
            serde_json::from_slice(payload).map_err(|e| StatementError::new("statement", e.to_string()))?;
        let record = read.record(key)?;
        if let Some(field) = read.difference(&Self::of(&record)) {
            return Err(StatementError::new(field, "it is not what a serve record of such an artifact has"));
        }
        if read.to_payload() != payload {
            return Err(StatementError::new("statement", "it is written in another form"));
        }
        Ok(record)
    }

    fn record(&self, key: KeyId) -> Result<ServeRecord, StatementError> {
        let [Subject { digest, .. }] = self.subject.as_slice() else {
            return Err(StatementError::new("subject", "there is not exactly one"));
        };
        let Predicate { time_verified, resource_uri, policy, touchstone, .. } = &self.predicate;
        let rests_on = touchstone.rests_on.iter().map(|RestsOn { check, key, envelope }| Approver {
            check: *check,
            key: *key,
            envelope: *envelope,
        });
        let rests_on: Vec<Approver> = rests_on.collect();
        let [Approver { check: None, .. }, checks @ ..] = rests_on.as_slice() else {
            return Err(StatementError::new("rests_on", "it does not begin with a fetch"));
        };
        let ordered = checks.is_sorted_by(|a, b| a.check < b.check);
        if checks.is_empty() || !ordered || checks.iter().any(|approver| approver.check.is_none()) {
            return Err(StatementError::new("rests_on", "after the fetch, each check must be there once"));
        }
        Ok(ServeRecord {
            environment: touchstone.environment.clone(),
            id: coordinate("resourceUri", resource_uri)?,
            sha256: digest.sha256,
            sha512: digest.sha512,
            size: touchstone.size,
            chunk_root: touchstone.chunk_root,
            epoch: touchstone.epoch,
            policy_epoch: touchstone.policy_epoch,
            policy: policy.digest.sha256,
            serial: touchstone.serial,
            promoted_at: exact::<Timestamp>("timeVerified", time_verified)?,
            rests_on,
            key,
        })
    }

    /// The first member that is not the same.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let (ours, theirs) = (&self.predicate, &other.predicate);
        [
            ("_type", self.kind == other.kind),
            ("predicateType", self.predicate_type == other.predicate_type),
            ("verificationResult", ours.verification_result == theirs.verification_result),
            ("verifier", ours.verifier == theirs.verifier),
            ("subject", self.subject == other.subject),
            ("policy", ours.policy == theirs.policy),
            ("inputAttestations", ours.input_attestations == theirs.input_attestations),
            ("verifiedLevels", ours.verified_levels == theirs.verified_levels),
            ("slsaVersion", ours.slsa_version == theirs.slsa_version),
            ("touchstone", ours.touchstone == theirs.touchstone),
        ]
        .into_iter()
        .find_map(|(field, same)| (!same).then_some(field))
    }
}

impl Resource {
    fn new(uri: String, sha256: Sha256) -> Self {
        Self { uri, digest: ResourceDigest { sha256 } }
    }
}
