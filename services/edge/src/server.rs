//! The listener: bounded connections, bounded headers, deadlines for slow clients, and an orderly end.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use touchstone_custody::{KeyKind, KeyRing, Signing};
use touchstone_domain::KeyId;

use crate::{
    log::{self, FollowError, Follower},
    records::Client,
    router,
    state::{Edge, EdgeParts},
};

/// The most bytes of request headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How long connections get to finish when the edge stops: longer than an ordinary hold. Patient ones end at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait before asking an absent database again.
const DATABASE_AGAIN: Duration = Duration::from_millis(500);
/// How long the transparency log may take to be read before connections are accepted. What is asked for while it still is gets a
/// refusal.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// Why an edge ends.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The key that it was given signs something else.
    #[error("the key {key} is of kind {found}; an edge may hold a key of kind fetch only")]
    Key {
        /// The key.
        key: KeyId,
        /// What it signs.
        found: KeyKind,
    },
    /// The transparency log cannot be followed.
    #[error(transparent)]
    Log(Box<FollowError>),
}

/// Serves until told to stop. `bound` hears the address, which matters when the kernel chose the port.
pub async fn run(parts: EdgeParts, bound: impl FnOnce(SocketAddr)) -> Result<(), EdgeError> {
    check_key(&parts.signing, &parts.ring.borrow(), parts.clock.now())?;
    let (tracker, stop) = (parts.tracker.clone(), parts.stop.clone());
    let (log_dir, state_dir) = (&parts.config.log_dir, &parts.config.state_dir);
    let follower = Follower::new(&parts.signing.environment, log_dir, state_dir);
    let follower = follower.map_err(|error| EdgeError::Log(Box::new(error)))?;
    let log = follower.log();
    let address = parts.config.listen;
    let listen = |source| EdgeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    bound(listener.local_addr().map_err(listen)?);
    tracker.spawn(log::follow(follower, parts.ring.clone(), parts.store.clone(), stop.clone()));
    let Some(policy_epoch) = register_policy(&parts).await else { return Ok(()) };
    log.read(LOG_PATIENCE).await;
    let connections = Arc::new(Semaphore::new(parts.config.connections_max));
    let edge = Edge::new(parts, policy_epoch, log);
    // Requests that are being answered when the edge is told to stop still hear of their decisions.
    let drained = CancellationToken::new();
    spawn_decisions(&edge, &tracker, &drained);
    accept(&edge, listener, &connections, &tracker, &stop).await;
    drained.cancel();
    Ok(())
}

/// An edge must not be able to sign more than what it fetched, whatever its configuration calls the key.
fn check_key(signing: &Signing, ring: &KeyRing, now: Timestamp) -> Result<(), EdgeError> {
    let (key, kind) = (signing.signer.key_id(), signing.signer.kind());
    let listed = ring.entry(key).map(|entry| entry.kind);
    if let Some(found) = [Some(kind), listed].into_iter().flatten().find(|kind| *kind != KeyKind::Fetch) {
        return Err(EdgeError::Key { key, found });
    }
    if let Err(problem) = ring.accept(key, KeyKind::Fetch, now) {
        tracing::warn!(
            %key,
            %problem,
            "the key that signs fetches does not count, so that nothing new is fetched until it does: run `touchstone keys rotate fetch`, and start again"
        );
    }
    Ok(())
}

/// Names the policy in force, once the database answers; `None` when told to stop first.
async fn register_policy(parts: &EdgeParts) -> Option<i32> {
    loop {
        match parts.store.register_policy(&parts.policy).await {
            Ok(epoch) => return Some(epoch),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
            }
        }
        parts.stop.run_until_cancelled(tokio::time::sleep(DATABASE_AGAIN)).await?;
    }
}

fn spawn_decisions(edge: &Arc<Edge>, tracker: &TaskTracker, stop: &CancellationToken) {
    let (poller, token) = (Arc::clone(edge), stop.clone());
    tracker.spawn(async move { poller.decisions.poll(&poller.store, &token).await });
    let (listener, token) = (Arc::clone(edge), stop.clone());
    tracker.spawn(async move {
        let mut connected = listener.bus.clone();
        let bus = token.run_until_cancelled(connected.wait_for(Option::is_some)).await;
        let bus = bus.and_then(Result::ok).and_then(|bus| bus.clone());
        if let Some(bus) = bus {
            listener.decisions.listen(&bus, &token).await;
        }
    });
}

async fn accept(
    edge: &Arc<Edge>,
    listener: TcpListener,
    connections: &Arc<Semaphore>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let Some(Ok(permit)) = stop.run_until_cancelled(Arc::clone(connections).acquire_owned()).await else {
            break;
        };
        match stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, peer))) => {
                connection(edge, (stream, Client(peer.ip())), permit, tracker, &graceful);
            }
            Some(Err(error)) => {
                // Out of file descriptors, mostly: let some connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Refused from now on, so that clients turn to another edge instead of waiting here.
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the edge stopped");
    }
}

fn connection(
    edge: &Arc<Edge>,
    (stream, client): (TcpStream, Client),
    permit: OwnedSemaphorePermit,
    tracker: &TaskTracker,
    graceful: &GracefulShutdown,
) {
    let _best_effort = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(edge.config.stall_timeout));
    let header_timeout = edge.config.header_timeout;
    let edge = Arc::clone(edge);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let edge = Arc::clone(&edge);
        request.extensions_mut().insert(client);
        async move { Ok::<_, Infallible>(router::handle(&edge, request).await) }
    });
    // HTTP/1.1 only: there is no TLS here that could negotiate another, and only HTTP/1.1 has the reason phrases that most
    // clients show.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEADER_BYTES_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let served = graceful.watch(served);
    tracker.spawn(async move {
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(permit);
    });
}

#[cfg(test)]
mod tests {
    use touchstone_custody::{KeyEntry, LocalSigner, Signer as _};

    use super::*;

    #[test]
    fn an_edge_starts_with_a_key_of_kind_fetch_and_with_no_other_whatever_it_is_called() {
        let signer = |kind| LocalSigner::from_seed(kind, [1; 32]).unwrap();
        let signing = |kind| Signing { environment: "test".into(), signer: Arc::new(signer(kind)) };
        let ring = |kind| {
            let not_before = "2026-11-23T00:00:00Z".parse().unwrap();
            let public = signer(kind).public();
            KeyRing::new(vec![KeyEntry { kind, public, not_before, not_after: None, revoked: None }]).unwrap()
        };
        for kind in KeyKind::ALL {
            let refused = |found: Result<(), EdgeError>| match found {
                Ok(()) => None,
                Err(EdgeError::Key { found, key }) if key == signer(kind).key_id() => Some(found),
                Err(other) => panic!("{other}"),
            };
            let expected = (kind != KeyKind::Fetch).then_some(kind);
            assert_eq!(
                refused(check_key(&signing(kind), &KeyRing::default(), Timestamp::UNIX_EPOCH)),
                expected
            );
            assert_eq!(refused(check_key(&signing(kind), &ring(kind), Timestamp::UNIX_EPOCH)), expected);
            assert_eq!(
                refused(check_key(&signing(KeyKind::Fetch), &ring(kind), Timestamp::UNIX_EPOCH)),
                expected,
                "called another name"
            );
        }
    }
}
