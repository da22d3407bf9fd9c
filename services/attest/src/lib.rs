//! The attest check: attestations, registry signatures, identity continuity, and the trust roots that they rest on.
//!
//! What the upstream offers about who made an artifact is fetched, kept as evidence, and verified: npm's registry signature,
//! publish attestation and provenance; every attestation of PyPI's provenance object. Then the identity that signed is
//! compared with the one that signed the releases before (`touchstone_domain::judge_attested`).
//!
//! *Invariant:* absence is only what the upstream says is absent. A failure to answer is tried again, and never a verdict.
//!
//! *Invariant:* verified is not authorised. Nothing passes before subject, source, workflow and run agree with the signer's
//! certificate, and the signer with the policy's pin or the package's ledger.
//!
//! *Invariant:* what nobody known signed is held and not rejected, and never passes, not even with a waiver: other trust material
//! may say more of it.
//!
//! *Invariant:* what npm's metadata says without a signature makes nothing pass that would not pass without it, but for three
//! things, each of them bounded. The publish time of a version signed by a key that has ended: never for what newly appears in a
//! package that we knew, and marked as weak. `_npmUser.approver`: the registry may then publish up to 30 days after the build,
//! instead of one hour. And the trust rank that `_npmUser` claims: every other part of the identity is compared all the same, so
//! a claim lets a release past the comparison of ranks only, and otherwise raises what later releases are held to. A lower rank
//! therefore betrays who publishes without the usual approval, and not an upstream that lies.
//!
//! Where the policy only observes, the same is done and written down, but nothing waits for it: an event that is lost is not
//! repeated.
//!
//! A PyPI core metadata sidecar is an artifact of its own, and no attestation is about it: it is answered as unattested, and the
//! ledger is not asked. The ratchet tolerates that, since the hash check holds it to the metadata in its distribution. Where
//! attestations are required it is held, and the edge does not offer it.

mod case;
mod check;
mod conclude;
mod continuity;
mod documents;
mod identity;
mod judged;
mod npm;
mod pypi;
#[cfg(test)]
mod samples;
mod stop;
mod tarball;
pub mod trust;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use touchstone_blobs::BlobStore;
use touchstone_bus::Bus;
use touchstone_custody::{KeyRing, Signing};
use touchstone_domain::Ecosystem;
use touchstone_runtime::{Clock, Shutdown};
use touchstone_store::Store;
use touchstone_upstream::Upstream;
use touchstone_worker::{Options, Parts, WorkerError};

use check::AttestCheck;
use trust::TrustKeeper;

pub use documents::DOCUMENT_BYTES_MAX;

/// The settings of the attest service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestConfig {
    /// How many artifacts are looked at at once; most of the time they wait for the upstream.
    pub concurrency: usize,
    /// How long one artifact may take, the upstream's answer included.
    pub check_timeout: Duration,
}

impl Default for AttestConfig {
    fn default() -> Self {
        Self { concurrency: 16, check_timeout: Duration::from_mins(2) }
    }
}

/// What the attest service is given.
pub struct AttestParts {
    /// Its settings.
    pub config: AttestConfig,
    /// Who is asked for attestations.
    pub upstreams: HashMap<Ecosystem, Upstream>,
    /// Whose signatures count.
    pub trust: TrustKeeper,
    /// Postgres.
    pub store: Store,
    /// NATS.
    pub bus: Bus,
    /// The bytes, and the evidence.
    pub blobs: BlobStore,
    /// What verdicts are signed with: a key of this check.
    pub signing: Signing,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// Dates verdicts and evidence, and ends waivers.
    pub clock: Arc<dyn Clock>,
    /// Says when to stop.
    pub shutdown: Shutdown,
}

/// Checks artifacts until it is told to stop.
pub async fn run(parts: AttestParts) -> Result<(), WorkerError> {
    let AttestParts { config, upstreams, trust, store, bus, blobs, signing, ring, clock, shutdown } = parts;
    let options = Options {
        concurrency: config.concurrency,
        check_timeout: config.check_timeout,
        ..Options::default()
    };
    let check = AttestCheck { upstreams, trust, store: store.clone(), clock: Arc::clone(&clock) };
    touchstone_worker::run(check, Parts { store, bus, blobs, signing, ring, clock, shutdown, options }).await
}
