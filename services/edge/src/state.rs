//! What an edge is made of.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use touchstone_blobs::BlobStore;
use touchstone_bus::Bus;
use touchstone_custody::{KeyRing, Signing};
use touchstone_domain::{ArtifactDbId, ArtifactId, Ecosystem, Policy, Refusal};
use touchstone_records::RecordStore;
use touchstone_runtime::Clock;
use touchstone_store::Store;
use touchstone_tlog::note::VerifierKey;
use touchstone_upstream::Upstream;
use url::Url;

use crate::{
    absent::Absent,
    decisions::Decisions,
    documents::{Kept, OwnDocuments},
    flight::Flights,
    index::{IndexCache, Listing},
    log::Log,
    permit::Permits,
    recorder::{Recorder, RecorderParts},
    records::Turns,
    words,
};

/// Fetches of artifacts under way at once; more are refused with 503.
const FLIGHTS_MAX: usize = 4_096;

/// The edge's own settings.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Where to listen; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The address that clients use; links in metadata point below it.
    pub public_url: Url,
    /// Host names that serve one ecosystem at their root.
    pub hosts: HashMap<Ecosystem, String>,
    /// How long a request waits for a decision.
    pub hold: Duration,
    /// The same for Go modules, whose client never tries again.
    pub patient_hold: Duration,
    /// The checksum database that is passed through; none is without one.
    pub sumdb: Option<SumdbEdge>,
    /// How long metadata is used without asking the upstream.
    pub metadata_ttl: Duration,
    /// Connections at once; more wait in the listen queue.
    pub connections_max: usize,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// How long a client may leave a response untouched.
    pub stall_timeout: Duration,
    /// Where the transparency log is published. Need not be there.
    pub log_dir: PathBuf,
    /// What this edge keeps for itself: the last head of the log that it has seen.
    pub state_dir: PathBuf,
}

/// The checksum database that clients reach through this edge. Its address is the attestations address of Go's upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumdbEdge {
    /// Its key. Clients have the name in the path; the store keeps its tiles under the identity.
    pub key: VerifierKey,
    /// How long the latest tree is used without asking again.
    pub latest_age_max: Duration,
    /// The same for records below a tree that the database has signed. They never change, but the tree ages.
    pub record_age_max: Duration,
    /// The same for tiles that nobody has authenticated; a wrong one goes with it.
    pub tile_age_max: Duration,
}

impl SumdbEdge {
    /// The database of this key: a minute, a day and five minutes.
    pub const fn new(key: VerifierKey) -> Self {
        Self {
            key,
            latest_age_max: Duration::from_mins(1),
            record_age_max: Duration::from_hours(24),
            tile_age_max: Duration::from_mins(5),
        }
    }
}

/// What the edge is given.
pub struct EdgeParts {
    /// Its settings.
    pub config: EdgeConfig,
    /// Postgres.
    pub store: Store,
    /// The blob store.
    pub blobs: BlobStore,
    /// NATS, once it is connected; an edge starts and serves without it.
    pub bus: watch::Receiver<Option<Bus>>,
    /// The upstreams that are configured.
    pub upstreams: HashMap<Ecosystem, Upstream>,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Signs what is fetched. A key of another kind is refused.
    pub signing: Signing,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tasks belong.
    pub tracker: TaskTracker,
    /// Says when to stop.
    pub stop: CancellationToken,
}

/// The refreshes of package metadata under way.
type Listings = Arc<Flights<(Ecosystem, String), Result<Arc<Listing>, Refusal>>>;

/// The collaborators of every request.
pub(crate) struct Edge {
    pub(crate) config: EdgeConfig,
    pub(crate) store: Store,
    pub(crate) blobs: BlobStore,
    pub(crate) bus: watch::Receiver<Option<Bus>>,
    pub(crate) upstreams: HashMap<Ecosystem, Upstream>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) policy_epoch: i32,
    pub(crate) signing: Signing,
    pub(crate) ring: watch::Receiver<Arc<KeyRing>>,
    /// Signed envelopes.
    pub(crate) records: RecordStore,
    /// Signs fetches, and puts them on record.
    pub(crate) recorder: Recorder,
    /// Serve records that were verified.
    pub(crate) permits: Permits,
    /// The transparency log, as it is followed.
    pub(crate) log: Log,
    /// Incidents being put on record, by artifact and what is wrong.
    pub(crate) alarms: Arc<Flights<(ArtifactId, &'static str), ()>>,
    /// Bounds the requests for records.
    pub(crate) gathering: Turns,
    pub(crate) clock: Arc<dyn Clock>,
    /// Says that the edge is to stop; what it has begun still gets some time.
    pub(crate) stop: CancellationToken,
    pub(crate) decisions: Arc<Decisions>,
    pub(crate) fetches: Arc<Flights<ArtifactId, Result<(), Refusal>>>,
    /// Events of artifacts that still wait, being published once more.
    pub(crate) announcements: Arc<Flights<ArtifactDbId, ()>>,
    pub(crate) listings: Listings,
    /// Documents of which the bytes are passed on, being fetched.
    pub(crate) documents: Arc<Flights<String, Result<Kept, Refusal>>>,
    /// What this process received of them.
    pub(crate) own_documents: OwnDocuments,
    pub(crate) absent: Absent,
    pub(crate) indexes: IndexCache,
}

impl Edge {
    pub(crate) fn new(parts: EdgeParts, policy_epoch: i32, log: Log) -> Arc<Self> {
        let records = RecordStore::new(parts.blobs.clone());
        let recorder = Recorder::start(RecorderParts {
            store: parts.store.clone(),
            bus: parts.bus.clone(),
            records: records.clone(),
            signing: parts.signing.clone(),
            ring: parts.ring.clone(),
            clock: Arc::clone(&parts.clock),
            tracker: parts.tracker.clone(),
        });
        Arc::new(Self {
            config: parts.config,
            store: parts.store,
            records,
            recorder,
            blobs: parts.blobs,
            bus: parts.bus,
            upstreams: parts.upstreams,
            policy: parts.policy,
            policy_epoch,
            signing: parts.signing,
            ring: parts.ring,
            permits: Permits::new(),
            log,
            alarms: Flights::new(parts.tracker.clone(), FLIGHTS_MAX),
            gathering: Turns::new(),
            clock: parts.clock,
            stop: parts.stop,
            decisions: Arc::default(),
            fetches: Flights::new(parts.tracker.clone(), FLIGHTS_MAX),
            announcements: Flights::new(parts.tracker.clone(), FLIGHTS_MAX),
            listings: Flights::new(parts.tracker.clone(), FLIGHTS_MAX),
            documents: Flights::new(parts.tracker, FLIGHTS_MAX),
            own_documents: OwnDocuments::new(),
            absent: Absent::new(),
            indexes: IndexCache::new(),
        })
    }

    /// The upstream of an ecosystem.
    pub(crate) fn upstream(&self, ecosystem: Ecosystem) -> Result<&Upstream, Refusal> {
        self.upstreams.get(&ecosystem).ok_or_else(|| {
            words::broken(
                "this ecosystem",
                format!("no [upstream.{ecosystem}] is configured in touchstone.toml"),
            )
        })
    }

    /// How long a request of an ecosystem's clients waits.
    pub(crate) fn hold(&self, ecosystem: Ecosystem) -> Duration {
        match ecosystem {
            Ecosystem::Go => self.config.patient_hold,
            Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => self.config.hold,
        }
    }

    /// The address of an ecosystem's root as clients see it, with a trailing slash.
    pub(crate) fn public_url(&self, ecosystem: Ecosystem) -> Url {
        let mut url = self.config.public_url.clone();
        match self.config.hosts.get(&ecosystem) {
            Some(host) if url.set_host(Some(host)).is_ok() => url.set_path("/"),
            Some(_) | None => {
                url.set_path(&format!(
                    "{}/{ecosystem}/",
                    self.config.public_url.path().trim_end_matches('/')
                ));
            }
        }
        url
    }
}
