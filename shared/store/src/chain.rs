//! Chains: every signed record of an artifact's promotion in force, for those who verify them without us.

use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, CheckKind, CheckSet, FileName, Purl, Sha256, SignedBy, Version,
};

use crate::{
    Store, StoreError,
    row::{Columns, numbers},
};

/// The most artifacts whose records are read at once.
const CHAINS_MAX: i64 = 256;

/// The signed records of one artifact, as rows say. UNVERIFIED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its coordinate.
    pub id: ArtifactId,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The epoch of its gate.
    pub epoch: i32,
    /// Its fetches, the latest first, at most 100.
    pub fetches: Vec<SignedBy>,
    /// The verdicts of this epoch, the earliest first; without those that were refused, and at most the latest 100.
    pub verdicts: Vec<(CheckKind, SignedBy)>,
    /// The serve record, if the promotion is in force.
    pub promotion: Option<SignedBy>,
    /// The checks that the gate requires.
    pub required: CheckSet,
    /// Those of them that may find nothing to check; which layout verifies the chain depends on both.
    pub tolerated: CheckSet,
    /// Where the promotion is in the transparency log, if it is there already.
    pub log_index: Option<u64>,
}

impl Store {
    /// The records of what a purl names, the latest artifacts first, at most 256.
    pub async fn chains(&self, purl: &Purl) -> Result<Vec<Chain>, StoreError> {
        const NAMED: &str = r"-- chain.named
SELECT id FROM artifact
WHERE ecosystem = $1 AND package = $2 AND ($3::text IS NULL OR version = $3) AND ($4::text IS NULL OR file = $4)
ORDER BY id DESC LIMIT $5";
        let version = purl.version.as_ref().map(Version::as_str);
        let file = purl.file.as_ref().map(FileName::as_str);
        let (ecosystem, package) = (purl.ecosystem.as_str(), purl.package.as_str());
        let rows = self.query(NAMED, &[&ecosystem, &package, &version, &file, &CHAINS_MAX]).await?;
        let artifacts: Vec<_> =
            rows.iter().map(|row| Columns(row).artifact("id")).collect::<Result<_, _>>()?;
        self.chains_of(&artifacts).await
    }

    /// The records of the artifacts that have these bytes, the latest first, at most 256.
    pub async fn chains_of_digest(&self, sha256: Sha256) -> Result<Vec<Chain>, StoreError> {
        let artifacts = self.find_by_digest(sha256, CHAINS_MAX).await?;
        self.chains_of(&artifacts).await
    }

    async fn chains_of(&self, artifacts: &[ArtifactDbId]) -> Result<Vec<Chain>, StoreError> {
        const CHAINS: &str = r"-- chain.read
SELECT ecosystem, package, version, file, artifact.sha256, gate.epoch, gate.required, gate.tolerated,
       (SELECT string_agg(key || envelope || pack || int4send(pack_offset) || int4send(pack_size), '' ORDER BY id DESC)
        FROM (SELECT id, key, envelope, pack, pack_offset, pack_size FROM fetched
              WHERE fetched.artifact_id = artifact.id ORDER BY id DESC LIMIT 100) AS latest) AS fetches,
       verdicts.kinds, verdicts.signed, promotion.key, promotion.envelope, promotion.pack, promotion.pack_offset,
       promotion.pack_size,
       (SELECT leaf.index FROM gate_log JOIN log_leaf AS leaf ON source = 'gate_log' AND source_id = gate_log.id
        WHERE gate_log.artifact_id = artifact.id AND gate_log.epoch = gate.epoch AND state = 'servable'
          AND promotion.serial IS NOT NULL
        ORDER BY gate_log.id DESC LIMIT 1) AS log_index
FROM artifact
JOIN gate ON gate.artifact_id = artifact.id
LEFT JOIN promotion ON promotion.artifact_id = artifact.id AND promotion.epoch = gate.epoch AND gate.servable
                   AND promotion.envelope IS NOT NULL
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(check_kind ORDER BY id), '{}') AS kinds,
           string_agg(key || envelope || pack || int4send(pack_offset) || int4send(pack_size), '' ORDER BY id) AS signed
    FROM (SELECT id, check_kind, key, envelope, pack, pack_offset, pack_size FROM verdict
          WHERE verdict.artifact_id = artifact.id AND verdict.epoch = gate.epoch AND envelope IS NOT NULL
            AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)
          ORDER BY id DESC LIMIT 100) AS latest
) AS verdicts
WHERE artifact.id = ANY ($1)
ORDER BY artifact.id DESC";
        let rows = self.query(CHAINS, &[&numbers(artifacts)]).await?;
        rows.iter().map(Chain::try_from).collect()
    }
}

impl TryFrom<&Row> for Chain {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        let kinds: Vec<&str> = columns.get("kinds")?;
        let kinds = kinds.into_iter().map(str::parse::<CheckKind>);
        let kinds: Vec<CheckKind> =
            kinds.collect::<Result<_, _>>().map_err(|e| StoreError::inconsistent("check_kind", &e))?;
        Ok(Self {
            id: columns.id()?,
            sha256: columns.sha256("sha256")?,
            epoch: columns.get("epoch")?,
            fetches: columns.signed_list("fetches")?,
            verdicts: kinds.into_iter().zip(columns.signed_list("signed")?).collect(),
            promotion: columns.signed_opt()?,
            required: columns.get("required").map(CheckSet::from_mask)?,
            tolerated: columns.get("tolerated").map(CheckSet::from_mask)?,
            log_index: columns.log_index()?,
        })
    }
}

#[cfg(test)]
mod tests;
