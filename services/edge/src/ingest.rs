//! Fetching one artifact: locate, receive, compare, store, record, announce, in this order.
//!
//! *Invariant:* blob first, row second, event third: a row never points at nothing, an event never names a row that is not there.
//!
//! *Invariant:* bytes that contradict what the upstream itself declares are never stored; neither is a body of unknown length
//! for which no strong digest is declared.

use std::{future::ready, sync::Arc, time::Duration};

use serde_json::json;
use touchstone_blobs::{Contents, Staged};
use touchstone_bus::ArtifactEvent;
use touchstone_domain::{
    ArtifactId, Digest, Evidence, EvidenceKind, Reason, Refusal, RefusalKind, Sha256, Sighting,
};
use touchstone_ecosystems::{ArtifactRequest, Computed, Declared, Located, adapter};
use touchstone_store::{IncidentKind, Ingested, NewArtifact, NewIncident};
use touchstone_upstream::{FetchError, Upstream};
use url::Url;

use crate::{
    artifact::record_incident,
    documents::{self, Wanted},
    index::{self, Listing},
    state::Edge,
    words,
};

/// A body that contradicts its metadata is fetched once more, then refused.
const FETCHES_PER_ARTIFACT: usize = 2;
/// A listing that lacks the file is asked for again when it is older than this.
const LISTING_AGE_MIN: Duration = Duration::from_secs(2);
/// The largest artifact, in bytes.
const ARTIFACT_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// How long Cargo's download template is used without asking again.
const TEMPLATE_AGE_MAX: Duration = Duration::from_hours(1);

/// Why an artifact is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Nobody has asked for it before.
    First,
    /// The stored copy is lost or damaged; only the same bytes are accepted.
    Heal {
        /// The digest on record.
        sha256: Sha256,
    },
}

/// Fetches and records the artifact; `Ok` means that a row and its blob are there.
pub(crate) async fn run(edge: &Arc<Edge>, request: &ArtifactRequest, mode: Mode) -> Result<(), Refusal> {
    let id = &request.id;
    if matches!(mode, Mode::First) && edge.store.status(id).await.map_err(|e| words::store(&e))?.is_some() {
        // Recorded meanwhile, by a fetch that had just ended or by another edge.
        return Ok(());
    }
    let (listing, located) = locate(edge, id).await.map_err(|refusal| match mode {
        // Not 404, which makes clients look elsewhere: it exists, and was lost here.
        Mode::Heal { .. } if refusal.kind == RefusalKind::Unknown => {
            words::broken(&id.to_string(), "the stored copy is lost, and the upstream no longer lists it")
        }
        Mode::First | Mode::Heal { .. } => refusal,
    })?;
    let declared = adapter(id.ecosystem).declared(&located.claims);
    // Before the body is fetched, where the metadata says enough, and after it.
    if let Some(offered) = declared_sha256(&declared) {
        on_record(edge, id, mode, offered).await?;
    }
    let link = link(edge, id, &located).await?;
    let (staged, url) = receive(edge, id, &listing.url, &link, &declared).await?;
    on_record(edge, id, mode, staged.contents().sha256).await?;
    let contents = staged.commit().await.map_err(|e| storage(&e))?;
    match mode {
        Mode::First => record(edge, id, located, &listing, url, contents).await,
        Mode::Heal { sha256 } => {
            tracing::info!(artifact.id = %id, blob.sha256 = %sha256, "a stored copy was fetched again");
            let facts = json!({ "sha256": sha256.to_string() });
            record_incident(edge, &NewIncident::about(IncidentKind::BlobHealed, id, None, facts)).await;
            Ok(())
        }
    }
}

/// Refuses a path that names another digest than the upstream declares, before anything is fetched. Where none is declared,
/// the digest of what was fetched decides.
pub(crate) async fn pinned(edge: &Arc<Edge>, id: &ArtifactId, pinned: Sha256) -> Result<(), Refusal> {
    let (_, located) = locate(edge, id).await?;
    match declared_sha256(&adapter(id.ecosystem).declared(&located.claims)) {
        Some(declared) if declared != pinned => Err(words::pinned(id, pinned, declared)),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an offer of other bytes than those on record.
async fn on_record(edge: &Arc<Edge>, id: &ArtifactId, mode: Mode, offered: Sha256) -> Result<(), Refusal> {
    match mode {
        Mode::Heal { sha256 } if sha256 != offered => {
            let problem = format!("the upstream offers sha256:{offered}");
            let facts = json!({ "sha256": sha256.to_string(), "problem": problem });
            record_incident(edge, &NewIncident::about(IncidentKind::SecondDigest, id, None, facts)).await;
            Err(words::diverged(id, sha256))
        }
        Mode::First | Mode::Heal { .. } => Ok(()),
    }
}

fn declared_sha256(declared: &Declared) -> Option<Sha256> {
    declared.comparisons.iter().find_map(|comparison| match comparison.digest {
        Digest::Sha256(digest) => Some(Sha256(digest)),
        Digest::Md5(_) | Digest::Sha1(_) | Digest::Sha384(_) | Digest::Sha512(_) => None,
    })
}

/// The listing that has the file, and its entry. It is unknown only when a listing that the upstream confirmed just now lacks it.
async fn locate(edge: &Arc<Edge>, id: &ArtifactId) -> Result<(Arc<Listing>, Located), Refusal> {
    let max_age = edge.config.metadata_ttl.max(LISTING_AGE_MIN);
    let listing = index::listing(edge, id.ecosystem, &id.package, max_age).await?;
    if let Some(located) = listing.index.locate(&id.version, &id.file) {
        return Ok((listing, located));
    }
    let listing = index::confirmed(edge, id.ecosystem, &id.package, LISTING_AGE_MIN).await?;
    let located = listing.index.locate(&id.version, &id.file);
    located.map(|located| (Arc::clone(&listing), located)).ok_or_else(|| words::unknown(&id.to_string()))
}

/// The address of the bytes, as the upstream gives it.
async fn link(edge: &Arc<Edge>, id: &ArtifactId, located: &Located) -> Result<String, Refusal> {
    let adapter = adapter(id.ecosystem);
    if !adapter.needs_download_template() {
        return Ok(located.url.clone());
    }
    let what = "the upstream's config.json".to_owned();
    let url = edge.upstream(id.ecosystem)?.index_url("config.json").map_err(|e| words::fetch(&what, &e))?;
    let ecosystem = id.ecosystem;
    let wanted = Wanted { ecosystem, url, accept: "application/json", what, max_age: TEMPLATE_AGE_MAX };
    let broken = |error| words::broken(&wanted.what, error);
    let template = documents::get(edge, &wanted, |kept| {
        ready(adapter.parse_download_template(&kept.body).map_err(broken))
    })
    .await
    .map_err(|refusal| {
        // Not 404, which says that the crate does not exist.
        let missing = refusal.kind == RefusalKind::Unknown;
        if missing { words::broken(&wanted.what, "the upstream has none") } else { refusal }
    })?;
    let declared = adapter.declared(&located.claims);
    let sha256 = declared_sha256(&declared).map(|sha256| sha256.to_string());
    adapter.download_link(&template, id, sha256.as_deref()).map_err(broken)
}

/// Receives the bytes until they fit what is declared, at most [`FETCHES_PER_ARTIFACT`] times.
async fn receive(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    base: &Url,
    link: &str,
    declared: &Declared,
) -> Result<(Staged, Url), Refusal> {
    let upstream = edge.upstream(id.ecosystem)?;
    let mut contradiction = Reason::NoClaim;
    for _ in 0..FETCHES_PER_ARTIFACT {
        let (staged, url) = match body(edge, upstream, base, link, declared).await {
            Ok(received) => received,
            Err(Receive::Fetch(error)) => return Err(fetch_failed(edge, id, &error).await),
            Err(Receive::Storage(error)) => return Err(storage(&error)),
            Err(Receive::Unbounded) => {
                return Err(words::broken(
                    &id.to_string(),
                    "its body has no length, and no strong digest is declared",
                ));
            }
        };
        match declared.contradiction(&computed(staged.contents())) {
            None => return Ok((staged, url)),
            Some(reason) => {
                tracing::warn!(artifact.id = %id, %reason, "the upstream's bytes contradict its metadata");
                contradiction = reason;
            }
        }
    }
    let facts = json!({ "problem": contradiction.to_string() });
    record_incident(edge, &NewIncident::about(IncidentKind::UpstreamMismatch, id, None, facts)).await;
    Err(words::contradicted(id, &contradiction))
}

enum Receive {
    Fetch(FetchError),
    Storage(touchstone_blobs::BlobError),
    Unbounded,
}

/// Receives one body into a temporary file.
async fn body(
    edge: &Arc<Edge>,
    upstream: &Upstream,
    base: &Url,
    link: &str,
    declared: &Declared,
) -> Result<(Staged, Url), Receive> {
    let mut body = upstream.artifact(base, link).await.map_err(Receive::Fetch)?;
    if body.length.is_none() && !declared.has_strong() {
        return Err(Receive::Unbounded);
    }
    let mut writer = edge.blobs.writer(ARTIFACT_BYTES_MAX).await.map_err(Receive::Storage)?;
    while let Some(piece) = body.next().await {
        writer.write(piece.map_err(Receive::Fetch)?).await.map_err(Receive::Storage)?;
    }
    let staged = writer.finish().await.map_err(Receive::Storage)?;
    Ok((staged, body.url))
}

async fn fetch_failed(edge: &Edge, id: &ArtifactId, error: &FetchError) -> Refusal {
    tracing::warn!(artifact.id = %id, %error, "a fetch failed");
    if matches!(error, FetchError::Egress(_)) {
        let facts = json!({ "problem": error.to_string() });
        record_incident(edge, &NewIncident::about(IncidentKind::EgressRefused, id, None, facts)).await;
    }
    match error {
        // Not 404, which makes clients look elsewhere: it is listed.
        FetchError::NotFound { .. } => {
            words::broken(&id.to_string(), format!("the upstream lists it, but {error}"))
        }
        error => words::fetch(&id.to_string(), error),
    }
}

fn computed(contents: &Contents) -> Computed {
    let digests = vec![Digest::Sha1(contents.sha1), contents.sha256.into(), contents.sha512.into()];
    Computed { size: contents.size, digests }
}

fn storage(error: &touchstone_blobs::BlobError) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "cannot store an artifact");
    words::unavailable("its storage did not take the artifact")
}

/// Writes the row, and rings the bell.
async fn record(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    located: Located,
    listing: &Listing,
    url: Url,
    contents: Contents,
) -> Result<(), Refusal> {
    let now = edge.clock.now();
    let entry = edge.blobs.put_bytes(located.evidence).await.map_err(|e| storage(&e))?;
    let first_seen = if edge.policy.min_age(id.ecosystem, &id.package).is_zero() {
        now
    } else {
        let mut files = listing.index.entries().iter().filter(|entry| entry.version == id.version);
        let versions = [(id.version.clone(), files.all(|entry| entry.attested))];
        let seen = edge
            .store
            .first_seen(id.ecosystem, &id.package, &versions)
            .await
            .map_err(|e| words::store(&e))?;
        seen.get(&id.version).copied().unwrap_or(now)
    };
    let sighting = Sighting { published_at: located.published_at, first_seen };
    let evidence = Evidence {
        kind: EvidenceKind::MetadataEntry,
        url: listing.url.to_string(),
        sha256: entry.sha256,
        size: entry.size,
        seen_at: now,
    };
    let new = NewArtifact {
        id: id.clone(),
        sha256: contents.sha256,
        sha512: contents.sha512,
        size: contents.size,
        chunks: contents.chunks,
        upstream_url: url.to_string(),
        published_at: located.published_at,
        claims: located.claims,
        evidence: vec![evidence],
        requirement: edge.policy.requirement(id.ecosystem, &id.package),
        policy_epoch: edge.policy_epoch,
        eligible_at: edge.policy.eligible_at(id.ecosystem, &id.package, sighting),
    };
    match edge.store.ingest(&new).await.map_err(|e| words::store(&e))? {
        Ingested::Inserted { artifact, epoch } => {
            let event = ArtifactEvent { artifact, ecosystem: id.ecosystem, epoch, dispatch: 0 };
            announce(edge, event).await;
            Ok(())
        }
        Ingested::Known { .. } => Ok(()),
        Ingested::Diverged { on_record, .. } => Err(words::diverged(id, on_record)),
    }
}

/// Publishes; a lost event costs time only, since the sweeper finds the row.
pub(crate) async fn announce(edge: &Edge, event: ArtifactEvent) {
    let bus = edge.bus.borrow().clone();
    let Some(bus) = bus else {
        tracing::warn!(artifact = %event.artifact, "NATS is away; the sweeper will publish the event");
        return;
    };
    if let Err(error) = bus.publish_fetched(&[event]).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot publish an event; the sweeper will");
    }
}
