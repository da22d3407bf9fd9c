//! Upstream documents, kept: asked for again after a while, used on when the upstream fails.
//!
//! The bytes are blobs, verified when they are read; Postgres holds the pointer, shared by every edge.
//!
//! *Invariant:* the pointer never moves to an answer that cannot be understood.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use touchstone_domain::{Ecosystem, Refusal, RefusalKind, Sha256};
use touchstone_store::{CachedDocument, NewDocument};
use touchstone_upstream::{FetchError, MetadataDocument, MetadataReply, Validators};
use url::Url;

use crate::{state::Edge, words};

/// The largest document that is kept, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longer addresses are kept under their digest: the column takes 1,024 bytes.
const KEY_BYTES_MAX: usize = 900;

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
    let row = edge.store.document(wanted.ecosystem, &key).await.map_err(|e| words::store(&e))?;
    let cached = match row {
        Some(row) => load(edge, row).await,
        None if wanted.absence == Absence::Remembered && edge.absent.status(&wanted.url).is_some() => {
            return Err(words::unknown(&wanted.what));
        }
        None => None,
    };
    let Some((row, kept)) = cached else {
        let fetched = refresh(edge, wanted, &key, &Validators::default(), &read).await?;
        let problem = "the upstream says that nothing changed, and nothing is stored";
        return fetched.ok_or_else(|| words::broken(&wanted.what, problem));
    };
    let (validators, replaced) = match wanted.renewal {
        Renewal::Revalidated => (validators(&row), false),
        Renewal::Replaced => (Validators::default(), true),
    };
    if row.age < wanted.max_age {
        let value = read(kept.clone()).await;
        if value.is_ok() || !replaced {
            return value;
        }
    }
    match refresh(edge, wanted, &key, &validators, &read).await {
        Ok(Some(fetched)) => Ok(fetched),
        Ok(None) => {
            let touched = edge.store.touch_document(wanted.ecosystem, &key, kept.sha256).await;
            touched.map_err(|e| words::store(&e))?;
            read(Kept { age: Duration::ZERO, ..kept }).await
        }
        Err(refusal) if replaced && refusal.kind != RefusalKind::UpstreamUnreachable => Err(refusal),
        // Also when the upstream no longer has it: what is approved stays installable.
        Err(refusal) => {
            tracing::warn!(document = wanted.what, ecosystem = %wanted.ecosystem, age = ?row.age, problem = refusal.detail, "using an old copy of a document");
            metrics::counter!("touchstone_stale_documents", "ecosystem" => wanted.ecosystem.as_str())
                .increment(1);
            read(Kept { stale: Some(refusal), ..kept }).await
        }
    }
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
    Ok(Some(value))
}

fn failed(edge: &Edge, wanted: &Wanted<'_>, error: &FetchError) -> Refusal {
    if wanted.absence == Absence::Remembered {
        edge.absent.remember(&wanted.url, error);
    }
    words::fetch(&wanted.what, error)
}

/// The bytes of a cached row, if they are still what was stored.
async fn load(edge: &Edge, row: CachedDocument) -> Option<(CachedDocument, Kept)> {
    match edge.blobs.read(row.document.sha256, DOCUMENT_BYTES_MAX).await {
        Ok(body) => {
            let document = &row.document;
            let url = Url::parse(&document.url).ok()?;
            let content_type = document.content_type.clone();
            let kept = Kept { body, sha256: document.sha256, url, content_type, age: row.age, stale: None };
            Some((row, kept))
        }
        Err(error) => {
            tracing::warn!(blob.sha256 = %row.document.sha256, %error, "a stored document is unusable; it is fetched again");
            if matches!(error, touchstone_blobs::ReadError::Damaged { .. }) {
                let _moved = edge.blobs.set_aside(row.document.sha256).await;
            }
            None
        }
    }
}

fn validators(row: &CachedDocument) -> Validators {
    Validators { etag: row.document.etag.clone(), last_modified: row.document.last_modified.clone() }
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
