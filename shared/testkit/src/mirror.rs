//! A whole mirror in the process of the test: edge, hash, attest and sumdb workers, and promote, over HTTP and real servers.

mod builder;
mod start;
mod sumdb;
mod workers;

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use tempfile::TempDir;
use touchstone_attest::trust::TrustOptions;
use touchstone_blobs::BlobStore;
use touchstone_bus::{Bus, BusUser, Passwords};
use touchstone_domain::{ArtifactState, Purl, Sha256};
use touchstone_runtime::{Shutdown, servers::Nats};
use touchstone_store::Store;
use touchstone_upstream::UpstreamOptions;
use url::Url;

use crate::custody::TestKeys;

pub use builder::TestMirrorBuilder;

/// How long a condition may take to hold before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the condition gives a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in {PATIENCE:?}: {what}"))
}

/// A running mirror. It stops when it is dropped.
pub struct TestMirror {
    /// Postgres.
    pub store: Store,
    /// The address of its database.
    pub database_url: String,
    /// NATS, for a test that may say and hear everything.
    pub bus: Bus,
    passwords: Passwords,
    /// The private nats-server.
    pub nats: Nats,
    /// The blob store.
    pub blobs: BlobStore,
    /// Its directory.
    pub blobs_dir: PathBuf,
    /// The keys that decisions are signed with, and the ring that says which count.
    pub keys: TestKeys,
    /// Where the transparency log is published.
    pub log_dir: PathBuf,
    /// Cancelling it stops the roles.
    pub shutdown: Shutdown,
    address: SocketAddr,
    client: reqwest::Client,
    attestation_upstreams: Vec<UpstreamOptions>,
    sumdb: Option<sumdb::SumdbOptions>,
    trust: TrustOptions,
    _directory: TempDir,
}

impl TestMirror {
    /// A mirror with the default policy.
    pub fn builder() -> TestMirrorBuilder {
        TestMirrorBuilder::new()
    }

    /// The address of the edge, with a trailing slash.
    pub fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().expect("an address")
    }

    /// Asks for a path below the root; redirects are not followed.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.request(path).send().await.expect("the edge answers")
    }

    /// A GET request to add headers to.
    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}/{path}", self.address))
    }

    /// NATS, as a service has it.
    pub(crate) async fn bus_of(&self, user: BusUser) -> Bus {
        start::connect(self.passwords.url(&self.nats.url(), user)).await
    }

    /// The states of what a purl names, by file.
    pub async fn states(&self, purl: &str) -> HashMap<String, ArtifactState> {
        let purl: Purl = purl.parse().expect("a purl");
        let stories = self.store.stories(&purl, 100).await.expect("stories");
        stories.iter().map(|story| (story.facts.id.file.to_string(), story.state())).collect()
    }

    /// The kinds of the incidents so far, settled or not, the latest first.
    pub async fn incidents(&self) -> Vec<String> {
        let incidents = self.store.latest_incidents(100).await.expect("incidents");
        incidents.into_iter().map(|incident| incident.kind).collect()
    }

    /// Stops the roles, and waits until they have ended. The database, the blobs and the log stay, for a mirror beside this one.
    pub async fn stop(&self) {
        self.shutdown.soft.cancel();
        self.shutdown.drained().await;
    }

    /// Where a blob is on disk.
    pub fn blob_path(&self, sha256: Sha256) -> PathBuf {
        let hex = sha256.to_string();
        self.blobs_dir.join("sha256").join(&hex[..2]).join(&hex[2..4]).join(hex)
    }
}

impl Drop for TestMirror {
    fn drop(&mut self) {
        self.shutdown.soft.cancel();
        self.shutdown.hard.cancel();
    }
}
