//! Publishing. A receipt of JetStream deletes nothing and proves nothing durable; it only says that no second try is
//! needed now.

use std::future::IntoFuture;

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures::future::try_join_all;
use tokio::time::timeout;
use touchstone_domain::{CheckKind, Ecosystem};

use crate::{
    ArtifactEvent, Bus, BusError, CALL_TIMEOUT, Decided, Rung,
    event::{BATCH_MAX, Decisions, Recorded, encode},
    subject,
};

struct Outgoing {
    subject: String,
    message_id: Option<String>,
    payload: Bytes,
}

impl Bus {
    /// Announces stored artifacts to every check, and waits for the receipts. Repeating it within two minutes is a no-op.
    pub async fn publish_fetched(&self, events: &[ArtifactEvent]) -> Result<(), BusError> {
        let outgoing = events.iter().map(|event| Outgoing {
            subject: subject::fetched(event.ecosystem),
            message_id: Some(event.message_id()),
            payload: encode(event),
        });
        self.publish(outgoing.collect()).await
    }

    /// Asks one check to look (again). As [`Bus::publish_fetched`].
    pub async fn publish_recheck(&self, check: CheckKind, events: &[ArtifactEvent]) -> Result<(), BusError> {
        let outgoing = events.iter().map(|event| Outgoing {
            subject: subject::recheck(check, event.ecosystem),
            // The check is part of the key: JetStream compares the ids of a whole stream, not of a subject.
            message_id: Some(format!("{}:{check}", event.message_id())),
            payload: encode(event),
        });
        self.publish(outgoing.collect()).await
    }

    /// Announces decisions to the edges, one message per ecosystem (and per 512 of them).
    pub async fn publish_decisions(&self, decided: &[Decided]) -> Result<(), BusError> {
        let mut outgoing = vec![];
        for ecosystem in Ecosystem::ALL {
            let of_ecosystem: Vec<Decided> =
                decided.iter().filter(|d| d.ecosystem == ecosystem).copied().collect();
            outgoing.extend(of_ecosystem.chunks(BATCH_MAX).map(|chunk| Outgoing {
                subject: subject::decision(ecosystem),
                message_id: None,
                payload: encode(&Decisions { decided: chunk.to_vec() }),
            }));
        }
        self.publish(outgoing).await
    }

    /// Rings promote: verdicts of these artifacts were recorded. Core NATS: nobody stores it, and the sweeper notices
    /// what is lost.
    pub async fn publish_recorded(&self, rung: &[Rung]) -> Result<(), BusError> {
        self.usable()?;
        for chunk in rung.chunks(BATCH_MAX) {
            let payload = encode(&Recorded::of(chunk));
            let sent = timeout(CALL_TIMEOUT, self.client.publish(subject::RECORDED, payload)).await;
            sent.map_err(timed_out)?.map_err(|e| failed(subject::RECORDED, e))?;
        }
        Ok(())
    }

    /// Sends all, then waits for all receipts, within one time limit for each [`BATCH_MAX`] messages.
    async fn publish(&self, mut outgoing: Vec<Outgoing>) -> Result<(), BusError> {
        while !outgoing.is_empty() {
            self.usable()?;
            let rest = outgoing.split_off(outgoing.len().min(BATCH_MAX));
            timeout(CALL_TIMEOUT, self.publish_batch(outgoing)).await.map_err(timed_out)??;
            outgoing = rest;
        }
        Ok(())
    }

    async fn publish_batch(&self, outgoing: Vec<Outgoing>) -> Result<(), BusError> {
        let mut receipts = Vec::with_capacity(outgoing.len());
        for Outgoing { subject, message_id, payload } in outgoing {
            let message = PublishMessage::build().payload(payload);
            let message = match message_id {
                Some(id) => message.message_id(id),
                None => message,
            };
            let receipt = self.jetstream.send_publish(subject.clone(), message).await;
            let receipt = receipt.map_err(|e| failed(&subject, e))?;
            receipts.push(async move { receipt.into_future().await.map_err(|e| failed(&subject, e)) });
        }
        try_join_all(receipts).await.map(drop)
    }
}

fn timed_out(_: tokio::time::error::Elapsed) -> BusError {
    BusError::TimedOut { action: "confirm a message", after: CALL_TIMEOUT }
}

fn failed<E>(subject: &str, source: E) -> BusError
where
    E: std::error::Error + Send + Sync + 'static,
{
    BusError::Publish { subject: subject.to_owned(), source: source.into() }
}
