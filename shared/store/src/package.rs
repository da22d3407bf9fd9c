//! All that is on record of one package: what the index filter needs.

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactState, Claim, Ecosystem, FileName, PackageName, Sha256, Version,
};

use crate::{Store, StoreError, artifact, row::Columns};

/// The most artifacts of a package that are listed: the latest.
const PACKAGE_ARTIFACTS_MAX: i64 = 20_000;

/// One artifact of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageArtifact {
    /// Its row.
    pub artifact: ArtifactDbId,
    /// Its version.
    pub version: Version,
    /// Its file.
    pub file: FileName,
    /// The digest on record.
    pub sha256: Sha256,
    /// Its state.
    pub state: ArtifactState,
    /// When it is old enough, if age was asked for.
    pub eligible_at: Option<Timestamp>,
    /// Why it is not served, in words for people; `None` when it is, or when nothing but time is missing.
    pub reason: Option<String>,
    /// What the upstream declared when the artifact was fetched.
    pub claims: Vec<Claim>,
    /// The digest of the upstream's entry as it then was.
    pub evidence: Option<Sha256>,
}

impl Store {
    /// The artifacts of a package that are on record.
    pub async fn package_artifacts(
        &self,
        ecosystem: Ecosystem,
        package: &PackageName,
    ) -> Result<Vec<PackageArtifact>, StoreError> {
        const ARTIFACTS: &str = r"-- package.artifacts
SELECT artifact.version, artifact.file, artifact.sha256, artifact.chunk_root, gate.artifact_id, gate.epoch,
       gate.required, gate.veto, gate.tolerated, gate.ok, gate.deny, gate.undecided, gate.hold, gate.eligible_at,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('field', field, 'value', value) ORDER BY ordinal), '[]')
        FROM claim WHERE claim.artifact_id = artifact.id) AS claims,
       (SELECT evidence.sha256 FROM evidence
        WHERE evidence.artifact_id = artifact.id AND kind = 'metadata_entry'
        ORDER BY ordinal LIMIT 1) AS evidence,
       CASE WHEN NOT gate.servable THEN (
           SELECT jsonb_agg(jsonb_build_object('check', check_kind, 'kind', outcome, 'reason', reason) ORDER BY id DESC)
           FROM (
               SELECT id, check_kind, outcome, reason FROM verdict
               WHERE verdict.artifact_id = artifact.id AND verdict.epoch = gate.epoch AND outcome <> 'pass'
                 AND check_mask & gate.veto <> 0 AND (outcome <> 'not_offered' OR check_mask & gate.tolerated = 0)
                 AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)
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
       ) END AS recall
FROM artifact JOIN gate ON gate.artifact_id = artifact.id
WHERE artifact.ecosystem = $1 AND artifact.package = $2
ORDER BY artifact.id DESC
LIMIT $3";
        let rows =
            self.query(ARTIFACTS, &[&ecosystem.as_str(), &package.as_str(), &PACKAGE_ARTIFACTS_MAX]).await?;
        rows.iter().map(PackageArtifact::try_from).collect()
    }
}

impl TryFrom<&Row> for PackageArtifact {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        let gate = columns.gate()?;
        let recall: Option<&str> = columns.get("recall")?;
        Ok(Self {
            artifact: gate.artifact,
            version: columns.version()?,
            file: columns.file()?,
            sha256: gate.sha256,
            state: gate.state(),
            eligible_at: columns.get("eligible_at")?,
            reason: artifact::reason(gate.state(), &columns.findings()?, recall),
            claims: columns.json("claims")?,
            evidence: columns.sha256_opt("evidence")?,
        })
    }
}
