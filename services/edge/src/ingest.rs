//! Fetching one artifact: locate, receive, compare, store, and have it put on record, in this order.
//!
//! *Invariant:* every fetch is signed with the edge's key, and counts with that signature only. Nothing is fetched that could not be
//! signed so that it counts, but for bytes that were lost.
//!
//! *Invariant:* blob first, row second: a row never points at nothing.
//!
//! *Invariant:* bytes that contradict what the upstream itself declares are never stored; neither is a body that may have been cut
//! off without a trace. A strong digest would tell. Without one, the length has to be announced; or, in ecosystems where digests
//! are never declared by who sends the bytes, the body has to say itself where it ends (chunks, HTTP/2), and a check has them.

mod record;

use std::sync::Arc;

use serde_json::json;
use touchstone_blobs::{Contents, Staged};
use touchstone_domain::{ArtifactId, Digest, Reason, Refusal, RefusalKind, Sha256};
use touchstone_ecosystems::{Adapter, ArtifactRequest, Computed, Declared, adapter};
use touchstone_store::{IncidentKind, NewIncident};
use touchstone_upstream::{FetchError, Framing};
use url::Url;

use crate::{
    artifact::record_incident,
    locate::{self, Found, InListing, declared_sha256},
    state::Edge,
    words,
};

pub(crate) use record::needed_again;

/// A body that contradicts its metadata is fetched once more, then refused.
const FETCHES_PER_ARTIFACT: usize = 2;
/// The largest artifact, in bytes.
const ARTIFACT_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Why an artifact is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Nobody has asked for it before.
    First,
    /// What is on record does not do any more; only the same bytes are accepted.
    Heal {
        /// The digest on record.
        sha256: Sha256,
        /// What does not do.
        cause: Cause,
    },
}

/// Why an artifact on record is fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The stored copy is lost or damaged.
    Copy,
    /// No fetch of it counts: none was signed, or the keys that signed are not in the key ring, or revoked.
    Record,
}

/// Fetches and records the artifact; `Ok` means that a row and its blob are there.
pub(crate) async fn run(edge: &Arc<Edge>, request: &ArtifactRequest, mode: Mode) -> Result<(), Refusal> {
    let id = &request.id;
    if matches!(mode, Mode::First) && edge.store.status(id).await.map_err(|e| words::store(&e))?.is_some() {
        // Recorded meanwhile, by a fetch that had just ended or by another edge.
        return Ok(());
    }
    match mode {
        Mode::First | Mode::Heal { cause: Cause::Record, .. } => record::can_sign(edge, id)?,
        // What was promoted is served by the record that it has; only its bytes are missing.
        Mode::Heal { cause: Cause::Copy, .. } => {}
    }
    fetched(edge, id, mode).await.map_err(|refusal| match mode {
        // Not 404, which makes clients look elsewhere: it exists, and was lost here.
        Mode::Heal { cause, .. } if refusal.kind == RefusalKind::Unknown => {
            let lost = match cause {
                Cause::Copy => "the stored copy is lost, and the upstream no longer has it",
                Cause::Record => {
                    "no signed record of its fetch counts, and it cannot be fetched again: the upstream no longer has it"
                }
            };
            words::broken(&id.to_string(), lost)
        }
        Mode::First | Mode::Heal { .. } => refusal,
    })
}

async fn fetched(edge: &Arc<Edge>, id: &ArtifactId, mode: Mode) -> Result<(), Refusal> {
    let found = locate::locate(edge, id, mode).await?;
    let declared = adapter(id.ecosystem).declared(&found.located.claims);
    // Before the body is fetched, where the metadata says enough, and after it.
    if let Some(offered) = declared_sha256(&declared) {
        on_record(edge, id, mode, offered).await?;
    }
    let link = locate::link(edge, id, &found.located).await?;
    let (staged, url) = receive(edge, id, &found, &link, &declared).await?;
    on_record(edge, id, mode, staged.contents().sha256).await?;
    let contents = staged.commit().await.map_err(|e| storage(&e))?;
    match mode {
        Mode::First => record::record(edge, id, found, url, contents).await,
        Mode::Heal { sha256, cause } => {
            tracing::info!(artifact.id = %id, blob.sha256 = %sha256, ?cause, "an artifact was fetched again");
            if cause == Cause::Copy {
                let facts = json!({ "sha256": sha256.to_string() });
                record_incident(edge, &NewIncident::about(IncidentKind::BlobHealed, id, None, facts)).await;
                if let Err(refusal) = record::can_sign(edge, id) {
                    tracing::warn!(artifact.id = %id, problem = refusal.detail, "the bytes are back, and the fetch is not put on record");
                    return Ok(());
                }
            }
            record::record_again(edge, id, &found, &url, &contents).await
        }
    }
}

/// Refuses an offer of other bytes than those on record.
async fn on_record(edge: &Arc<Edge>, id: &ArtifactId, mode: Mode, offered: Sha256) -> Result<(), Refusal> {
    match mode {
        Mode::Heal { sha256, .. } if sha256 != offered => {
            let problem = format!("the upstream offers sha256:{offered}");
            let facts = json!({ "sha256": sha256.to_string(), "problem": problem });
            record_incident(edge, &NewIncident::about(IncidentKind::SecondDigest, id, None, facts)).await;
            Err(words::diverged(id, sha256))
        }
        Mode::First | Mode::Heal { .. } => Ok(()),
    }
}

/// Receives the bytes until they fit what is declared, at most [`FETCHES_PER_ARTIFACT`] times.
async fn receive(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    found: &Found,
    link: &str,
    declared: &Declared,
) -> Result<(Staged, Url), Refusal> {
    let mut contradiction = Reason::NoClaim;
    for _ in 0..FETCHES_PER_ARTIFACT {
        let (staged, url) = match body(edge, id, &found.document, link, declared).await {
            Ok(received) => received,
            Err(Receive::Fetch(error)) => return Err(fetch_failed(edge, id, found, &error).await),
            Err(Receive::Refused(refusal)) => return Err(refusal),
            Err(Receive::Storage(error)) => return Err(storage(&error)),
            Err(Receive::Unbounded) => {
                let problem = "its body has no length, and no strong digest is declared";
                return Err(words::broken(&id.to_string(), problem));
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
    Refused(Refusal),
    Storage(touchstone_blobs::BlobError),
    Unbounded,
}

/// Receives one body into a temporary file.
async fn body(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    base: &Url,
    link: &str,
    declared: &Declared,
) -> Result<(Staged, Url), Receive> {
    let upstream = edge.upstream(id.ecosystem).map_err(Receive::Refused)?;
    let mut body = upstream.artifact(base, link).await.map_err(Receive::Fetch)?;
    if !shows_its_end(body.framing, declared, adapter(id.ecosystem)) {
        return Err(Receive::Unbounded);
    }
    let mut writer = edge.blobs.writer(ARTIFACT_BYTES_MAX).await.map_err(Receive::Storage)?;
    while let Some(piece) = body.next().await {
        writer.write(piece.map_err(Receive::Fetch)?).await.map_err(Receive::Storage)?;
    }
    let staged = writer.finish().await.map_err(Receive::Storage)?;
    Ok((staged, body.url))
}

/// Whether it would be noticed that a body was cut off.
fn shows_its_end(framing: Framing, declared: &Declared, adapter: &dyn Adapter) -> bool {
    match framing {
        Framing::Announced => true,
        Framing::Delimited => declared.has_strong() || !adapter.declares_digests(),
        Framing::Closing => declared.has_strong(),
    }
}

async fn fetch_failed(edge: &Edge, id: &ArtifactId, found: &Found, error: &FetchError) -> Refusal {
    tracing::warn!(artifact.id = %id, %error, "a fetch failed");
    if matches!(error, FetchError::Egress(_)) {
        let facts = json!({ "problem": error.to_string() });
        record_incident(edge, &NewIncident::about(IncidentKind::EgressRefused, id, None, facts)).await;
    }
    match (error, found.listing) {
        // Not 404, which makes clients look elsewhere: it is listed.
        (FetchError::NotFound { .. }, InListing::Listed { .. }) => {
            words::broken(&id.to_string(), format!("the upstream lists it, but {error}"))
        }
        (error, InListing::Listed { .. }) => words::fetch(&id.to_string(), error),
        (error, InListing::NotNeeded) => {
            if let Ok(url) = Url::parse(&found.located.url) {
                edge.absent.remember(&url, error);
            }
            words::fetch(&id.to_string(), error)
        }
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

#[cfg(test)]
mod tests {
    use touchstone_domain::{Claim, ClaimField, Ecosystem};

    use super::*;

    #[test]
    fn a_body_has_a_length_or_a_digest_or_where_nobody_declares_digests_an_end() {
        let claim = Claim { field: ClaimField::CargoCksum, value: "0".repeat(64) };
        let strong = adapter(Ecosystem::Cargo).declared(&[claim]);
        assert!(strong.has_strong());
        let weak = Declared::default();
        for (ecosystem, declared, framing, accepted) in [
            (Ecosystem::Go, &weak, Framing::Announced, true),
            (Ecosystem::Go, &weak, Framing::Delimited, true),
            (Ecosystem::Go, &weak, Framing::Closing, false),
            (Ecosystem::Cargo, &weak, Framing::Announced, true),
            (Ecosystem::Cargo, &weak, Framing::Delimited, false),
            (Ecosystem::Cargo, &weak, Framing::Closing, false),
            (Ecosystem::Cargo, &strong, Framing::Delimited, true),
            (Ecosystem::Cargo, &strong, Framing::Closing, true),
        ] {
            assert_eq!(
                shows_its_end(framing, declared, adapter(ecosystem)),
                accepted,
                "{ecosystem} {framing:?}"
            );
        }
    }
}
