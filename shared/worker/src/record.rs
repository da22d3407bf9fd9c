//! Recording: whatever verdicts are ready go into one statement. Nothing waits for a batch to fill; batches grow by
//! themselves while the statement before them runs.

use std::slice::from_ref;

use serde_json::json;
use tokio::sync::mpsc;
use touchstone_bus::Delivery;
use touchstone_domain::{ArtifactDbId, Verdict};
use touchstone_store::{IncidentKind, NewIncident, RefusedVerdict, StoreError};

use crate::{
    Check,
    judge::Judged,
    run::Worker,
    trouble::{Trouble, backoff, chain, give_back, settled},
};

impl<C: Check> Worker<C> {
    /// Records until every job is done.
    pub(crate) async fn record(&self, mut judged: mpsc::Receiver<Judged>) {
        let limit = self.parts.options.batch_max.max(1);
        let mut batch = Vec::with_capacity(limit);
        while judged.recv_many(&mut batch, limit).await > 0 {
            let size = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            metrics::histogram!("touchstone_verdict_batch", "check" => self.check.kind().as_str())
                .record(size);
            self.settle(&batch).await;
            batch.clear();
        }
    }

    /// Commits a batch. A verdict that can never be stored is found by committing one by one, so that it spoils no other.
    async fn settle(&self, batch: &[Judged]) {
        match self.commit(batch).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                for judged in batch {
                    put_off(&judged.delivery, &error).await;
                }
            }
            Err(_) => {
                for judged in batch {
                    self.settle_one(judged).await;
                }
            }
        }
    }

    async fn settle_one(&self, judged: &Judged) {
        match self.commit(from_ref(judged)).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => put_off(&judged.delivery, &error).await,
            Err(error) => {
                let (store, check, epoch) = (&self.parts.store, self.check.kind(), judged.verdict.epoch);
                give_back(store, check, &judged.delivery, epoch, Trouble::store(&error)).await;
            }
        }
    }

    /// Commits, rings promote, acknowledges; in this order.
    async fn commit(&self, batch: &[Judged]) -> Result<(), StoreError> {
        let verdicts: Vec<Verdict> = batch.iter().map(|judged| judged.verdict.clone()).collect();
        let recorded = self.parts.store.record_verdicts(&verdicts).await?;
        for refused in &recorded.refused {
            if let Some(judged) = batch.get(refused.index) {
                self.raise_alarm(judged, refused).await;
            }
        }
        let artifacts: Vec<ArtifactDbId> = verdicts.iter().map(|verdict| verdict.artifact).collect();
        if let Err(error) = self.parts.bus.publish_recorded(&artifacts).await {
            tracing::debug!(%error, "promote is not told of verdicts; its sweeper finds them");
        }
        for judged in batch {
            settled(judged.delivery.ack().await);
        }
        Ok(())
    }

    /// The artifact on record is not the one that was looked at: nothing is decided by such a verdict, and people are told.
    async fn raise_alarm(&self, judged: &Judged, refused: &RefusedVerdict) {
        let Judged { verdict, id, .. } = judged;
        tracing::error!(
            artifact.id = %verdict.artifact, check.kind = %verdict.check, reason = %refused.reason,
            "Postgres refuses a verdict"
        );
        metrics::counter!("touchstone_verdicts_refused", "check" => verdict.check.as_str()).increment(1);
        let detail = json!({
            "check": verdict.check, "epoch": verdict.epoch, "sha256": verdict.sha256, "reason": refused.reason.to_string(),
        });
        let incident = NewIncident::about(IncidentKind::VerdictRefused, id, Some(verdict.artifact), detail);
        if let Err(error) = self.parts.store.record_incident(&incident).await {
            tracing::error!(artifact.id = %verdict.artifact, error = chain(&error), "an incident is not recorded");
        }
    }
}

/// Gives a message back because Postgres is away; that is no attempt. Its check runs again later.
pub(crate) async fn put_off(delivery: &Delivery, error: &StoreError) {
    let artifact = delivery.event.artifact;
    tracing::warn!(artifact.id = %artifact, error = chain(error), "Postgres does not answer; a message is put off");
    settled(delivery.nak(backoff(delivery.deliveries)).await);
}
