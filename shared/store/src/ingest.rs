//! Putting artifacts on record: artifact, claims, evidence and gate in one statement.
//!
//! *Invariant:* one coordinate, one digest. A second digest is an incident, never a row.

mod arrays;

use std::collections::HashSet;

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, ArtifactState, ChunkList, Claim, Evidence, Requirement, Sha256, Sha512,
    SignedBy,
};

use self::arrays::{Artifacts, Claims, EvidenceList};
use crate::{Store, StoreError, error::within, row::Columns, signed::SignedColumns};

/// The most artifacts per call.
pub const INGEST_MAX: usize = 1024;
/// How often artifacts that another edge is just putting on record are looked for.
const ROUNDS_MAX: usize = 8;

/// An artifact whose bytes are in the blob store.
#[derive(Clone, Debug)]
pub struct NewArtifact {
    /// Its coordinate.
    pub id: ArtifactId,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Their second digest.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// The digests of their chunks.
    pub chunks: ChunkList,
    /// Where they came from, without credentials.
    pub upstream_url: String,
    /// When they were published, by the upstream's word.
    pub published_at: Option<Timestamp>,
    /// What the upstream declares about them.
    pub claims: Vec<Claim>,
    /// What was kept of the upstream's metadata.
    pub evidence: Vec<Evidence>,
    /// What the policy asks for.
    pub requirement: Requirement,
    /// The policy that asks for it, from [`Store::register_policy`].
    pub policy_epoch: i32,
    /// When the artifact is old enough; in the future, it is held until then.
    pub eligible_at: Option<Timestamp>,
    /// The edge's signed word on what it fetched.
    pub fetch: SignedBy,
}

/// What became of a [`NewArtifact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// It is on record now.
    Inserted {
        /// Its row.
        artifact: ArtifactDbId,
        /// The epoch of its gate.
        epoch: i32,
    },
    /// It was on record, with the same digest; nothing was changed.
    Known {
        /// Its row.
        artifact: ArtifactDbId,
        /// The epoch of its gate.
        epoch: i32,
        /// Its state.
        state: ArtifactState,
    },
    /// Another digest is on record for the coordinate; an incident was written, and nothing else.
    Diverged {
        /// The row of what is on record.
        artifact: ArtifactDbId,
        /// Its digest.
        on_record: Sha256,
    },
}

const INGEST: &str = r"-- artifact.ingest
WITH offered AS MATERIALIZED (
    SELECT n, ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url, published_at,
           required, veto, tolerated, policy_epoch, eligible_at, key, envelope, pack, pack_offset, pack_size,
           CASE WHEN eligible_at > now() THEN 1 ELSE 0 END AS hold
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::bigint[],
                $9::bytea[], $10::bytea[], $11::text[], $12::timestamptz[], $13::bigint[], $14::bigint[],
                $15::bigint[], $16::integer[], $17::timestamptz[], $29::bytea[], $30::bytea[], $31::bytea[],
                $32::integer[], $33::integer[])
        AS o (n, ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url,
              published_at, required, veto, tolerated, policy_epoch, eligible_at, key, envelope, pack, pack_offset,
              pack_size)
), stored AS (
    INSERT INTO artifact (ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url,
                          published_at)
    SELECT ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url, published_at
    FROM offered
    ORDER BY ecosystem, package, version, file
    ON CONFLICT DO NOTHING
    RETURNING id, ecosystem, package, version, file
), fresh AS (
    SELECT n, id, sha256, chunk_root, required, veto, tolerated, policy_epoch, eligible_at, hold, key, envelope, pack,
           pack_offset, pack_size
    FROM stored JOIN offered USING (ecosystem, package, version, file)
), gated AS (
    INSERT INTO gate (artifact_id, policy_epoch, required, veto, tolerated, hold, eligible_at, dispatch_due)
    SELECT id, (SELECT policy.epoch FROM policy WHERE policy.epoch = fresh.policy_epoch), required, veto, tolerated,
           hold, eligible_at, now() + interval '5 seconds'
    FROM fresh
), signed AS (
    INSERT INTO fetched (artifact_id, key, envelope, pack, pack_offset, pack_size)
    SELECT id, key, envelope, pack, pack_offset, pack_size FROM fresh
), claimed AS (
    INSERT INTO claim (artifact_id, ordinal, field, value)
    SELECT fresh.id, ordinal, field, value
    FROM unnest($18::bigint[], $19::smallint[], $20::text[], $21::text[]) AS c (n, ordinal, field, value)
    JOIN fresh USING (n)
), seen AS (
    INSERT INTO evidence (artifact_id, ordinal, kind, url, sha256, size, seen_at)
    SELECT fresh.id, ordinal, kind, url, e.sha256, size, seen_at
    FROM unnest($22::bigint[], $23::smallint[], $24::text[], $25::text[], $26::bytea[], $27::bigint[],
                $28::timestamptz[]) AS e (n, ordinal, kind, url, sha256, size, seen_at)
    JOIN fresh USING (n)
), known AS (
    SELECT offered.n, artifact.id, artifact.sha256, artifact.chunk_root, gate.epoch, gate.required, gate.veto,
           gate.tolerated, gate.ok, gate.deny, gate.undecided, gate.hold, offered.sha256 AS offered, offered.size AS offered_size,
           offered.upstream_url, ecosystem, package, version, file
    FROM offered
    JOIN artifact USING (ecosystem, package, version, file)
    JOIN gate ON gate.artifact_id = artifact.id
), diverged AS (
    INSERT INTO incident (kind, ecosystem, package, version, file, artifact_id, detail)
    SELECT 'second_digest', ecosystem, package, version, file, id,
           jsonb_build_object('on_record', encode(sha256, 'hex'), 'offered', encode(offered, 'hex'),
                              'offered_size', offered_size, 'upstream_url', upstream_url)
    FROM known
    WHERE sha256 <> offered
    ORDER BY ecosystem, package, version, file
    ON CONFLICT (kind, ecosystem, package, version, file, hour, hashtextextended(detail::text, 0))
        DO UPDATE SET count = incident.count + 1, last_at = now(), resolved_at = NULL
)
SELECT n, true AS fresh, id AS artifact_id, sha256, chunk_root, 0 AS epoch, required, veto, tolerated, 0::bigint AS ok,
       0::bigint AS deny, 0::bigint AS undecided, hold::bigint AS hold
FROM fresh
UNION ALL
SELECT n, false, id, sha256, chunk_root, epoch, required, veto, tolerated, ok, deny, undecided, hold
FROM known";

impl Store {
    /// Puts one artifact on record, in one round trip.
    pub async fn ingest(&self, new: &NewArtifact) -> Result<Ingested, StoreError> {
        let ingested = self.ingest_many(std::slice::from_ref(new)).await?;
        Ok(ingested[0])
    }

    /// Puts at most [`INGEST_MAX`] artifacts on record, and answers in their order. Each is atomic, and so is the call
    /// unless a coordinate is in it twice or another edge offers the same artifacts at this moment.
    pub async fn ingest_many(&self, new: &[NewArtifact]) -> Result<Vec<Ingested>, StoreError> {
        within("artifacts", new.len(), INGEST_MAX)?;
        let mut done: Vec<Option<Ingested>> = vec![None; new.len()];
        for _ in 0..ROUNDS_MAX {
            let mut coordinates = HashSet::new();
            let open = |(n, _): &(usize, &NewArtifact)| done[*n].is_none();
            let round: Vec<_> =
                new.iter().enumerate().filter(open).filter(|(_, a)| coordinates.insert(&a.id)).collect();
            if round.is_empty() {
                break;
            }
            for row in self.ingest_round(&round).await? {
                let (n, ingested) = ingested(&row, new)?;
                done[n] = Some(ingested);
            }
        }
        done.into_iter().collect::<Option<_>>().ok_or_else(|| {
            StoreError::inconsistent(
                "artifact",
                "it is neither stored nor found; is a coordinate given too often?",
            )
        })
    }

    /// Puts another fetch of the same bytes on record; one that is there already changes nothing.
    pub async fn record_fetch(&self, artifact: ArtifactDbId, fetch: &SignedBy) -> Result<(), StoreError> {
        const FETCHED: &str = r"-- artifact.record_fetch
INSERT INTO fetched (artifact_id, key, envelope, pack, pack_offset, pack_size)
SELECT id, $2, $3, $4, $5, $6 FROM artifact
WHERE id = $1 AND NOT EXISTS (SELECT FROM fetched WHERE fetched.artifact_id = $1 AND fetched.envelope = $3)";
        let mut columns = SignedColumns::default();
        columns.push(fetch)?;
        let SignedColumns { key, envelope, pack, offset, size } = columns;
        self.query(FETCHED, &[&artifact.0, &key[0], &envelope[0], &pack[0], &offset[0], &size[0]])
            .await
            .map(drop)
    }

    /// Runs the statement for artifacts with distinct coordinates. One that another transaction commits meanwhile is
    /// neither stored nor visible, and is missing from the answer.
    async fn ingest_round(&self, round: &[(usize, &NewArtifact)]) -> Result<Vec<Row>, StoreError> {
        let a = Artifacts::of(round)?;
        let c = Claims::of(round)?;
        let e = EvidenceList::of(round)?;
        self.query(
            INGEST,
            &[
                &a.n,
                &a.ecosystem,
                &a.package,
                &a.version,
                &a.file,
                &a.sha256,
                &a.sha512,
                &a.size,
                &a.chunk_root,
                &a.chunks,
                &a.upstream_url,
                &a.published_at,
                &a.required,
                &a.veto,
                &a.tolerated,
                &a.policy_epoch,
                &a.eligible_at,
                &c.n,
                &c.ordinal,
                &c.field,
                &c.value,
                &e.n,
                &e.ordinal,
                &e.kind,
                &e.url,
                &e.sha256,
                &e.size,
                &e.seen_at,
                &a.fetch.key,
                &a.fetch.envelope,
                &a.fetch.pack,
                &a.fetch.offset,
                &a.fetch.size,
            ],
        )
        .await
    }
}

fn ingested(row: &Row, new: &[NewArtifact]) -> Result<(usize, Ingested), StoreError> {
    let columns = Columns(row);
    let n = usize::try_from(columns.unsigned("n")?).map_err(|e| StoreError::inconsistent("n", &e))?;
    let offered = new.get(n).ok_or_else(|| StoreError::inconsistent("n", "out of range"))?;
    let gate = columns.gate()?;
    let ingested = if columns.get("fresh")? {
        Ingested::Inserted { artifact: gate.artifact, epoch: gate.epoch }
    } else if gate.sha256 == offered.sha256 {
        Ingested::Known { artifact: gate.artifact, epoch: gate.epoch, state: gate.state() }
    } else {
        Ingested::Diverged { artifact: gate.artifact, on_record: gate.sha256 }
    };
    Ok((n, ingested))
}

#[cfg(test)]
mod tests;
