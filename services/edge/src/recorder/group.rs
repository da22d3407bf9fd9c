//! One group: signed, kept, put on record, announced.
//!
//! Signatures are made one after the other: a signer that takes 50 ms for each bounds an edge to 40 fetches a second, two groups at once.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking, time::Instant};
use touchstone_bus::ArtifactEvent;
use touchstone_custody::{FetchStatement, SignError, Signer};
use touchstone_domain::{Ecosystem, SignedBy};
use touchstone_store::{Ingested, NewArtifact};

use super::{Answer, NotRecorded, RecorderParts, Request, Wanted};
use crate::announce::announce;

/// A signer that fails this often in a row is away, and is not asked for the rest of the group.
const FAILURES_MAX: usize = 3;

/// An artifact whose fetch is signed and kept, and who asked.
type Signed = (NewArtifact, Answer<Ingested>);

/// What became of it.
struct Done {
    ingested: Ingested,
    ecosystem: Ecosystem,
    answer: Answer<Ingested>,
}

impl RecorderParts {
    /// Answers all of them. `place` is given back before the announcement: the next group need not wait for NATS.
    pub(super) async fn record(&self, group: Vec<Request>, place: OwnedSemaphorePermit) {
        let size = u32::try_from(group.len()).unwrap_or(u32::MAX);
        metrics::histogram!("touchstone_ingest_batch").record(size);
        let signed = self.sign(group).await;
        let kept = self.keep(signed).await;
        let done = self.ingest(kept).await;
        drop(place);
        let events: Vec<ArtifactEvent> = done.iter().filter_map(Done::event).collect();
        announce(&self.bus, &events).await;
        for Done { ingested, answer, .. } in done {
            tell(answer, Ok(ingested));
        }
    }

    /// Signs each, away from the threads that answer others.
    async fn sign(&self, group: Vec<Request>) -> Vec<(Wanted, Vec<u8>)> {
        // It may have ended, or been revoked, while they waited.
        if let Err(problem) = self.can_sign() {
            refuse_all(group.into_iter().map(|request| request.wanted), &NotRecorded::Key(problem));
            return vec![];
        }
        let (statements, wanted): (Vec<_>, Vec<_>) =
            group.into_iter().map(|request| (request.statement, request.wanted)).unzip();
        let signer = Arc::clone(&self.signing.signer);
        let began = Instant::now();
        // No panic leaves it: without answers, the process is being stopped.
        let Ok(answers) = spawn_blocking(move || sign_each(&*signer, &statements)).await else {
            return vec![];
        };
        metrics::histogram!("touchstone_sign_seconds", "kind" => "fetch").record(began.elapsed());
        let mut envelopes = Vec::with_capacity(answers.len());
        for (wanted, answer) in wanted.into_iter().zip(answers) {
            match answer {
                Ok(envelope) => envelopes.push((wanted, envelope)),
                Err(error) => wanted.refuse(NotRecorded::Sign(Arc::new(error))),
            }
        }
        envelopes
    }

    /// Writes the envelopes as one pack. Who wanted no more is answered.
    async fn keep(&self, signed: Vec<(Wanted, Vec<u8>)>) -> Vec<Signed> {
        if signed.is_empty() {
            return vec![];
        }
        let (wanted, envelopes): (Vec<_>, Vec<_>) = signed.into_iter().unzip();
        let places = match self.records.put(&envelopes).await {
            Ok(places) => places,
            Err(error) => {
                refuse_all(wanted, &NotRecorded::Keep(Arc::new(error)));
                return vec![];
            }
        };
        let key = self.signing.signer.key_id();
        let mut artifacts = vec![];
        for (wanted, envelope) in wanted.into_iter().zip(places) {
            let fetch = SignedBy { key, envelope };
            match wanted {
                Wanted::Kept(answer) => tell(answer, Ok(fetch)),
                Wanted::Ingested(new, answer) => artifacts.push((new(fetch), answer)),
            }
        }
        artifacts
    }

    /// Puts artifacts on record, in their order. A coordinate that is given again waits for the answer to the first.
    async fn ingest(&self, mut signed: Vec<Signed>) -> Vec<Done> {
        let mut done = vec![];
        while !signed.is_empty() {
            let mut coordinates = HashSet::new();
            let (first, again) = signed.into_iter().partition(|(new, _)| coordinates.insert(new.id.clone()));
            done.extend(self.ingest_distinct(first).await);
            signed = again;
        }
        done
    }

    /// One statement. What can never be stored is found by trying one by one, so that it spoils no other.
    async fn ingest_distinct(&self, signed: Vec<Signed>) -> Vec<Done> {
        let (new, answers): (Vec<_>, Vec<_>) = signed.into_iter().unzip();
        match self.store.ingest_many(&new).await {
            Ok(ingested) => {
                let all = new.iter().zip(ingested).zip(answers);
                all.map(|((new, ingested), answer)| Done::of(new, ingested, answer)).collect()
            }
            Err(error) if error.is_transient() => {
                let error = NotRecorded::Store(Arc::new(error));
                for answer in answers {
                    tell(answer, Err(error.clone()));
                }
                vec![]
            }
            Err(_) => {
                let mut done = vec![];
                for (new, answer) in new.iter().zip(answers) {
                    match self.store.ingest(new).await {
                        Ok(ingested) => done.push(Done::of(new, ingested, answer)),
                        Err(error) => tell(answer, Err(NotRecorded::Store(Arc::new(error)))),
                    }
                }
                done
            }
        }
    }
}

impl Done {
    const fn of(new: &NewArtifact, ingested: Ingested, answer: Answer<Ingested>) -> Self {
        Self { ingested, ecosystem: new.id.ecosystem, answer }
    }

    /// What the workers are told. Of what was on record, they were told before.
    fn event(&self) -> Option<ArtifactEvent> {
        match self.ingested {
            Ingested::Inserted { artifact, epoch } => {
                Some(ArtifactEvent::new(artifact, self.ecosystem, epoch, 0))
            }
            Ingested::Known { .. } | Ingested::Diverged { .. } => None,
        }
    }
}

impl Wanted {
    fn refuse(self, error: NotRecorded) {
        match self {
            Self::Kept(answer) => tell(answer, Err(error)),
            Self::Ingested(_, answer) => tell(answer, Err(error)),
        }
    }
}

fn refuse_all(all: impl IntoIterator<Item = Wanted>, error: &NotRecorded) {
    for wanted in all {
        wanted.refuse(error.clone());
    }
}

fn tell<T>(answer: Answer<T>, result: Result<T, NotRecorded>) {
    let _gone = answer.send(result);
}

fn sign_each(signer: &dyn Signer, statements: &[FetchStatement]) -> Vec<Result<Vec<u8>, SignError>> {
    let mut failures = 0;
    let sign = |statement: &FetchStatement| {
        if failures == FAILURES_MAX {
            let problem = format!("it failed {FAILURES_MAX} times in a row, and was not asked again");
            return Err(SignError::Failed(problem));
        }
        let Ok(answer) = catch_unwind(AssertUnwindSafe(|| statement.sign(signer))) else {
            return Err(SignError::Failed("it panicked".to_owned()));
        };
        match &answer {
            Err(SignError::Failed(_) | SignError::Key(_)) => failures += 1,
            Ok(_) | Err(SignError::Size(_) | SignError::Statement(_)) => failures = 0,
        }
        answer
    };
    statements.iter().map(sign).collect()
}
