//! A recall, and whether the transparency log has it: edges that follow the log go by that, whatever becomes of the database.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use touchstone_domain::ArtifactState;
use touchstone_store::{Change, Held, RecallTarget, RecordedRecall, Store, StoreError};

/// How long a recall waits for the log: promote seals once a `[log] period`, a second if nothing else is said.
pub const SEALED_WITHIN: Duration = Duration::from_secs(10);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What a recall did.
#[derive(Debug)]
pub struct Recalled {
    /// What is held now, by this recall or an earlier one; nothing is no error, since the artifacts may come later. If the rest is
    /// untold, what this one held.
    pub held: Vec<Held>,
    /// Why nobody can tell what else is held; none if nothing else is.
    pub untold: Option<StoreError>,
    /// When all that it names was recalled before, if it was and that can be told.
    pub before: Option<Timestamp>,
    /// Whether the transparency log has it.
    pub sealed: Sealed,
}

/// Why a recall is not known to be in force.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// It may not even be on record.
    #[error(transparent)]
    Record(StoreError),
    /// It is on record, and was not seen to hold what it names.
    #[error(
        "the recall is on record, but what it names may not be held yet; promote's sweeper holds it as soon as the database lets it. To see \
         what is held, give the recall again, which is harmless"
    )]
    Hold(#[source] StoreError),
    /// It took too long.
    #[error(
        "whether the recall is on record, and holds what it names, is not known after {0:?}. Give it again, which is harmless, and tells what \
         is held"
    )]
    Late(Duration),
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
) -> Result<Recalled, RecallError> {
    let recorded = store.record_recall(target, reason, actor).await.map_err(RecallError::Record)?;
    let changes = store.hold(target).await.map_err(RecallError::Hold)?;
    // also what promote's sweeper was quicker to hold
    let (held, untold) = match store.held(target).await {
        Ok(held) => (held, None),
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(
                error = cause,
                "a recall is in force, and what else was held already cannot be told"
            );
            (changes.iter().map(newly).collect(), Some(error))
        }
    };
    let before = store.recalled_before(target, recorded).await.unwrap_or_else(|error| {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "whether it was recalled before cannot be told"
        );
        None
    });
    let sealed = match patience {
        Some(patience) => sealed(store, recorded, patience).await,
        None => Sealed::NotAwaited,
    };
    Ok(Recalled { held, untold, before, sealed })
}

/// Ends a recall that takes longer; what it has put on record stays, and promote's sweeper holds what that names.
pub(crate) async fn within<T>(
    limit: Duration,
    recall: impl Future<Output = Result<T, RecallError>>,
) -> Result<T, RecallError> {
    timeout(limit, recall).await.unwrap_or(Err(RecallError::Late(limit)))
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
mod tests;
