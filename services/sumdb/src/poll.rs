//! The database's latest head, asked for again and again: whether it grows, and whether it stays behind what was seen before.
//!
//! *Invariant:* a database that is not reached, or does not prove its head, is never stopped for that; it is said.
//!
//! *Invariant:* a database whose latest head goes on growing is never stopped because lookups are ahead of it: it is behind for long
//! only if it does not reach, for long, a head that we had.
//!
//! *Invariant:* any number of processes may do so: whatever is put on record twice is the same.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use serde_json::json;
use touchstone_runtime::Chain;
use touchstone_store::{IncidentKind, Store, SumdbHead, SumdbPoll, SumdbState, SumdbStopKind};
use touchstone_tlog::SignedHead;
use touchstone_upstream::Framing;
use touchstone_worker::blocking;

use crate::{
    client::ended_early,
    database::{Database, to_store, told},
    judge::open_head,
    stop::{Problem, Stop},
    tiles::Sources,
};

/// How long what is not as it should be may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// That the latest head does not reach one that was ours.
    pub(crate) behind_max: Duration,
    /// That the latest head does not grow; `None` for ever.
    pub(crate) frozen_after: Option<Duration>,
}

/// Asks for the latest head.
pub(crate) struct Poller {
    pub(crate) database: Arc<Database>,
    pub(crate) store: Store,
    pub(crate) period: Duration,
    pub(crate) patience: Patience,
}

/// The latest head, merged.
struct Latest {
    head: Arc<SignedHead>,
    /// What was stored before the database was asked.
    before: SumdbState,
}

impl Latest {
    /// The stored head, if the latest is smaller.
    fn behind(&self) -> Option<&SumdbHead> {
        self.before.head.as_ref().filter(|before| self.head.head().size < before.size)
    }

    /// Whether people are told that it is behind: when it fell, and once where it does not move. One that grows only lags behind
    /// what lookups are signed for, which is nothing if it goes on; what lasts is stopped for.
    fn alarms(&self) -> bool {
        let Some(earlier) = self.before.poll.filter(|_| self.behind().is_some()) else {
            return self.behind().is_some();
        };
        match self.head.head().size.cmp(&earlier.latest_size) {
            Ordering::Less => true,
            Ordering::Equal => earlier.behind_since.is_none(),
            Ordering::Greater => false,
        }
    }
}

impl Poller {
    /// Asks now, and then about every period.
    pub(crate) async fn keep(&self) {
        loop {
            self.once().await;
            tokio::time::sleep(self.period.mul_f64(rand::random_range(0.9..1.1))).await;
        }
    }

    /// Asks once, and says how it went.
    async fn once(&self) {
        let database = &self.database.id;
        let outcome = match self.poll().await {
            Ok(outcome) => outcome,
            Err(Stop::Stopped(_)) => "stopped",
            Err(Stop::Trouble(error)) => {
                tracing::warn!(%database, error = %Chain(&error), "the latest head is not known");
                "unavailable"
            }
            Err(Stop::Absent(status)) => {
                tracing::warn!(%database, status, "the latest head is not there");
                "unavailable"
            }
            Err(Stop::Refused(Problem { code, detail })) => {
                tracing::error!(%database, problem = code, detail, "the latest head does not prove itself");
                let facts = json!({ "found_by": "poll", "problem": code, "detail": detail });
                self.database.tell(IncidentKind::SumdbRefused, facts).await;
                "refused"
            }
        };
        metrics::counter!("touchstone_sumdb_polls", "outcome" => outcome).increment(1);
    }

    async fn poll(&self) -> Result<&'static str, Stop> {
        let state = self.store.sumdb_state(&self.database.id).await?;
        if state.stop.as_ref().is_some_and(|stop| stop.kind == SumdbStopKind::Fork) {
            return Ok("stopped");
        }
        let latest = match self.latest(state.clone(), Sources::Any).await {
            Err(Stop::Refused(_)) => self.latest(state, Sources::Upstream).await?,
            latest => latest?,
        };
        self.watch(latest).await
    }

    /// Fetches the latest head, and merges it.
    async fn latest(&self, state: SumdbState, sources: Sources) -> Result<Latest, Stop> {
        let database = &self.database;
        let reply = database.client.latest().await?;
        let (key, got, framing) = (database.key.clone(), reply.bytes.len(), reply.framing);
        let head = match blocking(move || open_head(&reply.bytes, &key)).await? {
            Ok(head) => Arc::new(head),
            Err(_) if framing == Framing::Closing => return Err(ended_early(got)),
            Err(problem) => return Err(problem.into()),
        };
        let latest = Latest { head: Arc::clone(&head), before: state.clone() };
        match latest.behind() {
            Some(_) => self.contained(state, &head, sources).await?,
            None => database.merge(state, &head, sources).await?,
        }
        Ok(latest)
    }

    /// Looks whether a smaller tree is contained in the stored one. A database that has gone back can hardly prove it, and is
    /// behind all the same.
    async fn contained(
        &self,
        state: SumdbState,
        head: &Arc<SignedHead>,
        sources: Sources,
    ) -> Result<(), Stop> {
        let (database, size) = (&self.database.id, head.head().size);
        let why = match self.database.merge(state, head, sources).await {
            Ok(()) => return Ok(()),
            Err(stopped @ Stop::Stopped(_)) => return Err(stopped),
            Err(Stop::Refused(problem)) => problem.detail,
            Err(Stop::Trouble(error)) => Chain(&error).to_string(),
            Err(Stop::Absent(status)) => format!("status {status}"),
        };
        tracing::warn!(%database, size, why, "whether the tree accepted before contains the latest one is not known");
        Ok(())
    }

    /// Records what the latest head is, and stops or resumes for it.
    async fn watch(&self, latest: Latest) -> Result<&'static str, Stop> {
        let (database, theirs) = (&self.database, to_store(&latest.head));
        let (behind, before) = (latest.behind().is_some(), latest.before.head.as_ref());
        let ours = before.unwrap_or(&theirs);
        // A lookup may have moved our head on since the database was asked: it is not behind for that.
        let compared = before.map_or(0, |before| before.size);
        let poll = self.store.record_sumdb_poll(&database.id, theirs.size, compared).await?;
        if behind {
            tracing::warn!(database = %database.id, ours = ours.size, theirs = theirs.size, "the latest head is smaller than one seen before");
        }
        if latest.alarms() {
            let facts = json!({ "found_by": "poll", "problem": "behind", "ours": told(ours), "theirs": told(&theirs) });
            database.tell(IncidentKind::SumdbRollback, facts).await;
        }
        let Watched { stop, end } = watched(&poll, behind, self.patience);
        for (kind, detail) in stop {
            database.stop(kind, ours, &theirs, &detail).await?;
        }
        if latest.before.stop.is_some() && !end.is_empty() {
            let reason = format!("the latest head is fine again: a tree of size {}", theirs.size);
            if self.store.resume_sumdb(&database.id, &end, &reason, false).await? {
                tracing::info!(database = %database.id, size = theirs.size, "the checksum database is no longer stopped for its latest head");
            }
        }
        Ok(match (behind, before) {
            (true, _) => "behind",
            (false, Some(before)) if before.size == theirs.size => "same",
            (false, _) => "grown",
        })
    }
}

/// What the polls come to.
#[derive(Debug, PartialEq, Eq)]
struct Watched {
    /// What there is to stop for, and the facts.
    stop: Vec<(SumdbStopKind, String)>,
    /// What there is no reason for any more.
    end: Vec<SumdbStopKind>,
}

/// Judges the polls, by the clock of Postgres. What does not last long enough yet neither stops nor ends a stop.
fn watched(poll: &SumdbPoll, behind: bool, patience: Patience) -> Watched {
    let mut watched = Watched { stop: vec![], end: vec![] };
    let lasts = |since, least| poll.now > since && poll.now.duration_since(since).unsigned_abs() >= least;
    let (size, Patience { behind_max, frozen_after }) = (poll.latest_size, patience);
    match (behind, poll.behind_since) {
        (false, _) => watched.end.push(SumdbStopKind::Rollback),
        (true, Some(since)) if lasts(since, behind_max) => {
            let detail =
                format!("the latest head, of size {size}, is behind the one accepted before, since {since}");
            watched.stop.push((SumdbStopKind::Rollback, detail));
        }
        (true, _) => {}
    }
    let since = poll.grown_at;
    if frozen_after.is_some_and(|frozen_after| lasts(since, frozen_after)) {
        let detail = format!("the latest head, of size {size}, has not grown since {since}");
        watched.stop.push((SumdbStopKind::Freeze, detail));
    } else {
        watched.end.push(SumdbStopKind::Freeze);
    }
    watched
}

#[cfg(test)]
mod tests;
