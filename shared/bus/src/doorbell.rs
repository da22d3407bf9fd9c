//! What is heard and not stored: `verdict-recorded` for promote, decisions for edges.
//!
//! Both are core subscriptions. They come back by themselves after a reconnect, and whatever rang in between is found by
//! asking Postgres.

use async_nats::Subscriber;
use futures::{Stream, StreamExt as _, future};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{
    Bus, BusError, CALL_TIMEOUT, Decided, Rung,
    event::{Decisions, Recorded, decode},
    subject,
};

/// The group in which each doorbell wakes one promoter.
const PROMOTE_GROUP: &str = "promote";

impl Bus {
    /// The artifacts for which workers recorded verdicts; each message goes to one promoter.
    pub async fn recorded(&self) -> Result<impl Stream<Item = Vec<Rung>> + Send + Unpin + use<>, BusError> {
        let subscribing = self.client.queue_subscribe(subject::RECORDED, PROMOTE_GROUP.to_owned());
        let messages = subscribed(subject::RECORDED, subscribing).await?;
        Ok(read(messages, Recorded::rung))
    }

    /// The decisions of promoters; every subscriber hears all of them.
    pub async fn decisions(
        &self,
    ) -> Result<impl Stream<Item = Vec<Decided>> + Send + Unpin + use<>, BusError> {
        let subscribing = self.client.subscribe(subject::DECISION_ALL);
        let messages = subscribed(subject::DECISION_ALL, subscribing).await?;
        Ok(read(messages, |decisions: Decisions| decisions.decided))
    }
}

/// A subscription is sent in the background, again after each reconnect; it is no receipt that the server has it.
async fn subscribed<E: std::error::Error + Send + Sync + 'static>(
    subject: &'static str,
    subscribing: impl Future<Output = Result<Subscriber, E>>,
) -> Result<Subscriber, BusError> {
    timeout(CALL_TIMEOUT, subscribing)
        .await
        .map_err(|_| BusError::TimedOut { action: "take a subscription", after: CALL_TIMEOUT })?
        .map_err(|e| BusError::Subscribe { subject: subject.to_owned(), source: e.into() })
}

/// Reads envelopes; what cannot be read is logged and skipped.
fn read<T: DeserializeOwned, R: Send + 'static>(
    messages: Subscriber,
    take: impl Fn(T) -> R + Send + 'static,
) -> impl Stream<Item = R> + Send + Unpin {
    messages.filter_map(move |message| {
        future::ready(match decode(&message.payload) {
            Ok(body) => Some(take(body)),
            Err(error) => {
                tracing::warn!(subject = %message.subject, %error, "a message that cannot be read is ignored");
                None
            }
        })
    })
}
