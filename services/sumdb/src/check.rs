//! The check as the worker runs it: ask, keep what was answered, prove it, compare.
//!
//! *Invariant:* an answer is evidence on record before it is judged.
//!
//! *Invariant:* an answer that does not prove itself is asked for once more, past everything that is kept, before it counts
//! against the artifact.

use std::sync::Arc;

use serde_json::json;
use touchstone_domain::{CheckKind, Ecosystem, Evidence, EvidenceKind, Outcome, Reason, Sha256};
use touchstone_runtime::Clock;
use touchstone_store::{EVIDENCE_MAX, IncidentKind, NewIncident, Store, StoreError};
use touchstone_tlog::sumdb::{LOOKUP_BYTES_MAX, UnverifiedLookup};
use touchstone_upstream::Framing;
use touchstone_worker::{Check, CheckError, Finding, Job};

use crate::{
    blob,
    blocking::blocking,
    client::{Reply, ended_early},
    database::Database,
    judge::{self, Recorded},
    lookups::Lookups,
    stop::{Problem, Stop},
    tiles::Sources,
};

/// The revision of the rules; to be raised when a judgement over the same evidence may come out differently.
const REVISION: i32 = 1;

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
        let (mut evidence, database) = (vec![], &self.database.id);
        if job.policy.is_private_module(&job.facts.id.package) {
            return Ok(self.told(job, judge::private(), evidence, vec![]).await);
        }
        let outcome = match self.judge(job, &mut evidence).await {
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
        let trust = vec![Sha256::of(self.database.key.text())];
        Ok(self.told(job, outcome, evidence, trust).await)
    }
}

impl SumdbCheck {
    async fn judge(&self, job: &Job, evidence: &mut Vec<Sha256>) -> Result<Outcome, Stop> {
        let recorded = match self.recorded(job, Sources::Any, evidence).await {
            Err(Stop::Refused(Problem { code, detail })) => {
                tracing::warn!(artifact.id = %job.facts.artifact, problem = code, detail, "a lookup does not prove itself; it is asked for once more");
                self.recorded(job, Sources::Upstream, evidence).await?
            }
            recorded => recorded?,
        };
        Ok(match blob::computed(&job.facts, &job.blobs).await? {
            Ok(computed) => judge::compare(&self.database.id, &recorded, &computed),
            Err(reason) => Outcome::fail(reason),
        })
    }

    /// What the database has on record, proved.
    async fn recorded(
        &self,
        job: &Job,
        sources: Sources,
        evidence: &mut Vec<Sha256>,
    ) -> Result<Recorded, Stop> {
        let (database, id) = (&self.database, &job.facts.id);
        let state = database.running().await?;
        let asked = match sources {
            Sources::Any => self.lookups.ask(id).await,
            Sources::Upstream => self.lookups.ask_anew(id).await,
        };
        let reply = match asked {
            Err(Stop::Absent(status)) => on_record(job, evidence).await?.ok_or(Stop::Absent(status))?,
            asked => {
                let reply = asked?;
                evidence.push(self.keep(job, &reply).await?);
                reply
            }
        };
        let (key, Reply { bytes, framing, .. }) = (database.key.clone(), reply);
        let got = bytes.len();
        let opened = match blocking(move || UnverifiedLookup::parse(&bytes)).await? {
            Ok(lookup) => blocking(move || judge::open(lookup, &key)).await??,
            Err(_) if framing == Framing::Closing => return Err(ended_early(got)),
            Err(error) => return Err(Problem::from(error).into()),
        };
        let tiles = database.prove(state, &opened.head, opened.id, sources).await?;
        Ok(judge::recorded(&opened, &tiles, &id.package, &id.version)?)
    }

    /// Stores the reply as it was received, and says in Postgres that it was.
    async fn keep(&self, job: &Job, reply: &Reply) -> Result<Sha256, CheckError> {
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

/// What the database no longer has, and once gave us for this artifact, still proves what it proved.
async fn on_record(job: &Job, evidence: &mut Vec<Sha256>) -> Result<Option<Reply>, CheckError> {
    let kept = job.facts.evidence.iter().rev().find(|kept| kept.kind == EvidenceKind::SumdbLookup);
    let Some(kept) = kept else { return Ok(None) };
    let Ok(url) = kept.url.parse() else { return Ok(None) };
    tracing::warn!(artifact.id = %job.facts.artifact, "the checksum database withdrew a record; the lookup on record is used");
    let bytes = job
        .blobs
        .read(kept.sha256, LOOKUP_BYTES_MAX as u64)
        .await
        .map_err(|error| CheckError::retry_because("the lookup on record cannot be read", error))?;
    evidence.push(kept.sha256);
    Ok(Some(Reply { url, bytes, framing: Framing::Announced }))
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
