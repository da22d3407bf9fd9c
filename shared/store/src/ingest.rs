//! Putting artifacts on record: artifact, claims, evidence and gate in one statement.
//!
//! *Invariant:* one coordinate, one digest. A second digest is an incident, never a row.

use std::collections::HashSet;

use jiff::Timestamp;
use tokio_postgres::Row;
use touchstone_domain::{
    ArtifactDbId, ArtifactId, ArtifactState, ChunkList, Claim, Evidence, Requirement, Sha256, Sha512,
    SignedBy,
};

use crate::{Store, StoreError, error::within, row::Columns};

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
           required, veto, tolerated, policy_epoch, eligible_at,
           CASE WHEN eligible_at > now() THEN 1 ELSE 0 END AS hold
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::bigint[],
                $9::bytea[], $10::bytea[], $11::text[], $12::timestamptz[], $13::bigint[], $14::bigint[],
                $15::bigint[], $16::integer[], $17::timestamptz[])
        AS o (n, ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url,
              published_at, required, veto, tolerated, policy_epoch, eligible_at)
), stored AS (
    INSERT INTO artifact (ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url,
                          published_at)
    SELECT ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url, published_at
    FROM offered
    ORDER BY ecosystem, package, version, file
    ON CONFLICT DO NOTHING
    RETURNING id, ecosystem, package, version, file
), fresh AS (
    SELECT n, id, sha256, chunk_root, required, veto, tolerated, policy_epoch, eligible_at, hold
    FROM stored JOIN offered USING (ecosystem, package, version, file)
), gated AS (
    INSERT INTO gate (artifact_id, policy_epoch, required, veto, tolerated, hold, eligible_at, dispatch_due)
    SELECT id, (SELECT policy.epoch FROM policy WHERE policy.epoch = fresh.policy_epoch), required, veto, tolerated,
           hold, eligible_at, now() + interval '5 seconds'
    FROM fresh
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

    /// Puts another fetch of the same bytes on record.
    pub async fn record_fetch(&self, _artifact: ArtifactDbId, _fetch: &SignedBy) -> Result<(), StoreError> {
        todo!()
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

/// The columns of `artifact` and `gate`, an array each.
#[derive(Default)]
struct Artifacts<'a> {
    n: Vec<i64>,
    ecosystem: Vec<&'static str>,
    package: Vec<&'a str>,
    version: Vec<&'a str>,
    file: Vec<&'a str>,
    sha256: Vec<&'a [u8]>,
    sha512: Vec<&'a [u8]>,
    size: Vec<i64>,
    chunk_root: Vec<Vec<u8>>,
    chunks: Vec<Vec<u8>>,
    upstream_url: Vec<&'a str>,
    published_at: Vec<Option<Timestamp>>,
    required: Vec<i64>,
    veto: Vec<i64>,
    tolerated: Vec<i64>,
    policy_epoch: Vec<i32>,
    eligible_at: Vec<Option<Timestamp>>,
}

impl<'a> Artifacts<'a> {
    fn of(round: &[(usize, &'a NewArtifact)]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (n, new) in round {
            if new.chunks.size() != new.size {
                let problem = format!("it has {} bytes, and its chunk list {}", new.size, new.chunks.size());
                return Err(StoreError::Invalid { what: "artifact", problem });
            }
            all.n.push(number(*n)?);
            all.ecosystem.push(new.id.ecosystem.as_str());
            all.package.push(new.id.package.as_str());
            all.version.push(new.id.version.as_str());
            all.file.push(new.id.file.as_str());
            all.sha256.push(&new.sha256.0);
            all.sha512.push(&new.sha512.0);
            all.size.push(number(new.size)?);
            all.chunk_root.push(new.chunks.root().0.to_vec());
            all.chunks.push(new.chunks.to_bytes());
            all.upstream_url.push(&new.upstream_url);
            all.published_at.push(new.published_at);
            all.required.push(new.requirement.required().mask());
            all.veto.push(new.requirement.veto().mask());
            all.tolerated.push(new.requirement.tolerated().mask());
            all.policy_epoch.push(new.policy_epoch);
            all.eligible_at.push(new.eligible_at);
        }
        Ok(all)
    }
}

/// The columns of `claim`.
#[derive(Default)]
struct Claims<'a> {
    n: Vec<i64>,
    ordinal: Vec<i16>,
    field: Vec<&'static str>,
    value: Vec<&'a str>,
}

impl<'a> Claims<'a> {
    fn of(round: &[(usize, &'a NewArtifact)]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (n, new) in round {
            for (ordinal, claim) in new.claims.iter().enumerate() {
                all.n.push(number(*n)?);
                all.ordinal.push(number(ordinal)?);
                all.field.push(claim.field.as_str());
                all.value.push(&claim.value);
            }
        }
        Ok(all)
    }
}

/// The columns of `evidence`.
#[derive(Default)]
struct EvidenceList<'a> {
    n: Vec<i64>,
    ordinal: Vec<i16>,
    kind: Vec<&'static str>,
    url: Vec<&'a str>,
    sha256: Vec<&'a [u8]>,
    size: Vec<i64>,
    seen_at: Vec<Timestamp>,
}

impl<'a> EvidenceList<'a> {
    fn of(round: &[(usize, &'a NewArtifact)]) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (n, new) in round {
            for (ordinal, evidence) in new.evidence.iter().enumerate() {
                all.n.push(number(*n)?);
                all.ordinal.push(number(ordinal)?);
                all.kind.push(evidence.kind.as_str());
                all.url.push(&evidence.url);
                all.sha256.push(&evidence.sha256.0);
                all.size.push(number(evidence.size)?);
                all.seen_at.push(evidence.seen_at);
            }
        }
        Ok(all)
    }
}

fn number<A: Copy + std::fmt::Display, B: TryFrom<A>>(value: A) -> Result<B, StoreError> {
    B::try_from(value)
        .map_err(|_| StoreError::Invalid { what: "number", problem: format!("{value} is too large") })
}

#[cfg(test)]
mod tests;
