//! Upstream documents, kept: asked for again after a while, used on when the upstream fails.
//!
//! The bytes are blobs, verified when they are read; Postgres holds the pointer, shared by every edge.
//!
//! *Invariant:* the pointer never moves to an answer that cannot be understood.
//!
//! *Invariant:* what this process did not receive itself is used only when the upstream was asked for the whole of it and failed, or no
//! longer has it. Others write the rows: one of them could point at other bytes under the upstream's own validators.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use touchstone_domain::{Ecosystem, Refusal, RefusalKind, Sha256};
use touchstone_store::{CachedDocument, NewDocument};
use touchstone_upstream::{FetchError, MetadataDocument, MetadataReply, Validators};
use url::Url;

use crate::{state::Edge, words};

/// The largest document that is kept, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longer addresses are kept under their digest: the column takes 1,024 bytes.
const KEY_BYTES_MAX: usize = 900;

/// The bytes of memory for what is known of documents.
const OWN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What each takes beside its texts, about.
const OWN_BYTES_EACH: usize = 256;

/// The documents that this process received itself, as long as there is room: what is forgotten is fetched once more.
pub(crate) struct OwnDocuments {
    known: moka::sync::Cache<(Ecosystem, String), Own>,
}

/// A document that this process received.
#[derive(Clone)]
struct Own {
    document: Arc<NewDocument>,
    /// When the upstream last confirmed it, to this process.
    confirmed: Instant,
}

impl OwnDocuments {
    pub(crate) fn new() -> Self {
        let weigh = |(_, key): &(Ecosystem, String), own: &Own| {
            let NewDocument { url, content_type, etag, last_modified, .. } = &*own.document;
            let validators = [etag, last_modified].into_iter().flatten().map(String::len).sum::<usize>();
            let bytes = OWN_BYTES_EACH + key.len() + url.len() + content_type.len() + validators;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self { known: moka::sync::Cache::builder().max_capacity(OWN_BYTES_MAX).weigher(weigh).build() }
    }

    fn find(&self, ecosystem: Ecosystem, key: &str) -> Option<Own> {
        self.known.get(&(ecosystem, key.to_owned()))
    }

    /// The upstream has just sent it, or said that it is current.
    fn confirmed(&self, ecosystem: Ecosystem, key: &str, document: Arc<NewDocument>) {
        self.known.insert((ecosystem, key.to_owned()), Own { document, confirmed: Instant::now() });
    }
}

/// Which document, where it is and how it is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) ecosystem: Ecosystem,
    /// Where it is, and the name it is kept under: what another registry said is never used for this one.
    pub(crate) url: Url,
    pub(crate) accept: &'a str,
    /// What people call it.
    pub(crate) what: String,
    /// How old an answer may be without asking again.
    pub(crate) max_age: Duration,
    /// How large it may be.
    pub(crate) bytes_max: u64,
    pub(crate) absence: Absence,
    pub(crate) renewal: Renewal,
}

/// What is made of the upstream's word that it does not have a document. One that is kept here is asked for again in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It is asked again each time.
    Asked,
    /// It is believed for a short while.
    Remembered,
}

/// How a kept document that is too old is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Whether it has changed. Whatever fails, it is used on.
    Revalidated,
    /// As if it were not kept, since it may be wrong, and the word that it has not changed is worth no more. It is used on only
    /// while the upstream is away, and what is kept and cannot be read is not kept at all.
    Replaced,
}

/// A document, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) body: Bytes,
    pub(crate) sha256: Sha256,
    pub(crate) url: Url,
    pub(crate) content_type: String,
    /// How long ago the upstream confirmed it.
    pub(crate) age: Duration,
    /// Why the upstream did not confirm it just now, when it was asked.
    pub(crate) stale: Option<Refusal>,
}

/// The document as `read` understands it: from the cache while it is young, else from the upstream, else from the cache all
/// the same. An answer that `read` refuses is a failure of the upstream like any other.
pub(crate) async fn get<T, F: Future<Output = Result<T, Refusal>>>(
    edge: &Edge,
    wanted: &Wanted<'_>,
    read: impl Fn(Kept) -> F,
) -> Result<T, Refusal> {
    let key = key(&wanted.url);
    let Some((kept, own)) = cached(edge, wanted, &key).await? else {
        return whole(edge, wanted, &key, &read).await;
    };
    let replaced = match wanted.renewal {
        Renewal::Revalidated => false,
        Renewal::Replaced => true,
    };
    if own.is_some() && kept.age < wanted.max_age {
        let value = read(kept.clone()).await;
        if value.is_ok() || !replaced {
            return value;
        }
    }
    let renewed = match own.filter(|_| !replaced) {
        None => whole(edge, wanted, &key, &read).await.map(Ok),
        Some(own) => {
            let changed = refresh(edge, wanted, &key, &validators(&own), &read).await;
            changed.map(|changed| changed.ok_or(own))
        }
    };
    match renewed {
        Ok(Ok(fetched)) => Ok(fetched),
        Ok(Err(unchanged)) => {
            let touched = edge.store.touch_document(wanted.ecosystem, &key, kept.sha256).await;
            touched.map_err(|e| words::store(&e))?;
            edge.own_documents.confirmed(wanted.ecosystem, &key, unchanged);
            read(Kept { age: Duration::ZERO, ..kept }).await
        }
        Err(refusal) if replaced && refusal.kind != RefusalKind::UpstreamUnreachable => Err(refusal),
        // Also when the upstream no longer has it: what is approved stays installable.
        Err(refusal) => {
            tracing::warn!(document = wanted.what, ecosystem = %wanted.ecosystem, age = ?kept.age, problem = refusal.detail, "using an old copy of a document");
            metrics::counter!("touchstone_stale_documents", "ecosystem" => wanted.ecosystem.as_str())
                .increment(1);
            read(Kept { stale: Some(refusal), ..kept }).await
        }
    }
}

/// What is kept, and what this process itself received of it: nothing, if it is only a row's word.
async fn cached(
    edge: &Edge,
    wanted: &Wanted<'_>,
    key: &str,
) -> Result<Option<(Kept, Option<Arc<NewDocument>>)>, Refusal> {
    if let Some(Own { document, confirmed }) = edge.own_documents.find(wanted.ecosystem, key) {
        let kept = load(edge, &document, confirmed.elapsed()).await;
        return Ok(kept.map(|kept| (kept, Some(document))));
    }
    match edge.store.document(wanted.ecosystem, key).await.map_err(|e| words::store(&e))? {
        Some(CachedDocument { document, age, .. }) => {
            Ok(load(edge, &document, age).await.map(|kept| (kept, None)))
        }
        None if wanted.absence == Absence::Remembered && edge.absent.status(&wanted.url).is_some() => {
            Err(words::unknown(&wanted.what))
        }
        None => Ok(None),
    }
}

/// Asks the upstream for all of a document.
async fn whole<T, F: Future<Output = Result<T, Refusal>>>(
    edge: &Edge,
    wanted: &Wanted<'_>,
    key: &str,
    read: impl Fn(Kept) -> F,
) -> Result<T, Refusal> {
    let fetched = refresh(edge, wanted, key, &Validators::default(), read).await?;
    let problem = "the upstream says that nothing changed, and was not asked that";
    fetched.ok_or_else(|| words::broken(&wanted.what, problem))
}

/// The same for a document of which the bytes are wanted: one request to the upstream for all who ask at once, which goes on
/// when they go away. Whoever joins is content with the age and the reading of the first.
pub(crate) async fn shared(
    edge: &Arc<Edge>,
    wanted: Wanted<'static>,
    sound: impl Fn(&Kept) -> Result<(), Refusal> + Send + Sync + 'static,
) -> Result<Kept, Refusal> {
    let key = wanted.url.to_string();
    let start = || {
        let (edge, sound) = (Arc::clone(edge), Arc::new(sound));
        async move { get(&edge, &wanted, |kept| aside(Arc::clone(&sound), kept)).await }
    };
    let ticket = edge.documents.join(&key, start);
    let ticket = ticket.map_err(|_full| words::unavailable("too many fetches are under way"))?;
    ticket.wait().await.unwrap_or_else(|| Err(words::unavailable("the fetch ended without a result")))
}

/// Looks whether a document is sound, off the async threads: it may be signed.
async fn aside(
    sound: Arc<impl Fn(&Kept) -> Result<(), Refusal> + Send + Sync + 'static>,
    kept: Kept,
) -> Result<Kept, Refusal> {
    let looking = tokio::task::spawn_blocking(move || sound(&kept).map(|()| kept));
    looking.await.map_err(|_panic| words::unavailable("reading a document failed"))?
}

/// Asks the upstream; keeps what can be read. `None` says that nothing changed.
async fn refresh<T, F: Future<Output = Result<T, Refusal>>>(
    edge: &Edge,
    wanted: &Wanted<'_>,
    key: &str,
    validators: &Validators,
    read: impl Fn(Kept) -> F,
) -> Result<Option<T>, Refusal> {
    let Wanted { url, accept, bytes_max, .. } = wanted;
    let upstream = edge.upstream(wanted.ecosystem)?;
    let answer = upstream.metadata_within(url, accept, validators, *bytes_max).await;
    let document = match answer.map_err(|error| failed(edge, wanted, &error))? {
        MetadataReply::NotModified => return Ok(None),
        MetadataReply::Document(document) => document,
    };
    let stored = edge.blobs.put_bytes(document.body.clone()).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot store a document");
        words::unavailable("its storage did not take a document")
    })?;
    let new = NewDocument {
        sha256: stored.sha256,
        size: stored.size,
        url: document.url.to_string(),
        content_type: document.content_type.clone(),
        etag: document.validators.etag,
        last_modified: document.validators.last_modified,
    };
    let MetadataDocument { url, content_type, body, .. } = document;
    let (age, stale) = (Duration::ZERO, None);
    let value = read(Kept { body, sha256: stored.sha256, url, content_type, age, stale }).await?;
    edge.store.put_document(wanted.ecosystem, key, &new).await.map_err(|e| words::store(&e))?;
    edge.own_documents.confirmed(wanted.ecosystem, key, Arc::new(new));
    Ok(Some(value))
}

fn failed(edge: &Edge, wanted: &Wanted<'_>, error: &FetchError) -> Refusal {
    if wanted.absence == Absence::Remembered {
        edge.absent.remember(&wanted.url, error);
    }
    words::fetch(&wanted.what, error)
}

/// The bytes of a document, if they are still what was stored.
async fn load(edge: &Edge, document: &NewDocument, age: Duration) -> Option<Kept> {
    match edge.blobs.read(document.sha256, DOCUMENT_BYTES_MAX).await {
        Ok(body) => {
            let url = Url::parse(&document.url).ok()?;
            let content_type = document.content_type.clone();
            Some(Kept { body, sha256: document.sha256, url, content_type, age, stale: None })
        }
        Err(error) => {
            tracing::warn!(blob.sha256 = %document.sha256, %error, "a stored document is unusable; it is fetched again");
            if matches!(error, touchstone_blobs::ReadError::Damaged { .. }) {
                let _moved = edge.blobs.set_aside(document.sha256).await;
            }
            None
        }
    }
}

fn validators(document: &NewDocument) -> Validators {
    Validators { etag: document.etag.clone(), last_modified: document.last_modified.clone() }
}

/// The name that a document is kept under.
fn key(url: &Url) -> Cow<'_, str> {
    match url.as_str() {
        short if short.len() <= KEY_BYTES_MAX => Cow::Borrowed(short),
        long => Cow::Owned(format!("sha256:{}", Sha256::of(long))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_own_key_until_it_is_too_long() {
        let url = |length: usize| {
            let base = "https://registry.example/";
            Url::parse(&format!("{base}{}", "a".repeat(length - base.len()))).expect("an address")
        };
        assert_eq!(key(&url(KEY_BYTES_MAX)), url(KEY_BYTES_MAX).as_str());
        let long = url(KEY_BYTES_MAX + 1);
        assert_eq!(key(&long), format!("sha256:{}", Sha256::of(long.as_str())));
        assert_ne!(key(&long), key(&url(KEY_BYTES_MAX + 2)));
    }
}
