//! Trust roots: what a TUF repository may and may not change, by mirror, by import, and by whoever can write the database.
//! The cases are those of the threat catalogue's group T. Everything is minted here; a copy of the public repository is not
//! to be had, so that it would verify is not tested beyond its root.

mod commands;
mod delegations;
mod freshness;
mod import;
mod names;
mod rollback;
mod rotation;
mod served;
mod stored;
mod thresholds;
mod together;

use std::{collections::BTreeMap, fs, sync::Arc};

use jiff::{Span, Timestamp};
use tempfile::TempDir;
use touchstone_attest::trust::{self, Renewed, TrustKeeper, TrustOptions, TrustParts};
use touchstone_domain::Sha256;
use touchstone_runtime::{Chain, Config, Environment, ManualClock, Shutdown};
use touchstone_store::{Store, StoreOptions};
use touchstone_testkit::{
    fresh_database,
    sigstore::Sigstore,
    tuf::{TufRepository, TufServer},
};

const ROOT: &str = "trusted_root.json";
const KEYS: &str = "registry.example/keys.json";
const ROLE: &str = "registry.example";

/// Later than any clock of a database that these tests run on: what was stored is never of the future.
fn now() -> Timestamp {
    "2096-11-22T12:00:00Z".parse().expect("a time")
}

fn days(days: i64) -> Timestamp {
    now() + Span::new().hours(24 * days)
}

/// A repository as the public one is: the sigstore root at the top, the registry's keys in a delegation.
fn repository() -> TufRepository {
    let mut repository = TufRepository::new(now());
    repository.delegate("targets", ROLE, &["registry.example/*"]);
    mint(&mut repository);
    repository.publish();
    repository
}

/// New targets, to be published.
fn mint(repository: &mut TufRepository) {
    let sigstore = Sigstore::new();
    repository.target("targets", ROOT, &sigstore.trusted_root_json());
    repository.target(ROLE, KEYS, &sigstore.registry_keys_json());
}

/// A mirror of a repository, and somebody who pins its first root.
struct Place {
    repository: TufRepository,
    server: TufServer,
    store: Store,
    database: String,
    directory: TempDir,
}

impl Place {
    async fn start() -> Self {
        Self::with(repository()).await
    }

    async fn with(repository: TufRepository) -> Self {
        let server = TufServer::start(&repository).await;
        let database = fresh_database().await;
        let application_name = "touchstone-test".to_owned();
        let options = StoreOptions { url: database.clone(), pool_size: 4, application_name };
        let store = Store::connect(options).await.expect("the database");
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("tuf_root.json"), repository.pin()).expect("written");
        Self { repository, server, store, database, directory }
    }

    /// The options of whoever pins the repository and asks the mirror, with these keys besides.
    fn options_with(&self, keys: &str) -> TrustOptions {
        let file = self.directory.path().join("touchstone.toml");
        let text = format!("[trust]\ntuf_root = 'tuf_root.json'\nnpm_keys_target = '{KEYS}'\n{keys}");
        fs::write(&file, text).expect("written");
        let config = Config::load(Some(&file), &Environment::default()).expect("a configuration");
        TrustOptions::load(&config).expect("options")
    }

    fn options(&self) -> TrustOptions {
        self.options_with(&format!("tuf_url = '{}'", self.server.url()))
    }

    async fn refresh_at(&self, at: Timestamp) -> Result<Renewed, String> {
        trust::refresh(&self.options(), &self.store, at).await.map_err(|e| Chain(&e).to_string())
    }

    /// Serves the repository as it is now, and refreshes from it.
    async fn refresh(&self) -> Result<Renewed, String> {
        self.server.serve(&self.repository);
        self.refresh_at(now()).await
    }

    /// Puts these into the database as somebody does who may write there.
    async fn overwrite(&self, files: &BTreeMap<String, Vec<u8>>) {
        let there = self.store.tuf_files().await.expect("stored").files;
        let put = self.store.put_tuf_files(&there, files).await.expect("the database");
        assert!(put.is_some(), "nobody else writes here");
    }

    /// Serves a repository that must be refused, in these words, and leave nothing behind; an honest successor of the
    /// repository is accepted afterwards.
    async fn refuses(&mut self, lie: &TufRepository, words: &str) {
        let before = self.store.tuf_files().await.expect("stored").files;
        self.server.serve(lie);
        let refused = self.refresh_at(now()).await.map(|_| ());
        assert_eq!(refused, Err(format!("the TUF repository is refused: {words}")));
        assert_eq!(
            self.store.tuf_files().await.expect("stored").files,
            before,
            "a refused repository is not stored"
        );
        self.repository.advance();
        let renewed = self.refresh().await.expect("the next good one is accepted");
        assert_eq!(version(&renewed, "timestamp"), self.repository.timestamp.version);
    }

    /// A keeper that asks nobody but the database, and the clock that it looks at.
    async fn keeper(&self, keys: &str) -> (TrustKeeper, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(now()));
        let parts = TrustParts {
            options: self.options_with(keys),
            store: self.store.clone(),
            clock: Arc::clone(&clock) as Arc<_>,
            shutdown: Shutdown::new(),
        };
        (TrustKeeper::start(parts).await.expect("a keeper"), clock)
    }

    /// The digest of the sigstore root that the repository lists.
    fn root_digest(&self) -> Sha256 {
        Sha256::of(&self.repository.targets["targets"].targets[ROOT])
    }

    /// The digest of the registry's keys that it lists.
    fn keys_digest(&self) -> Sha256 {
        Sha256::of(&self.repository.targets[ROLE].targets[KEYS])
    }
}

fn version(renewed: &Renewed, role: &str) -> u64 {
    renewed.after.iter().find(|found| found.name == role).expect("the role").version
}
