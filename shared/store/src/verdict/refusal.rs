//! Refused rows: what promote found not to be what was signed, of verdicts and of fetches.

use touchstone_domain::{ArtifactDbId, Sha256};

use crate::{
    ARTIFACTS_MAX, Store, StoreError,
    error::within,
    row::{numbers, plain},
};

/// The most bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 2048;

impl Store {
    /// Notes why rows of `verdict` do not count: the row, a code and the words. They are in no case any more, and do not keep the
    /// same verdict from being recorded again. Each that is new is an incident about its artifact, but for those that nobody
    /// signed since they are from before verdicts were signed.
    pub async fn record_refusals(&self, refused: &[(i64, String, String)]) -> Result<(), StoreError> {
        const REFUSE: &str = r"-- verdict.refuse
WITH new AS (
    INSERT INTO verdict_refusal (verdict_id, code, reason)
    SELECT verdict_id, code, reason
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS refused (verdict_id, code, reason)
    ORDER BY verdict_id
    ON CONFLICT DO NOTHING
    RETURNING verdict_id, code, reason
), found AS (
    SELECT ecosystem, package, version, file, artifact.id,
           jsonb_build_object('check', check_kind, 'outcome', outcome, 'service', service, 'epoch', epoch, 'code', code,
                              'reason', new.reason, 'key', encode(key, 'hex')) AS detail
    FROM new
    JOIN verdict ON verdict.id = new.verdict_id
    JOIN artifact ON artifact.id = verdict.artifact_id
    WHERE key IS NOT NULL
)
INSERT INTO incident (kind, ecosystem, package, version, file, artifact_id, detail, count)
SELECT 'verdict_refused', ecosystem, package, version, file, id, detail, count(*)
FROM found
GROUP BY ecosystem, package, version, file, id, detail
ORDER BY ecosystem, package, version, file, detail
ON CONFLICT (kind, ecosystem, package, version, file, hour, hashtextextended(detail::text, 0))
    DO UPDATE SET count = incident.count + excluded.count, last_at = now(), resolved_at = NULL";
        within("refused verdicts", refused.len(), ARTIFACTS_MAX)?;
        if refused.is_empty() {
            return Ok(());
        }
        let (mut rows, mut codes, mut reasons) = (vec![], vec![], vec![]);
        for (row, code, reason) in refused {
            rows.push(*row);
            codes.push(plain(code, 64));
            reasons.push(plain(reason, REASON_BYTES_MAX));
        }
        self.query(REFUSE, &[&rows, &codes, &reasons]).await.map(drop)
    }
    /// Notes why fetches do not count: the artifact, the digest of the envelope, a code and the words. They are in no case any more,
    /// and no edge takes their keys for those of fetches that count. Each that is new is an incident about its artifact.
    pub async fn record_fetch_refusals(
        &self,
        refused: &[(ArtifactDbId, Sha256, String, String)],
    ) -> Result<(), StoreError> {
        const REFUSE: &str = r"-- fetch.refuse
WITH new AS (
    INSERT INTO fetch_refusal (artifact_id, envelope, code, reason)
    SELECT artifact_id, envelope, code, reason
    FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[]) AS refused (artifact_id, envelope, code, reason)
    ORDER BY artifact_id, envelope
    ON CONFLICT DO NOTHING
    RETURNING artifact_id, envelope, code, reason
)
INSERT INTO incident (kind, ecosystem, package, version, file, artifact_id, detail)
SELECT DISTINCT ON (ecosystem, package, version, file, detail)
       'fetch_refused', ecosystem, package, version, file, artifact.id, detail
FROM new
JOIN artifact ON artifact.id = new.artifact_id,
LATERAL (SELECT jsonb_build_object('code', code, 'reason', reason, 'envelope', encode(envelope, 'hex')) AS detail) AS told
ORDER BY ecosystem, package, version, file, detail
ON CONFLICT (kind, ecosystem, package, version, file, hour, hashtextextended(detail::text, 0))
    DO UPDATE SET count = incident.count + 1, last_at = now(), resolved_at = NULL";
        within("refused fetches", refused.len(), ARTIFACTS_MAX)?;
        if refused.is_empty() {
            return Ok(());
        }
        let artifacts: Vec<ArtifactDbId> = refused.iter().map(|(artifact, ..)| *artifact).collect();
        let envelopes: Vec<&[u8]> = refused.iter().map(|(_, envelope, ..)| envelope.0.as_slice()).collect();
        let codes: Vec<String> = refused.iter().map(|(_, _, code, _)| plain(code, 64)).collect();
        let reasons: Vec<String> =
            refused.iter().map(|(_, _, _, reason)| plain(reason, REASON_BYTES_MAX)).collect();
        self.query(REFUSE, &[&numbers(&artifacts), &envelopes, &codes, &reasons]).await.map(drop)
    }
}
