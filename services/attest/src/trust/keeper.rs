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
use tokio::time::{Instant, sleep};
use touchstone_runtime::{Chain, Clock, Shutdown};
use touchstone_store::{Store, StoreError, TrustKind, TrustStatus};

use super::{
    choice::{Choice, Loaded, Origin, Standing, Trust, TrustUnavailable, at, choose, standing},
    options::TrustOptions,
    renew::{RenewError, as_new, fetched, known, record, record_document, record_pin, stored, verified},
    set::TufSet,
};

/// How often the database is looked at: an import reaches every process within a minute.
const RELOAD_PERIOD: Duration = Duration::from_secs(30);
/// When a refresh that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_mins(5);
/// How often what should be looked at is said again.
const REPEAT_AFTER: Duration = Duration::from_hours(1);

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
    said: Mutex<Option<(String, Instant)>>,
}

struct State {
    loaded: Loaded,
    choice: Result<Choice, TrustUnavailable>,
    /// When the repository was last heard of.
    confirmed: Option<Timestamp>,
}

impl TrustKeeper {
    /// Loads what there is, and starts the task that keeps it up to date. Stored documents that are refused are no error
    /// here: there is no trust until they are replaced.
    pub async fn start(parts: TrustParts) -> Result<Self, StoreError> {
        let TrustParts { options, store, clock, shutdown } = parts;
        record_pin(&options, &store).await?;
        let loaded = stored(&options, &store).await?;
        let choice = choose(&options, &loaded);
        let state = State { loaded: Ok(None), choice: Err(TrustUnavailable::Nothing), confirmed: None };
        let state = RwLock::new(state);
        let inner = Arc::new(Inner { options, store, clock, state, said: Mutex::new(None) });
        inner.adopt(None, loaded, choice, None).await?;
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
        at(choice, self.clock.now(), &self.options)
    }

    async fn keep(&self) {
        let mut due = self.options.mirror.is_some().then(Instant::now);
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                let after = match self.refresh().await {
                    Ok(()) => jittered(self.options.refresh),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "trust was not refreshed");
                        jittered(self.options.refresh.min(RETRY_AFTER))
                    }
                };
                due = Some(Instant::now() + after);
            }
            self.tell().await;
            sleep(RELOAD_PERIOD).await;
            if let Err(error) = self.reload().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "trust was not reloaded");
            }
        }
    }

    /// Takes what another process has stored, if it is good and no older than what is in use.
    async fn reload(&self) -> Result<(), StoreError> {
        let used = self.in_use();
        let files = Arc::new(self.store.tuf_files().await?);
        if used.as_ref().is_some_and(|used| used.files == files) {
            return Ok(());
        }
        let refused = match (&used, verified(&self.options, files).await) {
            (None, loaded) if self.is_known(&loaded) => return Ok(()),
            (None, loaded) => return self.take(None, loaded).await,
            (Some(used), Ok(Some(found))) => {
                let (found, floor) = (Arc::clone(&found.files), Arc::clone(&used.files));
                match as_new(&self.options, found, floor).await {
                    Ok(set) => return self.take(Some(Arc::clone(used)), Ok(Some(Arc::new(set)))).await,
                    Err(error) => Chain(&error).to_string(),
                }
            }
            (Some(_), Ok(None)) => "they are gone".to_owned(),
            (Some(_), Err(why)) => why,
        };
        tracing::error!(why = refused, "the stored TUF documents are refused; those in use stay in use");
        Ok(())
    }

    async fn take(&self, used: Option<Arc<TufSet>>, loaded: Loaded) -> Result<(), StoreError> {
        let choice = choose(&self.options, &loaded);
        self.adopt(used, loaded, choice, Some(self.clock.now())).await
    }

    /// Asks the mirror, from what is in use on, and stores what it says.
    async fn refresh(&self) -> Result<(), RenewError> {
        self.reload().await?;
        let used = self.in_use();
        let floor = known(&Ok(used.clone()));
        let now = self.clock.now();
        let set = Arc::new(fetched(&self.options, floor, now).await?);
        record(&self.options, &self.store, &set, "tuf").await?;
        if self.store.tuf_files().await? != *set.files {
            self.store.put_tuf_files(&set.files).await?;
        }
        let loaded = Ok(Some(set));
        let choice = choose(&self.options, &loaded);
        Ok(self.adopt(used, loaded, choice, Some(now)).await?)
    }

    /// Puts a choice into use, its documents into the history first. `used` is what it was judged against; when something
    /// else is in use by now, that stays.
    async fn adopt(
        &self,
        used: Option<Arc<TufSet>>,
        loaded: Loaded,
        choice: Result<Choice, TrustUnavailable>,
        confirmed: Option<Timestamp>,
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
        if still != used.as_ref().map(Arc::as_ptr) {
            return Ok(());
        }
        let confirmed = confirmed.or(state.confirmed);
        *state = State { loaded, choice, confirmed };
        Ok(())
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
        let (status, concern) = self.status();
        self.say(status.usable, concern);
        if let Err(error) = self.store.report_trust(&status).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the state of trust was not reported");
        }
    }

    /// How it stands, and what there is to worry about.
    fn status(&self) -> (TrustStatus, Option<String>) {
        let now = self.clock.now();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (usable, concern) = match &state.choice {
            Err(unavailable) => (false, Some(unavailable.to_string())),
            Ok(choice) => match (at(choice, now, &self.options), choice.expires.as_ref()) {
                (Err(unavailable), _) => (false, Some(unavailable.to_string())),
                (Ok(_), first) => (true, concern(&standing(first, now, &self.options), &state.loaded)),
            },
        };
        let set = state.loaded.as_ref().ok().and_then(Option::as_ref);
        let expires_at = set.map(|set| set.expires_first().expires);
        (TrustStatus { usable, expires_at, confirmed_at: state.confirmed }, concern)
    }

    /// Logs a worry: when it changes, and every hour.
    fn say(&self, usable: bool, concern: Option<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let again =
            said.as_ref().filter(|(_, when)| when.elapsed() < REPEAT_AFTER).map(|(what, _)| what.as_str());
        match &concern {
            Some(concern) if again == Some(concern) => return,
            Some(concern) if usable => tracing::warn!("{concern}"),
            Some(concern) => tracing::error!("no attestation can be verified: {concern}"),
            None => {}
        }
        *said = concern.map(|concern| (concern, Instant::now()));
    }
}

/// What to worry about although there is trust.
fn concern(standing: &Standing, loaded: &Loaded) -> Option<String> {
    match (standing, loaded) {
        (Standing::Grace { first, until }, _) => Some(format!(
            "the TUF {} metadata expired at {}; it counts until {until}, and nothing is verified afterwards",
            first.name, first.expires
        )),
        (Standing::Expiring { first }, _) => {
            Some(format!("the TUF {} metadata expires at {}", first.name, first.expires))
        }
        (Standing::Lasting | Standing::Current { .. } | Standing::Expired { .. }, Err(why)) => {
            Some(format!("the stored TUF documents are refused, and files stand in for them: {why}"))
        }
        (Standing::Lasting | Standing::Current { .. } | Standing::Expired { .. }, Ok(_)) => None,
    }
}

/// About as long: many processes do not ask at once.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::random_range(0.9..1.1))
}
