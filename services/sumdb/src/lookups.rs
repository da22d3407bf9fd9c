//! Lookups in flight and just answered: the zip and the `go.mod` of a version share one.
//!
//! *Invariant:* a reply is shared as it came. Everybody who uses it judges it, by the head that is stored then.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::sync::OnceCell;
use touchstone_domain::{ArtifactId, PackageName, Version};

use crate::{
    client::{Client, Reply},
    stop::Stop,
};

/// How many replies are remembered, how long, and how large one may be.
const REPLIES_MAX: u64 = 1024;
const REPLY_TIME: Duration = Duration::from_mins(1);
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// The replies of one database.
pub(crate) struct Lookups {
    client: Arc<Client>,
    replies: Cache<(PackageName, Version), Arc<OnceCell<Reply>>>,
}

impl Lookups {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        let replies = Cache::builder().max_capacity(REPLIES_MAX).time_to_live(REPLY_TIME).build();
        Self { client, replies }
    }

    /// Asks, unless somebody just did.
    pub(crate) async fn ask(&self, id: &ArtifactId) -> Result<Reply, Stop> {
        let key = (id.package.clone(), id.version.clone());
        let cell = self.replies.get_with(key.clone(), Arc::default);
        let reply = cell.get_or_try_init(|| self.client.lookup(&id.package, &id.version)).await?;
        if reply.bytes.len() > REPLY_BYTES_MAX {
            self.replies.invalidate(&key);
        }
        Ok(reply.clone())
    }

    /// Asks the database itself, and forgets what it said before.
    pub(crate) async fn ask_anew(&self, id: &ArtifactId) -> Result<Reply, Stop> {
        self.forget(id);
        self.client.lookup(&id.package, &id.version).await
    }

    /// Forgets what was said: what came in part must not be all there is for a while, and a reply that stopped the database must
    /// not do so again once an operator went on.
    pub(crate) fn forget(&self, id: &ArtifactId) {
        self.replies.invalidate(&(id.package.clone(), id.version.clone()));
    }
}
