//! Serve records that are lost, or damaged on disk: edges refuse what they permit, for ever. Edges report them; what promote cannot read
//! either begins a new epoch, so that it is judged, and signed, anew.
//!
//! *Invariant:* nothing is taken for lost while the blob store does not answer, or is not the one that this database belongs to: an empty
//! or foreign directory in its place has none of the records, and all of them would be thrown away.

use touchstone_records::RecordError;
use touchstone_store::RecordInForce;

use crate::{Promote, judge::CountError};

/// Looks for at most `limit` records that edges could not read, and reopens what they were to permit.
pub(crate) async fn records(promote: &Promote, limit: i64) -> Result<(), CountError> {
    let reported = promote.store.reported_missing(limit).await?;
    if reported.is_empty() || promote.is_halted() || promote.may_sign().is_err() {
        return Ok(());
    }
    let lost = unreadable(promote, &reported).await;
    if lost.is_empty() || !is_own_store(promote).await? {
        return Ok(());
    }
    // once more, now that it is known to be the store
    let lost = unreadable(promote, &lost).await;
    let reopened = promote.store.reopen_lost(&lost).await?;
    if !reopened.is_empty() {
        tracing::warn!(artifacts = reopened.len(), "artifacts whose serve records are lost are judged anew");
        promote.tell(&reopened).await;
    }
    Ok(())
}

/// Those whose envelope is not there, or is another one. What cannot be read now may be whole.
async fn unreadable(promote: &Promote, records: &[RecordInForce]) -> Vec<RecordInForce> {
    let places: Vec<_> = records.iter().map(|one| one.record).collect();
    let read = promote.records.read(&places).await;
    let lost = records.iter().zip(read).filter(|(one, read)| match read {
        Ok(_) => false,
        Err(RecordError::Missing | RecordError::Damaged) => true,
        Err(error @ RecordError::Io(_)) => {
            tracing::warn!(
                artifact = %one.artifact, error = error as &dyn std::error::Error, "a serve record cannot be read now"
            );
            false
        }
    });
    lost.map(|(one, _)| *one).collect()
}

/// Whether the blob store is the one that this database belongs to. The first one that is asked about gets a number, and is put on
/// record.
pub(crate) async fn is_own_store(promote: &Promote) -> Result<bool, CountError> {
    let own = match promote.store.blob_store().await? {
        Some(own) => own,
        None => promote.store.register_blob_store(promote.blobs.mark().await?).await?,
    };
    let found = match promote.blobs.number().await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the blob store's own number cannot be read; nothing in it is taken for lost"
            );
            return Ok(false);
        }
    };
    if found != Some(own) {
        let found = found.map_or_else(|| "none".to_owned(), |number| number.to_string());
        tracing::error!(
            own = %own, found,
            "THE BLOB STORE IS ANOTHER ONE than this database belongs to, or an empty directory in its place; nothing in it is taken for \
             lost. If the right one is lost for good, write its number into the file `number` in the directory"
        );
    }
    Ok(found == Some(own))
}
