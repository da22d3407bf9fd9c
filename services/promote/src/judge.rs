//! Judging cases: envelopes are read from the blob store, and verified on the blocking pool, many at once. What does not count is
//! put on record, once.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use touchstone_blobs::BlobError;
use touchstone_custody::{Case, Judged, KeyProblem, SignError, judge_many};
use touchstone_domain::EnvelopeRef;
use touchstone_records::{PutError, RecordError};
use touchstone_store::{ARTIFACTS_MAX, StoreError};

use crate::{Promote, lost::is_own_store};

/// Envelopes that are held in memory at once, in bytes, unless a single case has more.
const ENVELOPES_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Why verdicts are not counted now; the sweeper tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CountError {
    /// Postgres does not answer, or refuses.
    #[error("the store does not answer as it should")]
    Store(#[from] StoreError),
    /// Serve records are not on disk.
    #[error("the serve records are not kept")]
    Put(#[from] PutError),
    /// The blob store does not say which one it is.
    #[error("the blob store cannot be told from another one")]
    Blob(#[from] BlobError),
    /// What this process signs does not count.
    #[error("promote's own key does not count")]
    Key(#[from] KeyProblem),
    /// The signer does not sign.
    #[error("no serve record is signed")]
    Sign(#[from] SignError),
    /// The process is being stopped, or a judgement panicked.
    #[error("the work was given up")]
    Stopped,
}

/// Judges. Cases whose envelopes cannot be read now are left out, and left as they are.
pub(crate) async fn judge(promote: &Promote, cases: Vec<Case>) -> Result<Vec<(Case, Judged)>, CountError> {
    let judged = consider(promote, cases).await?;
    refuse(promote, &judged).await?;
    Ok(judged)
}

/// Judges, and puts nothing on record.
pub(crate) async fn consider(promote: &Promote, cases: Vec<Case>) -> Result<Vec<(Case, Judged)>, CountError> {
    let mut judged = Vec::with_capacity(cases.len());
    for group in groups(cases) {
        judged.extend(judge_group(promote, group).await?);
    }
    Ok(judged)
}

/// The cases in groups whose envelopes fit in memory together.
fn groups(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let mut groups = Vec::new();
    let mut group: Vec<Case> = Vec::new();
    let mut room = ENVELOPES_BYTES_MAX;
    for case in cases {
        let size: u64 = envelopes(&case).flatten().map(|envelope| u64::from(envelope.size)).sum();
        if size > room && !group.is_empty() {
            groups.push(std::mem::take(&mut group));
            room = ENVELOPES_BYTES_MAX;
        }
        room = room.saturating_sub(size);
        group.push(case);
    }
    groups.extend((!group.is_empty()).then_some(group));
    groups
}

/// Where the envelopes of a case are, in the order in which it is judged by them.
fn envelopes(case: &Case) -> impl Iterator<Item = Option<EnvelopeRef>> {
    let verdicts = case.verdicts.iter().map(|stored| stored.signed.map(|signed| signed.envelope));
    case.fetches.iter().map(|envelope| Some(*envelope)).chain(verdicts)
}

/// The bytes of a case's envelopes; `None` where there are none.
type Opened = Vec<Option<Bytes>>;

async fn judge_group(promote: &Promote, cases: Vec<Case>) -> Result<Vec<(Case, Judged)>, CountError> {
    let opened = open(promote, cases).await?;
    let ring = Arc::clone(&promote.ring.borrow());
    let (policy, policy_epoch) = (Arc::clone(&promote.policy), promote.policy_epoch);
    let (environment, now) = (Arc::clone(&promote.signing.environment), promote.clock.now());
    let judging = spawn_blocking(move || {
        let slices: Vec<Vec<Option<&[u8]>>> =
            opened.iter().map(|(_, bytes)| bytes.iter().map(Option::as_deref).collect()).collect();
        let given: Vec<(&Case, &[Option<&[u8]>])> =
            opened.iter().zip(&slices).map(|((case, _), slices)| (case, &slices[..])).collect();
        let judged = judge_many(&given, &ring, (&policy, policy_epoch), &environment, now);
        opened.into_iter().map(|(case, _)| case).zip(judged).collect()
    });
    judging.await.map_err(|_stopped| CountError::Stopped)
}

/// Reads the envelopes of all cases in one go. Whatever is not in a foreign blob store may be in our own.
async fn open(promote: &Promote, cases: Vec<Case>) -> Result<Vec<(Case, Opened)>, CountError> {
    let wanted: Vec<EnvelopeRef> = cases.iter().flat_map(envelopes).flatten().collect();
    let read = promote.records.read(&wanted).await;
    let is_any_lost = read.iter().any(|one| matches!(one, Err(RecordError::Missing | RecordError::Damaged)));
    let is_own = !is_any_lost || is_own_store(promote).await?;
    let mut read = read.into_iter();
    let mut opened = Vec::with_capacity(cases.len());
    for case in cases {
        let mut bytes = Vec::with_capacity(case.fetches.len() + case.verdicts.len());
        let mut unreadable = None;
        for envelope in envelopes(&case) {
            let found = envelope.and_then(|_| read.next());
            bytes.push(match found {
                Some(Ok(bytes)) => Some(bytes),
                Some(Err(RecordError::Missing | RecordError::Damaged)) if is_own => None,
                Some(Err(error)) => {
                    unreadable = Some(error);
                    None
                }
                None => None,
            });
        }
        match unreadable {
            None => opened.push((case, bytes)),
            Some(error) => tracing::warn!(
                artifact = %case.gate.artifact, error = &error as &dyn std::error::Error,
                "the envelopes of an artifact cannot be read now; the sweeper tries again"
            ),
        }
    }
    Ok(opened)
}

/// Puts on record what does not count; the store tells people, once.
async fn refuse(promote: &Promote, judged: &[(Case, Judged)]) -> Result<(), CountError> {
    let (mut verdicts, mut fetches) = (vec![], vec![]);
    for (case, judged) in judged {
        let (artifact, id) = (case.gate.artifact, &case.id);
        for (row, reason) in &judged.refused {
            let code = reason.code();
            tracing::warn!(
                artifact = %artifact, artifact.id = %id, verdict.id = row, code, %reason, "a verdict does not count"
            );
            metrics::counter!("touchstone_verdicts_not_counted", "code" => code).increment(1);
            verdicts.push((*row, code.to_owned(), reason.to_string()));
        }
        for (envelope, reason) in &judged.refused_fetches {
            let code = reason.code();
            tracing::warn!(
                artifact = %artifact, artifact.id = %id, %envelope, code, %reason, "a fetch does not count"
            );
            metrics::counter!("touchstone_fetches_not_counted", "code" => code).increment(1);
            fetches.push((artifact, *envelope, code.to_owned(), reason.to_string()));
        }
    }
    for refused in verdicts.chunks(ARTIFACTS_MAX) {
        promote.store.record_refusals(refused).await?;
    }
    for refused in fetches.chunks(ARTIFACTS_MAX) {
        promote.store.record_fetch_refusals(refused).await?;
    }
    Ok(())
}
