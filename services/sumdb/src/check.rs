//! The check as the worker runs it: take what is on record or ask, prove it, compare, keep what was answered.
//!
//! *Invariant:* no verdict is given by an answer that proves itself, unless that is evidence on record. Where there is no verdict,
//! nothing is added to the evidence.
//!
//! *Invariant:* what is on record neither moves the stored head nor stops the database: it may be of a tree that was forgotten.
//!
//! *Invariant:* an answer that does not prove itself is asked for once more, past everything that is kept, before it counts
//! against the artifact.

use std::sync::Arc;

use serde_json::json;
use touchstone_domain::{Admission, CheckKind, Ecosystem, Evidence, EvidenceKind, Outcome, Reason, Sha256};
use touchstone_runtime::{Chain, Clock};
use touchstone_store::{EVIDENCE_MAX, IncidentKind, NewIncident, Store, StoreError, SumdbState};
use touchstone_tlog::sumdb::{LOOKUP_BYTES_MAX, UnverifiedLookup};
use touchstone_upstream::Framing;
use touchstone_worker::{Check, CheckError, Finding, Job, blocking};

use crate::{
    blob,
    client::{Reply, ended_early},
    database::Database,
    judge::{self, Recorded},
    lookups::Lookups,
    stop::{Problem, Stop},
    tiles::Sources,
};

/// The revision of the rules; to be raised when a judgement over the same evidence may come out differently.
const REVISION: i32 = 1;

/// How many of the lookups on record are tried, the newest first; and how many there may be before one that does not prove itself
/// is no longer added.
const LOOKUPS_MAX: usize = 8;

/// The sumdb check.
pub(crate) struct SumdbCheck {
    pub(crate) database: Arc<Database>,
    pub(crate) lookups: Lookups,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Check for SumdbCheck {
    fn kind(&self) -> CheckKind {
        CheckKind::Sumdb
    }

    fn revision(&self) -> i32 {
        REVISION
    }

    async fn check(&self, job: &Job) -> Result<Finding, CheckError> {
        if job.facts.id.ecosystem != Ecosystem::Go {
            return Err(CheckError::poison(format!("{} is not of Go", job.facts.id)));
        }
        let (package, database) = (&job.facts.id.package, &self.database.id);
        let internal = job.policy.admit_package(Ecosystem::Go, package) == Admission::Internal;
        if internal || job.policy.is_private_module(package) {
            return Ok(self.told(job, judge::private(), vec![], vec![]).await);
        }
        let mut used = Used::default();
        let judged = self.judge(job, &mut used).await;
        let proved = judged.is_ok();
        let outcome = match judged {
            Ok(outcome) => outcome,
            Err(Stop::Absent(status)) => judge::absent(database, status),
            Err(Stop::Refused(problem)) => judge::refused(database, problem),
            Err(Stop::Stopped(why)) => {
                count("retry", "stopped");
                return Err(CheckError::retry(why));
            }
            Err(Stop::Trouble(error)) => {
                count("retry", "unavailable");
                return Err(error);
            }
        };
        let evidence = self.keep(job, used, proved).await?;
        let trust = vec![Sha256::of(self.database.key.text())];
        Ok(self.told(job, outcome, evidence, trust).await)
    }
}

/// What was judged by.
#[derive(Default)]
struct Used {
    /// A lookup that was on record.
    on_record: Option<Sha256>,
    /// Replies to lookups, in order.
    replies: Vec<Reply>,
}

impl SumdbCheck {
    async fn judge(&self, job: &Job, used: &mut Used) -> Result<Outcome, Stop> {
        let state = self.database.running().await?;
        let recorded = match self.on_record(job, &state, used).await? {
            Some(recorded) => recorded,
            None => self.asked(job, &state, used).await?,
        };
        let outcome = match blob::computed(&job.facts, &job.blobs).await? {
            Ok(computed) => judge::compare(&self.database.id, &recorded, &computed),
            Err(reason) => Outcome::fail(reason),
        };
        // All this took its time.
        if self.database.running().await?.lineage != state.lineage {
            let why = format!("the head of {} was forgotten meanwhile", self.database.id);
            return Err(CheckError::retry(why).into());
        }
        Ok(outcome)
    }

    /// What is on record already, where it proves itself.
    async fn on_record(
        &self,
        job: &Job,
        state: &SumdbState,
        used: &mut Used,
    ) -> Result<Option<Recorded>, Stop> {
        for lookup in lookups(job).rev().take(LOOKUPS_MAX) {
            let (artifact, sha256) = (job.facts.artifact, lookup.sha256);
            match self.kept(job, state, sha256).await {
                Ok(Some(recorded)) => {
                    used.on_record = Some(sha256);
                    return Ok(Some(recorded));
                }
                Ok(None) => {}
                Err(Stop::Refused(Problem { code, .. })) => {
                    tracing::debug!(artifact.id = %artifact, %sha256, problem = code, "a lookup on record does not prove itself");
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(None)
    }

    /// What a lookup on record proves in the stored tree.
    async fn kept(&self, job: &Job, state: &SumdbState, sha256: Sha256) -> Result<Option<Recorded>, Stop> {
        let bytes = match job.blobs.read(sha256, LOOKUP_BYTES_MAX as u64).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(artifact.id = %job.facts.artifact, %sha256, error = %Chain(&error), "a lookup on record cannot be read");
                return Ok(None);
            }
        };
        let (key, id) = (self.database.key.clone(), &job.facts.id);
        let opened =
            blocking(move || judge::open(UnverifiedLookup::parse(&bytes).map_err(Problem::from)?, &key))
                .await??;
        let tiles = self.database.prove_again(state, &opened.head, opened.id).await?;
        Ok(match tiles {
            Some(tiles) => Some(judge::recorded(&opened, &tiles, &id.package, &id.version)?),
            None => None,
        })
    }

    /// What the database says that it has on record, proved.
    async fn asked(&self, job: &Job, state: &SumdbState, used: &mut Used) -> Result<Recorded, Stop> {
        match self.recorded(job, state, Sources::Any, used).await {
            Err(Stop::Refused(Problem { code, detail })) => {
                tracing::warn!(artifact.id = %job.facts.artifact, problem = code, detail, "a lookup does not prove itself; it is asked for once more");
                let state = self.database.running().await?;
                self.recorded(job, &state, Sources::Upstream, used).await
            }
            recorded => recorded,
        }
    }

    async fn recorded(
        &self,
        job: &Job,
        state: &SumdbState,
        sources: Sources,
        used: &mut Used,
    ) -> Result<Recorded, Stop> {
        let (database, id) = (&self.database, &job.facts.id);
        let reply = match sources {
            Sources::Any => self.lookups.ask(id).await,
            Sources::Upstream => self.lookups.ask_anew(id).await,
        }?;
        used.replies.push(reply.clone());
        let (key, Reply { bytes, framing, .. }) = (database.key.clone(), reply);
        let got = bytes.len();
        let opened = match blocking(move || UnverifiedLookup::parse(&bytes)).await? {
            Ok(lookup) => blocking(move || judge::open(lookup, &key)).await??,
            Err(_) if framing == Framing::Closing => {
                self.lookups.forget(id);
                return Err(ended_early(got));
            }
            Err(error) => return Err(Problem::from(error).into()),
        };
        let tiles = match database.prove(state.clone(), &opened.head, opened.id, sources).await {
            Err(stopped @ Stop::Stopped(_)) => {
                self.lookups.forget(id);
                return Err(stopped);
            }
            tiles => tiles?,
        };
        Ok(judge::recorded(&opened, &tiles, &id.package, &id.version)?)
    }

    /// Stores the replies as they were received, and says in Postgres that they were; the digests of all that was used. The last
    /// one may have proved itself; of others no more are kept than [`LOOKUPS_MAX`].
    async fn keep(&self, job: &Job, used: Used, proved: bool) -> Result<Vec<Sha256>, CheckError> {
        let (last, room) = (used.replies.len(), LOOKUPS_MAX.saturating_sub(lookups(job).count()));
        let mut evidence: Vec<Sha256> = used.on_record.into_iter().collect();
        for (number, reply) in (1..).zip(&used.replies) {
            if number <= room || (proved && number == last) {
                evidence.push(self.keep_reply(job, reply).await?);
            }
        }
        Ok(evidence)
    }

    async fn keep_reply(&self, job: &Job, reply: &Reply) -> Result<Sha256, CheckError> {
        let stored = job
            .blobs
            .put_bytes(reply.bytes.clone())
            .await
            .map_err(|error| CheckError::retry_because("the lookup cannot be stored", error))?;
        let evidence = Evidence {
            kind: EvidenceKind::SumdbLookup,
            url: reply.url.to_string(),
            sha256: stored.sha256,
            size: stored.size,
            seen_at: self.clock.now(),
        };
        self.store.add_evidence(job.facts.artifact, &[evidence]).await.map_err(unrecorded)?;
        Ok(stored.sha256)
    }

    /// Counts the answer, and puts on record what people must look at.
    async fn told(&self, job: &Job, outcome: Outcome, evidence: Vec<Sha256>, trust: Vec<Sha256>) -> Finding {
        let facts = &job.facts;
        count(outcome.kind.as_str(), outcome.reason.code());
        if let Some(kind) = incident_of(&outcome.reason) {
            tracing::warn!(artifact.id = %facts.artifact, purl = %facts.id, reason = %outcome.reason, "the checksum database does not vouch for it");
            let about = json!({ "reason": outcome.reason, "words": outcome.reason.to_string() });
            let incident = NewIncident::about(kind, &facts.id, Some(facts.artifact), about);
            if let Err(error) = self.store.record_incident(&incident).await {
                tracing::error!(artifact.id = %facts.artifact, %error, "an incident is not recorded");
            }
        }
        Finding { outcome, chunk_root: None, evidence, trust }
    }
}

/// The lookups on record.
fn lookups(job: &Job) -> impl DoubleEndedIterator<Item = &Evidence> {
    job.facts.evidence.iter().filter(|kept| kept.kind == EvidenceKind::SumdbLookup)
}

/// The incident that an answer is worth.
fn incident_of(reason: &Reason) -> Option<IncidentKind> {
    if let Reason::SumdbRefused { .. } = reason {
        return Some(IncidentKind::SumdbRefused);
    }
    matches!(reason, Reason::SumdbMismatch { .. }).then_some(IncidentKind::SumdbMismatch)
}

fn count(outcome: &'static str, reason: &'static str) {
    metrics::counter!("touchstone_sumdb_lookups", "outcome" => outcome, "reason" => reason).increment(1);
}

/// There is a bound to what is kept of one artifact, which a database reaches that answers differently each time.
fn unrecorded(error: StoreError) -> CheckError {
    const PROBLEM: &str = "the lookup cannot be put on record";
    if let StoreError::Limit { .. } = error {
        return CheckError::retry(format!(
            "{PROBLEM}: the database has sent too many different answers about this artifact, and at most {EVIDENCE_MAX} pieces of evidence are kept"
        ));
    }
    CheckError::retry_because(PROBLEM, error)
}

#[cfg(test)]
mod tests;
