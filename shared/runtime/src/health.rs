//! Which parts of the process are ready. `/readyz` reads it; each part reports for itself.
//!
//! *Invariant:* a part that never reported is not ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The parts of one process and how each of them is.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

/// The place where one part reports.
#[derive(Clone, Debug)]
pub struct Ready {
    registry: Readiness,
    part: &'static str,
}

impl Readiness {
    /// Adds a part, not ready yet.
    pub fn part(&self, part: &'static str) -> Ready {
        self.report(part, Err("starting".to_owned()));
        Ready { registry: self.clone(), part }
    }

    /// Whether there is at least one part and every part is ready.
    pub fn is_ready(&self) -> bool {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !parts.is_empty() && parts.values().all(Result::is_ok)
    }

    /// Every part in order of name, with what keeps it from being ready.
    pub fn parts(&self) -> Vec<(&'static str, Result<(), String>)> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(part, state)| (*part, state.clone())).collect()
    }

    fn report(&self, part: &'static str, state: Result<(), String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }
}

impl Ready {
    /// The part works.
    pub fn yes(&self) {
        self.registry.report(self.part, Ok(()));
    }

    /// The part does not work; `why` is shown to operators, and must hold no secret.
    pub fn no(&self, why: impl Into<String>) {
        self.registry.report(self.part, Err(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_part_said_so() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready(), "nothing reported, so nothing is ready");
        let (store, bus) = (readiness.part("store"), readiness.part("bus"));
        store.yes();
        assert_eq!(readiness.parts(), [("bus", Err("starting".to_owned())), ("store", Ok(()))]);
        assert!(!readiness.is_ready());
        bus.yes();
        assert!(readiness.is_ready());
        store.no("connection refused");
        assert!(!readiness.is_ready());
    }
}
