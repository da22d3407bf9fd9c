//! Consuming: deliveries of one check's durable pull consumer, for as long as the process lives.
//!
//! *Invariant:* nothing that happens to the server ends a [`Deliveries`]. Any error, a missing heartbeat, or a new
//! connection makes it pull again, once promote has made what is missing; the messages that it had already been sent are handed out first.

use std::{fmt, time::Duration};

use async_nats::jetstream::{AckKind, Message};
use tokio::time::timeout;
use touchstone_domain::CheckKind;

use crate::{
    ArtifactEvent, Bus, BusError, CALL_TIMEOUT, LIVE_STREAM,
    event::decode,
    pull::{Pull, Source},
};

/// How long a delivery may stay unacknowledged; [`Delivery::progress`] starts it anew.
pub const ACK_WAIT: Duration = Duration::from_mins(1);
/// How often a message is delivered before an advisory says that nobody could handle it.
pub const MAX_DELIVER: i64 = 8;

impl Bus {
    /// Starts to consume the events of one check. `capacity` bounds how many messages are sent ahead to this process;
    /// choose what it can work off well within [`ACK_WAIT`].
    pub async fn consume(&self, check: CheckKind, capacity: usize) -> Result<Deliveries, BusError> {
        let mut pull = Pull::new(self.clone(), Source::Check(check), capacity);
        // A server that is away, or not ready yet, is what `next_batch` waits for.
        pull.try_open().await?;
        Ok(Deliveries { pull, unreadable: vec![] })
    }

    /// Whether a worker of this check is there: one asks for events, or has some in hand. A worker that just died still
    /// counts while what it had in hand waits for another. Makes and changes nothing.
    pub async fn is_consumed(&self, check: CheckKind) -> Result<bool, BusError> {
        let Some(consumer) = self.existing_consumer(LIVE_STREAM, check.as_str()).await? else {
            return Ok(false);
        };
        let info = consumer.cached_info();
        Ok(info.num_waiting > 0 || info.num_ack_pending > 0)
    }
}

/// An endless supply of deliveries.
pub struct Deliveries {
    pull: Pull,
    /// Messages that no version of us wrote, still to be terminated.
    unreadable: Vec<Message>,
}

impl Deliveries {
    /// Waits for one delivery, and returns it with whatever else is here already, at most `max`. Cancelling it loses
    /// nothing. Unreadable messages are terminated, and so end as dead letters.
    pub async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        loop {
            while let Some(message) = self.unreadable.last() {
                if let Err(error) = acknowledge(message, AckKind::Term).await {
                    tracing::debug!(%error, "an unreadable message is not terminated yet");
                }
                self.unreadable.pop();
            }
            let mut batch = Vec::new();
            let first = self.pull.next().await;
            // From here on nothing awaits, so that nothing is lost by cancelling.
            self.read(first, &mut batch);
            while batch.len() < max {
                let Some(message) = self.pull.ready() else { break };
                self.read(message, &mut batch);
            }
            if !batch.is_empty() {
                return batch;
            }
        }
    }

    /// Stops to pull, until the next [`Deliveries::next_batch`], and gives back what was sent ahead, so that another
    /// process gets it at once.
    pub async fn hand_back(&mut self) {
        self.pull.abandon();
        while let Some(message) = self.pull.ready() {
            if acknowledge(&message, AckKind::Nak(None)).await.is_err() {
                return;
            }
        }
    }

    fn read(&mut self, message: Message, batch: &mut Vec<Delivery>) {
        match Delivery::read(message) {
            Ok(delivery) => batch.push(delivery),
            Err((message, error)) => {
                tracing::error!(subject = %message.subject, error, "a message cannot be read; it becomes a dead letter");
                self.unreadable.push(*message);
            }
        }
    }
}

/// One event, in hand until it is acknowledged. Dropping it makes the server send it again after [`ACK_WAIT`].
pub struct Delivery {
    /// What happened.
    pub event: ArtifactEvent,
    /// How often it was delivered, this time included.
    pub deliveries: i64,
    /// Its number in the live stream, which names it in dead letters.
    pub stream_seq: u64,
    message: Message,
}

impl Delivery {
    fn read(message: Message) -> Result<Self, (Box<Message>, String)> {
        let position = message.info().map(|info| (info.delivered, info.stream_sequence));
        match (position, decode(&message.payload)) {
            (Ok((deliveries, stream_seq)), Ok(event)) => Ok(Self { event, deliveries, stream_seq, message }),
            (Err(error), _) => Err((Box::new(message), error.to_string())),
            (Ok(_), Err(error)) => Err((Box::new(message), error.to_string())),
        }
    }

    /// It is done; to be called after the commit, never before.
    pub async fn ack(&self) -> Result<(), BusError> {
        acknowledge(&self.message, AckKind::Ack).await
    }

    /// It is to be delivered again, not before `delay` has passed.
    pub async fn nak(&self, delay: Duration) -> Result<(), BusError> {
        acknowledge(&self.message, AckKind::Nak(Some(delay))).await
    }

    /// Work on it goes on: [`ACK_WAIT`] starts anew.
    pub async fn progress(&self) -> Result<(), BusError> {
        acknowledge(&self.message, AckKind::Progress).await
    }

    /// It is never to be delivered again; an advisory tells of it.
    pub async fn term(&self) -> Result<(), BusError> {
        acknowledge(&self.message, AckKind::Term).await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("event", &self.event)
            .field("deliveries", &self.deliveries)
            .field("stream_seq", &self.stream_seq)
            .finish_non_exhaustive()
    }
}

pub(crate) async fn acknowledge(message: &Message, kind: AckKind) -> Result<(), BusError> {
    timeout(CALL_TIMEOUT, message.ack_with(kind))
        .await
        .map_err(|_| BusError::TimedOut { action: "take an acknowledgement", after: CALL_TIMEOUT })?
        .map_err(BusError::Acknowledge)
}
