//! What this process rejected, until the transparency log has it: whoever owns Postgres could take it back before, and nobody would know.
//!
//! *Invariant:* a rejection is forgotten when it is sealed, and not before. One that is gone is told, and its artifact is checked again;
//! if that fails, the next look tries again, and the others are looked at all the same.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use serde_json::json;
use touchstone_domain::{ArtifactDbId, ArtifactId, ArtifactState, GateDelta, Purl};
use touchstone_store::{Change, IncidentKind, NewIncident, Rejection, StoreError};
use touchstone_translog::log_name;

use crate::Promote;

/// How many are remembered; as many wait only while nothing is sealed, and then nothing is promoted either.
const REMEMBERED_MAX: usize = 65_536;
/// How many are looked for at once.
const LOOK: usize = 1024;

/// The artifacts and epochs.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<BTreeSet<(ArtifactDbId, i32)>>);

impl Rejections {
    /// Remembers which of these changes, of these deltas, are rejections.
    pub(crate) fn remember(&self, changes: &[Change], deltas: &[GateDelta]) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes.iter().filter(|change| change.state == ArtifactState::Rejected) {
            let of = deltas.iter().find(|delta| delta.artifact() == change.artifact);
            if remembered.len() < REMEMBERED_MAX {
                remembered.extend(of.map(|delta| (change.artifact, delta.epoch())));
            }
        }
    }

    fn some(&self) -> Vec<(ArtifactDbId, i32)> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.iter().take(LOOK).copied().collect()
    }

    fn forget(&self, rejection: (ArtifactDbId, i32)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&rejection);
    }
}

/// Looks whether what was rejected is sealed, or on its way there.
pub(crate) async fn look(promote: &Promote) -> Result<(), StoreError> {
    let remembered = promote.rejections.some();
    if remembered.is_empty() {
        return Ok(());
    }
    let found = promote.store.rejections(&remembered).await?;
    for (rejection, found) in remembered.into_iter().zip(found) {
        match found {
            Rejection::Waits => continue,
            Rejection::Sealed => {}
            Rejection::Gone(id) => {
                if let Err(error) = gone(promote, rejection, id.as_ref()).await {
                    let (artifact, epoch) = rejection;
                    tracing::warn!(%artifact, epoch, error = &error as &dyn std::error::Error, "what is to be done about it is not done yet");
                    continue;
                }
            }
        }
        promote.rejections.forget(rejection);
    }
    Ok(())
}

/// Tells of a rejection that is gone, and has its artifact checked again, if that is not gone too.
async fn gone(
    promote: &Promote,
    (artifact, epoch): (ArtifactDbId, i32),
    id: Option<&ArtifactId>,
) -> Result<(), StoreError> {
    tracing::error!(%artifact, epoch, "a rejection is gone, and the transparency log does not have it");
    let kind = IncidentKind::HistoryRewritten;
    let Some(id) = id else {
        let problem = "its rejection is gone, and was not sealed yet; so is its row";
        let detail = json!({ "artifact": artifact, "epoch": epoch, "problem": problem });
        let incident = NewIncident::about_log(kind, &log_name(&promote.signing.environment), detail);
        promote.store.record_incident(&incident).await?;
        return Ok(());
    };
    let detail = json!({ "epoch": epoch, "problem": "its rejection is gone, and was not sealed yet" });
    promote.store.record_incident(&NewIncident::about(kind, id, Some(artifact), detail)).await?;
    let purl = Purl { file: Some(id.file.clone()), ..Purl::from(id) };
    let changes = promote.store.recheck(&purl, &promote.policy, true).await?;
    promote.tell(&changes).await;
    Ok(())
}
