//! Where the bytes of an artifact are, and what the upstream says of them: in the listing of its package, or, where addresses
//! follow from coordinates, in the document of its version.

use std::{future::ready, sync::Arc, time::Duration};

use touchstone_domain::{ArtifactId, Digest, Refusal, RefusalKind, Sha256};
use touchstone_ecosystems::{Declared, GoQuery, Located, UpstreamPath, adapter};
use url::Url;

use crate::{
    documents::{self, Absence, DOCUMENT_BYTES_MAX, Renewal, Wanted},
    go, index,
    ingest::Mode,
    state::Edge,
    words,
};

/// A listing that lacks the file is asked for again when it is older than this.
const LISTING_AGE_MIN: Duration = Duration::from_secs(2);
/// How long Cargo's download template is used without asking again.
const TEMPLATE_AGE_MAX: Duration = Duration::from_hours(1);

/// What the upstream says of an artifact.
pub(crate) struct Found {
    pub(crate) located: Located,
    /// The address of what says so; relative links start there.
    pub(crate) document: Url,
    pub(crate) listing: InListing,
}

/// What the listing of a package makes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InListing {
    /// It is listed, and was put on record as seen when the listing was read.
    Listed {
        /// Whether all of its files are listed with attestations.
        attested: bool,
    },
    /// The ecosystem has no listing that must have it: that the upstream does not have it is then found out by asking.
    NotNeeded,
}

/// Refuses a path that names another digest than the upstream declares, before anything is fetched. Where none is declared,
/// the digest of what was fetched decides.
pub(crate) async fn pinned(edge: &Arc<Edge>, id: &ArtifactId, pinned: Sha256) -> Result<(), Refusal> {
    let found = locate(edge, id, Mode::First).await?;
    match declared_sha256(&adapter(id.ecosystem).declared(&found.located.claims)) {
        Some(declared) if declared != pinned => Err(words::pinned(id, pinned, declared)),
        Some(_) | None => Ok(()),
    }
}

/// The first SHA-256 that is declared.
pub(crate) fn declared_sha256(declared: &Declared) -> Option<Sha256> {
    declared.comparisons.iter().find_map(|comparison| match comparison.digest {
        Digest::Sha256(digest) => Some(Sha256(digest)),
        Digest::Md5(_) | Digest::Sha1(_) | Digest::Sha384(_) | Digest::Sha512(_) => None,
    })
}

/// What the upstream says of the artifact.
pub(crate) async fn locate(edge: &Arc<Edge>, id: &ArtifactId, mode: Mode) -> Result<Found, Refusal> {
    match adapter(id.ecosystem).direct(id) {
        Some(path) => stated(edge, id, &path, mode).await,
        None => listed(edge, id).await,
    }
}

/// By the listing that has the file. It is unknown only when a listing that the upstream confirmed just now lacks it.
async fn listed(edge: &Arc<Edge>, id: &ArtifactId) -> Result<Found, Refusal> {
    let max_age = edge.config.metadata_ttl.max(LISTING_AGE_MIN);
    let mut listing = index::listing(edge, id.ecosystem, &id.package, max_age).await?;
    let mut located = listing.index.locate(&id.version, &id.file);
    if located.is_none() {
        listing = index::confirmed(edge, id.ecosystem, &id.package, LISTING_AGE_MIN).await?;
        located = listing.index.locate(&id.version, &id.file);
    }
    let located = located.ok_or_else(|| words::unknown(&id.to_string()))?;
    let mut files = listing.index.entries().iter().filter(|entry| entry.version == id.version);
    let listed = InListing::Listed { attested: files.all(|entry| entry.attested) };
    Ok(Found { located, document: listing.url.clone(), listing: listed })
}

/// By what the upstream says of the version. What is on record and was lost is asked for whatever the upstream has just said.
async fn stated(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    path: &UpstreamPath,
    mode: Mode,
) -> Result<Found, Refusal> {
    let upstream = edge.upstream(id.ecosystem)?;
    let url = upstream.index_url(&path.path).map_err(|e| words::fetch(&id.to_string(), &e))?;
    let absence = match mode {
        Mode::First => Absence::Remembered,
        Mode::Heal { .. } => Absence::Asked,
    };
    if absence == Absence::Remembered && edge.absent.status(&url).is_some() {
        return Err(words::unknown(&id.to_string()));
    }
    let said = go::said(edge, &id.package, &GoQuery::Version(id.version.clone()), absence).await?;
    let located =
        Located { url: url.into(), claims: vec![], published_at: said.info.time, evidence: said.kept.body };
    Ok(Found { located, document: said.kept.url, listing: InListing::NotNeeded })
}

/// The address of the bytes, as the upstream gives it.
pub(crate) async fn link(edge: &Arc<Edge>, id: &ArtifactId, located: &Located) -> Result<String, Refusal> {
    let adapter = adapter(id.ecosystem);
    if !adapter.needs_download_template() {
        return Ok(located.url.clone());
    }
    let what = "the upstream's config.json".to_owned();
    let url = edge.upstream(id.ecosystem)?.index_url("config.json").map_err(|e| words::fetch(&what, &e))?;
    let ecosystem = id.ecosystem;
    let (bytes_max, absence, renewal) = (DOCUMENT_BYTES_MAX, Absence::Asked, Renewal::Revalidated);
    let wanted = Wanted {
        ecosystem,
        url,
        accept: "application/json",
        what,
        max_age: TEMPLATE_AGE_MAX,
        bytes_max,
        absence,
        renewal,
    };
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
