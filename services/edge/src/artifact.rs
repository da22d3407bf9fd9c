//! From a request for an artifact to its bytes, or to the reason why not.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, Response};
use serde_json::json;
use tokio::time::Instant;
use touchstone_blobs::ReadError;
use touchstone_bus::ArtifactEvent;
use touchstone_custody::PromotedArtifact;
use touchstone_domain::{Admission, ArtifactId, CheckKind, Ecosystem, Refusal, Sha256};
use touchstone_ecosystems::ArtifactRequest;
use touchstone_store::{ArtifactStatus, IncidentKind, NewIncident, SumdbStop};

use crate::{
    announce::announce,
    flight::{Full, Ticket},
    ingest, locate, permit,
    serve::{self, Body},
    state::Edge,
    words,
};

/// How often a request starts over because the stored copy turned out unusable.
const HEALS_PER_REQUEST: usize = 2;
/// How often a promotion is looked for that the gate says is there, and how long to wait before each look but the first. It was
/// written with the gate, in one transaction, so one more look is enough but for the rarest case.
const PROMOTION_LOOKS: usize = 3;
const PROMOTION_AGAIN: Duration = Duration::from_millis(50);
/// How long to wait before another look at what was promoted before decisions were signed: after an upgrade, promote sends all of it
/// back to its checks.
const UNSIGNED_AGAIN: Duration = Duration::from_millis(500);
/// A pending artifact that was fetched this long ago is announced once more when it is asked for: its first event may be
/// lost, or was of no use while its blob was.
const ANNOUNCED_AGAIN: Duration = Duration::from_secs(2);

/// Answers a request for an artifact.
pub(crate) async fn respond(
    edge: &Arc<Edge>,
    request: &ArtifactRequest,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let id = &request.id;
    let deadline = Instant::now() + edge.hold(id.ecosystem);
    admitted(id, &edge.policy.admit_version(id.ecosystem, &id.package, &id.version))?;
    for _ in 0..=HEALS_PER_REQUEST {
        let artifact = obtain(edge, request, deadline).await?;
        let sha256 = artifact.record().sha256();
        admitted(id, &edge.policy.admit(id, sha256))?;
        match serve::response(edge, artifact, method, headers).await {
            Ok(response) => return Ok(response),
            Err(error @ (ReadError::Missing { .. } | ReadError::Damaged { .. })) => {
                outcome(edge, id, heal(edge, id, sha256, &error), deadline).await?;
            }
            Err(error @ (ReadError::Io { .. } | ReadError::Range { .. } | ReadError::TooLarge { .. })) => {
                tracing::error!(artifact.id = %id, error = &error as &dyn std::error::Error, "cannot read a blob");
                return Err(words::unavailable("its storage did not answer"));
            }
        }
    }
    Err(words::unavailable("the stored copy is damaged again and again"))
}

/// Refuses what the policy does.
fn admitted(id: &ArtifactId, admission: &Admission) -> Result<(), Refusal> {
    words::admission(id.ecosystem, &id.to_string(), admission).map_or(Ok(()), Err)
}

/// The artifact once it may be served. Fetches it if nobody has, and waits for the decision until the deadline.
async fn obtain(
    edge: &Arc<Edge>,
    request: &ArtifactRequest,
    deadline: Instant,
) -> Result<PromotedArtifact, Refusal> {
    let id = &request.id;
    let mut looks = 0;
    loop {
        // Before the row is read: what is published is in the database already.
        let standing = edge.log.standing();
        if let Some(problem) = &standing.halted {
            return Err(words::log_stopped(problem));
        }
        let row = edge.store.serve_record(id).await.map_err(|e| permit::unread(edge, id, &e))?;
        if let Some(row) = row {
            let artifact = permit::permit(edge, id, row, &standing).await?;
            let sha256 = artifact.record().sha256();
            return match request.pinned.filter(|pinned| *pinned != sha256) {
                Some(pinned) => Err(words::pinned(id, pinned, sha256)),
                None => Ok(artifact),
            };
        }
        let Some(status) = edge.store.status(id).await.map_err(|e| words::store(&e))? else {
            if let Some(pinned) = request.pinned {
                // Not a part of the fetch, which callers with other pins share.
                held(edge, id, deadline, locate::pinned(edge, id, pinned))
                    .await?
                    .ok_or_else(|| words::fetching(id, edge.hold(id.ecosystem)))??;
            }
            fetch(edge, request, ingest::Mode::First, deadline).await?;
            continue;
        };
        // Promote approves nothing that its policy does not admit either: there would be no decision to wait for.
        admitted(id, &edge.policy.admit(id, status.gate.sha256))?;
        if status.state().is_servable() && status.unsigned {
            let again = held(edge, id, deadline, tokio::time::sleep(UNSIGNED_AGAIN)).await?;
            again.ok_or_else(|| words::pending(id))?;
            continue;
        }
        if status.state().is_servable() {
            // Promoted between the two queries, or by a row that nobody signed.
            looks += 1;
            if looks == PROMOTION_LOOKS {
                return Err(permit::unpromoted(edge, &status));
            }
            held(edge, id, deadline, tokio::time::sleep(PROMOTION_AGAIN)).await?;
            continue;
        }
        if !status.state().is_pending() {
            return Err(words::decided(id, &status));
        }
        if let Some(cause) = ingest::needed_again(edge, &status).await {
            fetch(edge, request, ingest::Mode::Heal { sha256: status.gate.sha256, cause }, deadline).await?;
        }
        await_decision(edge, id, &status, deadline).await?;
    }
}

/// Waits until the artifact is decided; a refusal when it is not in time.
async fn await_decision(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    status: &ArtifactStatus,
    deadline: Instant,
) -> Result<(), Refusal> {
    let decided = edge.decisions.wait(status.artifact());
    announce_again(edge, status);
    let now = edge.store.states(&[status.artifact()]).await.map_err(|e| words::store(&e))?;
    if now.iter().any(|(_, state)| !state.is_pending()) {
        return Ok(());
    }
    // A database that is stopped already seldom goes on within a patient hold.
    let until = match database_stop(edge, status).await? {
        Some(_) => deadline.min(Instant::now() + edge.config.hold),
        None => deadline,
    };
    if held(edge, id, until, decided).await?.is_some() {
        return Ok(());
    }
    match database_stop(edge, status).await? {
        Some(stop) => Err(words::stopped(id, &stop)),
        // It went on: the rest of the time is waited for too.
        None if until < deadline => Ok(()),
        None => Err(words::pending(id)),
    }
}

/// Why the checksum database lets nothing pass, if the artifact waits for its answer.
async fn database_stop(edge: &Edge, status: &ArtifactStatus) -> Result<Option<SumdbStop>, Refusal> {
    let waits = status.gate.missing().contains(CheckKind::Sumdb);
    let Some(database) = edge.config.sumdb.as_ref().filter(|_| waits) else { return Ok(None) };
    let state = edge.store.sumdb_state(&database.key.id()).await.map_err(|e| words::store(&e))?;
    Ok(state.stop)
}

/// Waits until the deadline; `None` when it comes first. A patient hold may outlast what the edge has left once it is told to
/// stop, and the connection would break without a word: it ends then, with a refusal.
async fn held<T>(
    edge: &Edge,
    id: &ArtifactId,
    deadline: Instant,
    awaited: impl Future<Output = T>,
) -> Result<Option<T>, Refusal> {
    let stopping = async {
        match id.ecosystem {
            Ecosystem::Go => edge.stop.cancelled().await,
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        found = tokio::time::timeout_at(deadline, awaited) => Ok(found.ok()),
        () = stopping => Err(words::stopping(id)),
    }
}

/// Rings the bell for an artifact that still waits for its checks, since the sweeper may do so only in an hour. JetStream
/// takes the same event once in two minutes, however many ask.
fn announce_again(edge: &Arc<Edge>, status: &ArtifactStatus) {
    let age = edge.clock.now().duration_since(status.fetched_at);
    if age.unsigned_abs() < ANNOUNCED_AGAIN {
        return;
    }
    let id = &status.id;
    let event = ArtifactEvent {
        artifact: status.artifact(),
        ecosystem: id.ecosystem,
        epoch: status.gate.epoch,
        dispatch: status.dispatches,
    };
    let ring = || {
        let edge = Arc::clone(edge);
        async move { announce(&edge.bus, &[event]).await }
    };
    if edge.announcements.join(&status.artifact(), ring).is_err() {
        tracing::debug!(artifact.id = %id, "too many announcements are under way; the sweeper will make this one");
    }
}

/// Joins or starts the one fetch of this artifact, and waits for it until the deadline.
async fn fetch(
    edge: &Arc<Edge>,
    request: &ArtifactRequest,
    mode: ingest::Mode,
    deadline: Instant,
) -> Result<(), Refusal> {
    let start = || {
        let (edge, request) = (Arc::clone(edge), request.clone());
        async move { ingest::run(&edge, &request, mode).await }
    };
    outcome(edge, &request.id, edge.fetches.join(&request.id, start), deadline).await
}

/// Waits for a fetch until the deadline.
async fn outcome(
    edge: &Edge,
    id: &ArtifactId,
    joined: Result<Ticket<Result<(), Refusal>>, Full>,
    deadline: Instant,
) -> Result<(), Refusal> {
    let ticket = joined.map_err(|_full| words::unavailable("too many fetches are under way"))?;
    match held(edge, id, deadline, ticket.wait()).await? {
        Some(Some(result)) => result,
        Some(None) => Err(words::unavailable("the fetch ended without a result")),
        None => Err(words::fetching(id, edge.hold(id.ecosystem))),
    }
}

/// Sets an unusable copy aside, records the incident, and fetches the same bytes again; or joins whoever does so already.
/// It runs to its end without the caller.
pub(crate) fn heal(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    sha256: Sha256,
    error: &ReadError,
) -> Result<Ticket<Result<(), Refusal>>, Full> {
    let start = || {
        let (edge, problem) = (Arc::clone(edge), error.to_string());
        let request = ArtifactRequest { id: id.clone(), pinned: None };
        async move {
            if !set_aside(&edge, &request.id, sha256, &problem).await {
                return Ok(());
            }
            let cause = ingest::Cause::Copy;
            ingest::run(&edge, &request, ingest::Mode::Heal { sha256, cause }).await
        }
    };
    edge.fetches.join(id, start)
}

/// Moves an unusable copy aside and records the incident; false if the copy was healed meanwhile.
async fn set_aside(edge: &Edge, id: &ArtifactId, sha256: Sha256, problem: &str) -> bool {
    match edge.blobs.set_aside(sha256).await {
        Ok(false) if edge.blobs.contains(sha256).await.unwrap_or(false) => {
            tracing::info!(artifact.id = %id, blob.sha256 = %sha256, problem, "a stored copy was unusable, and is whole again");
            return false;
        }
        Ok(_) => (),
        Err(error) => {
            tracing::error!(blob.sha256 = %sha256, error = &error as &dyn std::error::Error, "cannot set a blob aside");
        }
    }
    tracing::error!(artifact.id = %id, blob.sha256 = %sha256, problem, "a stored copy is unusable; it is fetched again");
    let facts = json!({ "sha256": sha256.to_string(), "problem": problem });
    record_incident(edge, &NewIncident::about(IncidentKind::BlobDamaged, id, None, facts)).await;
    true
}

/// Records an incident; when the database is away, the log has it.
pub(crate) async fn record_incident(edge: &Edge, incident: &NewIncident) {
    tracing::warn!(incident.kind = incident.kind.as_str(), detail = %incident.detail, package = %incident.package, "incident");
    metrics::counter!("touchstone_incidents", "kind" => incident.kind.as_str()).increment(1);
    if let Err(error) = edge.store.record_incident(incident).await {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot record an incident");
    }
}
