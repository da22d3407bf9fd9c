//! One checksum database: the head that is stored of it, and how a new one is merged into it.
//!
//! *Invariant:* what is proved is proved in the larger of the new tree and the stored one, which contains the other.
//!
//! *Invariant:* the database is not the root of trust for its head: the stored note is verified by the key before it is used.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use touchstone_store::{
    Advanced, IncidentKind, NewIncident, NewSumdbStop, Store, SumdbHead, SumdbState, SumdbStop, SumdbStopKind,
};
use touchstone_tlog::{AuthenticatedTiles, SignedHead, TreeHead, Wanted, note::VerifierKey};
use touchstone_worker::{CheckError, blocking};

use crate::{
    client::Client,
    heads::{Merge, Relation},
    judge::open_head,
    stop::{Problem, Stop},
    tiles::{Sources, Tiles},
};

/// How often a head is merged again because another was stored meanwhile.
const MERGES_MAX: usize = 32;

/// One database.
pub(crate) struct Database {
    /// Who it is.
    pub(crate) key: VerifierKey,
    /// The id of its key.
    pub(crate) id: String,
    /// Asks it.
    pub(crate) client: Arc<Client>,
    tiles: Tiles,
    store: Store,
    /// The stored head that was verified last.
    verified: Mutex<Option<Arc<SignedHead>>>,
}

impl Database {
    pub(crate) fn new(key: VerifierKey, client: Client, store: Store) -> Self {
        let (id, client) = (key.id(), Arc::new(client));
        let tiles = Tiles::new(Arc::clone(&client), store.clone(), id.clone());
        Self { key, id, client, tiles, store, verified: Mutex::default() }
    }

    /// What is stored, unless it is stopped.
    pub(crate) async fn running(&self) -> Result<SumdbState, Stop> {
        let state = self.store.sumdb_state(&self.id).await?;
        match &state.stop {
            None => Ok(state),
            Some(SumdbStop { kind, at, detail, .. }) => {
                Err(Stop::Stopped(format!("{} is stopped: {kind} since {at}: {detail}", self.id)))
            }
        }
    }

    /// Proves a leaf in the stored tree, if that contains the tree of a head that may have been merged before; `None` if not.
    /// Nothing is merged and nothing is stopped: what is on record may be of a tree that was forgotten.
    pub(crate) async fn prove_again(
        &self,
        state: &SumdbState,
        known: &SignedHead,
        leaf: u64,
    ) -> Result<Option<AuthenticatedTiles>, Stop> {
        let Some(stored) = &state.head else { return Ok(None) };
        if known.head().size > stored.size {
            return Ok(None);
        }
        let stored = self.verified(stored).await?;
        let wanted = Wanted { leaves: vec![leaf], prefixes: vec![known.head().size] };
        let tiles = self.tiles.authenticated(&stored, state.lineage, &wanted, Sources::Any).await?;
        self.tiles.keep(state.lineage, &tiles).await;
        let root = tiles.root_of(known.head().size).map_err(Problem::from)?;
        Ok((root == known.head().root).then_some(tiles))
    }

    /// Merges a head into the stored one, and proves a leaf in the larger of both trees.
    pub(crate) async fn prove(
        &self,
        state: SumdbState,
        new: &Arc<SignedHead>,
        leaf: u64,
        sources: Sources,
    ) -> Result<AuthenticatedTiles, Stop> {
        let tiles = self.merged(state, new, Some(leaf), sources).await?;
        Ok(tiles.expect("a leaf was asked for"))
    }

    /// Merges a head into the stored one.
    pub(crate) async fn merge(
        &self,
        state: SumdbState,
        new: &Arc<SignedHead>,
        sources: Sources,
    ) -> Result<(), Stop> {
        self.merged(state, new, None, sources).await.map(drop)
    }

    /// What was asked of the larger tree; `None` if nothing was. A head that nothing is stored of is accepted for its signature, as
    /// is the stored one.
    async fn merged(
        &self,
        mut state: SumdbState,
        new: &Arc<SignedHead>,
        leaf: Option<u64>,
        sources: Sources,
    ) -> Result<Option<AuthenticatedTiles>, Stop> {
        for _ in 0..MERGES_MAX {
            let stored = match &state.head {
                Some(head) => Some(self.verified(head).await?),
                None => None,
            };
            let relation = Relation::of(new.head(), stored.as_ref().map(|stored| stored.head()));
            if relation == Relation::Contradiction {
                return Err(self.forked(state.head, new).await);
            }
            let larger = stored.as_ref().filter(|stored| stored.head().size > new.head().size).unwrap_or(new);
            let prefixes = relation.contained().map(|head| head.size).into_iter().collect();
            let wanted = Wanted { leaves: leaf.into_iter().collect(), prefixes };
            let tiles = if wanted == Wanted::default() {
                None
            } else {
                Some(self.tiles.authenticated(larger, state.lineage, &wanted, sources).await?)
            };
            let root_of = |size| tiles.as_ref().expect("a root was asked for").root_of(size);
            match relation.decide(root_of).map_err(Problem::from)? {
                Merge::Keep => {}
                Merge::Fork => return Err(self.forked(state.head, new).await),
                Merge::Advance => match self.advance(state.head.as_ref(), new).await? {
                    Advanced::Advanced => {}
                    Advanced::Raced => {
                        state = self.store.sumdb_state(&self.id).await?;
                        continue;
                    }
                    Advanced::Stopped => {
                        let kind = SumdbStopKind::Fork;
                        return Err(Stop::Stopped(format!("{} is stopped: {kind} since now", self.id)));
                    }
                },
            }
            if let Some(tiles) = &tiles {
                self.tiles.keep(state.lineage, tiles).await;
            }
            return Ok(tiles);
        }
        Err(CheckError::retry(format!("the head of {} moves on too often to be merged", self.id)).into())
    }

    async fn advance(&self, expected: Option<&SumdbHead>, new: &Arc<SignedHead>) -> Result<Advanced, Stop> {
        let advanced = self.store.advance_sumdb_head(&self.id, expected, &to_store(new)).await?;
        match advanced {
            Advanced::Advanced => self.remember(new),
            Advanced::Raced | Advanced::Stopped => {}
        }
        Ok(advanced)
    }

    /// The stored head, with its signature checked.
    async fn verified(&self, stored: &SumdbHead) -> Result<Arc<SignedHead>, Stop> {
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let head = TreeHead { size: stored.size, root: stored.root };
        if let Some(known) = known.filter(|known| known.note() == stored.note && *known.head() == head) {
            return Ok(known);
        }
        let (key, note) = (self.key.clone(), stored.note.clone());
        let refused =
            |why: &str| CheckError::retry(format!("the stored head of {} is refused: {why}", self.id));
        let signed = blocking(move || open_head(&note, &key)).await?;
        let signed = signed.map_err(|problem| refused(&problem.detail))?;
        if *signed.head() != head {
            return Err(refused("its note says another size or root").into());
        }
        let signed = Arc::new(signed);
        self.remember(&signed);
        Ok(signed)
    }

    fn remember(&self, head: &Arc<SignedHead>) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(head));
    }

    /// Stops the database, and keeps both notes.
    async fn forked(&self, stored: Option<SumdbHead>, theirs: &SignedHead) -> Stop {
        let theirs = to_store(theirs);
        // There is a stored one, or nothing would contradict it.
        let ours = stored.unwrap_or_else(|| theirs.clone());
        let (size, other) = (ours.size, theirs.size);
        let detail = format!(
            "two signed heads contradict each other: the tree of size {size} that was accepted, and one of size {other}"
        );
        if let Err(error) = self.stop(SumdbStopKind::Fork, &ours, &theirs, &detail).await {
            return error;
        }
        Stop::Stopped(format!("{} is stopped: {} since now: {detail}", self.id, SumdbStopKind::Fork))
    }

    /// Puts a stop on record, and tells people if it is new.
    pub(crate) async fn stop(
        &self,
        kind: SumdbStopKind,
        ours: &SumdbHead,
        theirs: &SumdbHead,
        detail: &str,
    ) -> Result<(), Stop> {
        let new =
            NewSumdbStop { kind, ours: ours.clone(), theirs: theirs.clone(), detail: detail.to_owned() };
        if self.store.stop_sumdb(&self.id, &new).await? {
            tracing::error!(database = %self.id, %kind, detail, "the checksum database is stopped; it vouches for nothing of Go");
            let facts = json!({ "problem": kind.as_str(), "detail": detail, "ours": told(ours), "theirs": told(theirs) });
            self.tell(incident_of(kind), facts).await;
        }
        Ok(())
    }

    /// Puts an incident about the database as a whole on record.
    pub(crate) async fn tell(&self, kind: IncidentKind, facts: Value) {
        let incident = NewIncident::about_sumdb(kind, &self.id, facts);
        if let Err(error) = self.store.record_incident(&incident).await {
            tracing::error!(database = %self.id, %error, "an incident is not recorded");
        }
    }
}

/// A head as it is stored.
pub(crate) fn to_store(head: &SignedHead) -> SumdbHead {
    let TreeHead { size, root } = *head.head();
    SumdbHead { size, root, note: head.note().to_vec() }
}

/// A head in an incident. The notes themselves are in the stop.
pub(crate) fn told(head: &SumdbHead) -> Value {
    json!({ "size": head.size, "root": head.root.to_base64() })
}

const fn incident_of(kind: SumdbStopKind) -> IncidentKind {
    match kind {
        SumdbStopKind::Fork => IncidentKind::SumdbFork,
        SumdbStopKind::Rollback => IncidentKind::SumdbRollback,
        SumdbStopKind::Freeze => IncidentKind::SumdbFreeze,
    }
}

#[cfg(test)]
mod tests;
