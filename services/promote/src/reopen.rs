//! New epochs: for what rows claim and signatures do not back, and for policies that ask for more.

use std::fmt;

use serde_json::json;
use touchstone_custody::Case;
use touchstone_domain::{ArtifactDbId, ArtifactId, CheckSet, Purl};
use touchstone_store::{IncidentKind, NewIncident};

use crate::{Promote, judge::CountError};

/// Why an artifact begins a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The policy that promote was given is newer than that of the gate, and asks for more.
    Policy {
        /// The checks.
        missing: CheckSet,
    },
    /// The gate names the policy that promote was given, and requires less than it does.
    Lowered {
        /// The checks.
        missing: CheckSet,
    },
    /// The gate has approvals that no signature backs.
    Unbacked {
        /// Of these checks.
        checks: CheckSet,
    },
    /// The gate says servable, and nothing approves that.
    Unpromoted,
    /// All that it waited for was its age, and now its fetch does not count any more; an edge fetches again only what is pending.
    Fetch,
}

impl Why {
    /// Whether it should not have happened.
    const fn is_odd(self) -> bool {
        match self {
            Self::Policy { .. } | Self::Fetch => false,
            Self::Lowered { .. } | Self::Unbacked { .. } | Self::Unpromoted => true,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { missing } => write!(f, "a newer policy asks for more: {missing}"),
            Self::Lowered { missing } => write!(f, "the gate requires less than its policy: {missing}"),
            Self::Unbacked { checks } => write!(f, "no signature backs what the gate says of {checks}"),
            Self::Unpromoted => f.write_str("the gate says servable, and no signatures approve that"),
            Self::Fetch => f.write_str("no fetch of it counts"),
        }
    }
}

/// An artifact that begins a new epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reopening {
    artifact: ArtifactDbId,
    id: ArtifactId,
    epoch: i32,
    why: Why,
}

impl Reopening {
    pub(crate) fn of(case: &Case, why: Why) -> Self {
        Self { artifact: case.gate.artifact, id: case.id.clone(), epoch: case.gate.epoch, why }
    }

    /// What people are told, where it should not have happened.
    fn incident(&self) -> Option<NewIncident> {
        let detail = json!({ "epoch": self.epoch, "problem": self.why.to_string() });
        let kind = IncidentKind::GateWithoutRecord;
        self.why.is_odd().then(|| NewIncident::about(kind, &self.id, Some(self.artifact), detail))
    }
}

/// Begins new epochs, and tells people and edges.
pub(crate) async fn reopen(promote: &Promote, reopenings: &[Reopening]) -> Result<(), CountError> {
    let (mut newer, mut unapproved) = (vec![], vec![]);
    for reopening in reopenings {
        let Reopening { artifact, id, why, .. } = reopening;
        tracing::warn!(artifact = %artifact, artifact.id = %id, %why, "an artifact is judged anew");
        if let Some(incident) = reopening.incident() {
            promote.store.record_incident(&incident).await?;
        }
        match why {
            Why::Policy { .. } => newer.push(*artifact),
            Why::Unbacked { .. } | Why::Unpromoted => unapproved.push(*artifact),
            Why::Lowered { .. } | Why::Fetch => {
                let purl = Purl { file: Some(id.file.clone()), ..Purl::from(id) };
                let changes = promote.store.recheck(&purl, &promote.policy, true).await?;
                promote.tell(&changes).await;
            }
        }
    }
    if !newer.is_empty() {
        let changes = promote.store.reopen_policy(&newer, &promote.policy).await?;
        promote.tell(&changes).await;
    }
    if !unapproved.is_empty() {
        let changes = promote.store.reopen_unapproved(&unapproved).await?;
        promote.tell(&changes).await;
    }
    Ok(())
}
