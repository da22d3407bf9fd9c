//! The check as the worker runs it: open the blob, examine it on the blocking pool, deal with damage.

use std::{fs::File, sync::Arc};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use touchstone_blobs::{BlobStore, ReadError};
use touchstone_domain::CheckKind;
use touchstone_store::{Facts, IncidentKind, NewIncident, Store};
use touchstone_worker::{Check, CheckError, Finding, Job};

use crate::examine::{ExamineError, examine};

/// The revision of the rules; to be raised when a judgement over the same bytes and claims may come out differently.
const REVISION: i32 = 1;

/// The hash check.
pub struct HashCheck {
    store: Store,
}

impl HashCheck {
    /// Incidents go into the store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    async fn examine(&self, file: File, job: &Job) -> Result<Finding, ExamineError> {
        let (facts, policy) = (job.facts.clone(), Arc::clone(&job.policy));
        // A check that is dropped, because it takes too long, takes its thread with it.
        let stop = CancellationToken::new();
        let _stopped_on_drop = stop.clone().drop_guard();
        let examining = tokio::task::spawn_blocking(move || examine(file, &facts, &policy, &stop));
        match examining.await {
            Ok(examined) => examined,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(ExamineError::Io(std::io::Error::other(error))),
            },
        }
    }

    /// Moves a damaged blob out of the way, so that the edge fetches it again, and tells people.
    async fn set_aside(&self, facts: &Facts, blobs: &BlobStore, detail: String) -> CheckError {
        let moved = match blobs.set_aside(facts.sha256).await {
            Ok(moved) => moved,
            Err(error) => {
                return CheckError::retry_because("the blob is damaged and cannot be set aside", error);
            }
        };
        tracing::error!(artifact.id = %facts.artifact, sha256 = %facts.sha256, detail, "a damaged blob is set aside");
        if moved {
            let about = json!({ "sha256": facts.sha256, "found_by": "hash", "detail": detail });
            let incident =
                NewIncident::about(IncidentKind::BlobDamaged, &facts.id, Some(facts.artifact), about);
            if let Err(error) = self.store.record_incident(&incident).await {
                tracing::error!(artifact.id = %facts.artifact, %error, "an incident is not recorded");
            }
        }
        CheckError::retry(detail)
    }
}

impl Check for HashCheck {
    fn kind(&self) -> CheckKind {
        CheckKind::Hash
    }

    fn revision(&self) -> i32 {
        REVISION
    }

    async fn check(&self, job: &Job) -> Result<Finding, CheckError> {
        let Job { facts, blobs, .. } = job;
        let file = match blobs.file(facts.sha256).await {
            Ok(file) => file,
            Err(error @ ReadError::Damaged { .. }) => {
                return Err(self.set_aside(facts, blobs, error.to_string()).await);
            }
            Err(error) => return Err(CheckError::retry_because("the blob cannot be opened", error)),
        };
        match self.examine(file, job).await {
            Ok(finding) => Ok(finding),
            Err(error @ ExamineError::Damaged { .. }) => {
                Err(self.set_aside(facts, blobs, error.to_string()).await)
            }
            Err(error @ ExamineError::Row { .. }) => Err(CheckError::poison(error.to_string())),
            Err(ExamineError::Io(error)) => match ReadError::io(facts.sha256, error) {
                error @ ReadError::Damaged { .. } => {
                    Err(self.set_aside(facts, blobs, error.to_string()).await)
                }
                error => Err(CheckError::retry_because("the blob cannot be read", error)),
            },
        }
    }
}

#[cfg(test)]
mod tests;
