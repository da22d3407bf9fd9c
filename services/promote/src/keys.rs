//! What follows when the key ring changes: whatever rests on a revoked key begins a new epoch, and the change is put on record for
//! the transparency log.
//!
//! Edges refuse what rests on a revoked key by their own key ring; this takes it out of listings, and has it checked again.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use touchstone_custody::{KeyEntry, KeyKind, KeyRing};
use touchstone_store::{Accepting, NewIncident, StoreError};

use crate::Promote;

/// Rows per query.
const BATCH: i64 = 500;
/// How often everything is gone through again: a verdict may have counted while the key was being revoked, and another promote may
/// have had the older ring.
const AGAIN: Duration = Duration::from_mins(1);
/// How long to wait after trouble.
const TROUBLE: Duration = Duration::from_secs(1);
/// What people are told to do when promote's own key does not count.
const NEXT: &str = "run `touchstone keys rotate promote` and start promote with the new key, or put its public half into the key ring";

/// Follows the key ring until told to stop.
pub(crate) async fn follow(promote: &Promote) {
    let mut ring = promote.ring.clone();
    let mut halt = promote.halt.clone();
    let mut ticks = tokio::time::interval(AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut recorded, mut settled) = (None, false);
    let following = async {
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = ring.changed() => if changed.is_err() {
                    // no more changes come; verdicts still may
                    ticks.tick().await;
                },
            }
            tell(promote, &mut settled).await;
            // whoever writes the ring stays as long as promote; so does the sealer
            halt.wait_for(Option::is_none).await.ok();
            let current = Arc::clone(&ring.borrow_and_update());
            while let Err(error) = once(promote, &current, &mut recorded).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what rests on revoked keys is not reopened yet"
                );
                tokio::time::sleep(TROUBLE).await;
            }
        }
    };
    promote.stop.run_until_cancelled(following).await;
}

pub(crate) async fn once(
    promote: &Promote,
    ring: &Arc<KeyRing>,
    recorded: &mut Option<Arc<KeyRing>>,
) -> Result<(), StoreError> {
    let is_new = recorded.as_ref() != Some(ring);
    if is_new {
        for entry in ring.entries() {
            record(promote, entry).await?;
        }
    }
    // one call goes through all gates; what another promote with an older ring signs meanwhile is found the next time
    for (key, revoked) in ring.revoked() {
        let reopened = promote.store.reopen_key(key, BATCH).await?;
        if !reopened.is_empty() {
            tracing::warn!(
                %key, reason = %revoked.reason, artifacts = reopened.len(), "reopened what rests on a revoked key"
            );
            promote.tell(&reopened).await;
        }
    }
    // edges refuse all of these already; it is for promoting them anew, which needs a key that counts
    if is_new && promote.may_sign().is_ok() {
        let reopened = promote.store.reopen_unaccepted(&accepted(ring), BATCH).await?;
        if !reopened.is_empty() {
            tracing::warn!(
                artifacts = reopened.len(),
                "reopened what was promoted by a key that does not count"
            );
            promote.tell(&reopened).await;
        }
        *recorded = Some(Arc::clone(ring));
    }
    Ok(())
}

/// The keys whose promotions count, and for which dates.
fn accepted(ring: &KeyRing) -> Vec<Accepting> {
    let entries = ring.entries().iter();
    let accepted = entries.filter(|entry| entry.kind == KeyKind::Promote && entry.revoked.is_none());
    accepted
        .map(|entry| Accepting { key: entry.public.id(), from: entry.not_before, until: entry.not_after })
        .collect()
}

/// Says, at every look, that nothing is signed, and what to do. An incident is open for as long as it is so; `settled` says that none
/// is.
pub(crate) async fn tell(promote: &Promote, settled: &mut bool) {
    let blocked = promote.may_sign().err();
    metrics::gauge!("touchstone_signing_blocked", "kind" => KeyKind::Promote.as_str())
        .set(u32::from(blocked.is_some()));
    let told = match &blocked {
        Some(problem) => {
            tracing::error!(%problem, "NOTHING IS PROMOTED: promote's own key does not count; {NEXT}");
            let incident = NewIncident::about_signing(&promote.signing, problem, NEXT);
            promote.store.record_incident(&incident).await
        }
        None if *settled => return,
        None => promote.store.settle_signing(KeyKind::Promote).await.map(drop),
    };
    match told {
        Ok(()) => *settled = blocked.is_none(),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the incident that nothing is signed is not brought up to date yet"
        ),
    }
}

/// Puts on record what the ring says of a key. The store keeps each change once, whoever reports it.
async fn record(promote: &Promote, entry: &KeyEntry) -> Result<(), StoreError> {
    let (key, kind) = (entry.public.id(), entry.kind.as_str());
    let until = entry.not_after.map_or_else(String::new, |until| format!(" until {until}"));
    let window = format!("from {}{until}", entry.not_before);
    promote.store.record_key_event(key, kind, "added", None).await?;
    promote.store.record_key_event(key, kind, "window", Some(&window)).await?;
    if let Some(revoked) = &entry.revoked {
        promote.store.record_key_event(key, kind, "revoked", Some(&revoked.reason)).await?;
    }
    Ok(())
}
