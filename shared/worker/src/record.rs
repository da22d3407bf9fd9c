//! Recording: whatever verdicts are ready are signed, become one pack in the blob store, and go into one statement. Nothing waits
//! for a batch to fill; batches grow by themselves while the one before them is written.
//!
//! *Invariant:* an envelope is in the blob store before the row that names it. A crash in between leaves a pack that nobody names.

use std::slice::from_ref;

use serde_json::json;
use tokio::sync::mpsc;
use touchstone_bus::Rung;
use touchstone_domain::{EnvelopeRef, SignedBy};
use touchstone_records::PutError;
use touchstone_runtime::Chain;
use touchstone_store::{IncidentKind, NewIncident, RefusedVerdict, SignedVerdict, StoreError};

use crate::{
    Check,
    judge::Judged,
    run::Worker,
    trouble::{Trouble, give_back, put_off, settled},
};

/// A verdict that is signed and kept, to be put on record.
struct Kept {
    judged: Judged,
    signed: SignedVerdict,
}

impl<C: Check> Worker<C> {
    /// Records until every job is done.
    pub(crate) async fn record(&self, mut judged: mpsc::Receiver<Judged>) {
        let limit = self.parts.options.batch_max.max(1);
        let mut batch = Vec::with_capacity(limit);
        while judged.recv_many(&mut batch, limit).await > 0 {
            let size = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            metrics::histogram!("touchstone_verdict_batch", "check" => self.check.kind().as_str())
                .record(size);
            let signed = self.sign(std::mem::take(&mut batch)).await;
            let kept = self.keep(signed).await;
            self.settle(&kept).await;
        }
    }

    /// Writes the envelopes as one pack.
    async fn keep(&self, signed: Vec<(Judged, Vec<u8>)>) -> Vec<Kept> {
        if signed.is_empty() {
            return vec![];
        }
        let (batch, envelopes): (Vec<_>, Vec<_>) = signed.into_iter().unzip();
        match self.records.put(&envelopes).await {
            Ok(stored) => batch.into_iter().zip(stored).map(|(judged, at)| self.kept(judged, at)).collect(),
            Err(error @ (PutError::Blob(_) | PutError::Stopped)) => {
                for judged in &batch {
                    put_off(&judged.delivery, "the blob store does not take verdicts", &error).await;
                }
                vec![]
            }
            // The batch is within bounds, and so is each envelope: something is wrong with this program.
            Err(error @ (PutError::Count(_) | PutError::Size { .. } | PutError::Line { .. })) => {
                for judged in &batch {
                    self.give_up(judged, Trouble::poison(&error)).await;
                }
                vec![]
            }
        }
    }

    fn kept(&self, judged: Judged, envelope: EnvelopeRef) -> Kept {
        let signed = SignedBy { key: self.parts.signing.signer.key_id(), envelope };
        let verdict = judged.statement.verdict.clone();
        Kept { judged, signed: SignedVerdict { verdict, signed } }
    }

    /// Commits a batch. A verdict that can never be stored is found by committing one by one, so that it spoils no other.
    async fn settle(&self, batch: &[Kept]) {
        match self.commit(batch).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                for kept in batch {
                    put_off(&kept.judged.delivery, "Postgres does not answer", &error).await;
                }
            }
            Err(_) => {
                for kept in batch {
                    self.settle_one(kept).await;
                }
            }
        }
    }

    async fn settle_one(&self, kept: &Kept) {
        match self.commit(from_ref(kept)).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                put_off(&kept.judged.delivery, "Postgres does not answer", &error).await;
            }
            Err(error) => self.give_up(&kept.judged, Trouble::poison(&error)).await,
        }
    }

    /// Gives the message of an answer back that cannot be signed or stored.
    pub(crate) async fn give_up(&self, judged: &Judged, trouble: Trouble) {
        let (store, check, epoch) = (&self.parts.store, self.check.kind(), judged.statement.verdict.epoch);
        give_back(store, check, &judged.delivery, epoch, trouble).await;
    }

    /// Commits, rings promote, acknowledges; in this order.
    async fn commit(&self, batch: &[Kept]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let verdicts: Vec<SignedVerdict> = batch.iter().map(|kept| kept.signed.clone()).collect();
        let recorded = self.parts.store.record_verdicts(&verdicts).await?;
        for refused in &recorded.refused {
            if let Some(kept) = batch.get(refused.index) {
                self.raise_alarm(&kept.judged, refused).await;
            }
        }
        let rung: Vec<Rung> = batch.iter().map(|kept| kept.judged.rung()).collect();
        if let Err(error) = self.parts.bus.publish_recorded(&rung).await {
            tracing::debug!(%error, "promote is not told of verdicts; its sweeper finds them");
        }
        for kept in batch {
            settled(kept.judged.delivery.ack().await);
        }
        Ok(())
    }

    /// The artifact on record is not the one that was looked at: nothing is decided by such a verdict, and people are told.
    async fn raise_alarm(&self, judged: &Judged, refused: &RefusedVerdict) {
        let (verdict, id) = (&judged.statement.verdict, &judged.statement.id);
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
            tracing::error!(artifact.id = %verdict.artifact, error = %Chain(&error), "an incident is not recorded");
        }
    }
}
