//! The signed record of a fetch: what was fetched, from where and when.
//!
//! *Invariant:* the envelope is in the blob store before a row names it.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use tokio::{task::spawn_blocking, time::Instant};
use touchstone_custody::FetchStatement;
use touchstone_domain::{Refusal, Sha256, SignedBy};

use crate::{state::Edge, words};

/// Signs with the edge's key and keeps the envelope; `evidence` is what was kept of the upstream's metadata, and the statement gets its
/// digest.
pub(super) async fn fetch(
    edge: &Edge,
    mut statement: FetchStatement,
    evidence: Bytes,
) -> Result<SignedBy, Refusal> {
    let signer = Arc::clone(&edge.signing.signer);
    let key = signer.key_id();
    let began = Instant::now();
    let signing = spawn_blocking(move || {
        statement.evidence = vec![Sha256::of(&evidence)];
        statement.sign(&*signer)
    });
    let envelope = match signing.await {
        Ok(Ok(envelope)) => envelope,
        Ok(Err(error)) => return Err(refuse(&error, "its key did not sign what it fetched")),
        Err(error) => return Err(refuse(&error, "its key did not sign what it fetched")),
    };
    metrics::histogram!("touchstone_sign_seconds", "kind" => "fetch").record(began.elapsed());
    let kept = edge.records.put(&[envelope]).await;
    let kept = kept.map_err(|error| refuse(&error, "its storage did not take the record of the fetch"))?;
    let envelope = kept.into_iter().next().expect("one place for one envelope");
    Ok(SignedBy { key, envelope })
}

fn refuse(error: &(dyn Error + 'static), problem: &str) -> Refusal {
    tracing::error!(error, "cannot sign a fetch, or keep its record");
    words::unavailable(problem)
}
