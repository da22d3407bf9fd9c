//! What can go wrong between us and NATS.

use std::time::Duration;

type Cause = async_nats::Error;

/// Why a call to NATS did not do what was asked. None of these loses anything but time.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The address is no address, or a credential was refused at once. The address is not shown: it may hold a password.
    #[error("cannot connect to the configured nats.url")]
    Connect(#[source] Cause),
    /// The server is older than what the design rests on.
    #[error(
        "nats-server {found} is too old: it drops consumer filters silently; install nats-server {required} or newer and \
         restart it"
    )]
    ServerTooOld {
        /// What the server says it is.
        found: String,
        /// The oldest version that works.
        required: &'static str,
    },
    /// There is no connection now; reconnecting goes on in the background.
    #[error("not connected to NATS")]
    Disconnected,
    /// The server did not answer in time.
    #[error("NATS did not {action} within {after:?}")]
    TimedOut {
        /// What was asked of it.
        action: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// A stream can be neither found nor made.
    #[error(
        "cannot provision the stream {stream}; is JetStream enabled (nats-server -js) and may this user manage it?"
    )]
    Stream {
        /// Its name.
        stream: &'static str,
        /// The server's words.
        #[source]
        source: Cause,
    },
    /// A consumer can be neither looked at nor made.
    #[error("cannot use the consumer {consumer} of stream {stream}; may this user?")]
    Consumer {
        /// The stream.
        stream: &'static str,
        /// The consumer.
        consumer: String,
        /// The server's words.
        #[source]
        source: Cause,
    },
    /// The consumer of a check is missing or not as it should be; promote makes it.
    #[error("the consumer {consumer} is not there yet; promote makes it")]
    NotProvisioned {
        /// The consumer.
        consumer: &'static str,
    },
    /// The server stored another configuration than it was given, and did not say so.
    #[error(
        "the server keeps {name} with {field} = {found}, though it was given {wanted}; use a supported nats-server"
    )]
    NotAsConfigured {
        /// The stream or consumer.
        name: String,
        /// The field that differs.
        field: &'static str,
        /// What we asked for.
        wanted: String,
        /// What was read back.
        found: String,
    },
    /// A pull could not be started.
    #[error("cannot pull from a consumer")]
    Pull(#[source] Cause),
    /// A message was not accepted.
    #[error("cannot publish on {subject}")]
    Publish {
        /// Where.
        subject: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// A subscription was refused.
    #[error("cannot subscribe to {subject}")]
    Subscribe {
        /// Where.
        subject: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// An acknowledgement could not be sent; the message will come again.
    #[error("cannot acknowledge a message")]
    Acknowledge(#[source] Cause),
}

impl BusError {
    /// Whether the server is one that time does not mend.
    pub(crate) const fn is_final(&self) -> bool {
        match self {
            Self::ServerTooOld { .. } | Self::NotAsConfigured { .. } => true,
            Self::Connect(_)
            | Self::Disconnected
            | Self::TimedOut { .. }
            | Self::Stream { .. }
            | Self::Consumer { .. }
            | Self::NotProvisioned { .. }
            | Self::Pull(_)
            | Self::Publish { .. }
            | Self::Subscribe { .. }
            | Self::Acknowledge(_) => false,
        }
    }
}
