//! Parsed package metadata: one refresh per package however many ask, kept in memory within a bound.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use touchstone_domain::{Ecosystem, PackageName, Refusal, Sha256};
use touchstone_ecosystems::{Index, adapter};
use url::Url;

use crate::{
    documents::{self, Kept, Wanted},
    state::Edge,
    words,
};

/// The bytes of documents that are kept parsed in memory.
const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long an old listing is used before the upstream is asked again after it failed.
const STALE_AGE_MAX: Duration = Duration::from_secs(10);
/// Documents from this size on are parsed off the async threads.
const PARSE_ASIDE_BYTES: usize = 64 * 1024;

/// A package's metadata as the upstream sent it.
pub(crate) struct Listing {
    pub(crate) index: Arc<dyn Index>,
    /// The digest of the document.
    pub(crate) sha256: Sha256,
    /// Its size in bytes.
    pub(crate) size: usize,
    /// The address it came from; relative links start there.
    pub(crate) url: Url,
    checked: Instant,
    stale: bool,
}

impl Listing {
    /// Whether it may be used without asking again. One that could not be checked is asked about again soon, so that an
    /// upstream that is back is noticed.
    fn is_fresh(&self, max_age: Duration) -> bool {
        self.checked.elapsed() < if self.stale { max_age.min(STALE_AGE_MAX) } else { max_age }
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
    let refresh = || {
        let (edge, package) = (Arc::clone(edge), package.clone());
        async move { refresh(&edge, ecosystem, &package, max_age).await }
    };
    let ticket = edge
        .listings
        .join(&key, refresh)
        .map_err(|_full| words::unavailable("too many fetches are under way"))?;
    match (tokio::time::timeout(edge.config.hold, ticket.wait()).await, held) {
        (Ok(Some(result)), _) => result,
        (Ok(None) | Err(_), Some(old)) => Ok(old),
        (Ok(None), None) => Err(words::unavailable("reading the metadata failed")),
        (Err(_), None) => Err(words::unavailable("the upstream is slow to send its metadata")),
    }
}

async fn refresh(
    edge: &Arc<Edge>,
    ecosystem: Ecosystem,
    package: &PackageName,
    max_age: Duration,
) -> Result<Arc<Listing>, Refusal> {
    let path = adapter(ecosystem).index_path(package);
    let what = format!("the metadata of {ecosystem} package {package}");
    let url = edge.upstream(ecosystem)?.index_url(&path.path).map_err(|e| words::fetch(&what, &e))?;
    let wanted = Wanted { ecosystem, url, accept: path.accept, what, max_age };
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
    let index = match edge.indexes.listings.get(&key) {
        Some(held) if held.sha256 == kept.sha256 => Arc::clone(&held.index),
        Some(_) | None => parse(ecosystem, package, &kept).await?,
    };
    let (sha256, size, url, stale) = (kept.sha256, kept.body.len(), kept.url, kept.stale);
    let listing = Arc::new(Listing { index, sha256, size, url, checked: Instant::now(), stale });
    edge.indexes.listings.insert(key, Arc::clone(&listing));
    Ok(listing)
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
    parsed.map(Arc::from).map_err(|error| words::broken(&format!("{ecosystem} package {package}"), error))
}
