//! Artifacts as columns.

use jiff::Timestamp;

use super::NewArtifact;
use crate::{StoreError, signed::SignedColumns};

/// The columns of `artifact` and `gate`, an array each.
#[derive(Default)]
pub(super) struct Artifacts<'a> {
    pub(super) n: Vec<i64>,
    pub(super) ecosystem: Vec<&'static str>,
    pub(super) package: Vec<&'a str>,
    pub(super) version: Vec<&'a str>,
    pub(super) file: Vec<&'a str>,
    pub(super) sha256: Vec<&'a [u8]>,
    pub(super) sha512: Vec<&'a [u8]>,
    pub(super) size: Vec<i64>,
    pub(super) chunk_root: Vec<Vec<u8>>,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) upstream_url: Vec<&'a str>,
    pub(super) published_at: Vec<Option<Timestamp>>,
    pub(super) required: Vec<i64>,
    pub(super) veto: Vec<i64>,
    pub(super) tolerated: Vec<i64>,
    pub(super) policy_epoch: Vec<i32>,
    pub(super) eligible_at: Vec<Option<Timestamp>>,
    pub(super) fetch: SignedColumns<'a>,
}

impl<'a> Artifacts<'a> {
    pub(super) fn of(round: &[(usize, &'a NewArtifact)]) -> Result<Self, StoreError> {
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
            all.fetch.push(&new.fetch)?;
        }
        Ok(all)
    }
}

/// The columns of `claim`.
#[derive(Default)]
pub(super) struct Claims<'a> {
    pub(super) n: Vec<i64>,
    pub(super) ordinal: Vec<i16>,
    pub(super) field: Vec<&'static str>,
    pub(super) value: Vec<&'a str>,
}

impl<'a> Claims<'a> {
    pub(super) fn of(round: &[(usize, &'a NewArtifact)]) -> Result<Self, StoreError> {
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
pub(super) struct EvidenceList<'a> {
    pub(super) n: Vec<i64>,
    pub(super) ordinal: Vec<i16>,
    pub(super) kind: Vec<&'static str>,
    pub(super) url: Vec<&'a str>,
    pub(super) sha256: Vec<&'a [u8]>,
    pub(super) size: Vec<i64>,
    pub(super) seen_at: Vec<Timestamp>,
}

impl<'a> EvidenceList<'a> {
    pub(super) fn of(round: &[(usize, &'a NewArtifact)]) -> Result<Self, StoreError> {
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
