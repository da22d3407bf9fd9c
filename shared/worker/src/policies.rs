//! The policies that asked, by their number. A number means the same document for ever, so nothing here grows old.

use std::sync::{Arc, Mutex, PoisonError};

use touchstone_domain::Policy;
use touchstone_store::Store;

use crate::CheckError;

/// How many are kept; more than that are in force at once only while somebody tries policies out.
const KEPT_MAX: usize = 16;

/// Those that were asked for last, the latest at the end.
#[derive(Default)]
pub(crate) struct Policies(Mutex<Vec<(i32, Arc<Policy>)>>);

impl Policies {
    /// The policy with this number.
    pub(crate) async fn of(&self, store: &Store, epoch: i32) -> Result<Arc<Policy>, CheckError> {
        if let Some(policy) = self.kept(epoch) {
            return Ok(policy);
        }
        let document = match store.policy_document(epoch).await {
            Ok(Some(document)) => document,
            Ok(None) => return Err(CheckError::poison(format!("policy {epoch} is not on record"))),
            Err(error) if error.is_transient() => {
                return Err(CheckError::retry_because("the policy cannot be loaded", error));
            }
            Err(error) => return Err(unreadable(epoch, error)),
        };
        let policy = Arc::new(Policy::parse(&document).map_err(|error| unreadable(epoch, error))?);
        self.keep(epoch, &policy);
        Ok(policy)
    }

    fn kept(&self, epoch: i32) -> Option<Arc<Policy>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(of, _)| *of == epoch)?;
        let found = kept.remove(at);
        let policy = Arc::clone(&found.1);
        kept.push(found);
        Some(policy)
    }

    fn keep(&self, epoch: i32, policy: &Arc<Policy>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _)| *of != epoch);
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((epoch, Arc::clone(policy)));
    }
}

/// A policy that another version wrote, perhaps: nothing may be judged by half of it.
fn unreadable(epoch: i32, error: impl std::error::Error + Send + Sync + 'static) -> CheckError {
    CheckError::Poison { problem: format!("policy {epoch} cannot be read"), source: Some(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ones_that_were_asked_for_last_are_kept() {
        let policies = Policies::default();
        let limit = i32::try_from(KEPT_MAX).expect("small");
        for epoch in 0..limit {
            policies.keep(epoch, &Arc::default());
        }
        assert!(policies.kept(0).is_some());
        policies.keep(limit, &Arc::default());
        policies.keep(limit, &Arc::default());
        assert!(policies.kept(1).is_none(), "the one that nobody asked for longest went");
        assert!(policies.kept(0).is_some() && policies.kept(limit).is_some() && policies.kept(2).is_some());
    }
}
