//! The client of one registry.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Client, Method, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED,
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use url::{Origin, Url};

use crate::{
    body::{ArtifactBody, Body, Framing},
    breaker::{Breaker, Health},
    error::{FetchError, Phase},
    exchange::{Exchange, shortened},
    guard::{AllowedOrigins, shown_origin},
    options::{ConfigError, Limits, UpstreamOptions, base_address, file_host},
    resolver::{GuardedResolver, SystemLookup},
    retry::retried,
};

/// One configured registry. Clones share connections, limits and breakers.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) url: Url,
    attestations_url: Url,
    pub(crate) limits: Limits,
    pub(crate) bearer: Option<HeaderValue>,
    /// What metadata may be asked of.
    configured: AllowedOrigins,
    /// What artifacts may be asked of.
    artifacts: AllowedOrigins,
    /// What a redirect may point to, beyond the origin that it came from.
    pub(crate) file_hosts: AllowedOrigins,
    /// One for each of `configured`.
    breakers: HashMap<Origin, Breaker>,
    document_permits: Arc<Semaphore>,
    artifact_permits: Arc<Semaphore>,
    /// Decodes what is packed, if anything may be.
    document_client: Client,
    packing: Packing,
    /// Decodes nothing.
    artifact_client: Client,
}

/// What the upstream's earlier answer is recognised by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The `ETag`, as it came.
    pub etag: Option<String>,
    /// The `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

/// Whether documents may come packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// By gzip; how the end of such a body was told is not known then.
    Gzip,
    /// Never.
    Plain,
}

/// The answer to a conditional request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataReply {
    /// 304: what the validators came with is still right.
    NotModified,
    /// 200.
    Document(MetadataDocument),
}

/// A document, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataDocument {
    /// Where it came from in the end, without query; relative links in it are relative to this.
    pub url: Url,
    /// The `Content-Type`, at most 100 bytes; empty if there was none.
    pub content_type: String,
    /// The document, unpacked.
    pub body: Bytes,
    /// How its end was told. Of a packed one it is not known, which is [`Framing::Closing`].
    pub framing: Framing,
    /// For the next request.
    pub validators: Validators,
}

impl Inner {
    /// The breaker of an address that the guard has allowed.
    pub(crate) fn breaker(&self, url: &Url) -> &Breaker {
        self.breakers.get(&url.origin()).expect("the guard allows configured origins only")
    }
}

impl Upstream {
    /// Checks the options; sends nothing.
    pub fn new(options: UpstreamOptions) -> Result<Self, ConfigError> {
        let ecosystem = options.ecosystem;
        let refused = |key| move |problem| ConfigError::Address { ecosystem, key, problem };
        let url = base_address(&options.url).map_err(refused("url"))?;
        let attestations_url = match &options.attestations_url {
            Some(url) => base_address(url).map_err(refused("attestations_url"))?,
            None => url.clone(),
        };
        options.file_hosts.iter().try_for_each(file_host).map_err(refused("file_hosts"))?;
        let bearer = match &options.bearer {
            Some(secret) => Some(secret.bearer().ok_or(ConfigError::Bearer { ecosystem })?),
            None => None,
        };
        let limits = options.limits;
        if [limits.attempts_max, limits.documents_max, limits.artifacts_max].contains(&0) {
            return Err(ConfigError::Limits { ecosystem });
        }
        Self::with((url, attestations_url), &options.file_hosts, limits, bearer, Packing::Gzip)
            .map_err(|source| ConfigError::Client { ecosystem, source })
    }

    /// What [`Self::new`] and [`crate::Mirror::new`] have in common, with checked parts.
    pub(crate) fn with(
        (url, attestations_url): (Url, Url),
        file_hosts: &[Url],
        limits: Limits,
        bearer: Option<HeaderValue>,
        packing: Packing,
    ) -> Result<Self, reqwest::Error> {
        let hosts: HashSet<String> = [&url, &attestations_url]
            .into_iter()
            .chain(file_hosts)
            .filter_map(|url| url.host_str().map(str::to_owned))
            .collect();
        let file_hosts = AllowedOrigins::of(file_hosts);
        let artifacts = file_hosts.with(&url);
        let configured = artifacts.with(&attestations_url);
        Ok(Self(Arc::new(Inner {
            document_client: client(packing, &hosts, &limits)?,
            packing,
            artifact_client: client(Packing::Plain, &hosts, &limits)?,
            breakers: configured.iter().map(|origin| (origin.clone(), Breaker::new())).collect(),
            document_permits: permits(limits.documents_max),
            artifact_permits: permits(limits.artifacts_max),
            url,
            attestations_url,
            limits,
            bearer,
            configured,
            artifacts,
            file_hosts,
        })))
    }

    /// The address of `path`, percent-encoded already and without leading slash, below the registry's.
    pub fn index_url(&self, path: &str) -> Result<Url, FetchError> {
        below(&self.0.url, path)
    }

    /// The same below the address for attestations.
    pub fn attestations_url(&self, path: &str) -> Result<Url, FetchError> {
        below(&self.0.attestations_url, path)
    }

    /// Fetches a document from a configured origin, unless it is unchanged.
    pub async fn metadata(
        &self,
        url: &Url,
        accept: &str,
        validators: &Validators,
    ) -> Result<MetadataReply, FetchError> {
        self.metadata_within(url, accept, validators, self.0.limits.metadata_bytes_max).await
    }

    /// The same for a document that has at most `bytes_max` bytes, unpacked; no more of it is read.
    pub async fn metadata_within(
        &self,
        url: &Url,
        accept: &str,
        validators: &Validators,
        bytes_max: u64,
    ) -> Result<MetadataReply, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, header_value(accept)?);
        // Validators that cannot stand in a header are left out: an unconditional request is always right.
        for (name, value) in
            [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)]
        {
            if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let conditional = headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
        let exchange = self.document_exchange(Method::GET, url, headers, None);
        match self.document(&exchange, bytes_max).await? {
            Some(document) => Ok(MetadataReply::Document(document)),
            None if conditional => Ok(MetadataReply::NotModified),
            None => Err(FetchError::Status { origin: shown_origin(url), status: 304, retry_after: None }),
        }
    }

    /// Sends a request with a body. It may be sent again after a failure, so it must change nothing there.
    pub async fn post(
        &self,
        url: &Url,
        content_type: &str,
        body: Bytes,
    ) -> Result<MetadataDocument, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, header_value(content_type)?);
        let exchange = self.document_exchange(Method::POST, url, headers, Some(body));
        let document = self.document(&exchange, self.0.limits.metadata_bytes_max).await?;
        document.ok_or_else(|| FetchError::Status {
            origin: shown_origin(url),
            status: 304,
            retry_after: None,
        })
    }

    /// Sends a request with a body, once; 409 is an answer as 200 is.
    pub(crate) async fn post_once(
        &self,
        url: &Url,
        content_type: &str,
        body: Bytes,
        bytes_max: u64,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let inner = &*self.0;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, header_value(content_type)?);
        let exchange = self.document_exchange(Method::POST, url, headers, Some(body));
        let exchange = Exchange { takes_conflict: true, ..exchange };
        let posted = async {
            let _permit = permit(&inner.document_permits).await;
            let response = exchange.send(inner).await?;
            let status = response.status();
            let body = match Body::new(response, bytes_max, &inner.limits) {
                Ok(body) => body.buffered().await,
                Err(error) => Err(error),
            };
            inner.breaker(url).record(body.as_ref().map_or_else(Health::of, |_| Health::Answered));
            Ok((status, body?))
        };
        within(inner.limits.total_timeout, url, posted).await
    }

    /// Starts to fetch an artifact. `link` is absolute, or relative to `base`; its origin must be that of the registry or a
    /// file host. Only what comes before the body is tried again.
    pub async fn artifact(&self, base: &Url, link: &str) -> Result<ArtifactBody, FetchError> {
        let inner = &*self.0;
        let url = base
            .join(link)
            .map_err(|_| FetchError::Request { problem: "the artifact's link is no address" })?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let client = &inner.artifact_client;
        let exchange = Exchange {
            client,
            method: Method::GET,
            url: &url,
            allowed: &inner.artifacts,
            headers,
            body: None,
            takes_conflict: false,
        };
        let patience = inner.limits.artifact_timeout;
        let permit = within(patience, &url, async { Ok(permit(&inner.artifact_permits).await) }).await?;
        let started = retried(inner.limits.attempts_max, || exchange.send(inner));
        let response = within(inner.limits.total_timeout, &url, started).await?;

        inner.breaker(response.url()).record(Health::Answered);
        let origin = shown_origin(response.url());
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { origin, status: response.status().as_u16(), retry_after: None });
        }
        let content_type = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if is_web_page(content_type) {
            return Err(FetchError::NotAnArtifact { origin, content_type: shortened(content_type) });
        }
        let url = shown_url(response.url());
        let body = Body::new(response, inner.limits.artifact_bytes_max, &inner.limits)?;
        Ok(ArtifactBody::new(url, body, &inner.limits, permit))
    }

    fn document_exchange<'a>(
        &'a self,
        method: Method,
        url: &'a Url,
        mut headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Exchange<'a> {
        if self.0.packing == Packing::Plain {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let (client, allowed) = (&self.0.document_client, &self.0.configured);
        Exchange { client, method, url, allowed, headers, body, takes_conflict: false }
    }

    /// The whole document, or `None` for a 304.
    async fn document(
        &self,
        exchange: &Exchange<'_>,
        bytes_max: u64,
    ) -> Result<Option<MetadataDocument>, FetchError> {
        let bytes_max = bytes_max.min(self.0.limits.metadata_bytes_max);
        let fetched = async {
            let _permit = permit(&self.0.document_permits).await;
            retried(self.0.limits.attempts_max, || self.document_once(exchange, bytes_max)).await
        };
        within(self.0.limits.total_timeout, exchange.url, fetched).await
    }

    async fn document_once(
        &self,
        exchange: &Exchange<'_>,
        bytes_max: u64,
    ) -> Result<Option<MetadataDocument>, FetchError> {
        let inner = &*self.0;
        let response = exchange.send(inner).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            inner.breaker(response.url()).record(Health::Answered);
            return Ok(None);
        }
        let (url, headers) = (response.url().clone(), response.headers().clone());
        let body = match Body::new(response, bytes_max, &inner.limits) {
            Ok(body) => {
                let framing = body.framing();
                body.buffered().await.map(|body| (body, framing))
            }
            Err(error) => Err(error),
        };
        inner.breaker(&url).record(body.as_ref().map_or_else(Health::of, |_| Health::Answered));
        let (body, framing) = body?;
        Ok(Some(MetadataDocument {
            url: shown_url(&url),
            content_type: headers
                .get(CONTENT_TYPE)
                .map(|value| shortened(value.as_bytes()))
                .unwrap_or_default(),
            body,
            framing,
            validators: Validators {
                etag: kept(&headers, ETAG),
                last_modified: kept(&headers, LAST_MODIFIED),
            },
        }))
    }
}

fn permits(most: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
}

async fn permit(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed")
}

async fn within<T>(
    after: Duration,
    url: &Url,
    operation: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    match timeout(after, operation).await {
        Ok(result) => result,
        Err(_) => Err(FetchError::Timeout { origin: shown_origin(url), phase: Phase::Total, after }),
    }
}

fn client(packing: Packing, hosts: &HashSet<String>, limits: &Limits) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("touchstone/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(GuardedResolver::new(hosts.clone(), SystemLookup)))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .gzip(packing == Packing::Gzip)
        .connect_timeout(limits.connect_timeout)
        .build()
}

/// Joins without interpretation: a path that would not stand in the address as it is given is refused.
fn below(base: &Url, path: &str) -> Result<Url, FetchError> {
    let joined = format!("{}{path}", base.path());
    let mut url = base.clone();
    url.set_path(&joined);
    if path.starts_with('/') || url.path() != joined {
        return Err(FetchError::Request { problem: "the path is not plainly encoded" });
    }
    Ok(url)
}

fn header_value(text: &str) -> Result<HeaderValue, FetchError> {
    HeaderValue::from_str(text).map_err(|_| FetchError::Request { problem: "a header is malformed" })
}

/// A validator, if it is text of reasonable size.
fn kept(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    const BYTES_MAX: usize = 1024;
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= BYTES_MAX).map(str::to_owned)
}

fn is_web_page(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"text/html"[..], b"application/xhtml+xml"].iter().any(|page| essence.eq_ignore_ascii_case(page))
}

/// An address for records: signed queries stay out of them.
fn shown_url(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests;
