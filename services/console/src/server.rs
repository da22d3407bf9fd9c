//! The listener and its routes.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use touchstone_blobs::BlobStore;
use touchstone_custody::KeyRing;
use touchstone_domain::Policy;
use touchstone_records::RecordStore;
use touchstone_store::Store;

use crate::{api, auth::Token, gauges, listen::serve, page};

/// The largest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The console's settings.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// After how many dispatches an artifact counts as stuck.
    pub attempts_max: i16,
}

/// What the console is given.
pub struct ConsoleParts {
    /// Its settings.
    pub config: ConsoleConfig,
    /// The operator's bearer token.
    pub token: Option<String>,
    /// Postgres.
    pub store: Store,
    /// Where signed envelopes are.
    pub blobs: BlobStore,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// The installation's name, which every record carries.
    pub environment: String,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Renders the metrics of this process, and of the pipeline as Postgres counts it.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Says when to stop.
    pub stop: CancellationToken,
}

/// Why a console ends.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Everybody could read, and nobody was asked who they are.
    #[error("the console listens on {address}, off loopback, without [console] token_file")]
    Open {
        /// The configured address.
        address: SocketAddr,
    },
    /// The token is guessable.
    #[error("the console's token has fewer than 16 characters; make one with `openssl rand -hex 32`")]
    WeakToken,
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
}

pub(crate) struct Console {
    pub(crate) store: Store,
    pub(crate) records: RecordStore,
    pub(crate) ring: watch::Receiver<Arc<KeyRing>>,
    pub(crate) environment: String,
    pub(crate) attempts_max: i16,
    pub(crate) policy: Arc<Policy>,
    pub(crate) token: Option<Token>,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Answers until told to stop. `bound` hears the address, which matters when the kernel chose the port.
pub async fn run(parts: ConsoleParts, bound: impl FnOnce(SocketAddr)) -> Result<(), ConsoleError> {
    let address = parts.config.listen;
    if parts.token.is_none() && !address.ip().is_loopback() {
        return Err(ConsoleError::Open { address });
    }
    if parts.token.as_ref().is_some_and(|token| token.len() < 16) {
        return Err(ConsoleError::WeakToken);
    }
    let listen = |source| ConsoleError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    bound(listener.local_addr().map_err(listen)?);
    let console = Arc::new(Console {
        store: parts.store,
        records: RecordStore::new(parts.blobs),
        ring: parts.ring,
        environment: parts.environment,
        attempts_max: parts.config.attempts_max,
        policy: parts.policy,
        token: parts.token.as_deref().map(Token::new),
        metrics: parts.metrics,
    });
    serve(listener, routes(console), &parts.stop).await;
    Ok(())
}

fn routes(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/healthz", get(api::healthz))
        .route("/readyz", get(api::readyz))
        .route("/metrics", get(gauges::metrics))
        .route("/api/v1/artifacts", get(api::artifacts))
        .route("/api/v1/artifacts/{sha256}/records", get(api::records))
        .route("/api/v1/summary", get(api::summary))
        .route("/api/v1/incidents", get(api::incidents))
        .route("/api/v1/dead-letters", get(api::dead_letters))
        .route("/api/v1/policy", get(api::policy))
        .route("/api/v1/recalls", post(api::recalls))
        .route("/api/v1/openapi.json", get(api::openapi))
        .fallback(api::no_such_path)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(console)
}
