//! Putting fetches on record: whatever waits is signed, becomes one pack in the blob store, goes into one statement, and is announced.
//! Nothing waits for a group to fill; groups grow by themselves while those before them are written.
//!
//! *Invariant:* blob first, row second, event third: an envelope is in the blob store before the row that names it, and an event names
//! a row that is there.
//!
//! *Invariant:* nothing is signed that would not count: the key ring is asked about the edge's own key before each group, so also for
//! what has waited.
//!
//! *Invariant:* each member of a group gets the answer that it would get alone.
//!
//! *Invariant:* a group is a task of its own: callers that go away never end it, and its panic ends no other.

mod group;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use touchstone_bus::Bus;
use touchstone_custody::{FetchStatement, KeyKind, KeyProblem, KeyRing, SignError, Signing};
use touchstone_domain::SignedBy;
use touchstone_records::{PutError, RecordStore};
use touchstone_runtime::Clock;
use touchstone_store::{Ingested, NewArtifact, Store, StoreError};

/// The most fetches per group. As many more wait in the queue; the others' callers wait for a place in it.
const GROUP_MAX: usize = 256;
/// Groups that are signed and written at once, so that the disk need not wait for Postgres.
const GROUPS_MAX: usize = 2;

/// What fetches are put on record with.
pub struct RecorderParts {
    /// Postgres.
    pub store: Store,
    /// NATS, once it is connected.
    pub bus: watch::Receiver<Option<Bus>>,
    /// Where envelopes are kept.
    pub records: RecordStore,
    /// Signs what was fetched.
    pub signing: Signing,
    /// The keys that count.
    pub ring: watch::Receiver<Arc<KeyRing>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tasks belong.
    pub tracker: TaskTracker,
}

/// Why a fetch is not on record. When it was Postgres that did not answer, it may be all the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotRecorded {
    /// What would be signed does not count.
    #[error("the key that signs fetches does not count")]
    Key(#[source] KeyProblem),
    /// It was not signed.
    #[error("the fetch was not signed")]
    Sign(#[source] Arc<SignError>),
    /// The signed record was not kept.
    #[error("the record of the fetch was not kept")]
    Keep(#[source] Arc<PutError>),
    /// Postgres did not take it.
    #[error("the fetch was not put on record")]
    Store(#[source] Arc<StoreError>),
    /// Nobody knows: the process is being stopped, or this program is wrong.
    #[error("putting the fetch on record ended without a result")]
    Ended,
}

/// Puts fetches on record, in groups; cheap to clone. What was begun is finished when nobody has one any more.
#[derive(Clone)]
pub struct Recorder {
    parts: Arc<RecorderParts>,
    queue: mpsc::Sender<Request>,
}

/// Where the answer goes. Who asked may have gone.
type Answer<T> = oneshot::Sender<Result<T, NotRecorded>>;

/// One fetch to be put on record.
struct Request {
    statement: FetchStatement,
    wanted: Wanted,
}

/// What becomes of a fetch once it is signed.
enum Wanted {
    /// It is kept, and nothing else.
    Kept(Answer<SignedBy>),
    /// Its artifact is put on record.
    Ingested(Box<dyn FnOnce(SignedBy) -> NewArtifact + Send>, Answer<Ingested>),
}

impl Recorder {
    /// Begins to take fetches.
    pub fn start(parts: RecorderParts) -> Self {
        let (queue, waiting) = mpsc::channel(GROUP_MAX);
        let parts = Arc::new(parts);
        parts.tracker.spawn(run(Arc::clone(&parts), waiting));
        Self { parts, queue }
    }

    /// Whether what would be signed now counts.
    pub fn can_sign(&self) -> Result<(), KeyProblem> {
        self.parts.can_sign()
    }

    /// Signs a fetch and keeps the envelope; where it is.
    pub async fn sign(&self, statement: FetchStatement) -> Result<SignedBy, NotRecorded> {
        self.ask(statement, Wanted::Kept).await
    }

    /// Signs a fetch, keeps the envelope, puts the artifact on record that `new` makes with it, and announces the artifact.
    pub async fn ingest(
        &self,
        statement: FetchStatement,
        new: impl FnOnce(SignedBy) -> NewArtifact + Send + 'static,
    ) -> Result<Ingested, NotRecorded> {
        self.ask(statement, |answer| Wanted::Ingested(Box::new(new), answer)).await
    }

    /// Waits for a place in the queue, then for the answer.
    async fn ask<T>(
        &self,
        statement: FetchStatement,
        wanted: impl FnOnce(Answer<T>) -> Wanted,
    ) -> Result<T, NotRecorded> {
        let (answer, answered) = oneshot::channel();
        let request = Request { statement, wanted: wanted(answer) };
        self.queue.send(request).await.map_err(|_ended| NotRecorded::Ended)?;
        answered.await.unwrap_or(Err(NotRecorded::Ended))
    }
}

impl RecorderParts {
    fn can_sign(&self) -> Result<(), KeyProblem> {
        let own = self.signing.signer.key_id();
        self.ring.borrow().accept(own, KeyKind::Fetch, self.clock.now()).map(drop)
    }
}

/// Takes whatever waits, again and again, until no more can come.
async fn run(parts: Arc<RecorderParts>, mut waiting: mpsc::Receiver<Request>) {
    let room = Arc::new(Semaphore::new(GROUPS_MAX));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("nobody closes it");
        let mut group = vec![];
        if waiting.recv_many(&mut group, GROUP_MAX).await == 0 {
            return;
        }
        let owner = Arc::clone(&parts);
        parts.tracker.spawn(async move { owner.record(group, place).await });
    }
}

#[cfg(test)]
mod tests;
