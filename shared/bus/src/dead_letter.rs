//! Dead letters: the server's advisories about messages of the live stream that nobody could handle.
//!
//! An advisory names a consumer and a position in the stream, not an artifact. The message is looked up as long as the
//! stream still has it, so that people read about an artifact.

use std::time::Duration;

use async_nats::{
    datetime::{DateTime, parse_rfc3339},
    jetstream::{AckKind, ErrorCode, Message, stream::RawMessageErrorKind},
};
use serde::Deserialize;
use touchstone_domain::CheckKind;

use crate::{
    ArtifactEvent, Bus, BusError, LIVE_STREAM,
    consume::acknowledge,
    event::{MESSAGE_BYTES_MAX, decode},
    pull::{Pull, Source},
};

/// Advisories are rare and worked off one by one.
const SENT_AHEAD: usize = 16;
/// When to try again if the message itself cannot be looked up now.
const LOOKUP_RETRY: Duration = Duration::from_secs(5);

impl Bus {
    /// Starts to read the advisories. All promoters share one durable consumer.
    pub async fn dead_letters(&self) -> Result<DeadLetters, BusError> {
        let mut pull = Pull::new(self.clone(), Source::DeadLetters, SENT_AHEAD);
        pull.try_open().await?;
        Ok(DeadLetters { pull, bus: self.clone() })
    }
}

/// Why a message is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum DeadLetterCause {
    /// It was delivered [`crate::MAX_DELIVER`] times, and never acknowledged: it kills its workers, or they all fail.
    #[serde(rename = "io.nats.jetstream.advisory.v1.max_deliver")]
    MaxDeliveries,
    /// A worker gave up on it, or could not read it.
    #[serde(rename = "io.nats.jetstream.advisory.v1.terminated")]
    Terminated,
}

/// A message that nobody could handle. Its artifact stays unservable; the sweeper goes on asking.
#[derive(Debug)]
pub struct DeadLetter {
    /// The stream of the message.
    pub stream: String,
    /// The durable consumer that gave up.
    pub consumer: String,
    /// The check of that consumer, if it is one of ours.
    pub check: Option<CheckKind>,
    /// The message's number in the stream.
    pub stream_seq: u64,
    /// How often it was delivered.
    pub deliveries: i64,
    /// Why it is dead.
    pub cause: DeadLetterCause,
    /// The message, if the stream still has it and it can be read.
    pub event: Option<ArtifactEvent>,
    advisory: Message,
}

impl DeadLetter {
    /// It is recorded; to be called after the commit.
    pub async fn ack(&self) -> Result<(), BusError> {
        acknowledge(&self.advisory, AckKind::Ack).await
    }
}

/// An endless supply of dead letters.
pub struct DeadLetters {
    pull: Pull,
    bus: Bus,
}

impl DeadLetters {
    /// The next dead letter, however long it takes. If it is cancelled or not acknowledged, it comes again.
    pub async fn next(&mut self) -> DeadLetter {
        loop {
            let advisory = self.pull.next().await;
            match self.read(&advisory).await {
                Ok(found) => return found.into_dead_letter(advisory),
                Err(ReadError::Malformed(error)) => {
                    tracing::error!(subject = %advisory.subject, %error, "an advisory cannot be read, and is dropped");
                    acknowledge(&advisory, AckKind::Ack).await.ok();
                }
                Err(ReadError::Lookup(error)) => {
                    tracing::warn!(%error, "the message of an advisory cannot be looked up; trying again");
                    acknowledge(&advisory, AckKind::Nak(Some(LOOKUP_RETRY))).await.ok();
                }
            }
        }
    }

    async fn read(&self, advisory: &Message) -> Result<Found, ReadError> {
        if advisory.payload.len() > MESSAGE_BYTES_MAX {
            return Err(ReadError::Malformed("too large".into()));
        }
        let body: Advisory =
            serde_json::from_slice(&advisory.payload).map_err(|e| ReadError::Malformed(e.into()))?;
        let at = parse_rfc3339(&body.timestamp).map_err(ReadError::Malformed)?;
        let event = self.look_up(body.stream_seq, at).await?;
        Ok(Found { body, event })
    }

    /// The event at a position of the live stream. A message that is younger than the advisory is another one: the
    /// stream was lost and made again since.
    async fn look_up(&self, stream_seq: u64, at: DateTime) -> Result<Option<ArtifactEvent>, ReadError> {
        let stream = self.bus.jetstream.get_stream_no_info(LIVE_STREAM).await;
        let stream = stream.map_err(|e| ReadError::Lookup(e.into()))?;
        match stream.get_raw_message(stream_seq).await {
            Ok(message) if message.time <= at => Ok(decode(&message.payload).ok()),
            Ok(_) => Ok(None),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                RawMessageErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(None)
                }
                _ => Err(ReadError::Lookup(error.into())),
            },
        }
    }
}

/// What the server writes into both kinds of advisories.
#[derive(Deserialize)]
struct Advisory {
    #[serde(rename = "type")]
    cause: DeadLetterCause,
    timestamp: String,
    stream: String,
    consumer: String,
    stream_seq: u64,
    deliveries: i64,
}

struct Found {
    body: Advisory,
    event: Option<ArtifactEvent>,
}

impl Found {
    fn into_dead_letter(self, advisory: Message) -> DeadLetter {
        let Advisory { cause, stream, consumer, stream_seq, deliveries, .. } = self.body;
        let check = consumer.parse().ok();
        DeadLetter { stream, consumer, check, stream_seq, deliveries, cause, event: self.event, advisory }
    }
}

enum ReadError {
    Malformed(async_nats::Error),
    Lookup(async_nats::Error),
}
