//! The trust that a process uses, kept up to date behind its back.
//!
//! *Invariant:* a document is in the history before the first verdict can name it.
//!
//! *Invariant:* what was verified once stays in use until something verified and no older takes its place, or it expires.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use touchstone_domain::Sha256;
use touchstone_runtime::{Chain, Clock, Shutdown};
use touchstone_store::{Store, StoreError, TrustKind, TrustStatus, TufFiles};

use super::{
    choice::{Choice, Loaded, Origin, Trust, TrustUnavailable, at, choose},
    concern::{Concern, ConcernLevel, tell},
    options::TrustOptions,
    renew::{
        RenewError, Source, as_new, judged_at, record, record_document, record_pin, renew, stored, verified,
    },
    set::{TufError, TufSet},
};

/// How often the database is looked at: an import reaches every process within a minute.
const RELOAD_PERIOD: Duration = Duration::from_secs(30);
/// When a refresh that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_mins(5);
/// How often what should be looked at is said again.
const REPEAT_AFTER: Duration = Duration::from_hours(1);
/// How many artifacts are put back to be judged again in one transaction.
const REOPENED_AT_ONCE: i64 = 500;

/// What a keeper is made of.
pub struct TrustParts {
    /// The sources.
    pub options: TrustOptions,
    /// Where TUF documents and the history are.
    pub store: Store,
    /// Says what has expired.
    pub clock: Arc<dyn Clock>,
    /// Ends the task.
    pub shutdown: Shutdown,
}

/// Holds the current trust. Clones share it.
#[derive(Clone)]
pub struct TrustKeeper(Arc<Inner>);

struct Inner {
    options: TrustOptions,
    store: Store,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// What was said, and when.
    said: Mutex<Vec<(Concern, Instant)>>,
    /// Something was adopted.
    adopted: Notify,
}

struct State {
    loaded: Loaded,
    choice: Result<Choice, TrustUnavailable>,
    /// When documents were stored, by the database's clock: when the repository was last heard of.
    stored: Option<Timestamp>,
}

impl TrustKeeper {
    /// Loads what there is, and starts the task that keeps it up to date. Stored documents that are refused are no error
    /// here: there is no trust until they are replaced.
    pub async fn start(parts: TrustParts) -> Result<Self, StoreError> {
        let TrustParts { options, store, clock, shutdown } = parts;
        record_pin(&options, &store).await?;
        let kept = stored(&options, &store).await?;
        let choice = choose(&options, &kept.loaded);
        let nothing = Err(TrustUnavailable::Nothing { key: "tuf_root" });
        let state = State { loaded: Ok(None), choice: nothing, stored: kept.at.map(|stored| stored.at) };
        let (state, said, adopted) = (RwLock::new(state), Mutex::default(), Notify::new());
        let inner = Arc::new(Inner { options, store, clock, state, said, adopted });
        inner.adopt(None, kept.loaded, choice).await?;
        inner.tell().await;
        let kept = Arc::clone(&inner);
        shutdown.tracker.spawn(async move { shutdown.soft.run_until_cancelled(kept.keep()).await });
        Ok(Self(inner))
    }

    /// The trust of this moment. Cheap; for every check anew.
    pub fn current(&self) -> Result<Trust, TrustUnavailable> {
        self.0.current()
    }

    /// Looks at the database now.
    pub async fn reload(&self) -> Result<(), StoreError> {
        self.0.reload().await
    }

    /// Asks the mirror now.
    pub async fn refresh(&self) -> Result<(), RenewError> {
        self.0.refresh().await
    }
}

impl Inner {
    fn current(&self) -> Result<Trust, TrustUnavailable> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let choice = state.choice.as_ref().map_err(Clone::clone)?;
        at(choice, judged_at(self.clock.now(), state.stored), &self.options)
    }

    async fn keep(&self) {
        let mut due = self.options.mirror.is_some().then(Instant::now);
        let mut reopened = None;
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                due = Some(Instant::now() + self.refresh_and_tell().await);
            }
            self.reopen(&mut reopened).await;
            self.tell().await;
            tokio::select! {
                () = sleep(RELOAD_PERIOD) => {
                    if let Err(error) = self.reload().await {
                        tracing::warn!(error = %Chain(&error), "trust was not reloaded");
                    }
                }
                () = self.adopted.notified() => {}
            }
        }
    }

    /// Asks the mirror, and returns when to do so again.
    async fn refresh_and_tell(&self) -> Duration {
        match self.refresh().await {
            Ok(()) => return jittered(self.options.refresh),
            Err(error @ (RenewError::Tuf(TufError::Unreachable(_)) | RenewError::Store(_))) => {
                tracing::warn!(error = %Chain(&error), "trust was not refreshed");
            }
            Err(error) => tracing::error!(error = %Chain(&error), "trust was not refreshed"),
        }
        jittered(self.options.refresh.min(RETRY_AFTER))
    }

    /// Takes what another process has stored, if it is good and no older than what is in use.
    async fn reload(&self) -> Result<(), StoreError> {
        let used = self.in_use();
        let TufFiles { files, at } = self.store.tuf_files().await?;
        let files = Arc::new(files);
        if used.as_ref().is_some_and(|used| used.files == files) {
            self.was_stored(at.map(|stored| stored.at));
            return Ok(());
        }
        let refused = match (&used, verified(&self.options, &self.store, files).await?) {
            (None, loaded) if self.is_known(&loaded) => return Ok(()),
            (None, loaded) => {
                self.was_stored(at.map(|stored| stored.at));
                return self.take(None, loaded).await;
            }
            (Some(used), Ok(Some(found))) => {
                let (found, floor) = (Arc::clone(&found.files), Arc::clone(&used.files));
                match as_new(&self.options, found, floor).await {
                    Ok(set) => {
                        self.was_stored(at.map(|stored| stored.at));
                        return self.take(Some(Arc::clone(used)), Ok(Some(Arc::new(set)))).await;
                    }
                    Err(error) => Chain(&error).to_string(),
                }
            }
            (Some(_), Ok(None)) => "they are gone".to_owned(),
            (Some(_), Err(why)) => why,
        };
        tracing::error!(why = refused, "the stored TUF documents are refused; those in use stay in use");
        Ok(())
    }

    /// Remembers when documents were stored that are good.
    fn was_stored(&self, at: Option<Timestamp>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.stored = at.or(state.stored);
    }

    async fn take(&self, used: Option<Arc<TufSet>>, loaded: Loaded) -> Result<(), StoreError> {
        let choice = choose(&self.options, &loaded);
        self.adopt(used, loaded, choice).await
    }

    /// Asks the mirror, from what is in use and what is stored on, and stores what it says.
    async fn refresh(&self) -> Result<(), RenewError> {
        self.reload().await?;
        let used = self.in_use();
        let source = Source::Mirror { used: used.clone() };
        let renewal = renew(&self.options, &self.store, &source, self.clock.now()).await?;
        self.was_stored(Some(renewal.at));
        Ok(self.take(used, Ok(Some(renewal.set))).await?)
    }

    /// Puts a choice into use, its documents into the history first. `used` is what it was judged against; when something
    /// else is in use by now, that stays.
    async fn adopt(
        &self,
        used: Option<Arc<TufSet>>,
        loaded: Loaded,
        choice: Result<Choice, TrustUnavailable>,
    ) -> Result<(), StoreError> {
        if let Ok(Some(set)) = &loaded {
            record(&self.options, &self.store, set, Origin::Tuf.as_str()).await?;
        }
        if let Ok(choice) = &choice {
            let (root, keys) = (choice.trust.root.document(), choice.trust.keys.document());
            record_document(&self.store, TrustKind::SigstoreRoot, root, choice.root_origin.as_str()).await?;
            record_document(&self.store, TrustKind::NpmKeys, keys, choice.keys_origin.as_str()).await?;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let still = state.loaded.as_ref().ok().and_then(Option::as_ref).map(Arc::as_ptr);
        if still == used.as_ref().map(Arc::as_ptr) {
            (state.loaded, state.choice) = (loaded, choice);
            self.adopted.notify_one();
        }
        Ok(())
    }

    /// Has judged again what was held because nobody had signed it whom we trusted, if other documents are in use than when
    /// that was done last. What fails is tried again at the next look.
    async fn reopen(&self, reopened: &mut Option<Vec<Sha256>>) {
        let Ok(trust) = self.current() else { return };
        let digests = trust.digests();
        if reopened.as_ref() == Some(&digests) {
            return;
        }
        loop {
            match self.store.reopen_unknown_authorities(&digests, REOPENED_AT_ONCE).await {
                // Less than asked for is the end, also while another process with other documents adds to it.
                Ok(artifacts) => {
                    if artifacts > 0 {
                        tracing::info!(
                            artifacts,
                            "trust has changed: what nobody trusted had signed is judged again"
                        );
                    }
                    if i64::try_from(artifacts).is_ok_and(|artifacts| artifacts < REOPENED_AT_ONCE) {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "what nobody trusted had signed is not judged again yet");
                    return;
                }
            }
        }
        *reopened = Some(digests);
    }

    fn in_use(&self) -> Option<Arc<TufSet>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.loaded.as_ref().ok().cloned().flatten()
    }

    /// Whether the database says what it said before: nothing, or the same nonsense.
    fn is_known(&self, loaded: &Loaded) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match (&state.loaded, loaded) {
            (Ok(None), Ok(None)) => true,
            (Err(before), Err(now)) => before == now,
            (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
        }
    }

    /// Tells the console how it stands, and says what an operator should know.
    async fn tell(&self) {
        let (status, concerns) = self.status();
        self.say(&concerns);
        if let Err(error) = self.store.report_trust(&status).await {
            tracing::warn!(error = %Chain(&error), "the state of trust was not reported");
        }
    }

    /// How it stands, and what there is to worry about.
    fn status(&self) -> (TrustStatus, Vec<Concern>) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let told = tell(&self.options, (&state.loaded, &state.choice), state.stored, self.clock.now());
        let set = state.loaded.as_ref().ok().and_then(Option::as_ref);
        let status = TrustStatus {
            usable: told.unavailable.is_none(),
            expires_at: set.map(|set| set.expires_first().expires),
            confirmed_at: state.stored,
            refreshed: told.refreshed,
        };
        (status, told.concerns)
    }

    /// Logs each worry: when it is new, and every hour.
    fn say(&self, concerns: &[Concern]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(concern, when)| concerns.contains(concern) && when.elapsed() < REPEAT_AFTER);
        for concern in concerns {
            if said.iter().any(|(before, _)| before == concern) {
                continue;
            }
            match concern.level {
                ConcernLevel::Warning => tracing::warn!("{}", concern.text),
                ConcernLevel::Alarm => tracing::error!("{}", concern.text),
            }
            said.push((concern.clone(), Instant::now()));
        }
    }
}

/// About as long: many processes do not ask at once.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::random_range(0.9..1.1))
}
