//! The keys of a test installation: made from numbers, the same in every run.

use std::sync::Arc;

use tokio::sync::watch;
use touchstone_custody::{KeyEntry, KeyKind, KeyRing, LocalSigner, PublicKey, Revoked, Signer as _, Signing};
use touchstone_domain::{KeyId, Sha256};
use touchstone_runtime::Clock;
use touchstone_tlog::note::SignerKey;

/// The name of the installation that tests are.
pub const ENVIRONMENT: &str = "test";

/// A key of every kind, and the ring that has them, which may change.
#[derive(Clone, Debug)]
pub struct TestKeys {
    number: u8,
    ring: Arc<watch::Sender<Arc<KeyRing>>>,
}

impl TestKeys {
    /// The keys of one installation; another number gives others.
    pub fn new(number: u8) -> Self {
        let entries = KeyKind::ALL.into_iter().map(|kind| entry(kind, public(kind, number))).collect();
        let ring = KeyRing::new(entries).expect("a ring");
        Self { number, ring: Arc::new(watch::Sender::new(Arc::new(ring))) }
    }

    /// What a role signs with.
    pub fn signing(&self, kind: KeyKind) -> Signing {
        Signing { environment: ENVIRONMENT.into(), signer: Arc::new(signer(kind, self.number)) }
    }

    /// What the log signs its checkpoints with.
    pub fn log_key(&self) -> SignerKey {
        SignerKey::from_seed(&format!("touchstone/{ENVIRONMENT}"), seed(KeyKind::Log, self.number))
            .expect("a key")
    }

    /// The number of a key.
    pub fn id(&self, kind: KeyKind) -> KeyId {
        public(kind, self.number).id()
    }

    /// The ring, as every role watches it.
    pub fn ring(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.ring.subscribe()
    }

    /// Takes a key out of use.
    pub fn revoke(&self, key: KeyId, reason: &str, clock: &dyn Clock) {
        let revoked = Revoked { at: clock.now(), reason: reason.to_owned() };
        self.change(|entries| {
            for entry in entries.iter_mut().filter(|entry| entry.public.id() == key) {
                entry.revoked = Some(revoked.clone());
            }
        });
    }

    /// Adds the key that [`TestKeys::new`] with this number has for a kind.
    pub fn add(&self, kind: KeyKind, number: u8) {
        self.change(|entries| entries.push(entry(kind, public(kind, number))));
    }

    /// Changes the ring.
    pub fn change(&self, change: impl FnOnce(&mut Vec<KeyEntry>)) {
        let mut entries = self.ring.borrow().entries().to_vec();
        change(&mut entries);
        self.ring.send_replace(Arc::new(KeyRing::new(entries).expect("a ring")));
    }
}

/// The key of an installation.
pub fn signer(kind: KeyKind, number: u8) -> LocalSigner {
    LocalSigner::from_seed(kind, seed(kind, number)).expect("a key")
}

fn public(kind: KeyKind, number: u8) -> PublicKey {
    signer(kind, number).public()
}

fn seed(kind: KeyKind, number: u8) -> [u8; 32] {
    Sha256::of(format!("touchstone test key {kind} {number}")).0
}

fn entry(kind: KeyKind, public: PublicKey) -> KeyEntry {
    let not_before = "2020-01-01T00:00:00Z".parse().expect("a date");
    KeyEntry { kind, public, not_before, not_after: None, revoked: None }
}
