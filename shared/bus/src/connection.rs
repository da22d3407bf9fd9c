//! The connection: one client, its version gate, and how it is closed.

use std::{fmt, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event,
    connection::State,
    jetstream::{Context, context::ContextBuilder},
};
use percent_encoding::percent_decode_str;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{BusError, permissions::inbox_prefix};

/// How long a single call may wait for the server.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The oldest server whose consumers do what they are told (pipeline.md section 2).
const SERVER_REQUIRED: (u64, u64) = (2, 12);
const SERVER_REQUIRED_TEXT: &str = "2.12";
/// How long the first connection may take before we go on without it.
const FIRST_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest pause between two attempts to reconnect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);
/// What the inboxes of a connection without a user begin with.
const INBOX: &str = "_INBOX";
/// The pause after an address or a server was refused.
const CONNECT_AGAIN: Duration = Duration::from_millis(500);
/// Finds a connection that is open and dead.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Where NATS is, and who we are.
#[derive(Clone)]
pub struct BusOptions {
    /// `nats://user:password@host:port`; several, separated by commas: those of one cluster, and no server that is not among them is
    /// asked. If one is `tls://`, all are. Inboxes begin with `_INBOX_` and the user of the first, or with `_INBOX` where there is none.
    pub url: String,
    /// The name of this connection in the server's monitoring.
    pub name: String,
}

impl fmt::Debug for BusOptions {
    /// Leaves the address out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the client's events say about the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// How often a connection was made.
    pub(crate) connections: u64,
    /// Whether it was closed for good.
    closed: bool,
}

/// A connection to NATS that repairs itself. Clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    pub(crate) link: watch::Receiver<Link>,
}

impl Bus {
    /// Connects, and refuses a server that is too old. A server that is away is no error: what is approved is served
    /// without NATS, so the connection is then made in the background, and reconnecting goes on for ever.
    pub async fn connect(options: BusOptions) -> Result<Self, BusError> {
        let (sender, mut link) = watch::channel(Link::default());
        let on_event = move |event| {
            note(&sender, &event);
            std::future::ready(())
        };
        let authenticated = match credentials(&options.url) {
            Some((user, password)) => {
                let plain = user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                let inbox = if plain { inbox_prefix(&user) } else { INBOX.to_owned() };
                ConnectOptions::with_user_and_password(user, password).custom_inbox_prefix(inbox)
            }
            None => ConnectOptions::new(),
        };
        let addresses: Vec<&str> = options.url.split(',').map(str::trim).collect();
        // What a server says of others comes before any handshake, and would be dialled without one.
        let client = authenticated
            .name(options.name)
            .ignore_discovered_servers()
            .require_tls(addresses.iter().any(|address| address.starts_with("tls://")))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(CALL_TIMEOUT)
            .request_timeout(Some(CALL_TIMEOUT))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(on_event)
            .connect(addresses)
            .await
            .map_err(|e| BusError::Connect(e.into()))?;
        let connected = link.wait_for(|link| link.connections > 0);
        if !matches!(timeout(FIRST_CONNECT_TIMEOUT, connected).await, Ok(Ok(_))) {
            tracing::warn!("NATS cannot be reached; going on without it, and trying again in the background");
        }
        let jetstream = ContextBuilder::new().timeout(CALL_TIMEOUT).build(client.clone());
        let bus = Self { client, jetstream, link };
        match bus.ready().await {
            Ok(()) | Err(BusError::Disconnected) => Ok(bus),
            Err(error) => Err(error),
        }
    }

    /// Connects, however long it takes. There is one client however often it is tried: it goes on reconnecting for ever.
    pub async fn connect_patiently(options: BusOptions) -> Self {
        loop {
            match Self::connect(options.clone()).await {
                Ok(bus) => return bus,
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "waiting for NATS"),
            }
            sleep(CONNECT_AGAIN).await;
        }
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        !self.link.borrow().closed && self.client.connection_state() == State::Connected
    }

    /// Sends what is buffered, then closes the connection; waits for either, but not for long.
    pub async fn drain(&self) {
        let mut link = self.link.clone();
        let closing = async {
            if self.is_connected() {
                self.client.flush().await.ok();
            }
            self.client.drain().await.ok();
            link.wait_for(|link| link.closed).await.ok();
        };
        if timeout(CALL_TIMEOUT, closing).await.is_err() {
            tracing::warn!("NATS did not confirm the end of the connection");
        }
    }

    /// Fails fast when the server is away, or is one that we refuse.
    pub(crate) fn usable(&self) -> Result<(), BusError> {
        if !self.is_connected() {
            return Err(BusError::Disconnected);
        }
        let info = self.client.try_server_info().ok_or(BusError::Disconnected)?;
        accept_version(&info.version)
    }

    /// As [`Bus::usable`], once the client has caught up: what it says about a new connection lags behind its events.
    pub(crate) async fn ready(&self) -> Result<(), BusError> {
        if !self.is_connected() {
            return Err(BusError::Disconnected);
        }
        let flushed = timeout(CALL_TIMEOUT, self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            return Err(BusError::Disconnected);
        }
        self.usable()
    }
}

/// User and password of the first of the addresses; the client itself leaves those in an address unused.
fn credentials(url: &str) -> Option<(String, String)> {
    let first = url.split(',').next()?;
    let authority = first.split_once("://").map_or(first, |(_, rest)| rest);
    let (user, password) = authority.rsplit_once('@')?.0.split_once(':')?;
    let decode = |text| percent_decode_str(text).decode_utf8().ok().filter(|text| !text.is_empty());
    Some((decode(user)?.into_owned(), decode(password)?.into_owned()))
}

fn note(link: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => link.send_modify(|link| link.connections += 1),
        Event::Closed => link.send_modify(|link| link.closed = true),
        Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(
                subscription,
                "NATS messages were dropped: a subscription is not read fast enough"
            );
        }
        Event::Disconnected | Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
    RECONNECT_DELAY_MAX.min(Duration::from_millis(50) * 2_u32.pow(doublings))
}

/// Accepts 2.12 and newer. A pre-release counts as its release; what is no version is refused.
fn accept_version(version: &str) -> Result<(), BusError> {
    let refused = || BusError::ServerTooOld { found: version.to_owned(), required: SERVER_REQUIRED_TEXT };
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    let mut part = || parts.next().and_then(|p| p.parse::<u64>().ok()).ok_or_else(refused);
    if (part()?, part()?) < SERVER_REQUIRED { Err(refused()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_that_keep_consumer_filters_are_accepted() {
        for good in ["2.12.0", "2.12.0-preview.1", "v2.15.1", "3.0.0", "2.100.0"] {
            assert!(accept_version(good).is_ok(), "{good}");
        }
        for bad in ["2.11.9", "2.9.10", "1.99.0", "2", "", "main", "2.x.1"] {
            let found = accept_version(bad).expect_err(bad).to_string();
            assert_eq!(
                found,
                format!(
                    "nats-server {bad} is too old: it drops consumer filters silently; install nats-server 2.12 or \
                     newer and restart it"
                )
            );
        }
    }

    #[test]
    fn the_first_address_says_who_we_are() {
        for (url, expected) in [
            ("nats://edge:s3cret@nats.example:4222", Some(("edge", "s3cret"))),
            ("tls://edge-1:a%40:b@nats.example", Some(("edge-1", "a@:b"))),
            ("hash:pw@a.example, nats://other:pw@b.example", Some(("hash", "pw"))),
            ("nats://nats.example:4222", None),
            ("nats://nats.example:4222,nats://other:pw@b.example", None),
            ("nats://edge@nats.example", None),
            ("nats://:pw@nats.example", None),
            ("nats://edge:@nats.example", None),
        ] {
            let found = credentials(url);
            let found = found.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn pauses_between_attempts_grow_to_a_bound() {
        let pauses: Vec<u128> = [0, 1, 2, 3, 7, usize::MAX].map(|n| reconnect_delay(n).as_millis()).to_vec();
        assert_eq!(pauses, [50, 50, 100, 200, 2000, 2000]);
    }
}
