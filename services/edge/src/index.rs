//! Parsed package metadata: one refresh per package however many ask, kept in memory within a bound.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;
use touchstone_domain::{Ecosystem, PackageName, Refusal, Sha256, Version};
use touchstone_ecosystems::{Index, adapter};
use touchstone_store::VERSIONS_MAX;
use url::Url;

use crate::{
    documents::{self, Absence, DOCUMENT_BYTES_MAX, Kept, Renewal, Wanted},
    state::Edge,
    words,
};

/// The bytes of documents that are kept parsed in memory.
const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long an old listing is used before the upstream is asked again after it failed.
const STALE_AGE_MAX: Duration = Duration::from_secs(10);
/// Documents from this size on are parsed off the async threads.
const PARSE_ASIDE_BYTES: usize = 64 * 1024;
/// How often a caller who needs a confirmed listing joins a refresh: the one under way may be content with an older one.
const JOINS_MAX: usize = 3;

/// A package's metadata as the upstream sent it.
pub(crate) struct Listing {
    pub(crate) index: Arc<dyn Index>,
    /// The digest of the document.
    pub(crate) sha256: Sha256,
    /// Its size in bytes.
    pub(crate) size: usize,
    /// The address it came from; relative links start there.
    pub(crate) url: Url,
    /// When the upstream confirmed it; `None` is before this machine was started.
    confirmed: Option<Instant>,
    /// When it was read here.
    read: Instant,
    /// Why the upstream did not confirm it when it was read.
    stale: Option<Refusal>,
    /// Whether it is on record when its versions were first seen.
    sighted: bool,
}

impl Listing {
    /// Whether it may be used without asking again. One that could not be checked is asked about again soon, so that an
    /// upstream that is back is noticed.
    fn is_fresh(&self, max_age: Duration) -> bool {
        match self.stale {
            Some(_) => self.read.elapsed() < max_age.min(STALE_AGE_MAX),
            None => self.confirmed.is_some_and(|confirmed| confirmed.elapsed() < max_age),
        }
    }

    /// Whether the upstream confirmed it at most `max_age` before `start`.
    fn is_confirmed(&self, start: Instant, max_age: Duration) -> bool {
        self.confirmed.is_some_and(|confirmed| confirmed + max_age >= start)
    }
}

/// The parsed listings in memory.
pub(crate) struct IndexCache {
    listings: moka::sync::Cache<(Ecosystem, String), Arc<Listing>>,
}

impl IndexCache {
    pub(crate) fn new() -> Self {
        let weigh =
            |_: &(Ecosystem, String), listing: &Arc<Listing>| u32::try_from(listing.size).unwrap_or(u32::MAX);
        Self { listings: moka::sync::Cache::builder().max_capacity(MEMORY_BYTES_MAX).weigher(weigh).build() }
    }
}

/// The package's listing, asked for again when it is older than `max_age`. When the upstream is slow, an older listing is
/// used after `hold`, and the refresh goes on.
pub(crate) async fn listing(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    max_age: Duration,
) -> Result<Arc<Listing>, Refusal> {
    let key = (ecosystem, package.as_str().to_owned());
    let held = edge.indexes.listings.get(&key);
    if let Some(listing) = &held
        && listing.is_fresh(max_age)
    {
        return Ok(Arc::clone(listing));
    }
    let patience = match held {
        Some(_) => edge.config.hold,
        None => edge.hold(ecosystem),
    };
    match (tokio::time::timeout(patience, join(edge, &key, package, max_age)?).await, held) {
        (Ok(Some(result)), _) => result,
        (Ok(None) | Err(_), Some(old)) => Ok(old),
        (Ok(None), None) => Err(words::unavailable("reading the metadata failed")),
        (Err(_), None) => Err(words::unavailable("the upstream is slow to send its metadata")),
    }
}

/// The package's listing as the upstream confirmed it, at most `max_age` before now. Nothing older is given out: whoever asks
/// is about to say that something does not exist.
pub(crate) async fn confirmed(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    max_age: Duration,
) -> Result<Arc<Listing>, Refusal> {
    let key = (ecosystem, package.as_str().to_owned());
    let start = Instant::now();
    if let Some(held) = edge.indexes.listings.get(&key).filter(|held| held.is_confirmed(start, max_age)) {
        return Ok(held);
    }
    for _ in 0..JOINS_MAX {
        let listing = match tokio::time::timeout(edge.config.hold, join(edge, &key, package, max_age)?).await
        {
            Ok(Some(result)) => result?,
            Ok(None) => return Err(words::unavailable("reading the metadata failed")),
            Err(_) => return Err(words::unavailable("the upstream is slow to send its metadata")),
        };
        if listing.is_confirmed(start, max_age) {
            return Ok(listing);
        }
        if let Some(refusal) = &listing.stale {
            return Err(refusal.clone());
        }
    }
    Err(words::unavailable("the metadata could not be brought up to date"))
}

/// Joins the refresh under way, whatever age it is content with, or starts one.
fn join(
    edge: &Arc<Edge>,
    key: &(Ecosystem, String),
    package: &PackageName,
    max_age: Duration,
) -> Result<impl Future<Output = Option<Result<Arc<Listing>, Refusal>>> + use<>, Refusal> {
    let ecosystem = key.0;
    let start = || {
        let (edge, package) = (Arc::clone(edge), package.clone());
        async move { refresh(&edge, ecosystem, &package, max_age).await }
    };
    let ticket = edge.listings.join(key, start);
    Ok(ticket.map_err(|_full| words::unavailable("too many fetches are under way"))?.wait())
}

async fn refresh(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    max_age: Duration,
) -> Result<Arc<Listing>, Refusal> {
    let path = adapter(ecosystem).index_path(package);
    let what = format!("the metadata of {}", words::package(ecosystem, package));
    let url = edge.upstream(ecosystem)?.index_url(&path.path).map_err(|e| words::fetch(&what, &e))?;
    let absence = match ecosystem {
        Ecosystem::Go => Absence::Remembered,
        Ecosystem::Cargo | Ecosystem::Npm | Ecosystem::Pypi => Absence::Asked,
    };
    let (bytes_max, renewal) = (DOCUMENT_BYTES_MAX, Renewal::Revalidated);
    let wanted = Wanted { ecosystem, url, accept: path.accept, what, max_age, bytes_max, absence, renewal };
    documents::get(edge, &wanted, |kept| read(edge, ecosystem, package, kept)).await
}

/// Parses a document, unless it is the one that is parsed already, and remembers it.
async fn read(
    edge: &Edge,
    ecosystem: Ecosystem,
    package: &PackageName,
    kept: Kept,
) -> Result<Arc<Listing>, Refusal> {
    let key = (ecosystem, package.as_str().to_owned());
    let (index, sighted) = match edge.indexes.listings.get(&key) {
        Some(held) if held.sha256 == kept.sha256 => (Arc::clone(&held.index), held.sighted),
        Some(_) | None => (parse(ecosystem, package, &kept).await?, false),
    };
    let sighted = sighted || sight(edge, ecosystem, package, &*index).await;
    let (sha256, size, url, stale) = (kept.sha256, kept.body.len(), kept.url, kept.stale);
    let read = Instant::now();
    let confirmed = read.checked_sub(kept.age);
    let listing = Arc::new(Listing { index, sha256, size, url, confirmed, read, stale, sighted });
    edge.indexes.listings.insert(key, Arc::clone(&listing));
    Ok(listing)
}

/// Remembers when each version was first seen, and whether with attestations: also while no policy asks for it, since one
/// may one day, and it cannot be found out later. False if it could not; where it is needed, whoever needs it fails.
async fn sight(edge: &Edge, ecosystem: Ecosystem, package: &PackageName, index: &dyn Index) -> bool {
    let versions = sightings(index);
    for batch in versions.chunks(VERSIONS_MAX) {
        if let Err(error) = edge.store.first_seen(ecosystem, package, batch).await {
            tracing::warn!(%ecosystem, %package, error = &error as &dyn std::error::Error, "cannot record when versions were first seen");
            return false;
        }
    }
    true
}

/// The versions that are listed, each once, and whether all of their files are listed with attestations.
pub(crate) fn sightings(index: &dyn Index) -> Vec<(Version, bool)> {
    let mut attested = BTreeMap::new();
    for entry in index.entries() {
        attested.entry(&entry.version).and_modify(|all| *all &= entry.attested).or_insert(entry.attested);
    }
    attested.into_iter().map(|(version, all)| (version.clone(), all)).collect()
}

async fn parse(ecosystem: Ecosystem, package: &PackageName, kept: &Kept) -> Result<Arc<dyn Index>, Refusal> {
    let (name, content_type, body) = (package.clone(), kept.content_type.clone(), kept.body.clone());
    let aside = body.len() >= PARSE_ASIDE_BYTES;
    let work = move || adapter(ecosystem).parse_index(&name, &content_type, body);
    let parsed = if aside {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_panic| words::unavailable("reading the metadata failed"))?
    } else {
        work()
    };
    parsed.map(Arc::from).map_err(|error| words::broken(&words::package(ecosystem, package), error))
}
