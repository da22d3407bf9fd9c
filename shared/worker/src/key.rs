//! Whether what this worker signs counts, by the key ring.
//!
//! *Invariant:* while its own key does not count, a worker signs nothing and takes no message: promote would refuse each verdict, and
//! every artifact would wait all the same.

use std::{
    mem::{Discriminant, discriminant},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use touchstone_custody::{KeyKind, KeyProblem};

use crate::{Check, run::Worker};

/// How often the worker looks whether its own key counts, while there is nothing to do.
const LOOK: Duration = Duration::from_secs(1);

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
                    "NOTHING IS CHECKED HERE: the worker's own key does not count; run `touchstone keys rotate` for this kind and \
                     start the worker again, or put its public half into the key ring"
                ),
            }
        }
        accepted
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
