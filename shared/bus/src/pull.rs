//! A pull that repairs itself: what [`crate::Deliveries`] and [`crate::DeadLetters`] share.

use std::{collections::VecDeque, time::Duration};

use async_nats::jetstream::{Message, consumer::pull};
use futures::{FutureExt as _, StreamExt as _};
use tokio::{sync::watch, time::sleep};
use touchstone_domain::CheckKind;

use crate::{Bus, BusError, connection::Link};

/// How long one pull request stands at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it is there; two missing ones mean that it is not.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The shortest pause before a pull that failed is tried again; it doubles with each failure.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Whose messages are pulled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The events of one check.
    Check(CheckKind),
    /// The advisories.
    DeadLetters,
}

/// An endless supply of messages.
pub(crate) struct Pull {
    bus: Bus,
    source: Source,
    capacity: usize,
    stream: Option<pull::Stream>,
    link: watch::Receiver<Link>,
    /// What an abandoned stream had been sent already.
    left_over: VecDeque<Message>,
    failures: u32,
}

impl Pull {
    /// `capacity` bounds the messages that are sent ahead.
    pub(crate) fn new(bus: Bus, source: Source, capacity: usize) -> Self {
        let link = bus.link.clone();
        let capacity = capacity.max(1);
        Self { bus, source, capacity, stream: None, link, left_over: VecDeque::new(), failures: 0 }
    }

    /// Starts to pull if the server lets us now; only a server that never will is an error.
    pub(crate) async fn try_open(&mut self) -> Result<(), BusError> {
        match self.open().await {
            Err(error) if error.is_final() => Err(error),
            Ok(()) => Ok(()),
            Err(error) => {
                self.broke(&error);
                Ok(())
            }
        }
    }

    /// Starts to pull.
    async fn open(&mut self) -> Result<(), BusError> {
        self.link.mark_unchanged();
        let consumer = match self.source {
            Source::Check(check) => self.bus.check_consumer(check).await?,
            Source::DeadLetters => self.bus.dead_letter_consumer().await?,
        };
        let stream = consumer
            .stream()
            .max_messages_per_batch(self.capacity)
            .expires(EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|e| BusError::Pull(e.into()))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// The next message, however long it takes. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.ready() {
                return message;
            }
            let Some(stream) = &mut self.stream else {
                self.reopen().await;
                continue;
            };
            tokio::select! {
                item = stream.next() => match item {
                    Some(Ok(message)) => return message,
                    Some(Err(error)) => self.broke(&error),
                    None => self.broke(&"the stream of messages ended"),
                },
                // A new connection may lead to a server that has forgotten everything.
                Ok(()) = self.link.changed() => self.abandon(),
            }
        }
    }

    /// A message that is here already.
    pub(crate) fn ready(&mut self) -> Option<Message> {
        if let Some(message) = self.left_over.pop_front() {
            return Some(message);
        }
        match self.stream.as_mut()?.next().now_or_never()? {
            Some(Ok(message)) => return Some(message),
            Some(Err(error)) => self.broke(&error),
            None => self.broke(&"the stream of messages ended"),
        }
        self.left_over.pop_front()
    }

    /// Stops to pull; what was sent already stays ready.
    pub(crate) fn abandon(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            while let Some(Some(Ok(message))) = stream.next().now_or_never() {
                self.left_over.push_back(message);
            }
        }
    }

    fn broke(&mut self, error: &dyn std::fmt::Display) {
        tracing::info!(source = ?self.source, %error, "a pull broke off, and is started again");
        self.failures = self.failures.max(1);
        self.abandon();
    }

    async fn reopen(&mut self) {
        if self.failures > 0 {
            let delay = RETRY_DELAY_MAX.min(RETRY_DELAY_MIN * 2_u32.pow(self.failures.min(8) - 1));
            tokio::select! {
                () = sleep(delay) => {}
                // A new connection is tried at once, and again soon if it is not quite ready.
                Ok(()) = self.link.changed() => self.failures = 0,
            }
        }
        match self.open().await {
            Ok(()) => self.failures = 0,
            Err(BusError::Disconnected) => self.failures += 1,
            Err(BusError::NotProvisioned { consumer }) => {
                self.failures += 1;
                tracing::info!(consumer, "waiting until promote has made the consumer");
            }
            Err(error) => {
                self.failures += 1;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(source = ?self.source, %error, cause, "cannot pull; trying again");
            }
        }
    }
}
