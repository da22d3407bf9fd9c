//! Cases: all that rows say of an artifact in the epoch of its gate, for whoever verifies it and decides.

use tokio_postgres::Row;
use touchstone_custody::{Case, StoredVerdict};
use touchstone_domain::ArtifactDbId;

use crate::{
    ARTIFACTS_MAX, Store, StoreError,
    error::within,
    row::{Columns, numbers, unreadable},
    verdict::verdict,
};

/// Which artifacts [`Store::cases`] answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with a verdict of the gate's epoch that the gate does not know of.
    New,
    /// Those that may be decided by such verdicts, as far as rows say: one has failed them, or all required checks have answered.
    /// Of the others only the gate and the masks of the verdicts are read, since each answer of each check asks about them.
    Decided,
    /// All that are named.
    All,
}

// Refused rows are left out. Of each check there are at most 16 verdicts, so that none can crowd out another's: failures first, and
// then the latest. A bit that the gate lacks makes a verdict fresh, and its whole case is told: the approval rests on all of it.
const CASES: &str = r"-- case.read
WITH named AS MATERIALIZED (
    SELECT gate.artifact_id, ecosystem, package, version, file, sha256, chunk_root, sha512, size, upstream_url,
           coalesce((SELECT first_seen FROM sighting
                     WHERE sighting.ecosystem = artifact.ecosystem AND sighting.package = artifact.package
                       AND sighting.version = artifact.version), fetched_at) AS first_seen, epoch,
           policy_epoch AS gate_policy_epoch, required, veto, tolerated, ok, deny, undecided, hold,
           (SELECT string_agg(key || envelope || pack || int4send(pack_offset) || int4send(pack_size), '' ORDER BY id DESC)
            FROM (SELECT id, key, envelope, pack, pack_offset, pack_size FROM fetched
                  WHERE fetched.artifact_id = gate.artifact_id
                    AND NOT EXISTS (SELECT FROM fetch_refusal AS refusal
                                    WHERE refusal.artifact_id = fetched.artifact_id AND refusal.envelope = fetched.envelope)
                  ORDER BY id DESC LIMIT 4) AS latest) AS fetches
    FROM gate JOIN artifact ON artifact.id = gate.artifact_id
    WHERE gate.artifact_id = ANY ($1)
      AND ($2 OR (
          SELECT failed & ~deny <> 0
                 OR (required & ~answered = 0 AND (passed & ~ok <> 0 OR answered & ~(ok | deny | undecided) <> 0))
          FROM (
              SELECT coalesce(bit_or(check_mask), 0) AS answered,
                     coalesce(bit_or(check_mask) FILTER (WHERE outcome = 'fail'), 0) AS failed,
                     coalesce(bit_or(check_mask) FILTER (
                         WHERE outcome = 'pass' OR (outcome = 'not_offered' AND check_mask & tolerated <> 0)), 0) AS passed
              FROM verdict WHERE verdict.artifact_id = gate.artifact_id AND verdict.epoch = gate.epoch
          ) AS claimed
      ))
)
SELECT named.artifact_id, ecosystem, package, version, file, named.sha256, named.chunk_root, sha512, size, upstream_url,
       first_seen, named.epoch, gate_policy_epoch, required, veto, tolerated, ok, deny, undecided, hold, fetches, id,
       verdict.sha256 AS subject, verdict.chunk_root AS subject_chunk_root, check_kind, check_revision,
       policy_epoch, outcome, reason, evidence, trust, service, software, decided_at, key, envelope, pack, pack_offset,
       pack_size,
       check_mask & CASE outcome WHEN 'pass' THEN ok WHEN 'fail' THEN deny
                        WHEN 'not_offered' THEN CASE WHEN check_mask & tolerated <> 0 THEN ok ELSE undecided END
                        ELSE undecided END = 0 AS fresh
FROM named LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT id, sha256, chunk_root, check_kind, check_mask, check_revision, policy_epoch, outcome, reason, evidence,
               trust, service, software, decided_at, key, envelope, pack, pack_offset, pack_size,
               row_number() OVER (PARTITION BY check_kind ORDER BY outcome = 'fail' DESC, id DESC) AS n
        FROM verdict
        WHERE verdict.artifact_id = named.artifact_id AND verdict.epoch = named.epoch
          AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)
    ) AS numbered
    WHERE n <= 16
) AS verdict ON true
ORDER BY named.artifact_id, id";

impl Store {
    /// The cases of at most [`ARTIFACTS_MAX`] artifacts, with the four latest fetches and at most 16 verdicts of each check. An
    /// artifact that cannot be read is logged and left out, so that it is in nobody else's way. A verdict whose reason this version
    /// does not know is told with its outcome; one that cannot be read at all is logged and
    /// left out.
    pub async fn cases(&self, artifacts: &[ArtifactDbId], wanted: Wanted) -> Result<Vec<Case>, StoreError> {
        within("artifacts", artifacts.len(), ARTIFACTS_MAX)?;
        let rows = self.query(CASES, &[&numbers(artifacts), &(wanted != Wanted::Decided)]).await?;
        let mut cases = Vec::new();
        for rows in rows.chunk_by(|a, b| a.get::<_, i64>("artifact_id") == b.get::<_, i64>("artifact_id")) {
            let mut fresh = wanted == Wanted::All;
            for row in rows {
                fresh |= Columns(row).get::<Option<bool>>("fresh")?.unwrap_or(false);
            }
            if fresh && let Some(first) = rows.first() {
                match case(first, rows) {
                    Ok(case) => cases.push(case),
                    Err(error) => unreadable(first, &error),
                }
            }
        }
        Ok(cases)
    }
}

fn case(first: &Row, rows: &[Row]) -> Result<Case, StoreError> {
    let columns = Columns(first);
    let mut case = Case {
        gate: columns.gate()?,
        policy_epoch: columns.get("gate_policy_epoch")?,
        id: columns.id()?,
        sha512: columns.sha512("sha512")?,
        size: columns.unsigned("size")?,
        upstream_url: columns.get("upstream_url")?,
        first_seen: columns.get("first_seen")?,
        fetches: columns.signed_list("fetches")?.into_iter().map(|signed| signed.envelope).collect(),
        verdicts: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        let columns = Columns(row);
        let Some(row) = columns.get("id")? else { continue };
        let stored = verdict(columns)
            .and_then(|verdict| Ok(StoredVerdict { row, verdict, signed: columns.signed_opt()? }));
        match stored {
            Ok(stored) => case.verdicts.push(stored),
            Err(error) => {
                tracing::error!(artifact.id = %case.gate.artifact, verdict.id = row, %error, "a verdict cannot be read and does not count");
            }
        }
    }
    Ok(case)
}

#[cfg(test)]
mod tests;
