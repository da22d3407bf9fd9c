//! From configuration to running roles: the only place that makes pools, clients and stores.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use touchstone_attest::{
    AttestConfig, AttestParts,
    trust::{TrustKeeper, TrustOptions, TrustParts},
};
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, BusOptions};
use touchstone_console::{ConsoleConfig, ConsoleParts};
use touchstone_custody::{KeyKind, KeyRing};
use touchstone_domain::{Ecosystem, Policy};
use touchstone_ecosystems::adapter;
use touchstone_edge::{EdgeConfig, EdgeParts, SumdbEdge};
use touchstone_hash::{HashConfig, HashParts};
use touchstone_promote::{LogParts, PromoteConfig, PromoteParts};
use touchstone_runtime::{Clock, Config, Metrics, Shutdown, SystemClock, config::UpstreamSection};
use touchstone_store::{Store, StoreOptions};
use touchstone_sumdb::{SumdbConfig, SumdbParts};
use touchstone_tlog::note::VerifierKey;
use touchstone_upstream::{Limits, Secret, Upstream, UpstreamOptions};
use url::Url;

use crate::{counted, custody, logins::Logins, roles::Role};

/// How long to wait before asking a server that is away again.
const AGAIN: Duration = Duration::from_millis(500);
/// Documents that a sumdb worker may always fetch at once: one artifact needs several tiles.
const DOCUMENTS_MIN: usize = 16;

/// What the roles of one process share.
pub(crate) struct Wiring {
    config: Config,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    logins: Logins,
    /// The keys that count.
    ring: watch::Receiver<Arc<KeyRing>>,
    /// When the edge stops. In standalone that is before the others do: what waits at the edge needs their decisions.
    edge_stop: CancellationToken,
    pub(crate) shutdown: Shutdown,
}

/// Runs one role as its own process, until it is told to stop.
pub(crate) async fn run_role(role: Role, config: Config) -> Result<()> {
    if config.database.url.is_none() || config.nats.url.is_none() {
        bail!(
            "`touchstone {}` needs [database] url and [nats] url; without them, use `touchstone standalone`",
            role.as_str()
        );
    }
    let shutdown = Shutdown::install(config.shutdown_grace)?;
    let wiring = Wiring::new(config, Logins::default(), shutdown.soft.clone(), shutdown.clone())?;
    wiring.run(role).await?;
    // The key ring is followed for as long as somebody looks at it.
    drop(wiring);
    shutdown.drained().await;
    Ok(())
}

impl Wiring {
    /// Reads the policy and the key ring.
    pub(crate) fn new(
        config: Config,
        logins: Logins,
        edge_stop: CancellationToken,
        shutdown: Shutdown,
    ) -> Result<Self> {
        let policy = Arc::new(policy(config.policy.file.as_deref())?);
        checksum_database(&config)?;
        let ring = custody::watch_ring(&config, &shutdown)?;
        let metrics = Metrics::install()?;
        metrics.keep_bounded(&shutdown);
        Ok(Self { config, policy, clock: Arc::new(SystemClock), metrics, logins, ring, edge_stop, shutdown })
    }

    /// Runs a role until it is told to stop; at the hard stage it is dropped where it stands.
    pub(crate) async fn run(&self, role: Role) -> Result<()> {
        self.shutdown.hard.run_until_cancelled(Box::pin(self.work(role))).await.unwrap_or(Ok(()))
    }

    async fn work(&self, role: Role) -> Result<()> {
        let Some(store) = self.store(role).await? else { return Ok(()) };
        tracing::info!(role = role.as_str(), "starting");
        counted::register(role);
        match role {
            Role::Edge => self.edge(store).await,
            Role::Hash => self.hash(store).await,
            Role::Attest => self.attest(store).await,
            Role::Sumdb => self.sumdb(store).await,
            Role::Promote => self.promote(store).await,
            Role::Console => self.console(store).await,
        }
    }

    async fn edge(&self, store: Store) -> Result<()> {
        let edge = &self.config.edge;
        let sumdb = checksum_database(&self.config)?.map(|(key, _)| SumdbEdge::new(key));
        let parts = EdgeParts {
            config: EdgeConfig {
                listen: edge.listen,
                public_url: edge.public_url(),
                hosts: edge.hosts.iter().map(|(ecosystem, host)| (*ecosystem, host.clone())).collect(),
                hold: edge.hold,
                patient_hold: edge.patient_hold,
                sumdb,
                metadata_ttl: edge.metadata_ttl,
                connections_max: edge.max_connections,
                header_timeout: edge.header_timeout,
                stall_timeout: edge.stall_timeout,
                log_dir: self.config.log_dir(),
                state_dir: self.config.edge_state_dir(),
            },
            signing: custody::signing(&self.config, KeyKind::Fetch)?,
            ring: self.ring.clone(),
            store,
            blobs: self.blobs().await?,
            bus: self.bus(Role::Edge)?,
            upstreams: upstreams(&self.config)?,
            policy: Arc::clone(&self.policy),
            clock: Arc::clone(&self.clock),
            tracker: self.shutdown.tracker.clone(),
            stop: self.edge_stop.clone(),
        };
        touchstone_edge::run(parts, |address| tracing::info!(%address, "edge listens")).await?;
        Ok(())
    }

    async fn hash(&self, store: Store) -> Result<()> {
        let Some(bus) = self.connected(Role::Hash).await? else { return Ok(()) };
        let parts = HashParts {
            config: HashConfig { concurrency: self.config.hash.concurrency, ..HashConfig::default() },
            store,
            bus,
            blobs: self.blobs().await?,
            clock: Arc::clone(&self.clock),
            signing: custody::signing(&self.config, KeyKind::Hash)?,
            ring: self.ring.clone(),
            shutdown: self.shutdown.clone(),
        };
        touchstone_hash::run(parts).await?;
        Ok(())
    }

    async fn attest(&self, store: Store) -> Result<()> {
        let options = TrustOptions::load(&self.config)?;
        let Some(bus) = self.connected(Role::Attest).await? else { return Ok(()) };
        let trust = TrustParts {
            options,
            store: store.clone(),
            clock: Arc::clone(&self.clock),
            shutdown: self.shutdown.clone(),
        };
        let parts = AttestParts {
            config: AttestConfig { concurrency: self.config.attest.concurrency, ..AttestConfig::default() },
            upstreams: attestation_upstreams(&self.config)?,
            trust: TrustKeeper::start(trust).await.context("trust cannot be loaded")?,
            store,
            bus,
            blobs: self.blobs().await?,
            clock: Arc::clone(&self.clock),
            signing: custody::signing(&self.config, KeyKind::Attest)?,
            ring: self.ring.clone(),
            shutdown: self.shutdown.clone(),
        };
        touchstone_attest::run(parts).await?;
        Ok(())
    }

    async fn sumdb(&self, store: Store) -> Result<()> {
        let Some((database, url)) = checksum_database(&self.config)? else {
            tracing::warn!("no [upstream.go] is configured, so there is nothing to check");
            self.shutdown.soft.cancelled().await;
            return Ok(());
        };
        let Some(bus) = self.connected(Role::Sumdb).await? else { return Ok(()) };
        let sumdb = &self.config.sumdb;
        let config = SumdbConfig {
            concurrency: sumdb.concurrency,
            poll: sumdb.poll,
            behind_max: sumdb.behind_max,
            frozen_after: Some(sumdb.frozen_after).filter(|after| !after.is_zero()),
            ..SumdbConfig::default()
        };
        let parts = SumdbParts {
            config,
            database,
            url,
            limits: Limits { documents_max: sumdb.concurrency.max(DOCUMENTS_MIN), ..Limits::default() },
            store,
            bus,
            blobs: self.blobs().await?,
            clock: Arc::clone(&self.clock),
            signing: custody::signing(&self.config, KeyKind::Sumdb)?,
            ring: self.ring.clone(),
            shutdown: self.shutdown.clone(),
        };
        touchstone_sumdb::run(parts).await?;
        Ok(())
    }

    /// NATS, once it is there, as a role.
    fn bus(&self, role: Role) -> Result<watch::Receiver<Option<Bus>>> {
        let url = self.config.nats.url.as_ref().context("[nats] url is missing")?;
        let options = BusOptions {
            url: self.logins.nats(url.reveal(), role),
            name: format!("touchstone-{}", role.as_str()),
        };
        let (sender, bus) = watch::channel(None);
        let token = self.shutdown.soft.clone();
        self.shutdown.tracker.spawn(async move { connect_bus(options, &sender, &token).await });
        Ok(bus)
    }

    /// The same, waited for; `None` when told to stop first.
    async fn connected(&self, role: Role) -> Result<Option<Bus>> {
        let mut bus = self.bus(role)?;
        let connected = self.shutdown.soft.run_until_cancelled(bus.wait_for(Option::is_some)).await;
        Ok(connected.and_then(Result::ok).and_then(|bus| bus.clone()))
    }

    async fn promote(&self, store: Store) -> Result<()> {
        let (promote, log) = (&self.config.promote, &self.config.log);
        let config = PromoteConfig {
            sweep_period: promote.sweep_period,
            attempts_max: attempts_max(&self.config),
            ..PromoteConfig::default()
        };
        let log = LogParts {
            dir: self.config.log_dir(),
            signer: custody::log_key(&self.config)?,
            witness_dirs: log.witness_dirs.clone(),
            witness_urls: log.witness_urls.clone(),
            period: log.period,
        };
        let parts = PromoteParts {
            config,
            store,
            bus: self.bus(Role::Promote)?,
            blobs: self.blobs().await?,
            signing: custody::signing(&self.config, KeyKind::Promote)?,
            ring: self.ring.clone(),
            policy: Arc::clone(&self.policy),
            clock: Arc::clone(&self.clock),
            log: Some(log),
            tracker: self.shutdown.tracker.clone(),
            stop: self.shutdown.soft.clone(),
        };
        touchstone_promote::run(parts).await?;
        Ok(())
    }

    async fn console(&self, store: Store) -> Result<()> {
        let metrics = self.metrics.clone();
        let parts = ConsoleParts {
            config: ConsoleConfig {
                listen: self.config.console.listen,
                attempts_max: attempts_max(&self.config),
            },
            token: self.config.console.token.as_ref().map(|token| token.reveal().to_owned()),
            store,
            blobs: self.blobs().await?,
            ring: self.ring.clone(),
            environment: self.config.custody.environment.clone(),
            policy: Arc::clone(&self.policy),
            metrics: Arc::new(move || metrics.render()),
            stop: self.shutdown.soft.clone(),
        };
        touchstone_console::run(parts, |address| tracing::info!(%address, "console listens")).await?;
        Ok(())
    }

    /// A pool for one role; waits for a server that is away, `None` when told to stop first.
    async fn store(&self, role: Role) -> Result<Option<Store>> {
        let stop = match role {
            Role::Edge => &self.edge_stop,
            Role::Hash | Role::Attest | Role::Sumdb | Role::Promote | Role::Console => &self.shutdown.soft,
        };
        loop {
            match store(&self.config, &self.logins, role).await {
                Ok(store) => return Ok(Some(store)),
                Err(error) if error.is_transient() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                }
                Err(error) => return Err(error).context("the database is refused"),
            }
            if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
                return Ok(None);
            }
        }
    }

    async fn blobs(&self) -> Result<BlobStore> {
        let directory = self.config.blobs_dir()?;
        BlobStore::open(&directory)
            .await
            .with_context(|| format!("cannot use {} for blobs", directory.display()))
    }
}

fn attempts_max(config: &Config) -> i16 {
    i16::try_from(config.promote.attempts_max).unwrap_or(i16::MAX)
}

/// A pool with the name of a role, as that role.
async fn store(config: &Config, logins: &Logins, role: Role) -> Result<Store, touchstone_store::StoreError> {
    let url = config.database.url.as_ref().map(|url| logins.database(url.reveal(), role)).unwrap_or_default();
    let application_name = format!("touchstone-{}", role.as_str());
    Store::connect(StoreOptions { url, pool_size: config.database.pool_size, application_name }).await
}

/// The policy in a file; the built-in one without. A version that is not in the normal form of its ecosystem would never
/// match, so it is refused.
pub(crate) fn policy(file: Option<&Path>) -> Result<Policy> {
    let Some(path) = file else { return Ok(Policy::default()) };
    let refused = || format!("the policy {} is refused", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy = Policy::parse(&text).with_context(refused)?;
    for (ecosystem, version) in policy.denied_versions() {
        let normal = adapter(ecosystem).version(version.as_str()).with_context(refused)?;
        if normal != *version {
            return Err(anyhow!("write the {ecosystem} version {version} as {normal}")).with_context(refused);
        }
    }
    Ok(policy)
}

/// The configured checksum database: its key, and where it is. `None` without an upstream for Go.
pub(crate) fn checksum_database(config: &Config) -> Result<Option<(VerifierKey, Url)>> {
    let Some(section) = &config.upstream.go else { return Ok(None) };
    let key = section.sumdb_key.as_deref().context("`upstream.go.sumdb_key` is missing")?;
    let key = VerifierKey::parse(key).context("`upstream.go.sumdb_key` is refused")?;
    let url = section.sumdb_url().context("`upstream.go.sumdb_url` is missing")?;
    Ok(Some((key, url)))
}

/// The configured upstreams.
pub(crate) fn upstreams(config: &Config) -> Result<HashMap<Ecosystem, Upstream>> {
    let limits = Limits { artifacts_max: config.edge.max_fetches, ..Limits::default() };
    each_upstream(config, |section| (section.file_hosts.clone(), limits.clone()))
}

/// The same for the attest role: documents only, and no redirect leaves the host that was asked.
pub(crate) fn attestation_upstreams(config: &Config) -> Result<HashMap<Ecosystem, Upstream>> {
    let limits = Limits {
        metadata_bytes_max: touchstone_attest::DOCUMENT_BYTES_MAX,
        documents_max: config.attest.concurrency,
        ..Limits::default()
    };
    each_upstream(config, |_| (vec![], limits.clone()))
}

/// Upstreams with these file hosts and limits.
fn each_upstream(
    config: &Config,
    more: impl Fn(&UpstreamSection) -> (Vec<Url>, Limits),
) -> Result<HashMap<Ecosystem, Upstream>> {
    let made = config.upstream.iter().map(|(ecosystem, section)| {
        let (file_hosts, limits) = more(section);
        let options = UpstreamOptions {
            ecosystem,
            url: root(ecosystem, &section.url),
            attestations_url: section.attestations_url.clone().or_else(|| section.sumdb_url()),
            file_hosts,
            limits,
            bearer: section.token.as_ref().map(|token| Secret::new(token.reveal())),
        };
        let upstream =
            Upstream::new(options).with_context(|| format!("[upstream.{ecosystem}] is refused"))?;
        Ok((ecosystem, upstream))
    });
    made.collect()
}

/// The address that index paths are below. PyPI's is often written with the `simple/` that clients use.
fn root(ecosystem: Ecosystem, url: &Url) -> Url {
    let mut root = url.clone();
    if let (Ecosystem::Pypi, Some(above)) =
        (ecosystem, url.path().trim_end_matches('/').strip_suffix("/simple"))
    {
        root.set_path(&format!("{above}/"));
    }
    root
}

/// Connects until it works; afterwards the client reconnects by itself.
async fn connect_bus(options: BusOptions, connected: &watch::Sender<Option<Bus>>, stop: &CancellationToken) {
    if let Some(bus) = stop.run_until_cancelled(Bus::connect_patiently(options)).await {
        connected.send_replace(Some(bus));
        stop.cancelled().await;
    }
}
