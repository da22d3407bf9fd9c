//! What is on record about artifacts.

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, ArtifactState, CheckKind, CheckSet, Claim, Evidence, Gate, KeyId, Outcome,
    OutcomeKind, Sha256, Sha512,
};

use crate::{
    Store, StoreError,
    error::within,
    row::{Columns, numbers, unreadable},
};

/// The most artifacts that a call may name.
pub const ARTIFACTS_MAX: usize = 4096;

/// Where one artifact stands, for those who wait for it or refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactStatus {
    /// Its coordinate.
    pub id: ArtifactId,
    /// Its gate, which names its row and its digest.
    pub gate: Gate,
    /// The number of the policy that asked for the checks.
    pub policy_epoch: i32,
    /// When it is old enough, if age was asked for.
    pub eligible_at: Option<Timestamp>,
    /// When it was put on record.
    pub fetched_at: Timestamp,
    /// How often its checks were asked again in this epoch.
    pub dispatches: i16,
    /// What those checks of this epoch found that count and did not approve; the latest first.
    pub findings: Vec<Finding>,
    /// The words of the latest recall, if it was recalled.
    pub recall: Option<String>,
    /// The keys of its fetches, the latest first, by the rows' word; at most 4.
    pub fetch_keys: Vec<KeyId>,
    /// Whether a signed promotion of the gate's epoch is on record: a servable gate without one is served nothing.
    pub promoted: bool,
    /// Whether the gate says what it did before decisions were signed: promote sends it back to its checks.
    pub unsigned: bool,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: CheckKind,
    /// What it found.
    pub outcome: Outcome,
}

/// What a check needs to know of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its row.
    pub artifact: ArtifactDbId,
    /// Its coordinate.
    pub id: ArtifactId,
    /// The digest of its bytes, and their key in the blob store.
    pub sha256: Sha256,
    /// Their second digest.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// The root of their chunk list.
    pub chunk_root: Sha256,
    /// Where they came from.
    pub upstream_url: String,
    /// When they were published, by the upstream's word.
    pub published_at: Option<Timestamp>,
    /// What the upstream declares about them.
    pub claims: Vec<Claim>,
    /// What was kept of the upstream's metadata.
    pub evidence: Vec<Evidence>,
    /// The epoch to answer for.
    pub epoch: i32,
    /// The policy that asked.
    pub policy_epoch: i32,
    /// The checks that have answered in this epoch.
    pub answered: CheckSet,
    /// The checks that the gate requires.
    pub required: CheckSet,
}

impl ArtifactStatus {
    /// Its row.
    pub const fn artifact(&self) -> ArtifactDbId {
        self.gate.artifact
    }

    /// Its state.
    pub fn state(&self) -> ArtifactState {
        self.gate.state()
    }

    /// Why it is not served, in words for people; `None` when it is, or when nothing but time is missing.
    pub fn reason(&self) -> Option<String> {
        reason(self.state(), &self.findings, self.recall.as_deref())
    }
}

/// Puts the finding that decides a state into words.
pub(crate) fn reason(state: ArtifactState, findings: &[Finding], recall: Option<&str>) -> Option<String> {
    let found = |kinds: &[OutcomeKind]| {
        let finding = findings.iter().find(|finding| kinds.contains(&finding.outcome.kind))?;
        Some(format!("{} check: {}", finding.check, finding.outcome.reason))
    };
    match state {
        ArtifactState::Revoked => Some(recall.unwrap_or("no reason is on record").to_owned()),
        ArtifactState::Rejected => found(&[OutcomeKind::Fail]),
        ArtifactState::Held => {
            found(&[OutcomeKind::Inconclusive, OutcomeKind::NotOffered, OutcomeKind::Fail])
        }
        ArtifactState::Fetched | ArtifactState::Verifying | ArtifactState::Servable => None,
    }
}

impl Store {
    /// Where an artifact stands; `None` when it is not on record.
    pub async fn status(&self, id: &ArtifactId) -> Result<Option<ArtifactStatus>, StoreError> {
        const STATUS: &str = r"-- artifact.status
SELECT artifact.ecosystem, artifact.package, artifact.version, artifact.file, artifact.sha256, artifact.chunk_root,
       artifact.fetched_at, gate.artifact_id, gate.policy_epoch, gate.epoch, gate.required, gate.veto,
       gate.tolerated, gate.ok, gate.deny, gate.undecided, gate.hold, gate.eligible_at, gate.dispatch_n, gate.unsigned,
       CASE WHEN NOT gate.servable THEN (
           SELECT jsonb_agg(jsonb_build_object('check', check_kind, 'kind', outcome, 'reason', reason) ORDER BY id DESC)
           FROM (
               SELECT id, check_kind, outcome, reason FROM verdict
               WHERE verdict.artifact_id = artifact.id AND verdict.epoch = gate.epoch AND outcome <> 'pass'
                 AND check_mask & gate.veto <> 0 AND (outcome <> 'not_offered' OR check_mask & gate.tolerated = 0)
                 -- those from before verdicts were signed still say why nothing is served
                 AND (envelope IS NULL OR NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id))
               ORDER BY id DESC LIMIT 16
           ) AS latest
       ) END AS findings,
       CASE WHEN (gate.hold & 2) <> 0 THEN (
           SELECT recall.reason FROM recall
           WHERE recall.sha256 = artifact.sha256
              OR (recall.ecosystem = artifact.ecosystem AND recall.package = artifact.package
                  AND (recall.version IS NULL OR recall.version = artifact.version)
                  AND (recall.file IS NULL OR recall.file = artifact.file))
           ORDER BY recall.id DESC LIMIT 1
       ) END AS recall,
       ARRAY(SELECT key FROM fetched
             WHERE fetched.artifact_id = artifact.id
               AND NOT EXISTS (SELECT FROM fetch_refusal AS refusal
                               WHERE refusal.artifact_id = fetched.artifact_id AND refusal.envelope = fetched.envelope)
             ORDER BY fetched.id DESC LIMIT 4) AS fetch_keys,
       EXISTS (SELECT FROM promotion
               WHERE promotion.artifact_id = artifact.id AND promotion.epoch = gate.epoch AND envelope IS NOT NULL) AS promoted
FROM artifact JOIN gate ON gate.artifact_id = artifact.id
WHERE artifact.ecosystem = $1 AND artifact.package = $2 AND artifact.version = $3 AND artifact.file = $4";
        let parts: [&str; 4] =
            [id.ecosystem.as_str(), id.package.as_str(), id.version.as_str(), id.file.as_str()];
        let row = self.query_opt(STATUS, &[&parts[0], &parts[1], &parts[2], &parts[3]]).await?;
        row.as_ref().map(ArtifactStatus::try_from).transpose()
    }

    /// The states of at most [`ARTIFACTS_MAX`] artifacts; those that do not exist are left out.
    pub async fn states(
        &self,
        artifacts: &[ArtifactDbId],
    ) -> Result<Vec<(ArtifactDbId, ArtifactState)>, StoreError> {
        const STATES: &str = r"-- artifact.states
SELECT gate.artifact_id, artifact.sha256, artifact.chunk_root, epoch, required, veto, tolerated, ok, deny, undecided,
       hold
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE gate.artifact_id = ANY ($1)";
        within("artifacts", artifacts.len(), ARTIFACTS_MAX)?;
        let rows = self.query(STATES, &[&numbers(artifacts)]).await?;
        rows.iter().map(|row| Columns(row).gate().map(|gate| (gate.artifact, gate.state()))).collect()
    }

    /// What checks need to know of at most [`ARTIFACTS_MAX`] artifacts; those that do not exist, or cannot
    /// be read, are left out.
    pub async fn facts(&self, artifacts: &[ArtifactDbId]) -> Result<Vec<Facts>, StoreError> {
        const FACTS: &str = r"-- artifact.facts
SELECT artifact.id, artifact.ecosystem, artifact.package, artifact.version, artifact.file, artifact.sha256,
       artifact.sha512, artifact.size, artifact.chunk_root, artifact.upstream_url, artifact.published_at,
       gate.epoch, gate.policy_epoch, gate.ok | gate.deny | gate.undecided AS answered, gate.required,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('field', field, 'value', value) ORDER BY ordinal), '[]')
        FROM claim WHERE claim.artifact_id = artifact.id) AS claims,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'url', url, 'sha256', encode(evidence.sha256, 'hex'),
                                            'size', evidence.size, 'seen_at', seen_at) ORDER BY ordinal), '[]')
        FROM evidence WHERE evidence.artifact_id = artifact.id) AS evidence
FROM artifact JOIN gate ON gate.artifact_id = artifact.id
WHERE artifact.id = ANY ($1)
ORDER BY artifact.id";
        within("artifacts", artifacts.len(), ARTIFACTS_MAX)?;
        let rows = self.query(FACTS, &[&numbers(artifacts)]).await?;
        Ok(rows
            .iter()
            .filter_map(|row| Facts::try_from(row).inspect_err(|e| unreadable(row, e)).ok())
            .collect())
    }

    /// The artifacts that have these bytes, the latest first, at most `limit`.
    pub async fn find_by_digest(&self, sha256: Sha256, limit: i64) -> Result<Vec<ArtifactDbId>, StoreError> {
        const FIND: &str = r"-- artifact.find_by_digest
SELECT id FROM artifact WHERE sha256 = $1 ORDER BY id DESC LIMIT $2";
        let rows = self.query(FIND, &[&sha256.0.as_slice(), &limit]).await?;
        rows.iter().map(|row| Columns(row).artifact("id")).collect()
    }
}

impl TryFrom<&Row> for ArtifactStatus {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            id: columns.id()?,
            gate: columns.gate()?,
            policy_epoch: columns.get("policy_epoch")?,
            eligible_at: columns.get("eligible_at")?,
            fetched_at: columns.get("fetched_at")?,
            dispatches: columns.get("dispatch_n")?,
            findings: columns.findings()?,
            recall: columns.get("recall")?,
            fetch_keys: columns
                .get::<Vec<&[u8]>>("fetch_keys")?
                .into_iter()
                .map(key)
                .collect::<Result<_, _>>()?,
            promoted: columns.get("promoted")?,
            unsigned: columns.get("unsigned")?,
        })
    }
}

fn key(bytes: &[u8]) -> Result<KeyId, StoreError> {
    KeyId::from_slice(bytes).map_err(|e| StoreError::inconsistent("fetch_keys", &e))
}

impl TryFrom<&Row> for Facts {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            artifact: columns.artifact("id")?,
            id: columns.id()?,
            sha256: columns.sha256("sha256")?,
            sha512: columns.sha512("sha512")?,
            size: columns.unsigned("size")?,
            chunk_root: columns.sha256("chunk_root")?,
            upstream_url: columns.get("upstream_url")?,
            published_at: columns.get("published_at")?,
            claims: columns.json("claims")?,
            evidence: columns.json("evidence")?,
            epoch: columns.get("epoch")?,
            policy_epoch: columns.get("policy_epoch")?,
            answered: columns.get("answered").map(CheckSet::from_mask)?,
            required: columns.get("required").map(CheckSet::from_mask)?,
        })
    }
}

#[cfg(test)]
mod tests;
