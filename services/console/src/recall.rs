//! A recall, and whether the transparency log has it: edges that follow the log go by that, whatever becomes of the database.

use std::{fmt, time::Duration};

use tokio::time::{Instant, sleep};
use touchstone_domain::ArtifactState;
use touchstone_store::{Change, Held, RecallTarget, RecordedRecall, Store, StoreError};

/// How long a recall waits for the log: promote seals once a `[log] period`, a second if nothing else is said.
pub const SEALED_WITHIN: Duration = Duration::from_secs(10);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What a recall did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// What is held now, by this recall or an earlier one; nothing is no error, since the artifacts may come later. Where the database
    /// cannot be asked, what this one held.
    pub held: Vec<Held>,
    /// Whether the transparency log has it.
    pub sealed: Sealed,
}

/// Whether the transparency log has a recall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// As the entry with this number.
    Entry(u64),
    /// Not after so long.
    NotWithin(Duration),
    /// Nobody waited for it.
    NotAwaited,
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(index) => write!(f, "it is entry {index} of the transparency log, which edges follow"),
            Self::NotWithin(waited) => write!(
                f,
                "IT IS NOT IN THE TRANSPARENCY LOG after {waited:?}: it is in force, but only for as long as the database says so. See \
                 whether promote runs, what `touchstone incidents` says (database_rollback, log_rollback and log_frozen halt the log), \
                 and promote's own log; the entry is made by itself once promote seals again, and `touchstone log show` says how far it is"
            ),
            Self::NotAwaited => {
                f.write_str("nobody waited for the transparency log to have it; `touchstone log show` says how far that is")
            }
        }
    }
}

/// Puts a recall on record, holds what it names, and then waits for the log, if somebody has patience. The hold is in force once it is
/// waited for: what goes wrong from then on is only not sealed yet.
pub async fn recall(
    store: &Store,
    target: &RecallTarget,
    reason: &str,
    actor: &str,
    patience: Option<Duration>,
) -> Result<Recalled, StoreError> {
    let recorded = store.record_recall(target, reason, actor).await?;
    let changes = store.hold(target).await?;
    // also what promote's sweeper was quicker to hold
    let held = store.held(target).await.unwrap_or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a recall is in force, and what else was held already cannot be told");
        changes.iter().map(newly).collect()
    });
    let sealed = match patience {
        Some(patience) => sealed(store, recorded, patience).await,
        None => Sealed::NotAwaited,
    };
    Ok(Recalled { held, sealed })
}

fn newly(change: &Change) -> Held {
    Held { artifact: change.artifact, was_served: change.was == ArtifactState::Servable }
}

async fn sealed(store: &Store, recorded: RecordedRecall, patience: Duration) -> Sealed {
    let until = Instant::now() + patience;
    loop {
        match store.log_index_of_recall(recorded).await {
            Ok(Some(index)) => return Sealed::Entry(index),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the log cannot be looked at");
            }
        }
        if Instant::now() >= until {
            return Sealed::NotWithin(patience);
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::NoTls;
    use touchstone_domain::Sha256;
    use touchstone_store::StoreOptions;
    use touchstone_testkit::fresh_database;

    use super::*;

    #[tokio::test]
    async fn a_recall_that_is_in_force_is_no_error_even_if_nobody_can_tell_what_else_is_held() {
        let url = fresh_database().await;
        let options = StoreOptions { url: url.clone(), pool_size: 2, application_name: "console".into() };
        let store = Store::connect(options).await.expect("connected");
        let (superuser, connection) = tokio_postgres::connect(&url, NoTls).await.expect("connected");
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(connection);
        let target = RecallTarget::Digest(Sha256::of("bad"));
        let recalled = async || recall(&store, &target, "malware", "ada", None).await;
        let expected = Recalled { held: vec![], sealed: Sealed::NotAwaited };
        assert_eq!(recalled().await.expect("recalled"), expected);
        superuser.batch_execute("ALTER TABLE gate_log RENAME cause TO why").await.expect("renamed");
        assert!(store.held(&target).await.is_err());
        assert_eq!(recalled().await.expect("in force"), expected);
        superuser.batch_execute("ALTER TABLE recall RENAME actor TO who").await.expect("renamed");
        assert!(recalled().await.is_err(), "it is not on record");
    }

    #[test]
    fn what_is_held_now_was_served_if_its_state_was_so() {
        let was = |was| {
            newly(&Change {
                artifact: touchstone_domain::ArtifactDbId(7),
                ecosystem: touchstone_domain::Ecosystem::Npm,
                was,
                state: ArtifactState::Revoked,
            })
        };
        let held = |was_served| Held { artifact: touchstone_domain::ArtifactDbId(7), was_served };
        assert_eq!(was(ArtifactState::Servable), held(true));
        assert_eq!(was(ArtifactState::Verifying), held(false));
    }
}
