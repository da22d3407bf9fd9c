//! Putting a fetch on record: the upstream's metadata is kept, and the rest is the recorder's. What is on record and does not count is
//! put on record again.

use std::{error::Error, sync::Arc};

use jiff::Timestamp;
use touchstone_blobs::Contents;
use touchstone_bus::ArtifactEvent;
use touchstone_custody::{FetchStatement, KeyKind, KeyRing};
use touchstone_domain::{ArtifactId, Evidence, EvidenceKind, KeyId, Refusal, Sighting};
use touchstone_store::{ArtifactStatus, Ingested, NewArtifact};
use url::Url;

use super::{Cause, storage};
use crate::{
    NotRecorded,
    announce::announce,
    locate::{Found, InListing},
    state::Edge,
    words,
};

/// The software that fetches name.
const SOFTWARE: &str = concat!("touchstone/", env!("CARGO_PKG_VERSION"));
/// In place of a number of dispatches: JetStream takes the event of another fetch although it took one of this epoch just now.
const FETCHED_AGAIN: i16 = -1;

/// Why an artifact that waits for its decision has to be fetched again, if it has.
pub(crate) async fn needed_again(edge: &Edge, status: &ArtifactStatus) -> Option<Cause> {
    if !edge.blobs.contains(status.gate.sha256).await.unwrap_or(true) {
        return Some(Cause::Copy);
    }
    let dates = (status.fetched_at, edge.clock.now());
    needs_record(&edge.ring.borrow(), &status.fetch_keys, dates).then_some(Cause::Record)
}

/// Whether none of the keys that signed fetches counts. `fetch_keys` has none of those that promote refused. The rest was dated
/// between the first fetch and now, more or less: a key whose window has nothing of that time does not count. What is dated outside its
/// window otherwise is promote's to refuse.
fn needs_record(ring: &KeyRing, signed: &[KeyId], (first, now): (Timestamp, Timestamp)) -> bool {
    let counts = |key: &KeyId| {
        ring.entry(*key).is_some_and(|entry| {
            let begun = entry.not_before <= now && entry.not_after.is_none_or(|end| end >= first);
            entry.kind == KeyKind::Fetch && entry.revoked.is_none() && begun
        })
    };
    !signed.iter().any(counts)
}

/// Refuses to fetch what could not be signed so that it counts: no promotion could rest on it.
pub(super) fn can_sign(edge: &Edge, id: &ArtifactId) -> Result<(), Refusal> {
    edge.recorder.can_sign().map_err(|problem| not_recorded(id, &NotRecorded::Key(problem)))
}

/// Keeps what the upstream's metadata says, and puts the artifact on record.
pub(super) async fn record(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    found: Found,
    url: Url,
    contents: Contents,
) -> Result<(), Refusal> {
    let (statement, evidence) = account(edge, id, &found, &url, &contents).await?;
    let located = found.located;
    let sighting = Sighting { published_at: located.published_at, first_seen: statement.first_seen };
    let requirement = edge.policy.requirement(id.ecosystem, &id.package);
    let policy_epoch = edge.policy_epoch;
    let eligible_at = edge.policy.eligible_at(id.ecosystem, &id.package, sighting);
    let coordinate = id.clone();
    let new = move |fetch| NewArtifact {
        id: coordinate,
        sha256: contents.sha256,
        sha512: contents.sha512,
        size: contents.size,
        chunks: contents.chunks,
        upstream_url: url.into(),
        published_at: located.published_at,
        claims: located.claims,
        evidence: vec![evidence],
        requirement,
        policy_epoch,
        eligible_at,
        fetch,
    };
    match edge.recorder.ingest(statement, new).await.map_err(|e| not_recorded(id, &e))? {
        Ingested::Inserted { .. } | Ingested::Known { .. } => Ok(()),
        Ingested::Diverged { on_record, .. } => Err(words::diverged(id, on_record)),
    }
}

/// Puts another fetch of the bytes on record, and rings the bell if they still wait for a decision: it may be all that was missing.
pub(super) async fn record_again(
    edge: &Arc<Edge>,
    id: &ArtifactId,
    found: &Found,
    url: &Url,
    contents: &Contents,
) -> Result<(), Refusal> {
    let (statement, _) = account(edge, id, found, url, contents).await?;
    let fetch = edge.recorder.sign(statement).await.map_err(|e| not_recorded(id, &e))?;
    let status = edge.store.status(id).await.map_err(|e| words::store(&e))?;
    let Some(status) = status.filter(|status| status.gate.sha256 == contents.sha256) else {
        return Err(words::unavailable("what is on record has changed meanwhile"));
    };
    edge.store.record_fetch(status.artifact(), &fetch).await.map_err(|e| words::store(&e))?;
    if status.state().is_pending() {
        let (artifact, ecosystem, epoch) = (status.artifact(), id.ecosystem, status.gate.epoch);
        let event = ArtifactEvent { artifact, ecosystem, epoch, dispatch: FETCHED_AGAIN };
        announce(&edge.bus, &[event]).await;
    }
    Ok(())
}

/// What is to be signed of a fetch, and what was kept of the upstream's metadata.
async fn account(
    edge: &Edge,
    id: &ArtifactId,
    found: &Found,
    url: &Url,
    contents: &Contents,
) -> Result<(FetchStatement, Evidence), Refusal> {
    let Found { located, document, listing } = found;
    let now = edge.clock.now();
    let keeping =
        async { edge.blobs.put_bytes(located.evidence.clone()).await.map_err(|error| storage(&error)) };
    let (entry, first_seen) = tokio::try_join!(keeping, first_seen(edge, id, *listing))?;
    let statement = FetchStatement {
        environment: edge.signing.environment.to_string(),
        id: id.clone(),
        sha256: contents.sha256,
        sha512: contents.sha512,
        size: contents.size,
        chunk_root: contents.chunks.root(),
        upstream_url: url.to_string(),
        published_at: located.published_at,
        first_seen: first_seen.unwrap_or(now),
        fetched_at: now,
        evidence: vec![entry.sha256],
        software: SOFTWARE.to_owned(),
    };
    let evidence = Evidence {
        kind: EvidenceKind::MetadataEntry,
        url: document.to_string(),
        sha256: entry.sha256,
        size: entry.size,
        seen_at: now,
    };
    Ok((statement, evidence))
}

/// When the version was first seen, which is now if it never was. It is put on record, and signed, also while no policy asks for an
/// age: one may one day.
async fn first_seen(edge: &Edge, id: &ArtifactId, listing: InListing) -> Result<Option<Timestamp>, Refusal> {
    let attested = match listing {
        InListing::Listed { attested } => attested,
        InListing::NotNeeded => false,
    };
    let versions = [(id.version.clone(), attested)];
    let seen = edge.store.first_seen(id.ecosystem, &id.package, &versions).await;
    Ok(seen.map_err(|e| words::store(&e))?.get(&id.version).copied())
}

/// Says why a fetch is not on record.
fn not_recorded(id: &ArtifactId, error: &NotRecorded) -> Refusal {
    let refuse = |cause: &(dyn Error + 'static), problem| {
        tracing::error!(artifact.id = %id, error = cause, "cannot put a fetch on record");
        words::unavailable(problem)
    };
    match error {
        NotRecorded::Key(problem) => {
            tracing::error!(artifact.id = %id, %problem, "nothing is fetched, since it could not be signed so that it counts");
            words::cannot_sign(id, problem)
        }
        NotRecorded::Sign(_) => refuse(error, "its key did not sign what it fetched"),
        NotRecorded::Keep(_) => refuse(error, "its storage did not take the record of the fetch"),
        NotRecorded::Store(error) => words::store(error),
        NotRecorded::Ended => refuse(error, "it is being stopped"),
    }
}

#[cfg(test)]
mod tests {
    use touchstone_custody::{KeyEntry, LocalSigner, Revoked, Signer as _};

    use super::*;

    fn entry(kind: KeyKind, seed: u8, revoked: Option<Revoked>) -> KeyEntry {
        let public = LocalSigner::from_seed(kind, [seed; 32]).expect("a key").public();
        KeyEntry { kind, public, not_before: Timestamp::UNIX_EPOCH, not_after: None, revoked }
    }

    #[test]
    fn an_artifact_is_fetched_again_when_no_key_that_signed_a_fetch_counts() {
        let second = |second| Timestamp::from_second(second).expect("a date");
        let revoked = Revoked { at: Timestamp::UNIX_EPOCH, reason: "lost".into() };
        let within = |seed, from, until| KeyEntry {
            not_before: second(from),
            not_after: Some(second(until)),
            ..entry(KeyKind::Fetch, seed, None)
        };
        let ring = vec![
            entry(KeyKind::Fetch, 1, None),
            entry(KeyKind::Fetch, 2, None),
            entry(KeyKind::Fetch, 3, Some(revoked)),
            entry(KeyKind::Hash, 4, None),
            within(6, 0, 99),
            within(7, 0, 100),
            within(8, 200, 300),
            within(9, 201, 300),
        ];
        let ring = KeyRing::new(ring).expect("a ring");
        let id = |seed| LocalSigner::from_seed(KeyKind::Fetch, [seed; 32]).expect("a key").key_id();
        for (signed, needed) in [
            (&[][..], true),
            (&[1][..], false),
            (&[2][..], false),
            (&[3, 2][..], false),
            (&[3][..], true),
            (&[4][..], true),
            (&[5][..], true),
            (&[3, 4, 5][..], true),
            // ended before the first fetch, and with it
            (&[6][..], true),
            (&[7][..], false),
            // begins now, and later
            (&[8][..], false),
            (&[9][..], true),
            (&[6, 9][..], true),
            (&[6, 7][..], false),
        ] {
            let keys: Vec<_> = signed.iter().map(|seed| id(*seed)).collect();
            assert_eq!(needs_record(&ring, &keys, (second(100), second(200))), needed, "{signed:?}");
        }
    }
}
