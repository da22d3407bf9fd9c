//! The workers of a mirror.

use std::sync::Arc;

use tempfile::TempDir;
use touchstone_attest::{
    AttestConfig, AttestParts, DOCUMENT_BYTES_MAX,
    trust::{TrustKeeper, TrustOptions, TrustParts},
};
use touchstone_bus::BusUser;
use touchstone_custody::KeyKind;
use touchstone_hash::{HashConfig, HashParts};
use touchstone_runtime::{Clock, Config};
use touchstone_store::DatabaseRole;
use touchstone_upstream::{Limits, Upstream, UpstreamOptions};

use super::{TestMirror, TestMirrorBuilder, start::open_store};

impl TestMirror {
    /// Starts so many workers of the hash, attest and sumdb checks.
    pub(super) async fn workers(&self, (hash, attest, sumdb): (usize, usize, usize), clock: &Arc<dyn Clock>) {
        for _ in 0..hash {
            self.hash_worker(Arc::clone(clock)).await;
        }
        for _ in 0..attest {
            self.attest_worker(Arc::clone(clock)).await;
        }
        for _ in 0..sumdb {
            self.sumdb_worker(Arc::clone(clock)).await;
        }
    }

    /// Starts one more hash worker, whose verdicts are dated by this clock.
    pub async fn hash_worker(&self, clock: Arc<dyn Clock>) {
        let parts = HashParts {
            config: HashConfig { concurrency: 4, ..HashConfig::default() },
            store: open_store(&self.database_url, Some(DatabaseRole::Hash)).await,
            bus: self.bus_of(BusUser::Hash).await,
            blobs: self.blobs.clone(),
            clock,
            signing: self.keys.signing(KeyKind::Hash),
            ring: self.keys.ring(),
            shutdown: self.shutdown.clone(),
        };
        let running = async move { touchstone_hash::run(parts).await.expect("the hash service runs") };
        self.shutdown.tracker.spawn(running);
    }

    /// Starts one more attest worker, whose waivers, keys and verdicts go by this clock; returns the trust that it uses.
    pub async fn attest_worker(&self, clock: Arc<dyn Clock>) -> TrustKeeper {
        let store = open_store(&self.database_url, Some(DatabaseRole::Attest)).await;
        let trust = TrustParts {
            options: self.trust.clone(),
            store: store.clone(),
            clock: Arc::clone(&clock),
            shutdown: self.shutdown.clone(),
        };
        let upstream = |options: &UpstreamOptions| {
            (options.ecosystem, Upstream::new(options.clone()).expect("an upstream"))
        };
        let keeper = TrustKeeper::start(trust).await.expect("trust");
        let parts = AttestParts {
            config: AttestConfig { concurrency: 4, ..AttestConfig::default() },
            upstreams: self.attestation_upstreams.iter().map(upstream).collect(),
            trust: keeper.clone(),
            store,
            bus: self.bus_of(BusUser::Attest).await,
            blobs: self.blobs.clone(),
            clock,
            signing: self.keys.signing(KeyKind::Attest),
            ring: self.keys.ring(),
            shutdown: self.shutdown.clone(),
        };
        let running = async move { touchstone_attest::run(parts).await.expect("the attest service runs") };
        self.shutdown.tracker.spawn(running);
        keeper
    }
}

impl TestMirrorBuilder {
    /// As the attest role has them: no file hosts, and small documents.
    pub(super) fn attestation_upstreams(&self) -> Vec<UpstreamOptions> {
        let metadata_bytes_max = self.limits.metadata_bytes_max.min(DOCUMENT_BYTES_MAX);
        let limits = Limits { metadata_bytes_max, ..self.limits.clone() };
        let of = |options: &UpstreamOptions| UpstreamOptions {
            file_hosts: vec![],
            limits: limits.clone(),
            ..options.clone()
        };
        self.upstreams.iter().map(of).collect()
    }

    /// Whose signatures count in this mirror.
    pub(super) fn trusted(&self, directory: &TempDir) -> TrustOptions {
        if let Some(options) = &self.trust_options {
            return options.clone();
        }
        let mut config = Config::default();
        if let Some((root, keys, registry)) = &self.trust {
            let write = |name: &str, bytes: &[u8]| {
                let path = directory.path().join(name);
                std::fs::write(&path, bytes).expect("written");
                path
            };
            config.trust.sigstore_root = Some(write("trusted_root.json", root));
            config.trust.npm_keys = Some(write("keys.json", keys));
            config.trust.npm_registry = Some(registry.clone());
        }
        TrustOptions::load(&config).expect("trust")
    }
}
