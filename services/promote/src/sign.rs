//! Signing serve records: one pack for all that is approved together.
//!
//! *Invariant:* only an approval is signed, by a key that counts, and its record is on disk when the row that names it is written.

use std::sync::Arc;

use tokio::{task::spawn_blocking, time::Instant};
use touchstone_custody::{Approval, ServeRecord, SignError};
use touchstone_domain::SignedBy;
use touchstone_records::PACK_ENVELOPES_MAX;
use touchstone_store::NewPromotion;

use crate::{Promote, judge::CountError};

/// Numbers, signs and keeps the serve records of these approvals, in their order.
pub(crate) async fn promotions(
    promote: &Promote,
    approvals: Vec<Approval>,
) -> Result<Vec<NewPromotion>, CountError> {
    if !approvals.is_empty() {
        promote.may_sign()?;
    }
    let mut promotions = Vec::with_capacity(approvals.len());
    let mut approvals = approvals.into_iter();
    loop {
        let pack: Vec<Approval> = approvals.by_ref().take(PACK_ENVELOPES_MAX).collect();
        if pack.is_empty() {
            return Ok(promotions);
        }
        promotions.extend(pack_of(promote, pack).await?);
    }
}

async fn pack_of(promote: &Promote, approvals: Vec<Approval>) -> Result<Vec<NewPromotion>, CountError> {
    let serials = promote.store.next_serials(approvals.len()).await?;
    let promoted_at = promote.clock.now();
    let signer = Arc::clone(&promote.signing.signer);
    let key = signer.key_id();
    let began = Instant::now();
    let signing = spawn_blocking(move || {
        let sign = |(approval, serial): (&Approval, &i64)| {
            ServeRecord::sign(approval, *serial, promoted_at, &*signer)
        };
        let envelopes: Result<Vec<Vec<u8>>, SignError> = approvals.iter().zip(&serials).map(sign).collect();
        envelopes.map(|envelopes| (approvals, serials, envelopes))
    });
    let (approvals, serials, envelopes) = signing.await.map_err(|_stopped| CountError::Stopped)??;
    metrics::histogram!("touchstone_sign_seconds", "kind" => "promote").record(began.elapsed());
    let places = promote.records.put(&envelopes).await?;
    let promotion = |((approval, serial), envelope): ((&Approval, i64), _)| NewPromotion {
        artifact: approval.gate().artifact,
        epoch: approval.gate().epoch,
        serial,
        policy_epoch: approval.policy_epoch(),
        rests_on: approval.keys().collect(),
        promoted_at,
        signed: SignedBy { key, envelope },
    };
    Ok(approvals.iter().zip(serials).zip(places).map(promotion).collect())
}
