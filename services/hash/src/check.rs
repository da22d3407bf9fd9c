//! The check as the worker runs it: open the blob, examine it on the blocking pool, deal with damage, and compare a distribution
//! with its sidecar.

use std::{fs::File, sync::Arc};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use touchstone_blobs::{BlobStore, ReadError};
use touchstone_domain::{ArtifactId, CheckKind, Outcome, Reason, Sha256};
use touchstone_store::{ArtifactStatus, Facts, IncidentKind, NewIncident, Store, StoreError};
use touchstone_worker::{Check, CheckError, Finding, Job};

use crate::{
    examine::{self, ExamineError, Examined},
    sidecar::{self, Other},
};

/// The revision of the rules; to be raised when a judgement over the same bytes and claims may come out differently.
const REVISION: i32 = 4;

/// The hash check.
pub struct HashCheck {
    store: Store,
}

impl HashCheck {
    /// Incidents go into the store; what is on record beside an artifact comes out of it.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Reads an artifact's blob on the blocking pool, and deals with damage.
    async fn read<T: Send + 'static>(
        &self,
        facts: &Facts,
        blobs: &BlobStore,
        work: impl FnOnce(File, &CancellationToken) -> Result<T, ExamineError> + Send + 'static,
    ) -> Result<T, CheckError> {
        let file = match blobs.file(facts.sha256).await {
            Ok(file) => file,
            Err(error @ ReadError::Damaged { .. }) => {
                return Err(self.set_aside(facts, blobs, error.to_string()).await);
            }
            Err(error) => return Err(CheckError::retry_because("the blob cannot be opened", error)),
        };
        match blocking(move |stop| work(file, stop)).await {
            Ok(done) => Ok(done),
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

    /// Why an artifact contradicts the distribution or the sidecar that it belongs to, if that is on record.
    async fn contradiction(&self, job: &Job, manifest: Sha256) -> Result<Option<Reason>, CheckError> {
        let Some(other) = sidecar::other(&job.facts.id) else { return Ok(None) };
        match other {
            Other::Sidecar(id) => match self.status(&id).await? {
                Some(status) => sidecar::beside(&status, manifest),
                None => Ok(None),
            },
            Other::Distribution(id) => {
                let Some(status) = self.status(&id).await?.filter(sidecar::counts) else { return Ok(None) };
                let facts = self.store.facts(&[status.artifact()]).await.map_err(asking)?;
                let Some(facts) = facts.into_iter().next() else { return Ok(None) };
                let (inside, policy) = (facts.clone(), Arc::clone(&job.policy));
                let found = self
                    .read(&facts, &job.blobs, move |file, stop| {
                        examine::manifest(file, &inside, &policy, stop)
                    })
                    .await?;
                match found {
                    Ok(Some(inside)) => sidecar::inside(&status, manifest, inside),
                    Ok(None) => Ok(None),
                    Err(reason) => Ok(sidecar::of_refused(&status, reason)),
                }
            }
        }
    }

    async fn status(&self, id: &ArtifactId) -> Result<Option<ArtifactStatus>, CheckError> {
        self.store.status(id).await.map_err(asking)
    }

    /// Tells people that a sidecar and its distribution differ: what was there first is still served, and may be the forged one.
    async fn tell(&self, facts: &Facts, reason: &Reason) {
        tracing::warn!(artifact.id = %facts.artifact, purl = %facts.id, %reason, "a distribution and its sidecar differ");
        let about = json!({ "sha256": facts.sha256, "found_by": "hash", "problem": reason.to_string() });
        let kind = IncidentKind::SecondDigest;
        let incident = NewIncident::about(kind, &facts.id, Some(facts.artifact), about);
        if let Err(error) = self.store.record_incident(&incident).await {
            tracing::error!(artifact.id = %facts.artifact, %error, "an incident is not recorded");
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
        let (facts, policy) = (job.facts.clone(), Arc::clone(&job.policy));
        let Examined { mut finding, manifest } = self
            .read(&job.facts, &job.blobs, move |file, stop| examine::examine(file, &facts, &policy, stop))
            .await?;
        if let Some(manifest) = manifest
            && let Some(reason) = self.contradiction(job, manifest).await?
        {
            self.tell(&job.facts, &reason).await;
            finding.outcome = Outcome::fail(reason);
        }
        Ok(finding)
    }
}

fn asking(error: StoreError) -> CheckError {
    CheckError::retry_because("the database does not say what else is on record", error)
}

/// Runs what reads and computes on the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&CancellationToken) -> Result<T, ExamineError> + Send + 'static,
) -> Result<T, ExamineError> {
    // A check that is dropped, because it takes too long, takes its thread with it.
    let stop = CancellationToken::new();
    let _stopped_on_drop = stop.clone().drop_guard();
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(ExamineError::Io(std::io::Error::other(error))),
        },
    }
}

#[cfg(test)]
mod tests;
