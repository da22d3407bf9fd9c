//! The sections of `touchstone.toml`, with their defaults and bounds.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use touchstone_domain::Ecosystem;
use url::Url;

use super::{
    ConfigError, CustodySection, LogSection, Secret, SumdbSection, TrustSection, Upstreams, addresses,
};

/// Everything a role can be told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file that this was read from, if it was one.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Where blobs and, in standalone, the private servers keep their files.
    pub data_dir: PathBuf,
    /// From the first stop signal until everything is stopped at once.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// `[database]`
    pub database: Database,
    /// `[nats]`
    pub nats: NatsSection,
    /// `[edge]`
    pub edge: Edge,
    /// `[console]`
    pub console: Console,
    /// `[blobs]`
    pub blobs: Blobs,
    /// `[upstream.*]`
    pub upstream: Upstreams,
    /// `[trust]`
    pub trust: TrustSection,
    /// `[policy]`
    pub policy: PolicySection,
    /// `[hash]`
    pub hash: Hash,
    /// `[attest]`
    pub attest: Attest,
    /// `[sumdb]`
    pub sumdb: SumdbSection,
    /// `[promote]`
    pub promote: Promote,
    /// `[custody]`
    pub custody: CustodySection,
    /// `[log]`
    pub log: LogSection,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            data_dir: PathBuf::from("data"),
            shutdown_grace: Duration::from_secs(30),
            database: Database::default(),
            nats: NatsSection::default(),
            edge: Edge::default(),
            console: Console::default(),
            blobs: Blobs::default(),
            upstream: Upstreams::default(),
            trust: TrustSection::default(),
            policy: PolicySection::default(),
            hash: Hash::default(),
            attest: Attest::default(),
            sumdb: SumdbSection::default(),
            promote: Promote::default(),
            custody: CustodySection::default(),
            log: LogSection::default(),
        }
    }
}

/// Postgres. Without an address, standalone starts a private server, and every other role refuses to start.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host/database`.
    pub url: Option<Secret>,
    /// A file that holds the address instead.
    pub url_file: Option<PathBuf>,
    /// Connections per role, at most.
    pub pool_size: usize,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, url_file: None, pool_size: 16 }
    }
}

/// NATS. Without an address, standalone starts a private server, and every other role refuses to start.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSection {
    /// `nats://user:password@host:4222`.
    pub url: Option<Secret>,
    /// A file that holds the address instead.
    pub url_file: Option<PathBuf>,
}

/// What package clients talk to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The address that clients use, which links in indexes start with; `http://` and `listen` if absent.
    pub public_url: Option<Url>,
    /// How long a request waits for the decision. pip gives up after 15 s, so at most 12 s.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// The same for Go, whose client waits for ever and never asks again.
    #[serde(with = "humantime_serde")]
    pub patient_hold: Duration,
    /// How long an index is served without asking the upstream whether it changed.
    #[serde(with = "humantime_serde")]
    pub metadata_ttl: Duration,
    /// Client connections, at most.
    pub max_connections: usize,
    /// Artifacts that are fetched from one upstream at one time, at most.
    pub max_fetches: usize,
    /// How long a client may take to send its request head.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// How long a client may take nothing of what it is sent.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
    /// Host names at whose root an ecosystem is served, besides its path on every host.
    pub hosts: BTreeMap<Ecosystem, String>,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            hold: Duration::from_secs(8),
            patient_hold: Duration::from_mins(1),
            metadata_ttl: Duration::from_mins(5),
            max_connections: 4096,
            max_fetches: 64,
            header_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_mins(1),
            hosts: BTreeMap::new(),
        }
    }
}

impl Edge {
    /// The address that clients use, always with a path that ends in a slash.
    pub fn public_url(&self) -> Url {
        let mut url = self.public_url.clone().unwrap_or_else(|| {
            Url::parse(&format!("http://{}/", self.listen)).expect("an address and a port make a URL")
        });
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        url
    }
}

/// What operators talk to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The bearer token that changes things; by environment only.
    pub token: Option<Secret>,
    /// A file that holds the token instead.
    pub token_file: Option<PathBuf>,
}

impl Default for Console {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)), token: None, token_file: None }
    }
}

/// Where artifact bytes are kept.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// `file:///path`; `blobs` in the data directory if absent.
    pub url: Option<Url>,
}

/// `[policy]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySection {
    /// The policy file; the built-in policy if absent.
    pub file: Option<PathBuf>,
}

/// `[hash]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hash {
    /// Artifacts checked at one time; the number of cores if absent.
    pub concurrency: usize,
}

impl Default for Hash {
    fn default() -> Self {
        Self { concurrency: std::thread::available_parallelism().map_or(2, NonZeroUsize::get) }
    }
}

/// `[attest]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attest {
    /// Artifacts checked at one time; most of the time they wait for the upstream.
    pub concurrency: usize,
}

impl Default for Attest {
    fn default() -> Self {
        Self { concurrency: 16 }
    }
}

/// `[promote]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Promote {
    /// How often undecided artifacts are looked for.
    #[serde(with = "humantime_serde")]
    pub sweep_period: Duration,
    /// After so many events without a decision an artifact counts as stuck; it is tried again every hour.
    pub attempts_max: u16,
}

impl Default for Promote {
    fn default() -> Self {
        Self { sweep_period: Duration::from_secs(1), attempts_max: 8 }
    }
}

impl Config {
    /// The directory of the blobs.
    pub fn blobs_dir(&self) -> Result<PathBuf, ConfigError> {
        let Some(url) = &self.blobs.url else { return Ok(self.data_dir.join("blobs")) };
        let refused =
            |problem: &str| ConfigError::Value { key: "blobs.url".to_owned(), problem: problem.to_owned() };
        match url.scheme() {
            "file" => {
                url.to_file_path().map_err(|()| refused("must be file:///, an absolute path on this machine"))
            }
            "s3" => Err(refused("is s3://, which this version does not support; use file:///")),
            _ => Err(refused("must start with file:///")),
        }
    }

    /// The directory of the private servers.
    pub fn servers_dir(&self) -> PathBuf {
        Path::new(&self.data_dir).join("servers")
    }

    /// Bounds that the types do not hold.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.blobs_dir()?;
        let second = Duration::from_secs(1);
        let (edge, promote) = (&self.edge, &self.promote);
        within("database.pool_size", self.database.pool_size, 1, 1000)?;
        within("edge.max_connections", edge.max_connections, 1, 1_000_000)?;
        within("edge.max_fetches", edge.max_fetches, 1, 10_000)?;
        within("hash.concurrency", self.hash.concurrency, 1, 1024)?;
        within("attest.concurrency", self.attest.concurrency, 1, 1024)?;
        within("promote.attempts_max", promote.attempts_max.into(), 1, 1000)?;
        lasts("shutdown_grace", self.shutdown_grace, Duration::ZERO, 3600 * second)?;
        lasts("edge.hold", edge.hold, Duration::ZERO, 12 * second)?;
        lasts("edge.patient_hold", edge.patient_hold, Duration::ZERO, 600 * second)?;
        lasts("edge.metadata_ttl", edge.metadata_ttl, Duration::ZERO, 24 * 3600 * second)?;
        lasts("edge.header_timeout", edge.header_timeout, second, 300 * second)?;
        lasts("edge.stall_timeout", edge.stall_timeout, second, 3600 * second)?;
        lasts("promote.sweep_period", promote.sweep_period, Duration::from_millis(10), 3600 * second)?;
        if let Some(url) = &edge.public_url
            && !(matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none())
        {
            let problem = "must be http:// or https://, without query or fragment".to_owned();
            return Err(ConfigError::Value { key: "edge.public_url".to_owned(), problem });
        }
        self.trust.check()?;
        self.sumdb.check()?;
        self.custody.check()?;
        self.log.check()?;
        self.upstream.check()?;
        addresses::check(edge, &self.upstream)
    }
}

pub(super) fn within(key: &str, value: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.to_owned(),
        problem: format!("is {value}; it must be from {min} to {max}"),
    })
}

pub(super) fn lasts(key: &str, value: Duration, min: Duration, max: Duration) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.to_owned(),
        problem: format!("is {value:?}; it must be from {min:?} to {max:?}"),
    })
}
