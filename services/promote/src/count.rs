//! Counting verdicts: read, count, apply, tell.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};
use touchstone_domain::{ArtifactDbId, Gate, GateDelta, NotCounted, Verdict, count};
use touchstone_store::{IncidentKind, NewIncident, StoreError};

use crate::Promote;

/// The most artifacts that are counted in one transaction.
const BATCH_MAX: usize = 512;
/// How long to wait before listening again when NATS is away.
const LISTEN_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Hands the artifacts of each doorbell on to be counted.
pub(crate) async fn listen(promote: &Promote, sender: &mpsc::Sender<Vec<ArtifactDbId>>) {
    let mut connected = promote.bus.clone();
    let bus = promote.stop.run_until_cancelled(connected.wait_for(Option::is_some)).await;
    let Some(bus) = bus.and_then(Result::ok).and_then(|bus| bus.clone()) else { return };
    while !promote.stop.is_cancelled() {
        match bus.recorded().await {
            Ok(recorded) => {
                let mut recorded = std::pin::pin!(recorded);
                while let Some(Some(artifacts)) = promote.stop.run_until_cancelled(recorded.next()).await {
                    if sender.send(artifacts).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen to verdicts; the sweeper finds them"),
        }
        promote.stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
    }
}

/// Counts whatever has been rung for, a few batches at a time; while all of them are under way, the next one grows.
pub(crate) async fn batches(promote: Arc<Promote>, mut receiver: mpsc::Receiver<Vec<ArtifactDbId>>) {
    let mut counting = JoinSet::new();
    loop {
        if counting.len() >= promote.config.concurrency.max(1) {
            counting.join_next().await;
            continue;
        }
        let next = promote.stop.run_until_cancelled(next_batch(&mut receiver)).await;
        let Some(Some(artifacts)) = next else { break };
        let promote = Arc::clone(&promote);
        counting.spawn(async move {
            if let Err(error) = verdicts(&promote, &artifacts).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot count verdicts; the sweeper will"
                );
            }
        });
        while counting.try_join_next().is_some() {}
    }
    while counting.join_next().await.is_some() {}
}

/// Waits for one doorbell, and takes along what else is waiting.
async fn next_batch(receiver: &mut mpsc::Receiver<Vec<ArtifactDbId>>) -> Option<Vec<ArtifactDbId>> {
    let mut artifacts = receiver.recv().await?;
    while artifacts.len() < BATCH_MAX
        && let Ok(more) = receiver.try_recv()
    {
        artifacts.extend(more);
    }
    artifacts.sort_unstable();
    artifacts.dedup();
    Some(artifacts)
}

/// Counts the uncounted verdicts of these artifacts, and applies them.
pub(crate) async fn verdicts(promote: &Promote, artifacts: &[ArtifactDbId]) -> Result<(), StoreError> {
    for artifacts in artifacts.chunks(BATCH_MAX) {
        let mut deltas = Vec::with_capacity(artifacts.len());
        for (gate, verdicts) in promote.store.verdicts_to_count(artifacts).await? {
            for verdict in &verdicts {
                match count(verdict, &gate) {
                    Ok(delta) => deltas.push(delta),
                    Err(reason) => not_counted(promote, &gate, verdict, &reason).await?,
                }
            }
        }
        apply(promote, &deltas).await?;
    }
    Ok(())
}

async fn apply(promote: &Promote, deltas: &[GateDelta]) -> Result<(), StoreError> {
    if deltas.is_empty() {
        return Ok(());
    }
    metrics::histogram!("touchstone_gate_batch").record(u32::try_from(deltas.len()).unwrap_or(u32::MAX));
    let changes = promote.store.apply(deltas).await?;
    promote.tell(&changes).await;
    Ok(())
}

async fn not_counted(
    promote: &Promote,
    gate: &Gate,
    verdict: &Verdict,
    reason: &NotCounted,
) -> Result<(), StoreError> {
    tracing::warn!(artifact = %gate.artifact, check.kind = %verdict.check, %reason, "a verdict does not count");
    match reason {
        NotCounted::StaleEpoch { .. } => Ok(()),
        NotCounted::OtherArtifact { .. } | NotCounted::OtherBytes { .. } | NotCounted::ChunkRoot { .. } => {
            let facts = promote.store.facts(&[gate.artifact]).await?;
            let Some(known) = facts.first() else { return Ok(()) };
            let detail = json!({ "check": verdict.check.to_string(), "problem": reason.to_string() });
            let kind = IncidentKind::VerdictRefused;
            promote
                .store
                .record_incident(&NewIncident::about(kind, &known.id, Some(gate.artifact), detail))
                .await
        }
    }
}
