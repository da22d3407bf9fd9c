//! Layouts: what stock in-toto tools verify a chain of records by. One is kept for every requirement that a policy can have, signed
//! anew when the key ring changes, and daily, so that it never ends while promote runs.
//!
//! *Invariant:* a key that does not count signs none: nobody could verify them.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::task::spawn_blocking;
use touchstone_custody::{
    KeyKind, KeyProblem, KeyRing, LAYOUT_LIFE, Layout, Refused, SignError, Signing, requirements,
};
use touchstone_domain::{Requirement, SignedBy};
use touchstone_records::PutError;
use touchstone_store::{NewLayout, StoreError};

use crate::Promote;

/// How often layouts are looked at.
const PERIOD: Duration = Duration::from_hours(1);
/// How old a layout may be.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// How long to wait after trouble.
const TROUBLE: Duration = Duration::from_secs(10);

/// Why layouts are not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    /// Nothing that promote signs counts.
    #[error("promote's own key does not count")]
    Key(#[from] KeyProblem),
    /// The signer did not sign.
    #[error("a layout could not be signed")]
    Sign(#[from] SignError),
    /// What was signed does not verify.
    #[error("a layout that was just signed does not verify")]
    Verify(#[from] Refused),
    /// The envelopes could not be kept.
    #[error("layouts could not be kept")]
    Put(#[from] PutError),
    /// Postgres did not take them.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps layouts until told to stop.
pub(crate) async fn keep(promote: &Promote) {
    let mut ring = promote.ring.clone();
    let keeping = async {
        loop {
            let current = Arc::clone(&ring.borrow_and_update());
            let pause = match once(promote, &current).await {
                Ok(0) => PERIOD,
                Ok(signed) => {
                    tracing::info!(signed, "signed layouts for the key ring in force");
                    PERIOD
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "layouts are not signed yet");
                    TROUBLE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = ring.changed() => if changed.is_err() {
                    // no more changes come
                    tokio::time::sleep(pause).await;
                },
            }
        }
    };
    promote.stop.run_until_cancelled(keeping).await;
}

/// Signs what is missing, old, or of another key ring; how many.
pub(crate) async fn once(promote: &Promote, ring: &Arc<KeyRing>) -> Result<usize, LayoutError> {
    let (now, key) = (promote.clock.now(), promote.signing.signer.key_id());
    ring.accept(key, KeyKind::Promote, now)?;
    let mut due = Vec::new();
    for requirement in requirements() {
        let latest = promote.store.layout(requirement).await?;
        let is_current = latest.is_some_and(|layout| {
            let signed_at = layout.expires_at - LAYOUT_LIFE;
            layout.ring == ring.digest()
                && layout.signed.key == key
                && now.duration_since(signed_at) <= AGE_MAX
        });
        if !is_current {
            due.push(requirement);
        }
    }
    if due.is_empty() {
        return Ok(0);
    }
    let (signing, of) = (promote.signing.clone(), Arc::clone(ring));
    let signed = spawn_blocking(move || {
        due.iter().map(|requirement| sign(*requirement, &of, &signing, now)).collect::<Result<Vec<_>, _>>()
    });
    let signed = signed.await.map_err(|_stopped| PutError::Stopped)??;
    let envelopes: Vec<Vec<u8>> = signed.iter().map(|(_, _, envelope)| envelope.clone()).collect();
    let places = promote.records.put(&envelopes).await?;
    let layouts: Vec<NewLayout> = signed
        .iter()
        .zip(places)
        .map(|((requirement, expires_at, _), envelope)| NewLayout {
            requirement: *requirement,
            ring: ring.digest(),
            signed: SignedBy { key, envelope },
            expires_at: *expires_at,
        })
        .collect();
    promote.store.record_layouts(&layouts).await?;
    Ok(layouts.len())
}

/// A layout, when it ends, and its envelope.
fn sign(
    requirement: Requirement,
    ring: &KeyRing,
    signing: &Signing,
    at: Timestamp,
) -> Result<(Requirement, Timestamp, Vec<u8>), LayoutError> {
    let envelope = Layout::sign(requirement, ring, signing, at)?;
    let expires = Layout::verify(&envelope, ring)?.statement().expires;
    Ok((requirement, expires, envelope))
}
