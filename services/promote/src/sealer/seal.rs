//! Sealing: rows become leaves, and a checkpoint is signed over them.

use std::sync::Arc;

use touchstone_store::{LOG_ROWS_MAX, LogSeal, NewLogLeaf};
use touchstone_tlog::{SignedHead, TreeHead, leaf_hash, note::SignerKey};
use touchstone_translog::{Frontier, LogKeys};

use super::{SealError, Sealer, blocking};

/// How many batches are sealed in one cycle, so that comparing goes on under load.
const BATCHES_PER_CYCLE: usize = 16;

impl Sealer {
    /// Seals what happened since the last time. Returns whether more is waiting.
    pub(super) async fn seal_rows(&mut self) -> Result<bool, SealError> {
        let store = self.promote.store.clone();
        for _ in 0..BATCHES_PER_CYCLE {
            let cursor = match self.cursor {
                Some(cursor) => cursor,
                None => store.log_cursor().await?,
            };
            let (rows, next) = store.log_rows(cursor, LOG_ROWS_MAX).await?;
            self.cursor = Some(next);
            if rows.is_empty() {
                return Ok(false);
            }
            let (count, keys, signer) = (rows.len(), self.keys()?, Arc::clone(&self.signer));
            let frontier =
                self.copies[0].writer().map_or_else(Frontier::empty, |writer| writer.frontier().clone());
            let from = frontier.size();
            let (leaves, head) = blocking(move || {
                let leaf = |row: touchstone_store::LogRow| NewLogLeaf {
                    source: row.source.as_str(),
                    source_id: row.id,
                    entry: row.entry.to_bytes(),
                };
                let leaves: Vec<NewLogLeaf> = rows.into_iter().map(leaf).collect();
                signed(&signer, &keys, grown(frontier, &leaves)).map(|head| (leaves, head))
            })
            .await??;
            let seal = LogSeal { size: head.head().size, root: head.head().root, note: head.note().to_vec() };
            if !store.append_leaves(from, &leaves, &seal).await? {
                tracing::debug!("somebody else sealed the log in the meantime");
                self.forget();
                return Ok(true);
            }
            self.saw(*head.head());
            metrics::counter!("touchstone_log_entries").increment(count as u64);
            let entries = leaves.into_iter().map(|leaf| leaf.entry).collect();
            self.publish(from, Arc::new(entries), &head).await?;
            if count < LOG_ROWS_MAX {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The head of the tree with these leaves added.
fn grown(mut frontier: Frontier, leaves: &[NewLogLeaf]) -> TreeHead {
    for leaf in leaves {
        frontier.push(leaf_hash(&leaf.entry));
    }
    frontier.head()
}

/// Signs a checkpoint, which must count by the key ring.
pub(super) fn signed(signer: &SignerKey, keys: &LogKeys, head: TreeHead) -> Result<SignedHead, SealError> {
    let note = signer.sign(&head.checkpoint_text(keys.origin()))?;
    keys.verify(&note).map_err(SealError::Signer)
}
