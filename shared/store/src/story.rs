//! Why an artifact is where it is: everything on record about it, for people.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactState, FileName, Gate, Purl, Sha256, SignedBy, Verdict, Version,
};

use crate::{
    Attempt, DeadLetter, Facts, Incident, Store, StoreError,
    error::within,
    row::{Columns, numbers},
    verdict::verdict,
};

/// The most artifacts that are told of at once.
const STORIES_MAX: usize = 256;
/// The most rows of each kind per artifact: the latest.
const ROWS_MAX: i64 = 100;

/// Everything on record about one artifact. Lists have the latest first, at most 100 of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// What it is, and what is declared about it.
    pub facts: Facts,
    /// Its gate.
    pub gate: Gate,
    /// When it is old enough, if age was asked for.
    pub eligible_at: Option<Timestamp>,
    /// When it was put on record.
    pub fetched_at: Timestamp,
    /// How often its checks were asked again.
    pub dispatches: i16,
    /// When they are asked next; `None` when it is not pending.
    pub dispatch_due: Option<Timestamp>,
    /// Verdicts, of all epochs.
    pub verdicts: Vec<RecordedVerdict>,
    /// Changes of its state.
    pub log: Vec<Transition>,
    /// Promotions; that of the gate's epoch permits serving while the gate is servable.
    pub promotions: Vec<Promotion>,
    /// Attempts of checks that failed.
    pub attempts: Vec<RecordedAttempt>,
    /// Messages about it that were given up on.
    pub dead_letters: Vec<DeadLetter>,
    /// Incidents.
    pub incidents: Vec<Incident>,
    /// Its fetches, and when each was recorded.
    pub fetches: Vec<(SignedBy, Timestamp)>,
    /// The recalls that name it.
    pub recalls: Vec<RecallOfIt>,
    /// When this was read, by Postgres' clock.
    pub told_at: Timestamp,
}

/// A verdict, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// When it was recorded, by Postgres.
    pub recorded_at: Timestamp,
    /// The envelope, and the key that the row names; absent from before verdicts were signed.
    pub signed: Option<SignedBy>,
    /// Why it does not count, if it was refused: a code, and the words.
    pub refused: Option<(String, String)>,
}

/// A failed attempt, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// When it was recorded.
    pub at: Timestamp,
}

/// A recall that names an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallOfIt {
    /// Why.
    pub reason: String,
    /// Who gave it.
    pub actor: String,
    /// When it was put on record.
    pub at: Timestamp,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The epoch in which it happened.
    pub epoch: i32,
    /// The word of the state before, [`ArtifactState::as_str`].
    pub was: String,
    /// The word of the state after.
    pub state: String,
    /// `verdict`, `age`, `recall`, `recheck`, `key`, `policy` or `unsigned`.
    pub cause: String,
    /// When.
    pub at: Timestamp,
    /// Where it is in the transparency log, if it is there.
    pub log_index: Option<u64>,
}

/// A promotion as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Its number.
    pub serial: i64,
    /// The epoch that approved.
    pub epoch: i32,
    /// The policy that required the checks.
    pub policy_epoch: i32,
    /// The bytes that were approved.
    pub sha256: Sha256,
    /// When.
    pub promoted_at: Timestamp,
    /// The serve record; absent from before promotions were signed.
    pub signed: Option<SignedBy>,
    /// Where it is in the transparency log, if it is there already.
    pub log_index: Option<u64>,
}

impl Story {
    /// The artifact's state.
    pub fn state(&self) -> ArtifactState {
        self.gate.state()
    }
}

impl Store {
    /// Everything about what a purl names, the latest artifacts first.
    pub async fn stories(&self, purl: &Purl, limit: i64) -> Result<Vec<Story>, StoreError> {
        const NAMED: &str = r"-- story.named
SELECT id FROM artifact
WHERE ecosystem = $1 AND package = $2 AND ($3::text IS NULL OR version = $3) AND ($4::text IS NULL OR file = $4)
ORDER BY id DESC LIMIT least($5::bigint, 256)";
        let version = purl.version.as_ref().map(Version::as_str);
        let file = purl.file.as_ref().map(FileName::as_str);
        let rows = self
            .query(NAMED, &[&purl.ecosystem.as_str(), &purl.package.as_str(), &version, &file, &limit])
            .await?;
        let artifacts: Vec<ArtifactDbId> =
            rows.iter().map(|row| Columns(row).artifact("id")).collect::<Result<_, _>>()?;
        self.stories_of(&artifacts).await
    }

    /// Everything about at most 256 artifacts, the latest first.
    pub async fn stories_of(&self, artifacts: &[ArtifactDbId]) -> Result<Vec<Story>, StoreError> {
        const GATES: &str = r"-- story.gates
SELECT gate.artifact_id, artifact.sha256, artifact.chunk_root, epoch, required, veto, tolerated, ok, deny, undecided,
       hold, eligible_at, fetched_at, dispatch_n, CASE WHEN pending THEN dispatch_due END AS dispatch_due,
       now() AS told_at, recalls.reasons, recalls.actors, recalls.times
FROM gate JOIN artifact ON artifact.id = gate.artifact_id, LATERAL (
    SELECT coalesce(array_agg(reason ORDER BY id DESC), '{}') AS reasons,
           coalesce(array_agg(actor ORDER BY id DESC), '{}') AS actors,
           coalesce(array_agg(at ORDER BY id DESC), '{}') AS times
    FROM (SELECT id, reason, actor, at FROM recall
          WHERE recall.sha256 = artifact.sha256
             OR (recall.ecosystem = artifact.ecosystem AND recall.package = artifact.package
                 AND (recall.version IS NULL OR recall.version = artifact.version)
                 AND (recall.file IS NULL OR recall.file = artifact.file))
          ORDER BY id DESC LIMIT 100) AS latest) AS recalls
WHERE gate.artifact_id = ANY ($1)
ORDER BY gate.artifact_id DESC";
        within("artifacts", artifacts.len(), STORIES_MAX)?;
        let mut facts: HashMap<_, _> =
            self.facts(artifacts).await?.into_iter().map(|f| (f.artifact, f)).collect();
        let mut lists = self.lists(artifacts).await?;
        let rows = self.query(GATES, &[&numbers(artifacts)]).await?;
        let story = |row: &Row| {
            let columns = Columns(row);
            let gate = columns.gate()?;
            let missing = || StoreError::inconsistent("artifact", "it has a gate and no facts");
            let Lists { verdicts, log, promotions, fetches, attempts, dead_letters, incidents } =
                lists.remove(&gate.artifact).unwrap_or_default();
            Ok(Story {
                facts: facts.remove(&gate.artifact).ok_or_else(missing)?,
                gate,
                eligible_at: columns.get("eligible_at")?,
                fetched_at: columns.get("fetched_at")?,
                dispatches: columns.get("dispatch_n")?,
                dispatch_due: columns.get("dispatch_due")?,
                verdicts,
                log,
                promotions,
                attempts,
                dead_letters,
                incidents,
                fetches,
                recalls: recalls(columns)?,
                told_at: columns.get("told_at")?,
            })
        };
        rows.iter().map(story).collect()
    }

    async fn lists(&self, artifacts: &[ArtifactDbId]) -> Result<HashMap<ArtifactDbId, Lists>, StoreError> {
        const VERDICTS: &str = r"-- story.verdicts
SELECT artifact_id, sha256 AS subject, chunk_root AS subject_chunk_root, epoch, check_kind, check_revision, policy_epoch,
       outcome, latest.reason, evidence, trust, service, software, decided_at, recorded_at, key, envelope, pack, pack_offset,
       pack_size, refusal.code AS refused_code, refusal.reason AS refused_reason
FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT * FROM verdict WHERE verdict.artifact_id = asked.id ORDER BY verdict.id DESC LIMIT $2) AS latest
LEFT JOIN verdict_refusal AS refusal ON refusal.verdict_id = latest.id";
        const LOG: &str = r"-- story.log
SELECT artifact_id, epoch, was, state, cause, at,
       (SELECT index FROM log_leaf WHERE source = 'gate_log' AND source_id = latest.id) AS log_index
FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT * FROM gate_log WHERE gate_log.artifact_id = asked.id ORDER BY gate_log.id DESC LIMIT $2) AS latest";
        const PROMOTIONS: &str = r"-- story.promotions
SELECT artifact_id, serial, epoch, policy_epoch, sha256, promoted_at, key, envelope, pack, pack_offset, pack_size,
       (SELECT leaf.index FROM gate_log JOIN log_leaf AS leaf ON source = 'gate_log' AND source_id = gate_log.id
        WHERE gate_log.artifact_id = latest.artifact_id AND gate_log.epoch = latest.epoch AND state = 'servable'
        ORDER BY gate_log.id DESC LIMIT 1) AS log_index
FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT * FROM promotion WHERE promotion.artifact_id = asked.id ORDER BY serial DESC LIMIT $2) AS latest";
        const FETCHES: &str = r"-- story.fetches
SELECT artifact_id, key, envelope, pack, pack_offset, pack_size, at
FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT * FROM fetched WHERE fetched.artifact_id = asked.id ORDER BY fetched.id DESC LIMIT $2) AS latest";
        const ATTEMPTS: &str = r"-- story.attempts
SELECT artifact_id, epoch, check_kind, delivery, class, detail, service, at
FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT * FROM attempt WHERE attempt.artifact_id = asked.id ORDER BY attempt.id DESC LIMIT $2) AS latest";
        const DEAD_LETTERS: &str = r"-- story.dead_letters
SELECT latest.id, stream, consumer, stream_seq, deliveries, check_kind, artifact_id, epoch, detail, at, resolved_at
FROM unnest($1::bigint[]) AS asked (id), LATERAL (
    SELECT * FROM dead_letter WHERE dead_letter.artifact_id = asked.id ORDER BY dead_letter.id DESC LIMIT $2) AS latest";
        const INCIDENTS: &str = r"-- story.incidents
SELECT latest.id, kind, latest.ecosystem, latest.package, latest.version, latest.file, artifact.id AS artifact_id, detail,
       count, at, last_at, resolved_at
FROM unnest($1::bigint[]) AS asked (id) JOIN artifact ON artifact.id = asked.id, LATERAL (
    SELECT * FROM incident
    WHERE incident.ecosystem = artifact.ecosystem AND incident.package = artifact.package
      AND incident.version = artifact.version AND incident.file = artifact.file
    ORDER BY incident.id DESC LIMIT $2) AS latest";
        let ids = numbers(artifacts);
        let mut lists: HashMap<ArtifactDbId, Lists> = HashMap::new();
        for sql in [VERDICTS, LOG, PROMOTIONS, FETCHES, ATTEMPTS, DEAD_LETTERS, INCIDENTS] {
            for row in self.query(sql, &[&ids, &ROWS_MAX]).await? {
                let columns = Columns(&row);
                let of = lists.entry(columns.artifact("artifact_id")?).or_default();
                match sql {
                    VERDICTS => of.verdicts.push(RecordedVerdict {
                        verdict: verdict(columns)?,
                        recorded_at: columns.get("recorded_at")?,
                        signed: columns.signed_opt()?,
                        refused: match columns.get::<Option<String>>("refused_code")? {
                            Some(code) => Some((code, columns.get("refused_reason")?)),
                            None => None,
                        },
                    }),
                    LOG => of.log.push(Transition::try_from(&row)?),
                    PROMOTIONS => of.promotions.push(Promotion::try_from(&row)?),
                    FETCHES => of.fetches.push((columns.signed()?, columns.get("at")?)),
                    ATTEMPTS => of
                        .attempts
                        .push(RecordedAttempt { attempt: (&row).try_into()?, at: columns.get("at")? }),
                    DEAD_LETTERS => of.dead_letters.push(DeadLetter::try_from(&row)?),
                    _ => of.incidents.push(Incident::try_from(&row)?),
                }
            }
        }
        Ok(lists)
    }
}

/// The recalls in three columns of as many values each.
fn recalls(columns: Columns<'_>) -> Result<Vec<RecallOfIt>, StoreError> {
    let (reasons, actors): (Vec<String>, Vec<String>) = (columns.get("reasons")?, columns.get("actors")?);
    let times: Vec<Timestamp> = columns.get("times")?;
    let all = reasons.into_iter().zip(actors).zip(times);
    Ok(all.map(|((reason, actor), at)| RecallOfIt { reason, actor, at }).collect())
}

#[derive(Default)]
struct Lists {
    verdicts: Vec<RecordedVerdict>,
    log: Vec<Transition>,
    promotions: Vec<Promotion>,
    fetches: Vec<(SignedBy, Timestamp)>,
    attempts: Vec<RecordedAttempt>,
    dead_letters: Vec<DeadLetter>,
    incidents: Vec<Incident>,
}

impl TryFrom<&Row> for Transition {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            epoch: columns.get("epoch")?,
            was: columns.get("was")?,
            state: columns.get("state")?,
            cause: columns.get("cause")?,
            at: columns.get("at")?,
            log_index: columns.log_index()?,
        })
    }
}

impl TryFrom<&Row> for Promotion {
    type Error = StoreError;

    fn try_from(row: &Row) -> Result<Self, StoreError> {
        let columns = Columns(row);
        Ok(Self {
            serial: columns.get("serial")?,
            epoch: columns.get("epoch")?,
            policy_epoch: columns.get("policy_epoch")?,
            sha256: columns.sha256("sha256")?,
            promoted_at: columns.get("promoted_at")?,
            signed: columns.signed_opt()?,
            log_index: columns.log_index()?,
        })
    }
}

#[cfg(test)]
mod tests;
