//! The checksum database of a mirror, and the workers that ask it.

use std::{sync::Arc, time::Duration};

use touchstone_bus::BusUser;
use touchstone_custody::KeyKind;
use touchstone_edge::SumdbEdge;
use touchstone_runtime::Clock;
use touchstone_store::DatabaseRole;
use touchstone_sumdb::{SumdbConfig, SumdbParts};
use touchstone_tlog::note::VerifierKey;
use touchstone_upstream::Limits;
use url::Url;

use super::{TestMirror, TestMirrorBuilder, start::open_store};
use crate::Registry;

/// Which database is believed, and how it is watched.
#[derive(Clone)]
pub(super) struct SumdbOptions {
    key: String,
    url: Url,
    pub(super) config: SumdbConfig,
    kept: Option<Duration>,
}

impl SumdbOptions {
    fn key(&self) -> VerifierKey {
        VerifierKey::parse(&self.key).expect("a verifier key")
    }

    /// As the edge has it.
    pub(super) fn edge(&self) -> SumdbEdge {
        let edge = SumdbEdge::new(self.key());
        match self.kept {
            Some(kept) => {
                SumdbEdge { latest_age_max: kept, record_age_max: kept, tile_age_max: kept, ..edge }
            }
            None => edge,
        }
    }
}

impl TestMirrorBuilder {
    /// Believes the registry's checksum database, which is asked for its head once, at the start.
    pub(super) fn sumdb_of(mut self, registry: &Registry) -> Self {
        let config = SumdbConfig { concurrency: 4, poll: Duration::from_hours(1), ..SumdbConfig::default() };
        let (key, url) = (registry.sumdb().key(), registry.sumdb_url());
        let options = SumdbOptions { key, url, config, kept: None };
        for upstream in &mut self.upstreams {
            if upstream.ecosystem == touchstone_domain::Ecosystem::Go {
                upstream.attestations_url = Some(options.url.clone());
            }
        }
        self.sumdb = Some(options);
        self
    }

    /// Believes this key instead of that of the registry's database.
    #[must_use]
    pub fn sumdb_key(self, key: &str) -> Self {
        self.watched(|options| key.clone_into(&mut options.key))
    }

    /// How long the edge uses what the database said without asking again.
    #[must_use]
    pub fn sumdb_kept(self, kept: Duration) -> Self {
        self.watched(|options| options.kept = Some(kept))
    }

    /// How often the database is asked for its latest head.
    #[must_use]
    pub fn sumdb_poll(self, poll: Duration) -> Self {
        self.watched(|options| options.config.poll = poll)
    }

    /// How long the latest head may be smaller than ours.
    #[must_use]
    pub fn sumdb_behind_max(self, behind_max: Duration) -> Self {
        self.watched(|options| options.config.behind_max = behind_max)
    }

    /// How long the latest head may stay as it is; a day if not said.
    #[must_use]
    pub fn sumdb_frozen_after(self, frozen_after: Duration) -> Self {
        self.watched(|options| options.config.frozen_after = Some(frozen_after))
    }

    /// How many sumdb workers share the work; none leaves every public module pending.
    #[must_use]
    pub fn sumdb_workers(mut self, number: usize) -> Self {
        self.sumdb_workers = number;
        self
    }

    fn watched(mut self, change: impl FnOnce(&mut SumdbOptions)) -> Self {
        change(self.sumdb.as_mut().expect("`registry` comes first"));
        self
    }
}

impl TestMirror {
    /// Starts one more sumdb worker, whose verdicts are dated by this clock; does nothing where no database is configured.
    pub async fn sumdb_worker(&self, clock: Arc<dyn Clock>) {
        let Some(options) = &self.sumdb else { return };
        let parts = SumdbParts {
            config: options.config.clone(),
            database: options.key(),
            url: options.url.clone(),
            limits: Limits { attempts_max: 1, ..Limits::default() },
            store: open_store(&self.database_url, Some(DatabaseRole::Sumdb)).await,
            bus: self.bus_of(BusUser::Sumdb).await,
            blobs: self.blobs.clone(),
            clock,
            signing: self.keys.signing(KeyKind::Sumdb),
            ring: self.keys.ring(),
            shutdown: self.shutdown.clone(),
        };
        let running = async move { touchstone_sumdb::run(parts).await.expect("the sumdb service runs") };
        self.shutdown.tracker.spawn(running);
    }
}
