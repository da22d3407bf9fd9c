//! From what the database says of a promotion to the permission to serve its bytes.
//!
//! *Invariant:* a row only finds the envelope. What is served is what the signature in it permits: this installation, this
//! coordinate, these bytes, this epoch; by keys that count now, and not ended by the transparency log.
//!
//! *Invariant:* what is remembered is that a signature verified with a ring of keys, and nothing else: the rest is compared for each
//! request.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::sync::watch;
use touchstone_custody::{
    Expected, KeyProblem, KeyRing, PromotedArtifact, RecordMismatch, Refused, Revocation, ServeRecord,
};
use touchstone_domain::{ArtifactDbId, ArtifactId, Refusal, RefusalKind, Sha256};
use touchstone_records::RecordError;
use touchstone_store::{ArtifactStatus, IncidentKind, NewIncident, ServedRow, StoreError};

use crate::{artifact::record_incident, log::Standing, state::Edge, words};

/// The verified serve records that are kept: a few hundred bytes each.
const RECORDS_MAX: u64 = 65_536;

/// Serve records whose signature was verified, by the digest of their envelope and that of the ring.
pub(crate) struct Permits {
    verified: moka::sync::Cache<(Sha256, Sha256), Arc<ServeRecord>>,
    /// The ring that was used last, and its digest.
    ring: Mutex<Option<Ring>>,
}

/// A ring and its digest.
#[derive(Clone)]
struct Ring {
    keys: Arc<KeyRing>,
    digest: Sha256,
}

impl Permits {
    pub(crate) fn new() -> Self {
        Self { verified: moka::sync::Cache::new(RECORDS_MAX), ring: Mutex::default() }
    }

    /// The ring that counts now.
    fn ring(&self, watched: &watch::Receiver<Arc<KeyRing>>) -> Ring {
        let keys = Arc::clone(&watched.borrow());
        let mut last = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(ring) if Arc::ptr_eq(&ring.keys, &keys) => ring.clone(),
            Some(_) | None => last.insert(Ring { digest: keys.digest(), keys }).clone(),
        }
    }
}

/// Why there is no permission.
struct NotPermitted {
    /// The field that is wrong.
    field: &'static str,
    incident: NewIncident,
    refusal: Refusal,
}

/// The permission to serve what the row says, if the record that it names says the same. `standing` is that of the log from before
/// the row was read.
pub(crate) async fn permit(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    row: ServedRow,
    standing: &Standing,
) -> Result<PromotedArtifact, Refusal> {
    bound(edge, id, row, standing).await.map_err(|NotPermitted { field, incident, refusal }| {
        tracing::error!(artifact.id = %id, field, problem = refusal.detail, "a serve record was refused");
        record_later(edge, id, field, incident);
        refusal
    })
}

async fn bound(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    row: ServedRow,
    standing: &Standing,
) -> Result<PromotedArtifact, NotPermitted> {
    edge.log.sealed(row.sealed);
    if row.sealed < standing.size {
        let facts = json!({ "entries": row.sealed });
        let incident = NewIncident::about_log(IncidentKind::DatabaseRollback, edge.log.origin(), facts);
        let refusal = words::database_behind(row.sealed, standing.size);
        return Err(NotPermitted { field: "sealed", incident, refusal });
    }
    let ring = edge.permits.ring(&edge.ring);
    let record = verified(edge, id, &row, &ring).await?;
    let expected = Expected {
        environment: &edge.signing.environment,
        id,
        sha256: row.sha256,
        sha512: row.sha512,
        size: row.size,
        chunk_root: row.chunk_root,
        epoch: row.epoch,
        serial: row.serial,
    };
    // The log as it is known now: it may have ended what the row still has.
    let bound = edge.log.with_revocations(|revocations| {
        PromotedArtifact::bind(record, &expected, &ring.keys, revocations, row.chunks)
    });
    bound.map_err(|mismatch| {
        let (field, kind) = mismatched(&mismatch);
        refused(id, row.artifact, field, kind, &mismatch.to_string())
    })
}

/// The record that the row names, its signature verified with the ring.
async fn verified(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    row: &ServedRow,
    ring: &Ring,
) -> Result<Arc<ServeRecord>, NotPermitted> {
    let key = (row.signed.envelope.sha256, ring.digest);
    if let Some(record) = edge.permits.verified.get(&key) {
        return Ok(record);
    }
    let read = edge.records.read(&[row.signed.envelope]).await.pop().unwrap_or(Err(RecordError::Missing));
    let envelope = read.map_err(|error| {
        tracing::error!(artifact.id = %id, envelope = %key.0, error = &error as &dyn std::error::Error, "a serve record cannot be read");
        missing(id, row.artifact, &error.to_string())
    })?;
    let (edge, keys) = (Arc::clone(edge), Arc::clone(&ring.keys));
    let verifying = tokio::task::spawn_blocking(move || {
        let verify = || ServeRecord::verify(&envelope, &keys).map(Arc::new);
        edge.permits.verified.try_get_with(key, verify)
    });
    let verified = verifying.await.map_err(|_panic| missing(id, row.artifact, "reading it failed"))?;
    verified.map_err(|problem: Arc<Refused>| {
        refused(id, row.artifact, problem.code(), unsigned(&problem), &problem.to_string())
    })
}

fn missing(id: &ArtifactId, artifact: ArtifactDbId, problem: &str) -> NotPermitted {
    let facts = json!({ "problem": problem });
    NotPermitted {
        field: "record",
        incident: NewIncident::about(IncidentKind::RecordMissing, id, Some(artifact), facts),
        refusal: words::record_missing(id, problem),
    }
}

fn refused(
    id: &ArtifactId,
    artifact: ArtifactDbId,
    field: &'static str,
    kind: RefusalKind,
    problem: &str,
) -> NotPermitted {
    let facts = json!({ "field": field, "problem": problem });
    NotPermitted {
        field,
        incident: NewIncident::about(IncidentKind::ServeRecordRefused, id, Some(artifact), facts),
        refusal: words::record_refused(id, field, kind, problem),
    }
}

/// The field that a mismatch is about, and the class of its refusal.
fn mismatched(mismatch: &RecordMismatch) -> (&'static str, RefusalKind) {
    match mismatch {
        RecordMismatch::Field { field, .. } => (field, RefusalKind::Unproven),
        // Promote sends such artifacts back to their checks.
        RecordMismatch::Key { .. } => ("key", RefusalKind::Unavailable),
        RecordMismatch::Revoked(Revocation::Recalled { .. }) => ("recall", RefusalKind::Revoked),
        RecordMismatch::Revoked(Revocation::Ended { .. }) => ("epoch", RefusalKind::Unproven),
        RecordMismatch::Chunks(_) => ("chunks", RefusalKind::Unproven),
    }
}

/// The class of the refusal of a record whose signature does not count.
fn unsigned(refused: &Refused) -> RefusalKind {
    match refused {
        // The ring may follow, and promote sends what rests on a revoked key back to its checks.
        Refused::Key(KeyProblem::Unknown(_) | KeyProblem::Window { .. } | KeyProblem::Revoked { .. }) => {
            RefusalKind::Unavailable
        }
        Refused::Key(KeyProblem::Kind { .. })
        | Refused::Envelope(_)
        | Refused::Signature(_)
        | Refused::Statement(_) => RefusalKind::Unproven,
    }
}

/// The gate says servable, and no promotion of its epoch is on record.
pub(crate) fn unpromoted(edge: &Arc<Edge>, status: &ArtifactStatus) -> Refusal {
    let id = &status.id;
    let problem = format!("there is no signed promotion of its epoch {}", status.gate.epoch);
    // Promote sends such artifacts back to their checks.
    let (field, facts) = ("promotion", json!({ "problem": problem }));
    tracing::error!(artifact.id = %id, problem, "a gate says servable without a promotion");
    let incident = NewIncident::about(IncidentKind::GateWithoutRecord, id, Some(status.artifact()), facts);
    record_later(edge, id, field, incident);
    words::record_refused(id, field, RefusalKind::Unavailable, &problem)
}

/// The promotion could not be read.
pub(crate) fn unread(edge: &Arc<Edge>, id: &ArtifactId, error: &StoreError) -> Refusal {
    let StoreError::Inconsistent { what, problem } = error else { return words::store(error) };
    let problem = format!("the stored {what} is inconsistent: {problem}");
    tracing::error!(artifact.id = %id, problem, "what is stored of a promotion is refused");
    let facts = json!({ "field": what, "problem": problem });
    record_later(edge, id, "row", NewIncident::about(IncidentKind::ServeRecordRefused, id, None, facts));
    words::record_refused(id, what, RefusalKind::Unproven, &problem)
}

/// Records an incident beside the request, one at a time for each field of an artifact: it may be asked for in a storm.
fn record_later(edge: &Arc<Edge>, id: &ArtifactId, field: &'static str, incident: NewIncident) {
    let start = || {
        let edge = Arc::clone(edge);
        async move { record_incident(&edge, &incident).await }
    };
    if edge.alarms.join(&(id.clone(), field), start).is_err() {
        tracing::warn!(artifact.id = %id, field, "too many incidents are being recorded");
    }
}
