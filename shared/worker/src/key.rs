//! Whether what this worker signs counts, by the key ring. While it does not, an incident is open.
//!
//! *Invariant:* while its own key does not count, a worker signs nothing and takes no message: promote would refuse each verdict, and
//! every artifact would wait all the same.

use std::{
    mem::{Discriminant, discriminant},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use touchstone_custody::{KeyKind, KeyProblem};
use touchstone_store::NewIncident;

use crate::{Check, run::Worker};

/// How often the worker looks whether its own key counts, while there is nothing to do.
const LOOK: Duration = Duration::from_secs(1);
/// How often people are told of it again: another worker whose key counts may have settled it.
const AGAIN: Duration = Duration::from_mins(1);
/// What people are told to do.
const NEXT: &str = "run `touchstone keys rotate` for this kind and start the worker again, or put its public half into the key ring";

/// The problem that was told last, if there is one.
#[derive(Default)]
pub(crate) struct Told(Mutex<Option<Discriminant<KeyProblem>>>);

impl Told {
    /// Remembers the problem that there is now; returns whether it is another one than before.
    fn is_news(&self, problem: Option<&KeyProblem>) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = problem.map(discriminant);
        std::mem::replace(&mut *told, now) != now
    }
}

/// The incident that is known to be open: that a key of this kind does not count.
enum Open {
    Unknown,
    No,
    /// Of this problem, and since when it was told last.
    Since(String, Instant),
}

impl<C: Check> Worker<C> {
    /// Whether what is signed now counts. People are told when that changes.
    pub(crate) fn may_sign(&self) -> Result<(), KeyProblem> {
        let kind = KeyKind::from(self.check.kind());
        let own = self.parts.signing.signer.key_id();
        let accepted = self.parts.ring.borrow().accept(own, kind, self.parts.clock.now()).map(drop);
        metrics::gauge!("touchstone_signing_blocked", "kind" => kind.as_str())
            .set(u32::from(accepted.is_err()));
        if self.told.is_news(accepted.as_ref().err()) {
            match &accepted {
                Ok(()) => tracing::info!(%kind, key = %own, "the worker's own key counts again"),
                Err(problem) => tracing::error!(
                    %kind, %problem,
                    "NOTHING IS CHECKED HERE: the worker's own key does not count; {NEXT}"
                ),
            }
        }
        accepted
    }

    /// Keeps an incident open for as long as what is signed does not count, until the worker stops.
    pub(crate) async fn tell_of_key(&self) {
        let soft = &self.parts.shutdown.soft;
        let mut told = Open::Unknown;
        loop {
            told = self.tell(told).await;
            if soft.run_until_cancelled(sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }

    /// Brings the incident up to date, if it is not.
    async fn tell(&self, told: Open) -> Open {
        let (store, signing) = (&self.parts.store, &self.parts.signing);
        let (recorded, now) = match (self.may_sign(), &told) {
            (Ok(()), Open::No) => return told,
            (Ok(()), Open::Unknown | Open::Since(..)) => {
                (store.settle_signing(signing.signer.kind()).await.map(drop), Open::No)
            }
            (Err(problem), Open::Since(same, since))
                if *same == problem.lasting() && since.elapsed() < AGAIN =>
            {
                return told;
            }
            (Err(problem), Open::Unknown | Open::No | Open::Since(..)) => {
                let incident = NewIncident::about_signing(signing, &problem, NEXT);
                (store.record_incident(&incident).await, Open::Since(problem.lasting(), Instant::now()))
            }
        };
        match recorded {
            Ok(()) => now,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the incident that nothing is signed is not brought up to date yet"
                );
                told
            }
        }
    }

    /// Waits until what is signed does not count.
    pub(crate) async fn key_ends(&self) {
        while self.may_sign().is_ok() {
            sleep(LOOK).await;
        }
    }

    /// Waits until what is signed counts.
    pub(crate) async fn key_counts(&self) {
        while self.may_sign().is_err() {
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use touchstone_domain::{KeyId, Sha256};

    use super::*;

    #[test]
    fn a_problem_is_told_once_and_so_is_its_end() {
        let told = Told::default();
        let key = KeyId(Sha256::of("k"));
        let at = |date: &str| KeyProblem::Window { key, at: date.parse().expect("a date") };
        assert!(!told.is_news(None), "it counted from the beginning");
        assert!(told.is_news(Some(&at("2026-11-23T00:00:00Z"))));
        assert!(!told.is_news(Some(&at("2026-11-23T00:00:01Z"))), "only the date is another one");
        assert!(told.is_news(Some(&KeyProblem::Unknown(key))));
        assert!(told.is_news(None));
        assert!(!told.is_news(None));
    }
}
