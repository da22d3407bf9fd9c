//! What a mirror is started with.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use touchstone_attest::trust::TrustOptions;
use touchstone_domain::Ecosystem;
use touchstone_runtime::{Clock, SystemClock};
use touchstone_upstream::{Limits, UpstreamOptions};
use url::Url;

use super::{TestMirror, sumdb::SumdbOptions};
use crate::{Registry, custody::TestKeys, sigstore::Sigstore};

/// What a mirror is started with.
pub struct TestMirrorBuilder {
    pub(super) upstreams: Vec<UpstreamOptions>,
    pub(super) policy: String,
    pub(super) hold: Duration,
    pub(super) patient_hold: Duration,
    pub(super) metadata_ttl: Duration,
    pub(super) hash_workers: usize,
    pub(super) attest_workers: usize,
    pub(super) sumdb_workers: usize,
    pub(super) sumdb: Option<SumdbOptions>,
    pub(super) trust: Option<(Vec<u8>, Vec<u8>, String)>,
    pub(super) trust_options: Option<TrustOptions>,
    pub(super) promoters: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hosts: HashMap<Ecosystem, String>,
    pub(super) limits: Limits,
    pub(super) header_timeout: Duration,
    pub(super) shared: Option<Shared>,
    pub(super) keys: TestKeys,
    pub(super) log_dir: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) witness_dirs: Vec<PathBuf>,
    pub(super) witness_urls: Vec<Url>,
}

/// What the processes of one installation share.
pub(super) struct Shared {
    pub(super) database_url: String,
    pub(super) blobs_dir: PathBuf,
    pub(super) log_dir: PathBuf,
}

impl TestMirrorBuilder {
    /// A mirror with the default policy.
    pub(super) fn new() -> Self {
        Self {
            upstreams: vec![],
            policy: String::new(),
            hold: Duration::from_secs(8),
            patient_hold: Duration::from_secs(20),
            metadata_ttl: Duration::ZERO,
            hash_workers: 1,
            attest_workers: 1,
            sumdb_workers: 1,
            sumdb: None,
            trust: None,
            trust_options: None,
            promoters: 1,
            clock: Arc::new(SystemClock),
            hosts: HashMap::new(),
            limits: Limits { attempts_max: 1, ..Limits::default() },
            header_timeout: Duration::from_secs(10),
            shared: None,
            keys: TestKeys::new(0),
            log_dir: None,
            state_dir: None,
            witness_dirs: vec![],
            witness_urls: vec![],
        }
    }

    /// Uses the registry for every ecosystem, and its checksum database.
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        for ecosystem in Ecosystem::ALL {
            self = self.upstream(ecosystem, registry.url(ecosystem));
        }
        self.sumdb_of(registry)
    }

    /// Uses this address for an ecosystem.
    #[must_use]
    pub fn upstream(mut self, ecosystem: Ecosystem, url: Url) -> Self {
        let limits = Limits::default();
        self.upstreams.push(UpstreamOptions {
            ecosystem,
            url,
            attestations_url: None,
            file_hosts: vec![],
            limits,
            bearer: None,
        });
        self
    }

    /// Uses this policy file.
    #[must_use]
    pub fn policy(mut self, document: &str) -> Self {
        document.clone_into(&mut self.policy);
        self
    }

    /// How long requests wait for a decision.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// How long requests of the go command wait for one; 20 seconds if not said.
    #[must_use]
    pub fn patient_hold(mut self, hold: Duration) -> Self {
        self.patient_hold = hold;
        self
    }

    /// How long metadata is used without asking again; zero if not said.
    #[must_use]
    pub fn metadata_ttl(mut self, ttl: Duration) -> Self {
        self.metadata_ttl = ttl;
        self
    }

    /// How many hash workers share the work; none leaves everything pending.
    #[must_use]
    pub fn hash_workers(mut self, number: usize) -> Self {
        self.hash_workers = number;
        self
    }

    /// How many attest workers share the work; none leaves everything pending that has attestations in its ecosystem.
    #[must_use]
    pub fn attest_workers(mut self, number: usize) -> Self {
        self.attest_workers = number;
        self
    }

    /// Trusts this sigstore, its registry's keys and its registry, instead of what is built in.
    #[must_use]
    pub fn trust(mut self, sigstore: &Sigstore) -> Self {
        let (root, keys) = (sigstore.trusted_root_json(), sigstore.registry_keys_json());
        self.trust = Some((root, keys, sigstore.registry_url.clone()));
        self
    }

    /// Trusts what these say, whatever else was said.
    #[must_use]
    pub fn trust_options(mut self, options: TrustOptions) -> Self {
        self.trust_options = Some(options);
        self
    }

    /// How many promote services run.
    #[must_use]
    pub fn promoters(mut self, number: usize) -> Self {
        self.promoters = number;
        self
    }

    /// Tells the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Serves an ecosystem at the root of a host name.
    #[must_use]
    pub fn host(mut self, ecosystem: Ecosystem, name: &str) -> Self {
        self.hosts.insert(ecosystem, name.to_owned());
        self
    }

    /// Bounds on what upstreams may send.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a client may take to send a request's headers.
    #[must_use]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.header_timeout = timeout;
        self
    }

    /// Uses the database and the blobs of another mirror, as a second process of the same installation does.
    #[must_use]
    pub fn beside(mut self, mirror: &TestMirror) -> Self {
        self.shared = Some(Shared {
            database_url: mirror.database_url.clone(),
            blobs_dir: mirror.blobs_dir.clone(),
            log_dir: mirror.log_dir.clone(),
        });
        self.keys = mirror.keys.clone();
        self
    }

    /// As [`TestMirrorBuilder::beside`], but with this database: one that was restored, for instance.
    #[must_use]
    pub fn on_database(mut self, url: &str) -> Self {
        url.clone_into(&mut self.shared.as_mut().expect("`beside` comes first").database_url);
        self
    }

    /// Signs with these keys, and believes this ring.
    #[must_use]
    pub fn keys(mut self, keys: TestKeys) -> Self {
        self.keys = keys;
        self
    }

    /// Publishes the transparency log there.
    #[must_use]
    pub fn log_dir(mut self, directory: PathBuf) -> Self {
        self.log_dir = Some(directory);
        self
    }

    /// Keeps there what the edge has seen of the log, for another edge to be started with.
    #[must_use]
    pub fn state_dir(mut self, directory: PathBuf) -> Self {
        self.state_dir = Some(directory);
        self
    }

    /// Gives the transparency log to one more directory.
    #[must_use]
    pub fn witness_dir(mut self, directory: PathBuf) -> Self {
        self.witness_dirs.push(directory);
        self
    }

    /// Sends the transparency log's checkpoints to one more witness.
    #[must_use]
    pub fn witness_url(mut self, url: Url) -> Self {
        self.witness_urls.push(url);
        self
    }
}
