//! How much there is of everything, for metrics and `doctor`.

use std::time::Duration;

use jiff::Timestamp;
use touchstone_domain::{
    ArtifactDbId, ArtifactState, CheckKind, CheckSet, Ecosystem, Gate, HoldSet, Requirement, Sha256,
};

use crate::{Store, StoreError, row::Columns};

/// Numbers as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Artifacts by ecosystem and state; combinations that do not occur are left out.
    pub artifacts: Vec<(Ecosystem, ArtifactState, u64)>,
    /// How long ago the oldest pending artifact was fetched.
    pub oldest_pending: Option<Duration>,
    /// Pending artifacts that were dispatched `attempts_max` times or more.
    pub stuck: u64,
    /// Dead letters that nobody has settled.
    pub dead_letters: u64,
    /// Incidents that nobody has settled.
    pub incidents: u64,
}

impl Store {
    /// Counts. Reads every gate: meant for every 15 s, not for every request.
    pub async fn counts(&self, attempts_max: i16) -> Result<Counts, StoreError> {
        const GATES: &str = r"-- counts.gates
SELECT ecosystem, required, veto, ok, deny, undecided, hold, count(*) AS artifacts
FROM gate JOIN artifact ON artifact.id = gate.artifact_id
GROUP BY ecosystem, required, veto, ok, deny, undecided, hold";
        const TROUBLE: &str = r"-- counts.trouble
SELECT (SELECT extract(epoch FROM now() - min(fetched_at))::double precision
        FROM gate JOIN artifact ON artifact.id = gate.artifact_id WHERE pending) AS oldest_pending_seconds,
       (SELECT count(*) FROM gate WHERE pending AND dispatch_n >= $1) AS stuck,
       (SELECT count(*) FROM dead_letter WHERE resolved_at IS NULL) AS dead_letters,
       (SELECT count(*) FROM incident WHERE resolved_at IS NULL) AS incidents";
        let mut counts = Counts::default();
        for row in self.query(GATES, &[]).await? {
            let columns = Columns(&row);
            let (ecosystem, state) = (columns.parse("ecosystem")?, state(columns)?);
            let number = columns.unsigned("artifacts")?;
            match counts.artifacts.iter_mut().find(|(e, s, _)| (*e, *s) == (ecosystem, state)) {
                Some((_, _, total)) => *total += number,
                None => counts.artifacts.push((ecosystem, state, number)),
            }
        }
        if let Some(row) = self.query_opt(TROUBLE, &[&attempts_max]).await? {
            let columns = Columns(&row);
            let oldest: Option<f64> = columns.get("oldest_pending_seconds")?;
            counts.oldest_pending =
                oldest.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
            counts.stuck = columns.unsigned("stuck")?;
            counts.dead_letters = columns.unsigned("dead_letters")?;
            counts.incidents = columns.unsigned("incidents")?;
        }
        Ok(counts)
    }

    /// How many pending artifacts have no word yet of a check that they need, and since when the oldest was fetched.
    pub async fn waiting_for(&self, check: CheckKind) -> Result<(u64, Option<Timestamp>), StoreError> {
        const WAITING: &str = r"-- counts.waiting
SELECT count(*) AS artifacts, min(fetched_at) AS since FROM gate JOIN artifact ON artifact.id = gate.artifact_id
WHERE pending AND required & $1 <> 0 AND (ok | deny | undecided) & $1 = 0";
        let row = self.query_opt(WAITING, &[&CheckSet::of(check).mask()]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("counts.waiting", "no row"))?;
        Ok((Columns(&row).unsigned("artifacts")?, Columns(&row).get("since")?))
    }
}

/// The state of all gates with these masks; it does not depend on the rest, nor on what is tolerated: that became bits.
fn state(columns: Columns<'_>) -> Result<ArtifactState, StoreError> {
    let mask = |column| columns.get(column).map(CheckSet::from_mask);
    let requirement = Requirement::new(mask("required")?, mask("veto")?)
        .ok_or_else(|| StoreError::inconsistent("gate", "nothing is required"))?;
    let gate = Gate {
        artifact: ArtifactDbId(0),
        sha256: Sha256([0; 32]),
        chunk_root: Sha256([0; 32]),
        epoch: 0,
        requirement,
        ok: mask("ok")?,
        deny: mask("deny")?,
        undecided: mask("undecided")?,
        hold: HoldSet::from_mask(columns.get("hold")?),
    };
    Ok(gate.state())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn who_has_no_word_of_a_required_check_waits_for_it() {
        let db = TestDb::new().await;
        let waiting = async |check| db.store.waiting_for(check).await.unwrap();
        assert_eq!(waiting(CheckKind::Attest).await, (0, None));
        let both = db.artifact("a", &[CheckKind::Hash, CheckKind::Attest]).await;
        db.artifact("b", &[CheckKind::Hash]).await;
        assert_eq!((waiting(CheckKind::Hash).await.0, waiting(CheckKind::Attest).await.0), (2, 1));
        assert!(waiting(CheckKind::Attest).await.1.is_some());
        db.judge(&[both.pass(CheckKind::Attest)]).await.unwrap();
        assert_eq!((waiting(CheckKind::Hash).await.0, waiting(CheckKind::Attest).await), (2, (0, None)));
        // One failure decides; nobody waits for the rest.
        let fail = both.verdict(CheckKind::Hash, touchstone_domain::OutcomeKind::Fail);
        db.judge(&[fail]).await.unwrap();
        assert_eq!(waiting(CheckKind::Hash).await.0, 1);
    }
}
