//! New TUF documents: fetched from the mirror or imported from a directory, verified, put on record, and stored.
//!
//! *Invariant:* documents are stored only after the whole walk succeeded, and after what will be stored was verified by
//! itself. A repository that is refused changes nothing, so the next good one is accepted.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::{runtime::Handle, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;
use touchstone_domain::Sha256;
use touchstone_runtime::Chain;
use touchstone_store::{Store, StoreError, StoredAt, TrustKind, TrustRecord, TufFiles};

use super::{
    choice::{Loaded, Standing, standing},
    options::TrustOptions,
    repository::{Directory, Files, Remote, Stored},
    set::{TufError, TufRole, TufSet, verify, walk, walk_offline},
};

/// A whole refresh.
const REFRESH_TIMEOUT: Duration = Duration::from_mins(5);
/// How often a walk begins again because something else was stored meanwhile.
const RENEWALS_MAX: u32 = 4;

/// Why trust was not renewed. What counted before still does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// No mirror to ask.
    #[error("`trust.tuf_url` is not configured; `touchstone trust import` takes an offline copy instead")]
    NoMirror,
    /// What the mirror or the directory has.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// The directory.
    #[error("{path} is not a directory", path = path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
    },
    /// Others stored something each time meanwhile.
    #[error("others renewed trust at the same time, {RENEWALS_MAX} times; try again")]
    Contended,
    /// The database.
    #[error("the database could not be asked")]
    Store(#[from] StoreError),
}

/// What came of a refresh or an import.
#[derive(Clone, Debug, Serialize)]
pub struct Renewed {
    /// The roles before; none if nothing was stored.
    pub before: Vec<TufRole>,
    /// The roles now.
    pub after: Vec<TufRole>,
    /// The sigstore root before and now.
    pub sigstore_root: (Option<Sha256>, Sha256),
    /// The registry's keys before and now.
    pub npm_keys: (Option<Sha256>, Option<Sha256>),
    /// Why what was stored before counted for nothing, if so.
    pub stored_refused: Option<String>,
    /// How the new documents stand.
    pub standing: Standing,
}

/// Where new documents come from.
pub(crate) enum Source<'a> {
    /// The configured mirror. A process knows what it uses already, and takes nothing older.
    Mirror {
        /// What is in use, if anything.
        used: Option<Arc<TufSet>>,
    },
    /// A copy of the repository.
    Directory(&'a Path),
}

/// What is in the database.
pub(crate) struct Kept {
    /// The documents as they are there.
    pub(crate) files: Arc<Files>,
    /// What they come to.
    pub(crate) loaded: Loaded,
    /// When they were stored.
    pub(crate) at: Option<StoredAt>,
}

/// What was stored.
pub(crate) struct Renewal {
    /// What was there before.
    pub(crate) before: Kept,
    /// What is there now.
    pub(crate) set: Arc<TufSet>,
    /// Since when, by the database's clock.
    pub(crate) at: Timestamp,
}

/// Fetches from the mirror; for a command. Nothing older than what is stored is accepted.
pub async fn refresh(options: &TrustOptions, store: &Store, now: Timestamp) -> Result<Renewed, RenewError> {
    let renewal = renew(options, store, &Source::Mirror { used: None }, now).await?;
    record(options, store, &renewal.set, "tuf").await?;
    Ok(renewed(options, &renewal, now))
}

/// Takes a copy of the repository from a directory; for a command. It may have expired by as much as the grace allows.
pub async fn import(
    options: &TrustOptions,
    store: &Store,
    directory: &Path,
    now: Timestamp,
) -> Result<Renewed, RenewError> {
    if !directory.is_dir() {
        return Err(RenewError::Directory { path: directory.to_owned() });
    }
    let renewal = renew(options, store, &Source::Directory(directory), now).await?;
    record(options, store, &renewal.set, "import").await?;
    Ok(renewed(options, &renewal, now))
}

/// Walks from what is stored on, and stores what is new in its place; again if something else was stored meanwhile, which is
/// what nothing may be older than then. What was stored before counts as far as it is signed as it should be, although it may
/// be refused as a whole.
pub(crate) async fn renew(
    options: &TrustOptions,
    store: &Store,
    source: &Source<'_>,
    now: Timestamp,
) -> Result<Renewal, RenewError> {
    for _ in 0..RENEWALS_MAX {
        let before = stored(options, store).await?;
        let (floor, at) = (Arc::clone(&before.files), before.renewed_at(now));
        let set = match source {
            Source::Mirror { used } => {
                let set = fetched(options, floor, at).await?;
                if let Some(used) = used.as_ref().filter(|used| used.files != before.files) {
                    as_new(options, Arc::clone(&set.files), Arc::clone(&used.files)).await?;
                }
                set
            }
            Source::Directory(directory) => copied(options, directory, floor, at).await?,
        };
        if let Some(at) = store.put_tuf_files(&before.files, &set.files).await? {
            return Ok(Renewal { before, set: Arc::new(set), at });
        }
    }
    Err(RenewError::Contended)
}

impl Kept {
    /// The moment at which new documents must be current: now, by this clock or the database's, which was there when the
    /// last ones were stored. A database whose clock was wrong then and is right again holds nothing up.
    fn renewed_at(&self, now: Timestamp) -> Timestamp {
        self.at.map_or(now, |stored| now.max(stored.at.min(stored.now)))
    }
}

/// The moment at which what is in use must be current: never before it was stored.
pub(crate) fn judged_at(now: Timestamp, stored: Option<Timestamp>) -> Timestamp {
    stored.map_or(now, |stored| now.max(stored))
}

/// What is stored, verified from the pinned root.
pub(crate) async fn stored(options: &TrustOptions, store: &Store) -> Result<Kept, StoreError> {
    let TufFiles { files, at } = store.tuf_files().await?;
    let files = Arc::new(files);
    let loaded = verified(options, store, Arc::clone(&files)).await?;
    Ok(Kept { files, loaded, at })
}

/// Stored documents, verified from the pinned root. None at all are refused where there were some before.
pub(crate) async fn verified(
    options: &TrustOptions,
    store: &Store,
    files: Arc<Files>,
) -> Result<Loaded, StoreError> {
    if files.is_empty() {
        let gone = "they are gone, and the history of trust shows that there were some";
        return Ok(if store.trust_came_from_tuf().await? { Err(gone.to_owned()) } else { Ok(None) });
    }
    let pin = options.pin.clone();
    let verified = off_thread(move || verify(&pin, &files)).await;
    Ok(verified.map(|set| Some(Arc::new(set))).map_err(|e| Chain(&e).to_string()))
}

/// Goes over a directory. What has expired may have done so by as much as the grace.
async fn copied(
    options: &TrustOptions,
    directory: &Path,
    floor: Arc<Files>,
    now: Timestamp,
) -> Result<TufSet, RenewError> {
    let at = now.saturating_sub(options.grace).unwrap_or(Timestamp::MIN);
    let (pin, directory) = (options.pin.clone(), Directory(directory.to_owned()));
    Ok(off_thread(move || lasting(&pin, walk_offline(&pin, directory, &floor, at)?)).await?)
}

/// Goes over the mirror. Nothing is older than the floor, and nothing has expired by `now`.
async fn fetched(options: &TrustOptions, floor: Arc<Files>, now: Timestamp) -> Result<TufSet, RenewError> {
    let remote = Remote(options.mirror.clone().ok_or(RenewError::NoMirror)?);
    let pin = options.pin.clone();
    // The thread leaves its work when nobody waits for it any more.
    let stop = CancellationToken::new();
    let _stop_with_us = stop.clone().drop_guard();
    let walked = off_thread(move || {
        let walking = timeout(REFRESH_TIMEOUT, walk(&pin, remote, &floor, now));
        let walked = Handle::current().block_on(stop.run_until_cancelled(walking));
        let walked = walked.and_then(Result::ok).ok_or(TufError::TooSlow(REFRESH_TIMEOUT))?;
        lasting(&pin, walked?)
    });
    Ok(walked.await?)
}

/// A set whose documents verify by themselves too, without what was known before.
fn lasting(pin: &super::set::Pin, set: TufSet) -> Result<TufSet, TufError> {
    verify(pin, &set.files)?;
    Ok(set)
}

/// Whether the first set is as new as the second: every role of it would be accepted over it.
pub(crate) async fn as_new(
    options: &TrustOptions,
    files: Arc<Files>,
    floor: Arc<Files>,
) -> Result<TufSet, TufError> {
    let pin = options.pin.clone();
    off_thread(move || walk_offline(&pin, Stored(files), &floor, Timestamp::MIN)).await
}

/// Puts every document that verdicts may rest on into the history, the pinned root first.
pub(crate) async fn record(
    options: &TrustOptions,
    store: &Store,
    set: &TufSet,
    origin: &str,
) -> Result<(), StoreError> {
    record_pin(options, store).await?;
    let keys = set.keys.as_ref().map(|keys| (TrustKind::NpmKeys, keys.document()));
    let documents = [(TrustKind::TufRoot, &set.tuf_root[..]), (TrustKind::SigstoreRoot, set.root.document())];
    for (kind, document) in documents.into_iter().chain(keys) {
        record_document(store, kind, document, origin).await?;
    }
    Ok(())
}

/// Puts the pinned TUF root into the history.
pub(crate) async fn record_pin(options: &TrustOptions, store: &Store) -> Result<(), StoreError> {
    record_document(store, TrustKind::TufRoot, &options.pin.root, options.pin_origin().as_str()).await
}

/// Puts one document into the history.
pub(crate) async fn record_document(
    store: &Store,
    kind: TrustKind,
    document: &[u8],
    origin: &str,
) -> Result<(), StoreError> {
    let (sha256, document) = (Sha256::of(document), document.to_vec());
    store.record_trust(&TrustRecord { kind, sha256, document, origin: origin.to_owned() }).await
}

fn renewed(options: &TrustOptions, renewal: &Renewal, now: Timestamp) -> Renewed {
    let Renewal { before: kept, set, at } = renewal;
    let before = kept.loaded.as_ref().ok().and_then(Option::as_ref);
    let keys = |set: &TufSet| set.keys.as_ref().map(|keys| keys.digest());
    Renewed {
        before: before.map(|set| set.roles.clone()).unwrap_or_default(),
        after: set.roles.clone(),
        sigstore_root: (before.map(|set| set.root.digest()), set.root.digest()),
        npm_keys: (before.and_then(|set| keys(set)), keys(set)),
        stored_refused: kept.loaded.as_ref().err().cloned(),
        standing: standing(Some(set.expires_first()), judged_at(now, Some(*at)), options),
    }
}

/// Signatures are checked away from the threads that answer others.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled, so it panicked; so do we.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
